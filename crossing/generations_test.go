package crossing

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"ferry/fdt"
	"ferry/internal/oracle/standin"
	"ferry/kho"
	"ferry/phys"
)

// TestEveryGenerationCrossesToEveryOther leads the state of each stand-in to each
// other one, which consumes it with code of its own, and looks at every page that
// came in.
func TestEveryGenerationCrossesToEveryOther(t *testing.T) {
	shape := standin.Shape{Sessions: 5, Files: 9, Regions: 2, RegionOrder: 3, Tests: 3}
	for _, from := range standin.Generations {
		for _, to := range standin.Generations {
			t.Run(from.Name+" to "+to.Name, func(t *testing.T) {
				shape := standin.Carried(from, to, shape)
				m := newMachineOf(t, from, shape, "")
				m.next(to.Name, from.Name)
				before := m.pages()
				jump, err := Run(&m.Machine)
				if err != nil || m.log.Len() == 0 || strings.Contains(m.log.String(), "error") {
					t.Fatalf("%v\n%s", err, m.log)
				}
				if strings.Contains(m.log.String(), "belong to nothing") {
					t.Errorf("an owner was not found:\n%s", m.log)
				}
				got, left, err := m.arrive(jump).receiveAs(to, m.Memory)
				if err != nil {
					t.Fatalf("the next kernel: %v\n%s", err, m.log)
				}
				if got.Sessions != left.Sessions || got.Files != left.Files || got.Sum != left.Sum || got.Pages != left.Pages || got.Regions != left.Regions {
					t.Errorf("arrived %+v, left %+v", got, left)
				}
				m.unchanged(before)
			})
		}
	}
}

func TestWhatTheNextKernelCannotHoldIsRefusedByName(t *testing.T) {
	for name, tt := range map[string]struct {
		from, to *standin.Generation
		shape    standin.Shape
		words    string
		want     []string
	}{
		"sessions for 6.18":         {standin.F, standin.B, standin.Shape{Sessions: 2, Files: 2}, "", []string{`session 0 "session-0"`, "6.18"}},
		"seals for 7.0":             {standin.F, standin.D, standin.Shape{Sessions: 1, Files: 3}, "", []string{`session 0 "session-0"`, "seals 0xf"}},
		"too many sessions for 7.1": {standin.F, standin.E, standin.Shape{Sessions: 900}, "", []string{`session 819 "session-819"`, "819", "ferry.beyond-limits=1"}},
		"too many files for 6.19":   {standin.F, standin.C, standin.Shape{Sessions: 1, Files: 200, Plain: true}, "", []string{`session 0 "session-0"`, "128", "ferry.beyond-limits=1"}},
		"a raw sub-tree for 7.0":    {standin.F, standin.D, standin.Shape{Odd: standin.Raw}, "", []string{`"raw"`}},
		"a generation from nowhere": {standin.F, &standin.Generation{Name: "Z"}, standin.Shape{}, "", []string{`"Z"`}},
		"a word that nobody knows":  {standin.F, standin.F, standin.Shape{}, "ferry.beyond-limit=1", []string{"ferry.beyond-limit=1"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachineOf(t, tt.from, tt.shape, tt.words+" ferry.on-error=pass")
			m.next(tt.to.Name, "")
			raw := bytes.Clone(m.edit(nodesAt+16, 32))
			before := m.pages()
			jump, err := Run(&m.Machine)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if !strings.Contains(m.log.String(), want) {
					t.Errorf("the report does not name %s:\n%s", want, m.log)
				}
			}
			if a := m.arrive(jump); !bytes.Equal(a.kho, raw) {
				t.Errorf("payload %x, want the untouched %x", a.kho, raw)
			}
			m.unchanged(before)
		})
	}
}

