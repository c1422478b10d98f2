//go:build linux && !metal

package metal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"ferry/attack"
	"ferry/internal/oracle"
	"ferry/internal/oracle/standin"
	"ferry/kho"
	"ferry/phys"
)

// decode reads the handover of a dump by the decoder that shares nothing with Ferry's
// readers, as one of generation from on the way to a kernel of generation to, but for
// the files that were given up on the way.
func decode(d *Dump, from, to *standin.Generation, without map[oracle.FileKey]bool) (*oracle.Model, error) {
	return oracle.Decode(d.RAM, oracle.Handover(d.Data), oracle.FormOf(from.Name), oracle.FormOf(to.Name), without)
}

// carried holds what arrived in the generation to against what came in from
// generation from, word for word: scratch table, sessions, files and where each
// folio lies, sub-trees, and all that is preserved beside those. It returns the
// memory of what came in, records included, which nobody may write to: where that
// holds, the files have their bytes; and how many files were given up, which have no
// words but that.
func carried(before, after *Dump, from, to *standin.Generation) (held phys.Ranges, givenUp int, err error) {
	out, err := decode(after, to, to, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("what arrived: %w", err)
	}
	in, err := decode(before, from, to, out.GivenUp)
	if err != nil {
		return nil, 0, fmt.Errorf("what came in: %w", err)
	}
	return in.Memory(), len(out.GivenUp), attack.Same(out.Words, in.Words)
}

// TestOracleMissesNoLoss changes what arrived where nothing but the decoder would see
// it, and wants each change to be found.
func TestOracleMissesNoLoss(t *testing.T) {
	ram := phys.Range{Start: phys.LowMemory, End: 8 << 20}
	area := phys.Range{Start: 4 << 20, End: 6 << 20}
	shape := standin.Shape{Sessions: 3, Files: 3, Fill: 2, Regions: 2, RegionOrder: 2, Tests: 4}
	for _, g := range standin.Generations {
		before := &Dump{RAM: newRAM(t, uint64(ram.End))}
		before.Limit(phys.NewRanges(ram))
		from := standin.Carried(g, g, shape)
		h, err := standin.Produce(before.RAM, phys.NewRanges(ram).Sub(area), g, from)
		if err != nil {
			t.Fatal(err)
		}
		size, err := standin.Scratch(before.RAM, area.Start, []phys.Range{area})
		if err != nil {
			t.Fatal(err)
		}
		before.Data = kho.Data{FDT: h.FDT, FDTSize: phys.PageSize, Scratch: area.Start, ScratchSize: size}
		model, err := decode(before, g, g, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name   string
			change func(after *Dump) (changed bool)
		}{
			{"most of the map", func(after *Dump) bool {
				for a := range model.Leaves {
					leaf := after.Writable()[a:][:512]
					for i := range leaf[:len(leaf)-8] {
						leaf[i] = 0
					}
				}
				return true
			}},
			{"a block of reserved memory", func(after *Dump) bool {
				for a, first := range model.Leaves {
					if leaf := after.Writable()[a:][:512]; first.Order == 2 {
						for i := range leaf {
							leaf[i] &= leaf[i] - 1
						}
					}
				}
				return true
			}},
			{"the scratch table", func(after *Dump) bool { after.Writable()[area.Start+9] ^= 0x10; return true }},
			{"a session's name", func(after *Dump) bool { return after.another(model, oracle.SessionName) }},
			{"a size", func(after *Dump) bool { return after.another(model, oracle.Size) }},
			{"the name of reserved memory", func(after *Dump) bool { return after.another(model, oracle.RegionName) }},
			{"the size of reserved memory", func(after *Dump) bool { return after.another(model, oracle.RegionSize) }},
			{"a folio of test_kho", func(after *Dump) bool { return after.another(model, oracle.TestFolio) }},
		} {
			path := filepath.Join(t.TempDir(), "after")
			after, err := before.Copy(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, n, err := carried(before, after, g, g); err != nil || n > 0 {
				t.Errorf("%s: a copy: %v, %d files given up", g.Name, err, n)
			}
			if changed := tt.change(after); !changed && g.Sessions() {
				t.Errorf("%s: %s: nothing to change", g.Name, tt.name)
			} else if _, _, err := carried(before, after, g, g); changed && err == nil {
				t.Errorf("%s: %s: nothing is said to differ", g.Name, tt.name)
			} else if changed && strings.Contains(err.Error(), "cannot read it") {
				t.Errorf("%s: %s: %v", g.Name, tt.name, err)
			}
			after.Close()
		}
	}
}

// another changes the rarest word of a kind, wherever memory has such a number.
func (d *Dump) another(m *oracle.Model, k oracle.Kind) (changed bool) {
	var number []byte
	least := len(d.Bytes())
	for _, w := range m.Words {
		if w.Kind != k || w.Value == 0 {
			continue
		}
		b := binary.LittleEndian.AppendUint64(nil, w.Value)
		if n := bytes.Count(d.Bytes(), b); n > 0 && n < least {
			number, least = b, n
		}
	}
	if number == nil {
		return false
	}
	for at := 0; ; {
		i := bytes.Index(d.Bytes()[at:], number)
		if i < 0 {
			return true
		}
		at += i
		d.Writable()[at] ^= 1
	}
}
