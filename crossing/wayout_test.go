package crossing

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ferry/boot"
	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/crossing/crossingtest"
	"ferry/internal/oracle/standin"
	"ferry/kho"
	"ferry/phys"
)

// depart does what a machine does with a jump before the kernel starts.
func (m *machine) depart(j Jump) {
	m.t.Helper()
	for _, r := range j.Wipe {
		clear(m.edit(r.Start, r.Size()))
	}
}

// kept returns all memory that belongs to the handover.
func (m *machine) kept() phys.Ranges {
	m.t.Helper()
	h, err := kho.Open(m.Memory, m.payload(), nil)
	if err != nil {
		m.t.Fatal(err)
	}
	var all []phys.Range
	for _, n := range h.Map().Nodes() {
		all = append(all, phys.Block{Addr: n.Addr()}.Range())
	}
	if err := h.Map().Walk(func(b phys.Block) error { all = append(all, b.Range()); return nil }); err != nil {
		m.t.Fatal(err)
	}
	return phys.NewRanges(all...)
}

// seed adds a node of entropy in front of that of the handover.
func (m *machine) seed(at phys.Addr) {
	m.t.Helper()
	n := m.edit(at, 48)
	copy(n, m.edit(zeroPageAt+0x250, 8))
	le.PutUint32(n[8:], boot.SetupRNGSeed)
	le.PutUint32(n[12:], 32)
	le.PutUint64(m.edit(zeroPageAt+0x250, 8), uint64(at))
}

// TestFlippedPointersClearNothingPreserved flips the bits that say where what the
// stage was started with lies. Above scratch everything is preserved.
func TestFlippedPointersClearNothingPreserved(t *testing.T) {
	const seedAt = nodesAt + 0x100
	untouched := 0
	for name, at := range map[string]phys.Addr{
		"initrd": zeroPageAt + 0x218, "initrd size": zeroPageAt + 0x21c, "command line": zeroPageAt + 0x228, "seed length": seedAt + 12,
	} {
		for bit := range 32 {
			m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, "")
			m.both(payload.Manifest{OnError: payload.OnErrorRollback})
			m.seed(seedAt)
			h, err := kho.Open(m.Memory, m.payload(), nil)
			if err != nil {
				t.Fatal(err)
			}
			for a := scratch[0].End; a < scratch[2].Start; a += phys.PageSize {
				m.preserve(h.Map().Root(), a)
				m.edit(a, 1)[0] = 1
			}
			kept := m.kept()
			m.edit(at, 4)[bit/8] ^= 1 << (bit % 8)
			jump, err := Run(&m.Machine)
			if err != nil {
				continue
			}
			if crossingtest.Failed(m.log.String()) {
				untouched++
			}
			for _, r := range jump.Wipe {
				if hit, ok := kept.Overlaps(r); ok {
					t.Errorf("bit %d of %s: %v is cleared, in %v of the handover\n%s", bit, name, r, hit, m.log)
				}
			}
		}
	}
	if untouched == 0 {
		t.Error("no flip ended in the way out")
	}
}

// wary is a watch that remembers the kernel that it would start.
type wary struct {
	phys.Memory
	to       *Jump
	deadline time.Duration
	writes   []string     // of more than a mebibyte
	onStep   func(string) // nil: nothing
	failed   []*Failure
}

func (w *wary) Fallback(j *Jump) error {
	w.to = j
	return nil
}
func (w *wary) Failed(f *Failure)        { w.failed = append(w.failed, f) }
func (w *wary) Deadline(d time.Duration) { w.deadline = d }
func (w *wary) Step(name string) {
	if w.onStep != nil {
		w.onStep(name)
	}
}

func (w *wary) Edit(a phys.Addr, n uint64) ([]byte, error) {
	if n > 1<<20 {
		w.writes = append(w.writes, fmt.Sprintf("armed %v, deadline %v", w.to != nil, w.deadline.Round(time.Second)))
	}
	return w.Memory.Edit(a, n)
}

func TestWayOutStaysOpenUntilTheNextKernelIsWhole(t *testing.T) {
	for name, tt := range map[string]struct {
		initSize uint32 // of both kernels; the largest hole in scratch has 60 MiB
		second   string
	}{
		"room for both":    {8 << 20, "armed true, deadline 5m0s"},
		"no room for both": {40 << 20, "armed false, deadline 0s"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, "")
			a, b := kernelNamed("A"), kernelNamed("B")
			le.PutUint32(a[0x260:], tt.initSize)
			le.PutUint32(b[0x260:], tt.initSize)
			line := "rollback=1"
			m.setFiles(payload.Manifest{Rollback: &payload.Rollback{Cmdline: &line}}, pack.Files{Kernel: b, RollbackKernel: a})
			w := &wary{Memory: m.Memory}
			m.Memory, m.Watch = w, w
			jump, err := Run(&m.Machine)
			if err != nil {
				t.Fatalf("%v\n%s", err, m.log)
			}
			if want := []string{"armed false, deadline 10m0s", tt.second}; !slices.Equal(w.writes, want) {
				t.Errorf("while the kernels were written: %q, want %q\n%s", w.writes, want, m.log)
			}
			if w.to == nil || w.to.Entry != jump.Entry || m.started(*w.to) != "B" {
				t.Errorf("at the end the machine goes on at %+v, want %+v", w.to, jump)
			}
		})
	}
}

