//go:build qemu

package metal

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ferry/crossing/crossingtest"
	"ferry/internal/oracle/standin"
	"ferry/internal/qemu"
	"ferry/phys"
)

var perPlace = flag.Int("door", 30, "changes by chance for each place of TestDoor")

// TestDoor changes what the stage is started with, and not the handover: words of
// the zero page, of the nodes behind it, of the scratch table and of the payload.
// Any of that may take the stage the means to do what its policy says. It must not
// hang, reset or fault, nor write to the handover, and what it hands on has to be
// that, whole: to the next kernel's first instruction.
func TestDoor(t *testing.T) {
	dir := folder(t)
	_, _, d := depart(t, filepath.Join(dir, "probe"), standin.F, standin.F, back(t, standin.F, standin.F), fmt.Sprintf("%s ferry.deadline=%v", words(standin.F, standin.F), deadline))
	in, err := Read(d.RAM, d.Data, nil)
	if err != nil {
		t.Fatal(err)
	}
	scratch, table, err := d.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	var nodes phys.Ranges
	for _, n := range d.Params.SetupData {
		nodes = nodes.Add(n.Range())
	}
	places := []struct {
		name  string
		where phys.Ranges
	}{
		{"zero page", phys.NewRanges(phys.Block{Addr: d.ZeroPage}.Range())},
		{"setup_data nodes", nodes},
		{"scratch table", phys.NewRanges(table)},
		{"payload: its first page", phys.NewRanges(phys.Range{Start: d.Params.Initrd.Start, End: d.Params.Initrd.Start + phys.PageSize})},
		{"payload: all of it", phys.NewRanges(d.Params.Initrd)},
	}
	door := door{dump: d, in: in, scratch: scratch}
	var ends tally
	var rows []string
	columns := []string{"crossed", wentBack, handedOn, bareBoot, machineHalted}
	for i, p := range places {
		rows = append(rows, p.name)
		for n := range *perPlace {
			rng := rand.New(rand.NewPCG(*seed, uint64(i)<<32|uint64(n)))
			t.Run(fmt.Sprintf("%s/%d", p.name, n), func(t *testing.T) {
				end := door.open(t, filepath.Join(dir, "door"), p.where, rng)
				if !t.Failed() {
					ends.add(p.name, end)
				}
			})
		}
	}
	result3, n := ends.table("changed", rows, columns)
	result(t, "attack 3: door", fmt.Sprintf(`%s, `+"`make attack-door`"+` (seed %d): %d starts of the stage with one word changed of what it is started with. Each machine was stopped at the next
kernel's first instruction, after what is cleared on the way there, or ran until it halted, and all of its memory was then compared. No run hung, reset the
machine or met a defect of Ferry's; the longest took %.1f s of the deadline of %v. None changed a byte of the handover. Outside scratch a crossing changed new
pages of the new handover alone, which says to a decoder that shares nothing with Ferry what came in; going back, handing on and standing still changed nothing. The
next kernel got the new handover, or the untouched one. The exception is %q: there the changed word hides the handover, and the stage is
started as if none had come in. Ferry says so and boots the next kernel cold; nothing tells it then what memory was preserved, and the state is lost (memory of the
handover was written to in %d of them). The payloads are not signed here, but name digests: with a changed byte in the next kernel the
stage goes back, or halts if the manifest cannot be read.`,
		today(), *seed, n, door.longest.Seconds(), deadline, bareBoot, door.lost), result3)
}

// Ends of a stage beside a crossing.
const (
	wentBack      = "went back"
	handedOn      = "handed the handover on untouched"
	bareBoot      = "booted without handover"
	machineHalted = "halted"
)

// door is what the stage is started with, before a word of it is changed.
type door struct {
	dump    *Dump
	in      *Contents
	scratch []phys.Range

	longest time.Duration // of all runs
	lost    int           // runs without handover that wrote to its memory
}

// open changes a word somewhere, lets the stage run and returns how it ended.
func (o *door) open(t *testing.T, path string, where phys.Ranges, rng *rand.Rand) string {
	t.Helper()
	run, err := o.dump.Copy(path)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	defer run.Close()
	run.Tables = nil
	change := alter(run, where, rng)
	before, err := run.Copy(path + ".before")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(before.Path)
	defer before.Close()
	// A machine that does not end by itself is stopped long after its own deadline.
	m := run.Resume(o.dump.Start, 2*deadline)
	m.Debug = true
	running, err := m.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer running.Kill()
	g, err := running.Attach()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	start, left := Leave(g, stage())
	took := time.Since(begin)
	if left != nil {
		if _, code := running.Wait(); code >= qemu.ExitTimeout {
			t.Fatalf("%s: the stage ended with %d (%v):\n%s", change, code, left, running.Console())
		}
		took = time.Since(begin)
	}
	running.Kill()
	o.longest = max(o.longest, took)
	end, err := o.judge(before, run, start, left == nil, running.Console())
	if err == nil && took > deadline {
		err = fmt.Errorf("it took %v, the deadline is %v", took, deadline)
	}
	if err != nil {
		t.Errorf("%s: %s: %v:\n%s", change, end, err, running.Console())
	}
	return end
}

