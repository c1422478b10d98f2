//go:build qemu

package metal

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"ferry/internal/report"
	"ferry/linux"
	"ferry/phys"
)

// reservations are ranges of memory that only the command line of a kernel takes out
// of what the firmware calls RAM. The e820 map that a kexec hands over does not know
// of them.
var reservations = []struct {
	name, words string
	ranges      []phys.Range
}{
	{"one range, as for ramoops", "kho_scratch=32M,0,104M memmap=16M$0x7000000", []phys.Range{{Start: 0x700_0000, End: 0x800_0000}}},
	{"seven ranges", "kho_scratch=32M,0,104M memmap=1M$0x3000000 memmap=16M$0x7000000 memmap=2M$0x9000000 memmap=64K$0xa010000 memmap=4K$0xb001000 memmap=8M$0xc000000 memmap=4M$0x10000000",
		[]phys.Range{{Start: 0x300_0000, End: 0x310_0000}, {Start: 0x700_0000, End: 0x800_0000}, {Start: 0x900_0000, End: 0x920_0000}, {Start: 0xa01_0000, End: 0xa02_0000},
			{Start: 0xb00_1000, End: 0xb00_2000}, {Start: 0xc00_0000, End: 0xc80_0000}, {Start: 0x1000_0000, End: 0x1040_0000}}},
	{"the end of memory", "kho_scratch=32M,0,104M mem=768M", []phys.Range{{Start: 0x3000_0000, End: 0x3ff0_0000}}},
	{"persistent memory", "kho_scratch=32M,0,104M memmap=64M!0x7000000", []phys.Range{{Start: 0x700_0000, End: 0xb00_0000}}},
}

// TestReservedRanges crosses between real kernels that were told to leave ranges of
// memory alone. Nothing in them changes, nothing at all outside scratch does, and the
// next kernel finds its state.
func TestReservedRanges(t *testing.T) {
	dir := folder(t)
	newest := releases(t)[len(releases(t))-1]
	pairs := [][2]string{{"7.1.13", newest}, {newest, "7.1.13"}, {newest, newest}, {"6.18.15", newest}}
	table := report.Table{{"from", "to", "reserved", "pages reserved", "of those changed", "pages changed outside scratch", "pages cut off scratch"}}
	for i, pair := range pairs {
		for j, r := range reservations {
			if i > 1 && j > 0 {
				continue // the first of them is enough for these
			}
			t.Run(fmt.Sprintf("%s to %s, %s", pair[0], pair[1], r.name), func(t *testing.T) {
				w, pages := crossReserved(t, filepath.Join(dir, fmt.Sprint(i, j)), pair[0], pair[1], r.words, r.ranges)
				table = append(table, []string{pair[0], pair[1], strings.TrimPrefix(r.words, "kho_scratch=32M,0,104M "), fmt.Sprint(pages), "0", "0", fmt.Sprint(w.records)})
			})
		}
	}
	result(t, "attack 5: reserved", fmt.Sprintf(`%s, `+"`make attack-reserved`"+`: crossings between real kernels whose command lines take memory away that the firmware calls qemu.RAM. All memory is compared
as above, the reserved ranges again after the next kernel found its state whole and ended.`, today()), table)
}

// crossReserved crosses once and returns what was written and how many pages of RAM
// the ranges have.
func crossReserved(t *testing.T, dir, from, to, words string, ranges []phys.Range) (w written, pages uint64) {
	t.Helper()
	plan := route(from, to)
	r, d, at := departLinux(t, dir, plan, "crossing.seals=plain "+words)
	var filled [][]byte
	for i, reserved := range ranges {
		b, err := at.RAM.Edit(reserved.Start, reserved.Size())
		if err != nil {
			t.Fatal(err)
		}
		for j := range b {
			b[j] = byte(j>>12 ^ j ^ i | 1)
		}
		filled, pages = append(filled, bytes.Clone(b)), pages+reserved.Size()>>phys.PageShift
	}
	before, err := at.Copy(filepath.Join(dir, "before"))
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	w = crossed(t, d, before, at.RAM, from, to)
	if err := d.Continue(); err != nil {
		t.Fatal(err)
	}
	console, _ := r.Wait()
	for _, wrong := range plan.Judge(linux.ParseLog([]byte(console))) {
		t.Error(wrong)
	}
	for i, reserved := range ranges {
		b, err := at.RAM.View(reserved.Start, reserved.Size())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, filled[i]) {
			t.Errorf("%v was written to", reserved)
		}
	}
	if t.Failed() {
		t.Log(console)
	}
	return w, pages
}