// TestNothingOfTheOtherKernelIsLeft: what was prepared for a failure holds the command
// line and the initrd of a kernel that never started.
func TestNothingOfTheOtherKernelIsLeft(t *testing.T) {
	for _, damage := range []bool{false, true} {
		m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, "secret=A")
		secrets := map[string]string{"A": "secret=B", "B": "secret=A"} // started: what must be gone
		a, b := "secret=A", "secret=B"
		m.setFiles(payload.Manifest{Cmdline: &b, Kernel: payload.KernelInfo{Generation: "B"}, Rollback: &payload.Rollback{Cmdline: &a}}, pack.Files{
			Kernel: kernelNamed("B"), Initrd: bytes.Repeat([]byte(b), 2000), RollbackKernel: kernelNamed("A"), RollbackInitrd: bytes.Repeat([]byte(a), 2000)})
		if !damage {
			m.archive = bytes.Replace(m.archive, []byte(`"generation": "B"`), []byte(`"generation": "F"`), 1)
		}
		archive := bytes.Clone(m.archive) // no initrd starts a page, so both are copied
		clear(m.edit(payloadAt, uint64(len(archive))))
		copy(m.edit(payloadAt+8, uint64(len(archive))), archive)
		le.PutUint32(m.edit(zeroPageAt+0x218, 4), uint32(payloadAt+8))
		jump, err := Run(&m.Machine)
		if err != nil {
			t.Fatalf("%v\n%s", err, m.log)
		}
		m.depart(jump)
		started := m.started(jump)
		if started != map[bool]string{true: "A", false: "B"}[damage] {
			t.Fatalf("kernel %s was started\n%s", started, m.log)
		}
		for at, page := range m.pages() {
			if !(phys.Block{Addr: at}).Range().Overlaps(stage) && bytes.Contains(page, []byte(secrets[started])) {
				t.Errorf("kernel %s was started: %q is left at %v", started, secrets[started], at)
			}
		}
	}
}

func TestPassingGoesBackWhereItCannotGoOn(t *testing.T) {
	m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, "ferry.mode=pass")
	large, line := kernelNamed("B"), "rollback=1"
	le.PutUint32(large[0x260:], 256<<20)
	m.setFiles(payload.Manifest{OnError: payload.OnErrorRollback, Rollback: &payload.Rollback{Cmdline: &line}},
		pack.Files{Kernel: large, RollbackKernel: kernelNamed("A")})
	raw := bytes.Clone(m.edit(nodesAt+16, kho.DataSize))
	jump, err := Run(&m.Machine)
	if err != nil {
		t.Fatalf("%v\n%s", err, m.log)
	}
	if a := m.arrive(jump); m.started(jump) != "A" || !bytes.Equal(a.kho, raw) {
		t.Errorf("kernel %s was started with %x, want A with %x\n%s", m.started(jump), a.kho, raw, m.log)
	}
}

func TestPassingUnreadIsNotForUnsignedWords(t *testing.T) {
	for name, tt := range map[string]struct {
		policy, to string
		signed     bool
		started    string
		say        string
	}{
		"signed, to halt":       {payload.OnErrorHalt, "F", true, "", "the signed manifest does not allow"},
		"signed, to go back":    {payload.OnErrorRollback, "F", true, "A", "the signed manifest does not allow"},
		"signed, by default":    {"", "F", true, "A", "the signed manifest does not allow"},
		"signed, to pass":       {payload.OnErrorPass, "F", true, "B", "ferry: PASSED ON to "},
		"unsigned":              {payload.OnErrorHalt, "F", false, "B", "ferry: PASSED ON to "},
		"to another generation": {payload.OnErrorHalt, "D", false, "B", "generation D does not read kho-v4"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, "ferry.mode=pass ferry.on-error=pass")
			m.both(payload.Manifest{OnError: tt.policy, From: "F", Kernel: payload.KernelInfo{Generation: tt.to}})
			if tt.signed {
				m.signed(newSigner())
			}
			jump, err := Run(&m.Machine)
			if (err == nil) != (tt.started != "") || err == nil && m.started(jump) != tt.started {
				t.Errorf("got %v, want kernel %q\n%s", err, tt.started, m.log)
			}
			if !strings.Contains(m.log.String(), tt.say) {
				t.Errorf("the report does not say %q:\n%s", tt.say, m.log)
			}
		})
	}
}

