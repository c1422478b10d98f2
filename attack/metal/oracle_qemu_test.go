//go:build qemu

package metal

import (
	"fmt"

	"ferry/attack"
	"ferry/cmd/probe/standin"
	"ferry/phys"
)

// decode reads the handover of a dump by the decoder that shares nothing with Ferry's
// readers, as one of generation from on the way to a kernel of generation to.
func decode(d *Dump, from, to *standin.Generation) (*attack.Model, error) {
	return attack.Decode(d.RAM, d.Data, attack.FormOf(from.Name), attack.FormOf(to.Name))
}

// carried holds what arrived in the generation to against what came in from
// generation from, word for word: scratch table, sessions, files and where each
// folio lies, sub-trees, and all that is preserved beside those. It returns the
// memory of what came in, records included, which nobody may write to: where that
// holds, the files have their bytes.
func carried(before, after *Dump, from, to *standin.Generation) (held phys.Ranges, err error) {
	in, err := decode(before, from, to)
	if err != nil {
		return nil, fmt.Errorf("what came in: %w", err)
	}
	out, err := decode(after, to, to)
	if err != nil {
		return nil, fmt.Errorf("what arrived: %w", err)
	}
	return memoryOf(in), differ(out.Words, in.Words)
}

// differ names the first word in which two handovers differ, nil where none does.
// What is not recorded as up to date and written to Ferry repairs: the flags are set,
// and memory that was never written to becomes new memory.
func differ(got, want []attack.Word) error {
	for i, w := range want {
		if i >= len(got) {
			return fmt.Errorf("%v of session %d file %d has not arrived: %#x", w.Kind, w.Session, w.File, w.Value)
		}
		g := got[i]
		switch {
		case g == w:
		case w.Kind == attack.FolioFlags && g.Kind == w.Kind && g.Value == 3:
		case w.Kind == attack.FolioPlace && g.Kind == w.Kind && want[i-1].Value&2 == 0:
		default:
			return fmt.Errorf("%v of session %d file %d arrived as %#x, want %v %#x", g.Kind, g.Session, g.File, g.Value, w.Kind, w.Value)
		}
	}
	if len(got) > len(want) {
		g := got[len(want)]
		return fmt.Errorf("%v of session %d file %d arrived and did not come in: %#x", g.Kind, g.Session, g.File, g.Value)
	}
	return nil
}

// memoryOf returns the pages of a handover: all that is preserved, and the map.
func memoryOf(m *attack.Model) phys.Ranges {
	var all []phys.Range
	for _, b := range m.Blocks {
		all = append(all, b.Range())
	}
	for _, a := range m.Nodes {
		all = append(all, phys.Block{Addr: a}.Range())
	}
	for a := range m.Leaves {
		all = append(all, phys.Block{Addr: a.Page()}.Range())
	}
	return phys.NewRanges(all...)
}
