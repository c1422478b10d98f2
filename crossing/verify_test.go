package crossing

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"ferry/boot/payload"
	"ferry/internal/oracle/standin"
	"ferry/kho"
	"ferry/luo"
	"ferry/own"
	"ferry/phys"
)

// carried is a handover of Linux 7.3 that came through a crossing.
type carried struct {
	m    *machine
	data kho.Data
	in   *Incoming
	pool []phys.Range // new pages of the crossing beside those that it remembers
}

func newCarried(t *testing.T, shape standin.Shape) carried {
	t.Helper()
	m := newMachine(t, shape, "")
	jump, err := Run(&m.Machine)
	if err != nil {
		t.Fatal(err)
	}
	data, err := kho.ParseData(0, m.arrive(jump).kho)
	if err != nil {
		t.Fatal(err)
	}
	c := carried{m: m, data: data}
	c.in = c.read(t)
	return c
}

// read reads the handover, as nobody says who wrote it.
func (c carried) read(t *testing.T) *Incoming {
	t.Helper()
	s, err := start(&c.m.Machine, newReport(&c.m.Machine))
	if err != nil {
		t.Fatal(err)
	}
	in, err := reader{memory: c.m.Memory, known: readableFormats(false), held: s.held(), step: func(step) {}}.read(kho.Open, c.data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// TestWhatReadsBackOtherwiseIsNotHandedOver holds a handover against what it was
// to be.
func TestWhatReadsBackOtherwiseIsNotHandedOver(t *testing.T) {
	shape := standin.Shape{Sessions: 2, Files: 3, Regions: 2, RegionOrder: 3}
	for name, tt := range map[string]struct {
		change func(t *testing.T, c *carried, want *Plan)
		say    string
	}{
		"nothing": {func(*testing.T, *carried, *Plan) {}, ""},
		"less scratch": {func(_ *testing.T, c *carried, _ *Plan) {
			size := c.m.edit(c.data.Scratch+8, 8) // of the first area
			le.PutUint64(size, le.Uint64(size)-2<<20)
		}, "scratch and pieces of it"},
		"a pool in scratch": {func(_ *testing.T, c *carried, _ *Plan) {
			c.pool = []phys.Range{{Start: scratch[2].Start, End: scratch[2].Start + 4<<20}}
		}, "with new pages"},
		"another format": {func(_ *testing.T, _ *carried, want *Plan) { want.KHO = kho.V3 }, "want kho-v3"},
		"a sub-tree too many": {func(_ *testing.T, c *carried, want *Plan) {
			want.Drop = []kho.Subtree{{Name: kho.ReservedName}}
		}, "sub-trees ["},
		"a block that belongs to nothing": {func(_ *testing.T, c *carried, _ *Plan) { c.in.leaks.pages++ }, "0 preserved pages that belong to nothing, want 1"},
		"other memory reserved by name": {func(t *testing.T, c *carried, _ *Plan) {
			other := shape
			other.Regions = 1
			o := newCarried(t, other)
			c.in.Handover = o.in.Handover
		}, "memory reserved by name"},
		"sessions, where none may be": {func(_ *testing.T, _ *carried, want *Plan) { want.LUO = nil }, "a state in luo-v5, want none"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCarried(t, shape)
			want := &Plan{KHO: kho.V4, LUO: luo.V5}
			tt.change(t, &c, want)
			err := want.verify(c.in, c.read(t), c.in.Remembered().Add(c.pool...))
			if (err == nil) != (tt.say == "") || err != nil && (!strings.Contains(err.Error(), tt.say) || strings.Contains(err.Error(), "%!")) {
				t.Errorf("got %v, want %q", err, tt.say)
			}
		})
	}
}

// TestARewrittenFileIsWhatItWas: of a file that is not a memfd handler and data
// stay, and a memfd stays one.
func TestARewrittenFileIsWhatItWas(t *testing.T) {
	file := func(handler string, data uint64) luo.File {
		return luo.File{Handler: []byte(handler), Data: data}
	}
	want := file("iommu-v1", 0x1000)
	none := &Incoming{known: readableFormats(false)}
	if err := sameFile(none, none, file("iommu-v1", 0x1000), want, 0); err != nil {
		t.Errorf("the same: %v", err)
	}
	for name, got := range map[string]luo.File{"handler": file("iommu-v2", 0x1000), "data": file("iommu-v1", 0x2000)} {
		if sameFile(none, none, got, want, 0) == nil {
			t.Errorf("another %s was taken for the same file", name)
		}
	}
	c := newCarried(t, standin.Shape{Sessions: 1, Files: 1})
	for s, err := range c.in.state.Sessions() {
		if err != nil {
			t.Fatal(err)
		}
		for f, err := range s.Files() {
			if err != nil {
				t.Fatal(err)
			}
			if err := sameFile(c.in, c.in, f, f, 0); err != nil {
				t.Errorf("the same memfd: %v", err)
			}
			if err := sameFile(c.in, c.in, want, f, 0); err == nil || !strings.Contains(err.Error(), "want a memfd") {
				t.Errorf("another handler for a memfd: %v", err)
			}
		}
	}
}

func TestMemoryIsNotClaimedUnlessPreserved(t *testing.T) {
	c := newCarried(t, standin.Shape{})
	if err := c.in.claim(nil, "an object", phys.Range{Start: stageAt, End: stageAt + 1}); !errors.Is(err, own.ErrPreserved) {
		t.Errorf("got %v", err)
	}
}

func TestAHandoverFromNowhereIsRefusedByName(t *testing.T) {
	m := newMachine(t, standin.Shape{Sessions: 1, Files: 1}, "ferry.on-error=halt")
	m.next("F", "5.4.0")
	if _, err := Run(&m.Machine); !errors.Is(err, ErrHalt) || !strings.Contains(m.log.String(), `the handover is to come from "5.4.0"`) {
		t.Errorf("got %v\n%s", err, m.log)
	}
}

// TestMapNodesLieApartFromTheStage: where the kernel before put the command line,
// there was a page of its map.
func TestMapNodesLieApartFromTheStage(t *testing.T) {
	m := newMachine(t, standin.Shape{Sessions: 1, Files: 1}, "")
	h, err := kho.Open(m.Memory, m.payload(), nil)
	if err != nil {
		t.Fatal(err)
	}
	nodes := h.Map().Nodes()
	node := nodes[len(nodes)-1].Addr() // a leaf, of which few bits are set
	raw := bytes.Clone(m.edit(nodesAt+16, kho.DataSize))
	end := bytes.LastIndexFunc(m.edit(node, phys.PageSize), func(r rune) bool { return r != 0 }) + 1
	if end > phys.PageSize-16 {
		t.Fatal("no room behind the bits of the leaf")
	}
	le.PutUint32(m.edit(zeroPageAt+0x228, 4), uint32(node)+uint32(phys.PageSize-16)) // zeros: an empty command line
	jump, err := Run(&m.Machine)
	if err != nil {
		t.Fatal(err)
	}
	if a := m.arrive(jump); !bytes.Equal(a.kho, raw) || !strings.Contains(m.log.String(), "map node") {
		t.Errorf("handed on %x, want %x\n%s", a.kho, raw, m.log)
	}
}

// TestNothingIsPlacedWithoutScratch: no place is known to be safe from preserved
// memory, so the untouched handover goes nowhere.
func TestNothingIsPlacedWithoutScratch(t *testing.T) {
	for _, policy := range []string{payload.OnErrorPass, payload.OnErrorRollback} {
		m := newMachine(t, standin.Shape{Sessions: 1, Files: 1}, "")
		m.both(payload.Manifest{OnError: policy})
		clear(m.edit(tableAt, 16*uint64(len(scratch))))
		before := m.pages()
		if _, err := Run(&m.Machine); err == nil || !strings.Contains(err.Error(), "no place is safe") {
			t.Errorf("%s: got %v\n%s", policy, err, m.log)
		}
		m.unchanged(before)
	}
}
