package record_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"unsafe"

	"ferry/board/record"
	"ferry/phys"
	"ferry/phys/phystest"
)

// TestLayoutIsAsDocumented holds the places that the package comment names.
func TestLayoutIsAsDocumented(t *testing.T) {
	var l record.Layout
	for _, f := range []struct {
		name      string
		got, want uintptr
	}{
		{"magic", unsafe.Offsetof(l.Magic), 0},
		{"version", unsafe.Offsetof(l.Version), 8},
		{"size", unsafe.Offsetof(l.Size), 0xc},
		{"cause", unsafe.Offsetof(l.Cause), 0x10},
		{"failures", unsafe.Offsetof(l.Failures), 0x14},
		{"outcome", unsafe.Offsetof(l.Outcome), 0x18},
		{"exit code", unsafe.Offsetof(l.ExitCode), 0x1c},
		{"stage start", unsafe.Offsetof(l.StageStart), 0x20},
		{"stage size", unsafe.Offsetof(l.StageSize), 0x28},
		{"entry time", unsafe.Offsetof(l.EntryTSC), 0x30},
		{"step time", unsafe.Offsetof(l.StepTSC), 0x38},
		{"failure time", unsafe.Offsetof(l.FailTSC), 0x40},
		{"frequency", unsafe.Offsetof(l.Hz), 0x48},
		{"fallback entry", unsafe.Offsetof(l.FallbackEntry), 0x50},
		{"fallback zero page", unsafe.Offsetof(l.FallbackZeroPage), 0x58},
		{"step", unsafe.Offsetof(l.Step), 0x60},
		{"text", unsafe.Offsetof(l.Text), 0x80},
		{"general registers", unsafe.Offsetof(l.General), 0x100},
		{"rip", unsafe.Offsetof(l.RIP), 0x180},
		{"rflags", unsafe.Offsetof(l.RFLAGS), 0x188},
		{"cr2", unsafe.Offsetof(l.CR2), 0x190},
		{"fs base", unsafe.Offsetof(l.FSBase), 0x198},
		{"vector", unsafe.Offsetof(l.Vector), 0x1a0},
		{"error code", unsafe.Offsetof(l.Error), 0x1a8},
		{"second failure", unsafe.Offsetof(l.Second), 0x1b0},
		{"stack", unsafe.Offsetof(l.Stack), 0x1e0},
		{"address of the failure", unsafe.Offsetof(l.FailureAddr), 0x260},
		{"failure", unsafe.Offsetof(l.Failure), 0x268},
		{"console bytes", unsafe.Offsetof(l.ConsoleBytes), 0x3f8},
		{"console", unsafe.Offsetof(l.Console), 0x400},
		{"all", unsafe.Sizeof(l), record.Size},
		{"all as a reader takes it", uintptr(binary.Size(l)), record.Size},
	} {
		if f.got != f.want {
			t.Errorf("%s is at %#x, want %#x", f.name, f.got, f.want)
		}
	}
	if s := string(binary.LittleEndian.AppendUint64(nil, record.Magic)); s != "FERRYREC" {
		t.Errorf("the magic number reads %q", s)
	}
}

const (
	start = 0x1000_0000
	size  = 0x400_0000
	at    = start + size - record.Size
)

// page returns a record as the board writes it.
func page(change func(l *record.Layout)) []byte {
	l := record.Layout{Magic: record.Magic, Version: record.Version, Size: record.Size, StageStart: start, StageSize: size, EntryTSC: 1000, StepTSC: 3000, FailTSC: 5000, Hz: 1e6}
	if change != nil {
		change(&l)
	}
	b, err := binary.Append(nil, binary.LittleEndian, &l)
	if err != nil {
		panic(err)
	}
	return b
}

func TestDecodeRefusesWhatIsNoRecord(t *testing.T) {
	for _, c := range []struct {
		name string
		page []byte
		at   phys.Addr
	}{
		{"an empty page", make([]byte, record.Size), at},
		{"half a page", page(nil)[:record.Size/2], at},
		{"nothing", nil, at},
		{"another magic number", page(func(l *record.Layout) { l.Magic++ }), at},
		{"another version", page(func(l *record.Layout) { l.Version++ }), at},
		{"another size", page(func(l *record.Layout) { l.Size-- }), at},
		{"a copy elsewhere", page(nil), at + record.Size},
		{"a stage of no size", page(func(l *record.Layout) { l.StageSize = 0; l.StageStart = at + record.Size }), at},
		{"a stage that wraps", page(func(l *record.Layout) { l.StageStart = 1<<64 - 1 }), at},
	} {
		if r, err := record.Decode(c.at, c.page); !errors.Is(err, record.ErrNone) || r != nil {
			t.Errorf("%s: %v, %v, want %v", c.name, r, err, record.ErrNone)
		}
	}
	if _, err := record.Decode(at, page(nil)); err != nil {
		t.Error(err)
	}
}

