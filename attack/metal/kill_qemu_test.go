//go:build qemu

package metal

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ferry/board/record"
	"ferry/internal/oracle/standin"
	"ferry/internal/qemu"
	"ferry/internal/report"
	"ferry/linux"
	"ferry/phys"
)

var instants = flag.Int("instants", 40, "random instants for each handover of TestKill")

// victim is a stage about to run, and how the kernel that its handover came from is
// started again.
type victim struct {
	name string
	dump *Dump
	gen  *standin.Generation

	kernel, initrd []byte
	cmdline        string
	whole          func(log string, code int) error // nil where all that was preserved is there
	timeout        time.Duration
}

// boundaries are the functions at which the machine is stopped beside the steps that
// the stage names.
var boundaries = []string{
	"ferry/kho.Open", "ferry/luo.Restore", "ferry/kho.(*Draft).Alloc", "ferry/kho.(*Draft).Commit", "ferry/boot.(*Plan).Hand",
	"ferry/board/amd64.SetFallback", "ferry/board/amd64/internal/kernel.(*machine).depart",
}

// point is where a stage is stopped: where it is about to run a function for the
// n-th time, or some time after that or after its start, or at the first instruction
// of the next kernel.
type point struct {
	name    string
	at      uint64
	hits    int
	random  bool
	after   time.Duration // of a random one
	leaving bool
}

// instant returns a random point of a run that takes span and meets the others: one
// in two anywhere in it, where most fall into the step that takes longest, and one in
// two soon after some other point.
func instant(rng *rand.Rand, points []point, span time.Duration) point {
	if rng.IntN(2) == 0 {
		return point{name: "random", random: true, after: time.Duration(rng.Int64N(int64(span)))}
	}
	p := points[rng.IntN(len(points)-2)] // before it departs
	p.name, p.random, p.after = "random, from "+p.name+" on", true, time.Duration(rng.Int64N(int64(span)/20))
	return p
}

// TestKill stops the stage at each of its steps and at random instants. What is
// left of the machine is its memory, in which the kernel that the handover came
// from is started on a fresh machine and has to find everything.
func TestKill(t *testing.T) {
	dir := folder(t)
	table := report.Table{{"handover of", "steps and functions", "random instants", "these fell into", "kernel started again found"}}
	stops := 0
	for _, v := range []func(*testing.T, string) victim{probeVictim(standin.F, standin.F), probeVictim(standin.C, standin.F), linuxVictim} {
		v := v(t, dir)
		t.Run(v.name, func(t *testing.T) {
			points, span := v.points(t, dir), v.span(t, dir)
			fixed := len(points)
			rng := rand.New(rand.NewPCG(*seed, uint64(len(v.name))))
			for range *instants {
				points = append(points, instant(rng, points[:fixed], span))
			}
			steps := map[string]int{}
			for i, p := range points {
				t.Run(fmt.Sprintf("%d %s", i, p.name), func(t *testing.T) {
					step := v.kill(t, filepath.Join(dir, "killed"), p)
					if i >= fixed {
						steps[v.known(step, points[:fixed])]++
					}
					stops++
				})
			}
			var found []string
			for _, name := range slices.Sorted(maps.Keys(steps)) {
				found = append(found, fmt.Sprintf("%s %d", name, steps[name]))
			}
			table = append(table, []string{v.name, fmt.Sprint(fixed), fmt.Sprint(len(points) - fixed), strings.Join(found, ", "), "everything, each time"})
		})
	}
	result(t, "attack 4", fmt.Sprintf(`%s, `+"`make attack-kill`"+` (seed %d): a machine stopped %d times while Ferry ran, at the start of every step that it names and of functions that write,
at the first instruction of the next kernel, and at random instants, half of them anywhere, half soon after one of those points. Each time every page of the handover that came in was compared bit by bit with what it was at
the stage's first instruction, the handover was read from the memory by Ferry's readers and by a decoder that shares nothing with them, which found in it word for word
what it had said before, and the memory was put into a fresh machine, in which the kernel that had made it (the probe; Linux 7.3.4) started with the untouched handover.`, today(), *seed, stops), table)
}

