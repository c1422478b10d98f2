package standin

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"ferry/kho/khotest"
	"ferry/phys"
)

// TestReceiveReadsRealHandovers holds the stand-ins against kernels: what real
// ones left is preserved as another program found it, and is read up to the name
// of the first session, which is not the stand-in's.
func TestReceiveReadsRealHandovers(t *testing.T) {
	for release, g := range map[string]*Generation{"6.19.14": C, "7.0.13": D, "7.1.13": E, "7.3.4": F} {
		t.Run(release, func(t *testing.T) {
			v := khotest.Linux(t, release)
			var want []phys.Block
			memfds := uint64(0)
			for _, b := range v.Blocks {
				want = append(want, b.Block)
				if b.Role == "memfd" {
					memfds++
				}
			}
			c := &consumer{Generation: g, origin: origin{from: g}, left: Census{Files: memfds}, mem: v.Memory, magic: make(map[phys.Addr]phys.Order)}
			page, err := v.Memory.View(v.Data.FDT, phys.PageSize)
			if err != nil {
				t.Fatal(err)
			}
			root, err := parseTree(page)
			if err != nil {
				t.Fatal(err)
			}
			head, err := root.u64("preserved-memory-map")
			if err != nil {
				t.Fatal(err)
			}
			if err := c.reserve(phys.Addr(head)); err != nil {
				t.Fatal(err)
			}
			var got []phys.Block
			for a, o := range c.magic {
				got = append(got, phys.Block{Addr: a, Order: o})
			}
			slices.SortFunc(got, func(a, b phys.Block) int { return cmp.Compare(a.Addr, b.Addr) })
			if d := gocmp.Diff(want, got); d != "" {
				t.Errorf("preserved, by another program (-) and here (+):\n%s", d)
			}
			blobs := make(map[string][]byte)
			for _, n := range root.kids {
				if blobs[n.name], err = c.subtree(n); err != nil {
					t.Errorf("sub-tree %s: %v", n.name, err)
				}
			}
			err = c.luo(blobs["LUO"])
			if err == nil || !strings.HasPrefix(err.Error(), `session 0: name "`) {
				t.Errorf("read up to %v, want up to the first name", err)
			}
		})
	}
}