func TestFindSeesRecordsAmongOtherMemory(t *testing.T) {
	mem := phystest.New(t, phys.Range{Start: 0x1000, End: 0x9fc00}, phys.Range{Start: 0x100000, End: 0x2000_0000})
	put := func(a phys.Addr, b []byte) {
		to, err := mem.Edit(a, uint64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		copy(to, b)
	}
	put(at, page(nil))
	put(0x1900_0000, page(nil))                                                                            // a copy
	put(0x1100_0800, page(nil))                                                                            // not on a page
	put(0x1f00_0000, page(func(l *record.Layout) { l.StageStart, l.StageSize = 0x1e00_0000, 0x100_1000 })) // another stage
	found := record.Find(mem)
	if len(found) != 2 || found[0].At != at || found[1].At != 0x1f00_0000 {
		t.Errorf("found %v", found)
	}
}

func TestConsoleIsToldInOrder(t *testing.T) {
	var all bytes.Buffer
	for i := range 2 * record.ConsoleSize {
		all.WriteByte(byte('a' + i%26))
	}
	for _, n := range []int{0, 1, record.ConsoleSize - 1, record.ConsoleSize, record.ConsoleSize + 1, 2*record.ConsoleSize - 5} {
		r, err := record.Decode(at, page(func(l *record.Layout) {
			l.ConsoleBytes = uint64(n)
			for i, c := range all.Bytes()[:n] {
				l.Console[i%record.ConsoleSize] = c
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		if want := all.Bytes()[max(0, n-record.ConsoleSize):n]; !bytes.Equal(r.LastWords(), want) {
			t.Errorf("%d bytes written: %d kept, or in another order", n, len(r.LastWords()))
		}
	}
}

func TestRecordTellsWhatHappened(t *testing.T) {
	r, err := record.Decode(at, page(func(l *record.Layout) {
		copy(l.Step[:], "serialize")
		copy(l.Text[:], "fault in the kernel")
		l.Cause, l.Failures, l.Outcome = uint32(record.CauseException), 2, uint32(record.OutcomeHalted)
		l.Vector, l.CR2, l.RIP, l.General[7] = 14, 0x1234, 0x400000001000, 0xcafe
		l.Stack[0] = 0x4000deadbeef
		l.Second = [6]uint64{13, 0, 0x77, 0x88, 0x99, 9000}
		l.FallbackEntry = 0x2000_0200
	}))
	if err != nil {
		t.Fatal(err)
	}
	s := r.String()
	for _, want := range []string{"[0x10000000-0x13ffffff]", "halted", `"serialize", begun 2ms after entry`, "exception, 4ms after entry", `"fault in the kernel"`,
		"vector 14", "cr2 0x1234", "rip 0x400000001000", "rsp 0xcafe", "0x4000deadbeef", "second     vector 13", "rip 0x77", "8ms after entry", "0x20000200"} {
		if !strings.Contains(s, want) {
			t.Errorf("lacks %q:\n%s", want, s)
		}
	}
	r, err = record.Decode(at, page(nil))
	if err != nil {
		t.Fatal(err)
	}
	if s := r.String(); !strings.Contains(s, "running") || strings.Contains(s, "cause") {
		t.Errorf("a stage that runs:\n%s", s)
	}
}

// TestFailureIsKept stores failures of every length: what does not fit is cut, and no
// text runs into another.
func TestFailureIsKept(t *testing.T) {
	whole := record.Failure{Step: "luo", Object: `luo: session 1 "vm"`, Addr: 0x12345000, Found: "count 71", Want: "1..63", Hint: "memory is damaged"}
	for _, found := range []int{1, 8, 100, 300, 372, 373, 400, 5000} {
		f := whole
		f.Found = strings.Repeat("x", found)
		r, err := record.Decode(at, page(func(l *record.Layout) {
			(record.Failure{Found: strings.Repeat("y", 1000)}).Store(l) // is gone
			f.Store(l)
		}))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := r.CrossingFailure()
		if !ok || got.Step != f.Step || got.Object != f.Object || got.Addr != f.Addr ||
			!strings.HasPrefix(f.Found, got.Found) || !strings.HasPrefix(f.Want, got.Want) || !strings.HasPrefix(f.Hint, got.Hint) || len(got.Found) < min(found, 370) {
			t.Errorf("%d bytes: got %+v", found, got)
		}
		if found == 8 && (got != f || !strings.Contains(r.String(), `failed     "luo: session 1 \"vm\" 0x12345000: xxxxxxxx, want 1..63 (memory is damaged)" in step "luo"`)) {
			t.Errorf("got %+v:\n%s", got, r)
		}
	}
	r, err := record.Decode(at, page(nil))
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := r.CrossingFailure(); ok || strings.Contains(r.String(), "failed") {
		t.Errorf("nothing failed, got %+v", f)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(uint64(at), page(nil))
	f.Add(uint64(at), page(func(l *record.Layout) {
		l.Failures = 3
		l.Cause = 77
		l.Hz = 1
		l.FailTSC = 1<<64 - 1
		l.ConsoleBytes = 1<<64 - 1
	}))
	f.Fuzz(func(t *testing.T, a uint64, b []byte) {
		phystest.Bounded(t, 64<<10, func() {
			if r, err := record.Decode(phys.Addr(a), b); err == nil {
				_ = r.String()
				r.LastWords()
			}
		})
		r, err := record.Decode(phys.Addr(a), b)
		if (r == nil) != (err != nil) {
			t.Fatalf("%v, %v", r, err)
		}
		if r != nil && (len(r.String()) > 1<<14 || len(r.LastWords()) > record.ConsoleSize) {
			t.Error("a page tells more than it holds")
		}
	})
}