// probeVictim is a crossing between probes, with a kernel to go back to.
func probeVictim(from, to *standin.Generation) func(*testing.T, string) victim {
	return func(t *testing.T, dir string) victim {
		r, _, d := depart(t, filepath.Join(dir, "probe-"+from.Word()), from, to, back(t, from, to), words(from, to))
		r.Kill()
		return victim{name: fmt.Sprintf("probe %s, on the way to %s", from.Name, to.Name), dump: d, gen: from, timeout: 40 * time.Second,
			kernel: read(t, probe().Path), cmdline: fmt.Sprintf("probe.role=b probe.from=%[1]s probe.to=%[1]s", from.Word()),
			whole: func(log string, code int) error {
				if code != 0 || !strings.Contains(log, "probe B: PASSED: every session, file and byte arrived") {
					return fmt.Errorf("exit code %d", code)
				}
				return nil
			}}
	}
}

// linuxVictim is a crossing between two of the newest kernel.
func linuxVictim(t *testing.T, dir string) victim {
	all := releases(t)
	release := all[len(all)-1]
	run := route(release, release)
	r, _, d := departLinux(t, filepath.Join(dir, "linux"), run, "")
	r.Kill()
	tree := linux.Tree{}
	if err := tree.AddFile(linux.InitPath, filepath.Join(*build, "linux/init")); err != nil {
		t.Fatal(err)
	}
	initrd, err := tree.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	sessions, files, bytes := run.Plan.Totals()
	return victim{name: "Linux " + release, dump: d, gen: generation(t, release), timeout: 3 * time.Minute,
		kernel: read(t, filepath.Join(*build, linux.Image(release))), initrd: initrd,
		cmdline: strings.Join([]string{linux.Cmdline, run.Words(), "crossing.round=1"}, " "),
		whole: func(text string, code int) error {
			log := linux.ParseLog([]byte(text))
			if complaints := log.Complaints(); len(complaints) > 0 {
				return fmt.Errorf("the kernel complains: %q", complaints)
			}
			for _, want := range []string{fmt.Sprintf("kept round=1 sessions=%d files=%d bytes=%d ", sessions, files, bytes), "kept=true", "DONE rounds=1"} {
				if !log.Has(linux.ReportPrefix) || !log.Has(want) {
					return fmt.Errorf("the kernel does not report %q", want)
				}
			}
			return nil
		}}
}

// start starts a machine in a copy of the memory, for a run to the end; end gives
// both back.
func (v victim) start(t *testing.T, dir string) (d *qemu.Debugger, end func()) {
	t.Helper()
	run, err := v.dump.Copy(filepath.Join(dir, "whole"))
	if err != nil {
		t.Fatal(err)
	}
	d = v.resume(t, run)
	return d, func() {
		d.Machine.Kill()
		run.Close()
		os.Remove(run.Path)
	}
}

// span is how long a run takes to the next kernel.
func (v victim) span(t *testing.T, dir string) time.Duration {
	t.Helper()
	d, end := v.start(t, dir)
	defer end()
	last, err := stage().Symbol("ferry/board/amd64/internal/kernel.(*machine).depart")
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := d.To(last); err != nil {
		t.Fatalf("%v\n%s", err, d.Machine.Console())
	}
	return time.Since(begin)
}

// points lists the steps and functions that a whole run meets.
func (v victim) points(t *testing.T, dir string) (all []point) {
	t.Helper()
	d, end := v.start(t, dir)
	defer end()
	names := map[uint64]string{}
	for _, f := range append([]string{"ferry/board/amd64/internal/kernel.SetStep"}, boundaries...) {
		at, err := stage().Symbol(f)
		if err == nil {
			err = d.Break(at)
		}
		if err != nil {
			t.Fatal(err)
		}
		names[at] = f[strings.LastIndexByte(f, '/')+1:]
	}
	hits := map[uint64]int{}
	for {
		if err := d.Go(); err != nil {
			t.Fatalf("%v\n%s", err, d.Machine.Console())
		}
		at, err := d.Register(qemu.RIP)
		if err != nil {
			t.Fatal(err)
		}
		hits[at]++
		name := names[at]
		if name == "kernel.SetStep" {
			text, _ := d.Register(qemu.RAX)
			n, _ := d.Register(qemu.RBX)
			b, err := d.Memory(text, int(min(n, 31)))
			if err != nil {
				t.Fatal(err)
			}
			name = "step " + string(b)
		}
		if n := hits[at]; strings.HasPrefix(name, "step ") || n&(n-1) == 0 { // of a function, the first, second, fourth time..
			all = append(all, point{name: name, at: at, hits: n})
		}
		if strings.HasSuffix(name, ").depart") {
			return append(all, point{name: "the next kernel's first instruction", leaving: true})
		}
	}
}

