package luo

import (
	"errors"
	"strings"
	"testing"

	"ferry/kho"
	"ferry/phys"
	"ferry/phys/phystest"
)

func TestLimitsAreNamedBeforeAnythingIsWritten(t *testing.T) {
	flb := func(name string, data uint64) *State {
		st := state(t, 0, 1)
		if err := st.AddFLB(name, data, 1); err != nil {
			t.Fatal(err)
		}
		return st
	}
	const hint = "(ferry.beyond-limits=1 writes them all the same: the readers of those kernels take them)"
	for _, tt := range []struct {
		name   string
		st     *State
		f      *Format
		beyond bool
		want   error
		text   []string
	}{
		{"819 sessions", sessions(t, 819, 0, true), V1, false, nil, nil},
		{"820 sessions", sessions(t, 820, 0, true), V1, false, ErrLimit,
			[]string{`luo: session 819 "session-819" `, "1 of 820 sessions, want at most 819 in luo-v1 (Linux 6.19)", hint}},
		{"820 sessions with FLBs", sessions(t, 820, 0, true), V1FLB, false, ErrLimit, []string{"at most 819 in luo-v1 with FLBs (Linux 7.0, 7.1)", hint}},
		{"820 sessions beyond limits", sessions(t, 820, 0, true), V1FLB, true, nil, nil},
		{"820 sessions in blocks", sessions(t, 820, 0, true), V5, false, nil, nil},
		{"52,428 sessions beyond limits", sessions(t, 52428, 0, true), V1, true, nil, nil},
		{"52,429 sessions beyond limits", sessions(t, 52429, 0, true), V1, true, ErrLimit, []string{"at most 52428"}},
		{"52,429 sessions", sessions(t, 52429, 0, true), V1, false, ErrLimit, []string{"at most 819"}},
		{"128 files", state(t, 0, 0, 128), V1FLB, false, nil, nil},
		{"129 files", state(t, 0, 0, 129), V1FLB, false, ErrLimit,
			[]string{`luo: session 1 "vm-1": file 128 token 0x380 `, "1 of 129 files, want at most 128 in a session of luo-v1 with FLBs (Linux 7.0, 7.1)", hint}},
		{"129 files beyond limits", state(t, 0, 0, 129), V1FLB, true, nil, nil},
		{"65,536 files beyond limits", sessions(t, 1, 65536, true), V1, true, nil, nil},
		{"65,537 files beyond limits", sessions(t, 1, 65537, true), V1, true, ErrLimit, []string{"file 65536 token 0x10000", "at most 65536"}},
		{"65,537 files in blocks", sessions(t, 1, 65537, true), V5, false, nil, nil},
		{"an FLB", flb("pci-v2", 1), V1FLB, false, nil, nil},
		{"an FLB where there are none", flb("pci-v2", 1), V1, true, ErrFLB,
			[]string{`luo: FLB 0 "pci-v2"`, "data 0x1, used by 1 files, want none in luo-v1 (Linux 6.19)"}},
		{"an FLB with the data of the test", flb("pci-v2", 0xfeedf00dcafebee2), V1, false, ErrFLB, []string{`"pci-v2"`}},
		{"an FLB of the test where there are none", flb("liveupdate-test-flb-v2", 0xfeedf00dcafebee2), V1, false, nil, nil},
		{"an FLB of the test with an address", flb("liveupdate-test-flb-v2", 0x105000), V1, false, ErrFLB,
			[]string{`luo: FLB 0 "liveupdate-test-flb-v2"`, "data 0x105000, used by 1 files, want none in luo-v1 (Linux 6.19)"}},
		{"an FLB of the test with the data of another", flb("liveupdate-test-flb-v2", 0xfeedf00dcafebee1), V1, false, ErrFLB, []string{"flb-v2"}},
		{"an FLB with the name of the test and more", flb("liveupdate-test-flb-v2x", 0xfeedf00dcafebee2), V1, false, ErrFLB, []string{"flb-v2x"}},
		{"an FLB of the test without a number", flb("liveupdate-test-flb-v", 0xfeedf00dcafebee0), V1, false, ErrFLB, []string{"flb-v"}},
	} {
		err := Fits(tt.st, tt.f, tt.beyond)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		var e *phys.Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("%s: %v is no *phys.Error", tt.name, err)
		}
		for _, s := range tt.text {
			if err == nil || !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v, want %q in it", tt.name, err, s)
			}
		}
		if tt.want == nil {
			continue
		}
		if strings.Contains(err.Error(), hint) != (Fits(tt.st, tt.f, true) == nil) {
			t.Errorf("%s: %v advises what does not help, or not what does", tt.name, err)
		}
		d := &draft{} // without pages
		if err := serializeTo(tt.st, d, Options{Format: tt.f, BeyondLimits: tt.beyond}); !errors.Is(err, tt.want) || d.name != "" {
			t.Errorf("%s: serializing: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestTheLargestArraysCross takes what lies in one block, and in many runs, across
// a real draft and back.
func TestTheLargestArraysCross(t *testing.T) {
	for _, tt := range []struct {
		name            string
		sessions, files int
		orders          [2]phys.Order
	}{
		{"900 sessions", 900, 1, [2]phys.Order{5, 1}},
		{"200 files", 1, 200, [2]phys.Order{4, 2}},
		{"52,428 sessions", 52428, 0, [2]phys.Order{10, 0}},
		{"65,536 files", 1, 65536, [2]phys.Order{4, 10}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if phystest.OnMetal && tt.sessions > 1000 {
				t.Skip("the heap there is small")
			}
			st := sessions(t, tt.sessions, tt.files, true)
			d := handoverMachine(t, 128<<20)
			h := commitAs(t, st, d, Options{Format: V1FLB, BeyondLimits: true})
			first := h.Map().Count()
			for _, f := range append(Formats(), V1FLB) {
				in := restored(t, h)
				if !isChain(in.format) {
					if got := in.arrays.at(0).Order; got != tt.orders[0] {
						t.Errorf("%v: sessions in a block of order %d, want %d", in.format, got, tt.orders[0])
					}
					if tt.files > 0 && in.arrays.at(1).Order != tt.orders[1] {
						t.Errorf("%v: files in a block of order %d, want %d", in.format, in.arrays.at(1).Order, tt.orders[1])
					}
				}
				d, err := h.Draft(kho.V4, nil)
				if err != nil {
					t.Fatal(err)
				}
				h = commitAs(t, in, d, Options{Format: f, BeyondLimits: true})
				if err := restored(t, h).Diff(st, nil); err != nil {
					t.Fatalf("in %v: %v", f, err)
				}
			}
			if n := h.Map().Count(); n != first {
				t.Errorf("%d blocks preserved, %d at first: something was not retired", n, first)
			}
		})
	}
}

func TestFormatsSayWhatTheyAre(t *testing.T) {
	names := make(map[string]bool)
	for _, f := range Formats() {
		if names[f.String()] || f.Releases() == "" || f.Compatible() == "" || f.MaxSessions() < 819 || f.MaxFiles() < 128 {
			t.Errorf("%v, %q of Linux %s: %d sessions, %d files", f, f.Compatible(), f.Releases(), f.MaxSessions(), f.MaxFiles())
		}
		names[f.String()] = true
	}
	if len(names) != len(Formats()) || V1.Compatible() != V1FLB.Compatible() {
		t.Errorf("formats %v", names)
	}
}

func TestOnlyAStateWithoutSessionsFitsNoFormat(t *testing.T) {
	each(t, func(t *testing.T, f *Format) {
		mem, d := machine(t)
		serializeAs(t, f, New(3), d)
		if err := FitsNone(restore(t, mem, d), "generation B"); err != nil {
			t.Errorf("a state without sessions: %v", err)
		}
		serializeAs(t, f, state(t, 0, 0, 2), d)
		in := restore(t, mem, d)
		err := FitsNone(in, "generation B (6.18)")
		var e *phys.Error
		if !errors.Is(err, ErrLimit) || !errors.As(err, &e) || e.Addr != in.sessionAddr(0) || e.Object != `luo: session 0 "vm-0"` {
			t.Fatalf("%v, want one of the record of session 0 at %v", err, in.sessionAddr(0))
		}
		if s := err.Error(); !strings.Contains(s, "1 of 2 sessions, 2 files") || !strings.Contains(s, "generation B (6.18)") || e.Hint == "" {
			t.Errorf("%v does not say what is where it cannot go, or what to do", err)
		}
	})
}

func TestDropTakesAnEmptyStateOut(t *testing.T) {
	each(t, func(t *testing.T, f *Format) {
		mem, d := machine(t)
		serializeAs(t, f, New(3), d)
		if err := drop(restore(t, mem, d), d); err != nil {
			t.Fatal(err)
		}
		if d.Len() != 0 || d.name != "" {
			t.Errorf("%d blocks of sub-tree %q are left", d.Len(), d.name)
		}
		serializeAs(t, f, state(t, 0, 0, 2), d)
		blocks := d.Len()
		err := drop(restore(t, mem, d), d)
		var e *phys.Error
		if !errors.Is(err, ErrLimit) || !errors.As(err, &e) || !strings.HasPrefix(err.Error(), `luo: session 0 "vm-0" `) || d.Len() != blocks {
			t.Errorf("a state with sessions: %v, %d blocks of %d left", err, d.Len(), blocks)
		}
	})
	d := handoverMachine(t, 16<<20)
	h := commitAs(t, New(1), d, Options{Format: V1FLB})
	d, err := h.Draft(nil, nil)
	if err == nil {
		err = Drop(restored(t, h), d)
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err := d.Commit()
	if err != nil {
		t.Fatal(err)
	}
	h, st := open(t, h.Memory(), data)
	if n := h.Map().Count(); n != 1 || !st.Absent() {
		t.Errorf("%d blocks are left, want the device tree alone; absent %v", n, st.Absent())
	}
}