func TestBeyondLimitsCrossesWhatReadersTake(t *testing.T) {
	shape := standin.Shape{Sessions: 900, Files: 1, Plain: true}
	m := newMachineOf(t, standin.F, shape, "ferry.beyond-limits=1")
	m.next("E", "")
	jump, err := Run(&m.Machine)
	if err != nil {
		t.Fatal(err)
	}
	got, left, err := m.arrive(jump).receiveAs(standin.E, m.Memory)
	if err != nil || got.Sessions != left.Sessions || got.Sum != left.Sum {
		t.Errorf("arrived %+v, left %+v: %v\n%s", got, left, err, m.log)
	}
}

// TestOldRecordsAreRepaired lets Linux 6.19.8 leave folios without their flags:
// what was never written arrives as zeros, all else as it is.
func TestOldRecordsAreRepaired(t *testing.T) {
	for _, to := range []*standin.Generation{standin.C, standin.D, standin.F} {
		m := newMachineOf(t, standin.C, standin.Shape{Sessions: 2, Files: 5, Plain: true, Odd: standin.Unset}, "")
		m.next(to.Name, "")
		before := m.pages()
		jump, err := Run(&m.Machine)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(m.log.String(), "repaired: ") {
			t.Errorf("to %s: the report tells of no repair:\n%s", to.Name, m.log)
		}
		if got, left, err := m.arrive(jump).receiveAs(to, m.Memory); err != nil || got.Files != left.Files {
			t.Errorf("to %s: arrived %+v, left %+v: %v", to.Name, got, left, err)
		}
		m.unchanged(before)
	}
}

// TestWhatNobodyOwnsIsReported preserves a page that nothing refers to: it crosses,
// and the report names it.
func TestWhatNobodyOwnsIsReported(t *testing.T) {
	m := newMachine(t, standin.Shape{Sessions: 1, Files: 1}, "")
	stray := phys.Addr(0x3f00000)
	root := le.Uint64(m.edit(m.fdt+phys.Addr(bytes.Index(m.edit(m.fdt, phys.PageSize), []byte("kho-v4")))+20, 8))
	m.preserve(phys.Addr(root), stray)
	jump, err := Run(&m.Machine)
	if err != nil {
		t.Fatal(err)
	}
	if want := "1 preserved blocks, 1 pages, belong to nothing"; !strings.Contains(m.log.String(), want) || !strings.Contains(m.log.String(), stray.String()) {
		t.Errorf("the report does not say %q with %v:\n%s", want, stray, m.log)
	}
	d, err := kho.ParseData(0, m.arrive(jump).kho)
	if err != nil {
		t.Fatal(err)
	}
	h, err := kho.Open(m.Memory, d, nil)
	if err != nil || !h.Map().Preserved(phys.Block{Addr: stray}) {
		t.Errorf("the page is not preserved any more: %v", err)
	}
}

// TestNothingPreservedCrossesAsNothing hands over as Linux up to 6.18 may: a root
// device tree that no map preserves, because there is none.
func TestNothingPreservedCrossesAsNothing(t *testing.T) {
	for _, way := range [][2]string{{"B", "C"}, {"A", "B"}, {"A", "A"}, {"B", "F"}} {
		m := newMachineOf(t, standin.B, standin.Shape{}, "ferry.on-error=halt")
		tree := phys.Addr(0x3000000)
		w := fdt.NewWriter(m.edit(tree, phys.PageSize), "preserved-memory-map", "compatible")
		w.Begin("")
		w.String("compatible", "kho-v1")
		w.Address("preserved-memory-map", 0)
		w.End()
		if _, err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		le.PutUint64(m.edit(nodesAt+16, 8), uint64(tree))
		m.next(way[1], way[0])
		jump, err := Run(&m.Machine)
		if err != nil {
			t.Errorf("%v: %v\n%s", way, err, m.log)
			continue
		}
		if a := m.arrive(jump); a.kho == nil {
			t.Errorf("%v: no handover arrived", way)
		}
	}
}

