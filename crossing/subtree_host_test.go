//go:build !metal

package crossing

import (
	"bytes"
	"testing"

	"github.com/u-root/u-root/pkg/dt"

	"ferry/internal/oracle/standin"
	"ferry/kho"
	"ferry/phys"
)

// TestReportIsWhatArrived reads the tree that each crossing leaves with another
// reader, and holds its numbers against what the stand-in left and what it receives.
func TestReportIsWhatArrived(t *testing.T) {
	many := standin.Shape{Sessions: 55, Files: 9, Fill: 4, Plain: true}
	long := standin.Shape{Sessions: 2, Files: 70, Fill: 60, Plain: true}
	none := standin.Shape{Plain: true}
	for _, tt := range []struct {
		from, to *standin.Generation
		shape    standin.Shape
		used     func() uint64
		want     uint64 // bytes of memory
	}{
		{standin.F, standin.F, many, func() uint64 { return 123<<20 + 5 }, 123<<20 + 5},
		{standin.C, standin.F, long, func() uint64 { return 1 }, 1},
		{standin.F, standin.D, long, nil, 0},
		{standin.D, standin.E, many, nil, 0},
		{standin.F, standin.EPrime, none, nil, 0},
		{standin.A, standin.F, none, nil, 0},
	} {
		t.Run(tt.from.Name+" to "+tt.to.Name, func(t *testing.T) {
			m := newMachineOf(t, tt.from, standin.Carried(tt.from, tt.to, tt.shape), "")
			m.MemoryUsed = tt.used
			m.next(tt.to.Name, tt.from.Name)
			jump, err := Run(&m.Machine)
			if err != nil {
				t.Fatal(err)
			}
			a := m.arrive(jump)
			got, left, err := a.receiveAs(tt.to, m.Memory)
			if err != nil {
				t.Fatalf("%v\n%s", err, m.log)
			}
			tree := m.anotherReader(a)
			for node, want := range map[string]standin.Census{"in": left, "out": got} {
				for name, want := range map[string]uint64{"sessions": want.Sessions, "files": want.Files, "blocks": want.Blocks} {
					if n, ok := number(tree, node, name); !ok || n != want {
						t.Errorf("/%s has %d %s (%v), want %d", node, n, name, ok, want)
					}
				}
			}
			if n, ok := number(tree, "memory", "used"); ok != (tt.used != nil) || n != tt.want {
				t.Errorf("/memory used is %d (%v), want %d", n, ok, tt.want)
			}
			for _, step := range []string{"boot", "payload", "digests", "scratch", "fallback", "kho", "luo", "files", "serialize"} {
				if n, ok := number(tree, "steps", step); !ok || n == 0 {
					t.Errorf("/steps %s took %d ns (%v)", step, n, ok)
				}
			}
		})
	}
}

// anotherReader reads the report in the handover that arrived.
func (m *machine) anotherReader(a arrived) *dt.FDT {
	m.t.Helper()
	d, err := kho.ParseData(0, a.kho)
	if err != nil {
		m.t.Fatal(err)
	}
	s, ok := m.opened(d).Subtree(reportTree)
	if !ok {
		m.t.Fatal("no report")
	}
	b, err := m.Memory.View(s.Data, phys.PageSize)
	if err != nil {
		m.t.Fatal(err)
	}
	tree, err := dt.ReadFDT(bytes.NewReader(b))
	if err != nil {
		m.t.Fatal(err)
	}
	return tree
}

// opened opens a handover of whatever format.
func (m *machine) opened(d kho.Data) *kho.Handover {
	m.t.Helper()
	var h *kho.Handover
	var err error
	for _, f := range []*kho.Format{nil, kho.V1} {
		if h, err = kho.Open(m.Memory, d, f); err == nil {
			return h
		}
	}
	m.t.Fatal(err)
	return nil
}

// number returns the property of a node below the root.
func number(tree *dt.FDT, node, name string) (n uint64, ok bool) {
	for _, c := range tree.RootNode.Children {
		if c.Name != node {
			continue
		}
		for _, p := range c.Properties {
			if p.Name == name && len(p.Value) == 8 {
				return le.Uint64(p.Value), true
			}
		}
	}
	return 0, false
}