// resume starts a machine in the memory and takes control of it.
func (v victim) resume(t *testing.T, run *Dump) *qemu.Debugger {
	t.Helper()
	m := run.Resume(run.Start, v.timeout)
	m.Debug = true
	r, err := m.Start()
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.Attach()
	if err != nil {
		r.Kill()
		t.Fatal(err)
	}
	return d
}

// known returns the name of a step that a whole run meets, and says of any other that
// the stage was stopped while it wrote down the next.
func (victim) known(step string, points []point) string {
	if step == first || slices.ContainsFunc(points, func(p point) bool { return p.name == "step "+step }) {
		return step
	}
	return "between two steps"
}

// first is the step of a stage that has named none yet.
const first = "before the first"

// kill stops the stage at the point, and lets the kernel before go on in what is
// left. It returns the step in which the stage was.
func (v victim) kill(t *testing.T, path string, p point) string {
	run, err := v.dump.Copy(path)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	defer run.Close()
	d := v.resume(t, run)
	err = p.reach(d)
	console := d.Machine.Console()
	d.Machine.Kill()
	if err != nil {
		t.Fatalf("%v\n%s", err, console)
	}
	step := first
	for _, r := range record.Find(run.RAM) {
		if name := r.StepName(); name != "" {
			step = name
		}
	}
	if err := v.intact(run); err != nil {
		t.Fatalf("in step %q: %v\n%s", step, err, console)
	}
	start, err := run.Load(v.kernel, v.initrd, v.cmdline)
	if err != nil {
		t.Fatal(err)
	}
	log, code, err := run.Resume(start, v.timeout).Run()
	if err == nil {
		err = v.whole(log, code)
	}
	if err != nil {
		t.Errorf("in step %q: %v\n%s\n%s", step, err, console, log)
	}
	return step
}

// reach runs the stage to the point.
func (p point) reach(d *qemu.Debugger) error {
	if p.leaving {
		_, err := Leave(d, stage())
		return err
	}
	if p.at != 0 {
		if err := d.Break(p.at); err != nil {
			return err
		}
		for range p.hits {
			if err := d.Go(); err != nil {
				return err
			}
		}
		if !p.random {
			return nil
		}
		if err := d.Clear(p.at); err != nil {
			return err
		}
	}
	// However long it takes, the stage must not be left behind.
	last, err := stage().Symbol("ferry/board/amd64/internal/kernel.(*machine).depart")
	if err == nil {
		err = d.Break(last)
	}
	if err == nil {
		err = d.Continue()
	}
	if err != nil {
		return err
	}
	time.Sleep(p.after)
	return d.Stop()
}

// intact wants the handover to be in memory as it came.
func (v victim) intact(now *Dump) error {
	in, err := Read(v.dump.RAM, v.dump.Data, hint(v.gen))
	if err != nil {
		return err
	}
	differ, err := qemu.Differ(v.dump.RAM, now.RAM)
	if err != nil {
		return err
	}
	whole := in.All().Add(phys.Block{Addr: v.dump.Data.Scratch.Page()}.Range())
	for _, r := range differ {
		if hit, ok := whole.Overlaps(r); ok {
			return fmt.Errorf("%v differs, memory of the handover (%v)", r, hit)
		}
	}
	if _, err := Read(now.RAM, now.Data, hint(v.gen)); err != nil {
		return err
	}
	_, _, err = carried(v.dump, now, v.gen, v.gen)
	return err
}
