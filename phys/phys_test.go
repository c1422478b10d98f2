package phys_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"ferry/phys"
	"ferry/phys/phystest"
)

func TestAddressArithmetic(t *testing.T) {
	a := phys.Addr(0x12_3456_7abc)
	if a.PFN() != 0x1234567 || a.Page() != 0x12_3456_7000 || a.PFN().Addr() != a.Page() || a.String() != "0x1234567abc" {
		t.Errorf("%v: frame %#x, page %v", a, uint64(a.PFN()), a.Page())
	}
	for _, c := range []struct {
		a        phys.Addr
		n        uint64
		down, up phys.Addr
		ok       bool
	}{
		{0, 4096, 0, 0, true}, {1, 4096, 0, 4096, true}, {4096, 4096, 4096, 4096, true},
		{0x1f_ffff, 1 << 21, 0, 1 << 21, true}, {^phys.Addr(0), 4096, ^phys.Addr(4095), 0, false},
	} {
		up, ok := phys.AlignUp(c.a, c.n)
		if down := phys.AlignDown(c.a, c.n); down != c.down || ok != c.ok || ok && up != c.up || c.a.Aligned(c.n) != (down == c.a) {
			t.Errorf("%v by %#x: down %v, up %v %v", c.a, c.n, down, up, ok)
		}
	}
}

func TestBlocksHaveTheSizeOfTheirOrder(t *testing.T) {
	for o, want := range map[phys.Order]uint64{0: 4096, 1: 8192, 9: 2 << 20, 18: 1 << 30, phys.MaxOrder: 1 << 63} {
		b := phys.Block{Order: o}
		if o.Bytes() != want || o.Pages() != want/4096 || b.Range().Size() != want {
			t.Errorf("order %d: %#x bytes, %#x pages, range %v", o, o.Bytes(), o.Pages(), b.Range())
		}
	}
	if s := (phys.Block{Addr: 0x20_0000, Order: 9}).String(); s != "0x200000 order 9" {
		t.Error(s)
	}
}

func TestErrorsAreOneLineOfData(t *testing.T) {
	e := &phys.Error{Object: "file block", Addr: 0x1042f3000, Found: "count 71", Want: "1..63", Hint: "boot cold", Err: io.ErrUnexpectedEOF}
	if got, want := e.Error(), "file block 0x1042f3000: count 71, want 1..63 (boot cold)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := (&phys.Error{Object: "map", Addr: 16, Found: "nothing"}).Error(), "map 0x10: nothing"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !errors.Is(e, io.ErrUnexpectedEOF) {
		t.Error("the broken rule is lost")
	}
}

func TestInNamesTheSurroundingObjectAndKeepsTheRest(t *testing.T) {
	inner := &phys.Error{Object: "file block", Addr: 0x3000, Found: "count 71", Err: io.EOF}
	err := phys.In("luo", 1, phys.In(`session 3 "vm-7"`, 2, inner))
	if got, want := err.Error(), `luo: session 3 "vm-7": file block 0x3000: count 71`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if inner.Object != "file block" {
		t.Errorf("the inner error was changed: %v", inner)
	}
	if !errors.Is(err, io.EOF) {
		t.Error("the broken rule is lost")
	}
	plain := phys.In("scratch", 0x5000, io.ErrShortBuffer)
	if got, want := plain.Error(), "scratch 0x5000: short buffer"; got != want || !errors.Is(plain, io.ErrShortBuffer) {
		t.Errorf("%q, want %q", got, want)
	}
	if err := phys.In("scratch", 0, nil); err != nil {
		t.Errorf("no error became %v", err)
	}
}

func TestInKeepsWhatOtherLayersSay(t *testing.T) {
	one := &phys.Error{Object: "file block", Addr: 0x3000, Found: "count 71", Want: "1..63", Hint: "boot cold", Err: io.EOF}
	two := &phys.Error{Object: "session 2", Addr: 0x4000, Found: "no name", Err: io.ErrShortBuffer}
	for _, c := range []struct {
		err   error
		want  string
		rules []error
	}{
		{fmt.Errorf("while reading: %w", one), "luo 0x2000: while reading: file block 0x3000: count 71, want 1..63 (boot cold)", []error{io.EOF}},
		{fmt.Errorf("%w (and undoing it: %w)", one, two), "luo 0x2000: file block 0x3000: count 71, want 1..63 (boot cold) (and undoing it: session 2 0x4000: no name)",
			[]error{io.EOF, io.ErrShortBuffer}},
		{fmt.Errorf("all: %w", errorsOf(two, one)), "luo 0x2000: all: session 2 0x4000: no name; file block 0x3000: count 71, want 1..63 (boot cold)",
			[]error{io.EOF, io.ErrShortBuffer}},
		{phys.In("sessions", 5, fmt.Errorf("while reading: %w", two)), "luo: sessions 0x5: while reading: session 2 0x4000: no name", []error{io.ErrShortBuffer}},
	} {
		err := phys.In("luo", 0x2000, c.err)
		if err.Error() != c.want {
			t.Errorf("%q, want %q", err, c.want)
		}
		for _, rule := range c.rules {
			if !errors.Is(err, rule) {
				t.Errorf("%q: %v is lost", err, rule)
			}
		}
	}
}