// alter changes a word of the dump.
func alter(run *Dump, where phys.Ranges, rng *rand.Rand) (change string) {
	r := where[rng.IntN(len(where))]
	// Most of a zero page and of an archive's first is zero: look for what is not.
	at := r.Start + phys.Addr(rng.Uint64N(r.Size()))
	for range 200 {
		if run.Bytes()[at] != 0 {
			break
		}
		at = r.Start + phys.Addr(rng.Uint64N(r.Size()))
	}
	le := binary.LittleEndian
	switch at8 := at &^ 7; rng.IntN(4) {
	case 0, 1:
		run.Writable()[at] ^= 1 << rng.IntN(8)
	case 2:
		le.PutUint64(run.Writable()[at8:], 0)
	case 3:
		le.PutUint64(run.Writable()[at8:], rng.Uint64())
	}
	return fmt.Sprintf("%v changed", at)
}

// judge returns how a stage ended, and what is wrong with that. start is that of the
// next kernel, if left says that the stage came to one.
func (o *door) judge(before, run *Dump, start Start, left bool, log string) (end string, err error) {
	if failedItself(log) {
		return machineHalted, fmt.Errorf("the stage itself failed")
	}
	if m := totalTime.FindStringSubmatch(log); m != nil || left {
		if err := inTime(log); err != nil {
			return "", err
		}
	}
	came, unread := Look(before.RAM, before.Start)
	hidden := came != nil && came.Raw == nil
	// What the changed table calls scratch is as good as any memory that nobody preserved.
	spare := o.scratch
	if claimed, _, err := before.Scratch(); err == nil {
		spare = append(spare[:len(spare):len(spare)], claimed...)
	}
	if !left {
		if strings.Contains(log, "probe B: entered") {
			return machineHalted, fmt.Errorf("the next kernel ran, and not from its first instruction")
		}
		return machineHalted, o.untouched(before, run, spare)
	}
	after, err := Look(run.RAM, start)
	if err != nil {
		return "", fmt.Errorf("what the next kernel starts with: %w", err)
	}
	switch {
	case after.Raw == nil:
		if !hidden || !strings.Contains(log, "no handover came in") {
			return bareBoot, fmt.Errorf("the handover is lost, and not because none came in: %v", unread)
		}
		if o.hits(before, run) != nil {
			o.lost++
		}
		return bareBoot, nil
	case *after.Raw == *o.dump.Raw, came != nil && came.Raw != nil && *after.Raw == *came.Raw:
		if !crossingtest.Failed(log) {
			return handedOn, fmt.Errorf("it does not say why")
		}
		end = handedOn
		if strings.Contains(log, "\nferry: ROLLED BACK to ") {
			end = wentBack
		}
		return end, o.untouched(before, run, spare)
	case came == nil || hidden:
		return "", fmt.Errorf("a handover arrived, and none came in: %v", unread)
	}
	if crossingtest.Failed(log) || !strings.Contains(log, " blocks added, ") {
		return "crossed", fmt.Errorf("the report does not say so")
	}
	if _, err := account(came, after, standin.F, standin.F, spare...); err != nil {
		return "crossed", err
	}
	return "crossed", o.hits(before, run)
}

// hits returns the first memory of the handover, as it was before a word was changed,
// that differs.
func (o *door) hits(before, run *Dump) error {
	differ, err := qemu.Differ(before.RAM, run.RAM)
	if err != nil {
		return err
	}
	for _, r := range differ {
		if hit, ok := o.in.All().Overlaps(r); ok {
			return fmt.Errorf("%v was written to, memory of the handover (%v)", r, hit)
		}
	}
	return nil
}

// untouched wants all memory but scratch to be what it was.
func (o *door) untouched(before, run *Dump, spare []phys.Range) error {
	if err := o.hits(before, run); err != nil {
		return err
	}
	differ, err := qemu.Differ(before.RAM, run.RAM)
	if err != nil {
		return err
	}
	if outside := differ.Sub(spare...); len(outside) > 0 {
		return fmt.Errorf("written to outside scratch: %v", outside)
	}
	return nil
}