// TestADefaultLosesNothing: if nobody chose what follows a failure, a kernel that
// is known not to read the handover does not get it, whatever else is wrong.
func TestADefaultLosesNothing(t *testing.T) {
	twice := func(m *machine) { // two sessions of one name
		for at, page := range m.pages() {
			if i := bytes.Index(page, []byte("session-4\x00")); i >= 0 {
				m.edit(at+phys.Addr(i)+8, 1)[0] = '3'
			}
		}
	}
	noTree := func(m *machine) { // a sub-tree of a name that is none
		page := m.edit(m.fdt, phys.PageSize)
		page[bytes.Index(page, []byte("memblock"))] = '@'
	}
	for name, tt := range map[string]struct {
		from     *standin.Generation
		to       string
		words    string
		sessions int
		damage   func(*machine)
		started  bool
	}{
		"a word that nobody knows":                      {standin.F, "F", "ferry.unknown=1", 5, nil, true},
		"the same, for a kernel of another generation":  {standin.F, "E", "ferry.unknown=1", 5, nil, false},
		"the same, of the same KHO":                     {standin.C, "D", "ferry.unknown=1", 5, nil, false},
		"damaged sessions":                              {standin.F, "F", "", 5, twice, true},
		"the same, of another generation":               {standin.F, "E", "", 5, twice, false},
		"the same, of another generation, the same KHO": {standin.C, "D", "", 5, twice, false},
		"a damaged tree":                                {standin.F, "E", "", 5, noTree, false},
		"too much for it":                               {standin.F, "E", "", 820, nil, false},
		"too much for it, but somebody chose":           {standin.F, "E", "ferry.on-error=pass", 820, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachineOf(t, tt.from, standin.Shape{Sessions: tt.sessions, Files: 1, Plain: true, Regions: 1}, tt.words)
			if tt.damage != nil {
				tt.damage(m)
			}
			m.next(tt.to, "")
			w := &wary{Memory: m.Memory}
			m.Watch = w
			_, err := Run(&m.Machine)
			if !crossingtest.Failed(m.log.String()) {
				t.Fatalf("nothing is wrong:\n%s", m.log)
			}
			if (err == nil) != tt.started || tt.started && w.to == nil {
				t.Errorf("got %v, armed with %+v\n%s", err, w.to, m.log)
			}
			if err != nil && !strings.Contains(err.Error(), "generation "+tt.to+" does not read kho-") {
				t.Error(err)
			}
		})
	}
}

// TestNoFallbackLosesWhatItCannotRead: nor does the machine go on there by itself.
func TestNoFallbackLosesWhatItCannotRead(t *testing.T) {
	for to, want := range map[string]bool{"F": true, "E": false} {
		m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, "")
		m.next(to, "")
		w := &wary{Memory: m.Memory}
		m.Watch = w
		steps := 0
		w.onStep = func(name string) {
			if name == "luo" {
				steps++
				if (w.to != nil) != want {
					t.Errorf("to %s: armed with %+v before the state is read", to, w.to)
				}
			}
		}
		if _, err := Run(&m.Machine); err != nil || steps != 1 || w.to == nil {
			t.Errorf("to %s: %v, %d steps, armed with %+v\n%s", to, err, steps, w.to, m.log)
		}
	}
}

// TestWithoutHandover: nothing came in, from nobody or from a kernel that was to
// hand over.
func TestWithoutHandover(t *testing.T) {
	for name, tt := range map[string]struct {
		manifest payload.Manifest
		initSize uint32 // of the next kernel
		started  string
	}{
		"nobody was to hand over":          {payload.Manifest{OnError: payload.OnErrorHalt}, 8 << 20, "B"},
		"somebody was, and all is to halt": {payload.Manifest{OnError: payload.OnErrorHalt, From: "7.3.4"}, 8 << 20, ""},
		"somebody was":                     {payload.Manifest{From: "7.3.4"}, 8 << 20, "B"},
		"no room, to go back":              {payload.Manifest{}, 256 << 20, "A"},
		"no room, to halt":                 {payload.Manifest{OnError: payload.OnErrorHalt}, 256 << 20, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, standin.Shape{}, "")
			b, line := kernelNamed("B"), "rollback=1"
			le.PutUint32(b[0x260:], tt.initSize)
			tt.manifest.Rollback = &payload.Rollback{Cmdline: &line}
			m.setFiles(tt.manifest, pack.Files{Kernel: b, RollbackKernel: kernelNamed("A")})
			le.PutUint64(m.edit(zeroPageAt+0x250, 8), 0)
			jump, err := Run(&m.Machine)
			if (err == nil) != (tt.started != "") || err == nil && m.started(jump) != tt.started {
				t.Fatalf("got %v, want kernel %q\n%s", err, tt.started, m.log)
			}
			if err == nil && m.arrive(jump).kho != nil {
				t.Error("it was given a handover")
			}
		})
	}
}

func TestLongReleasesFitTheReport(t *testing.T) {
	m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, "")
	m.setManifest(payload.Manifest{Kernel: payload.KernelInfo{Release: strings.Repeat("7.3 ", 900), Generation: "F"}}, nextKernel(), nil)
	if _, err := Run(&m.Machine); err != nil || crossingtest.Failed(m.log.String()) {
		t.Errorf("%v\n%.500s", err, m.log)
	}
}