func errorsOf(all ...error) *phys.Errors {
	var e phys.Errors
	for _, err := range all {
		e.Add(err)
	}
	return &e
}

// TestErrorsAreCapped: there is one limit, and what is beyond it is counted, through
// names and other errors.
func TestErrorsAreCapped(t *testing.T) {
	var few, many phys.Errors
	few.Add(nil)
	for i := range 100 {
		if i < 13 {
			few.Add(io.EOF)
		}
		if many.Full() != (i >= phys.MaxErrors-2) {
			t.Fatalf("full %v after %d", many.Full(), i)
		}
		many.Add(&phys.Error{Object: "thing", Addr: phys.Addr(i), Found: "broken"})
	}
	few.Add(phys.In("all", 1, many.Err()))
	all := few.All()
	if len(all) != phys.MaxErrors || few.More() != 100-(phys.MaxErrors-13) || all[13].Error() != "all: thing 0x0: broken" || all[15].Error() != "all: thing 0x2: broken" {
		t.Errorf("%d errors and %d more, of 113: %v", len(all), few.More(), &few)
	}
	if lines := few.Lines(); len(lines) != phys.MaxErrors+1 || lines[16] != "97 more findings" || !strings.HasSuffix(few.Error(), "; 97 more findings") {
		t.Errorf("%d lines: %q", len(lines), lines)
	}
	if !errors.Is(few.Err(), io.EOF) {
		t.Error("a rule is lost")
	}
}

func TestSeveralErrorsAreNamedEach(t *testing.T) {
	one, two := &phys.Error{Object: "a", Addr: 1, Found: "x", Err: io.EOF}, &phys.Error{Object: "b", Addr: 2, Found: "y", Err: io.ErrShortBuffer}
	err := phys.In("luo", 3, errorsOf(one, two).Err())
	if got, want := err.Error(), "luo: a 0x1: x; luo: b 0x2: y"; got != want || !errors.Is(err, io.EOF) || !errors.Is(err, io.ErrShortBuffer) {
		t.Errorf("%q, want %q with both rules", got, want)
	}
	if err := errorsOf().Err(); err != nil {
		t.Errorf("no errors became %v", err)
	}
	if err := errorsOf(one).Err(); err != error(one) {
		t.Errorf("one error became %v", err)
	}
}

// TestMemoryHandsOutRAMAlone runs over each implementation that there is here.
func TestMemoryHandsOutRAMAlone(t *testing.T) {
	low := phys.Range{Start: 0x1000_0000, End: 0x1000_4000}
	high := phys.Range{Start: 0x1000_8000, End: 0x1001_0000}
	for name, mem := range map[string]phys.Memory{
		"New":    phystest.New(t, low, high),
		"Sparse": phystest.NewSparse(t, low, high),
	} {
		for _, c := range []struct {
			a  phys.Addr
			n  uint64
			ok bool
		}{
			{0x1000_0000, 0x4000, true}, {0x1000_3fff, 1, true}, {0x1000_8000, 0x8000, true}, {0x1000_0000, 0, true},
			{0x1000_3fff, 2, false}, {0x1000_4000, 1, false}, {0x1000_4000, 0, false}, {0x0fff_ffff, 2, false},
			{0x1000_0000, 0x1_0000, false}, {0x1000_8000, ^uint64(0), false}, {0, 1, false}, {^phys.Addr(0), 1, false}, {^phys.Addr(0), 0, false},
		} {
			for window, get := range map[string]func(phys.Addr, uint64) ([]byte, error){"View": mem.View, "Edit": mem.Edit} {
				b, err := get(c.a, c.n)
				if (err == nil) != c.ok || c.ok && uint64(len(b)) != c.n || cap(b) != len(b) {
					t.Errorf("%s: %s(%v, %#x): %d bytes of capacity %d, %v", name, window, c.a, c.n, len(b), cap(b), err)
				}
				var e *phys.Error
				if !c.ok && (!errors.Is(err, phys.ErrNotRAM) || !errors.As(err, &e) || e.Addr != c.a) {
					t.Errorf("%s: %s(%v, %#x): %v, want %v", name, window, c.a, c.n, err, phys.ErrNotRAM)
				}
			}
		}
		edit, err := mem.Edit(0x1000_8ff8, 16)
		if err != nil {
			t.Fatal(err)
		}
		copy(edit, "over a page's end")
		if view, err := mem.View(0x1000_8ff8, 16); err != nil || string(view) != "over a page's en" {
			t.Errorf("%s: what was written reads %q, %v", name, view, err)
		}
		if view, err := mem.View(0x1000_0000, 0x4000); err != nil || string(view) != string(make([]byte, 0x4000)) {
			t.Errorf("%s: memory is not zero at first", name)
		}
	}
}