// TestDamagedReportIsReplaced: what an earlier crossing said is no reason to keep
// the state from crossing.
func TestDamagedReportIsReplaced(t *testing.T) {
	m := newMachineOf(t, standin.C, standin.Shape{Sessions: 1, Files: 2, Plain: true}, "ferry.on-error=halt")
	for i, to := range []string{"D", "C", "F"} {
		m.next(to, "")
		jump, err := Run(&m.Machine)
		if err != nil {
			t.Fatalf("crossing %d: %v\n%s", i, err, m.log)
		}
		m.kexec(m.arrive(jump).kho)
		h, err := kho.Open(m.Memory, m.payload(), nil)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := h.Subtree(reportTree)
		m.edit(s.Data, 4)[0] = 0
	}
}

// TestLargeBlockOfNobodyIsSplit preserves 2 GiB, which older kernels size wrong:
// in parts they are still all there.
func TestLargeBlockOfNobodyIsSplit(t *testing.T) {
	high := phys.Range{Start: 1 << 32, End: 2 << 32}
	m := newMachineIn(t, standin.F, standin.Shape{Sessions: 1, Files: 1, Plain: true}, "ferry.on-error=halt", ram, high)
	h, err := kho.Open(m.Memory, m.payload(), nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := h.Draft(nil, phys.NewRanges(stage, phys.Range{Start: payloadAt, End: payloadAt + 1<<20}, phys.Block{Addr: cmdlineAt}.Range()))
	if err != nil {
		t.Fatal(err)
	}
	large := phys.Block{Addr: 6 << 30, Order: 19}
	if err := d.Preserve(large); err != nil {
		t.Fatal(err)
	}
	data, err := d.Commit()
	if err != nil {
		t.Fatal(err)
	}
	for to, orders := range map[string]phys.Order{"F": 19, "E": 18, "D": 18} {
		m.kexec(data.Append(nil))
		m.next(to, "")
		jump, err := Run(&m.Machine)
		if err != nil {
			t.Errorf("to %s: %v\n%s", to, err, m.log)
			continue
		}
		d, err := kho.ParseData(0, m.arrive(jump).kho)
		if err != nil {
			t.Fatal(err)
		}
		after, err := kho.Open(m.Memory, d, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, ok := after.Map().Head(large.Addr); !ok || b.Order != orders || !after.Map().Covers(large.Range()) {
			t.Errorf("to %s: the block is %v, %v", to, b, ok)
		}
	}
}

func TestGenerationOfARelease(t *testing.T) {
	for release, want := range map[string]string{"6.15.9": "", "6.16": "A", "6.17.13-amd64": "A", "6.18.15": "B", "6.19.14": "C",
		"7.0.13": "D", "7.1.13+bpo": "E", "7.2.12": "F", "7.3~rc7": "F", "7.4.1": "", "linux": "", "7": "", "": ""} {
		got := ""
		if g := ByRelease(release); g != nil {
			got = g.Name
		}
		if got != want {
			t.Errorf("%q is of generation %q, want %q", release, got, want)
		}
	}
}

// TestUnknownMemfdsAreRefusedByName: the next kernel would answer for all of its
// sessions with an error.
func TestUnknownMemfdsAreRefusedByName(t *testing.T) {
	for _, name := range []string{"memfd-v2;vmalloc-v1", "memfd-v9", "memfd"} {
		m := newMachineOf(t, standin.F, standin.Shape{Sessions: 1, Files: 2, Plain: true}, "")
		raw := bytes.Clone(m.edit(nodesAt+16, 32))
		for at, page := range m.pages() {
			if i := bytes.Index(page, []byte("memfd-v2\x00")); i >= 0 {
				copy(m.edit(at+phys.Addr(i), 48), name+strings.Repeat("\x00", 48-len(name)))
			}
		}
		m.next("F", "")
		jump, err := Run(&m.Machine)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`session 0 "session-0"`, "token 0x1a", strconv.Quote(name)} {
			if !strings.Contains(m.log.String(), want) {
				t.Errorf("%q: the report does not name %s:\n%s", name, want, m.log)
			}
		}
		if a := m.arrive(jump); !bytes.Equal(a.kho, raw) {
			t.Errorf("%q: payload %x, want the untouched %x", name, a.kho, raw)
		}
	}
}
