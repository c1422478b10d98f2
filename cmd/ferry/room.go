package main

import (
	"fmt"
	"slices"
	"strings"

	"ferry/boot"
	"ferry/phys"
)

// A need is one span of physical memory that a crossing takes inside scratch.
type need struct {
	name  string
	size  uint64    // bytes, rounded up to pages when placed
	align uint64    // power of two
	min   phys.Addr // lowest address
}

const mib = 1 << 20

// needs lists what a crossing places in scratch, in the order in which kexec places it, and then what the stage places
// while it runs. The small parts are upper bounds: scratch table, purgatory, zero page with command line and
// setup_data.
func needs(stage, kernel *boot.Kernel, payload uint64) []need {
	return []need{
		{"scratch table", 64 << 10, 64 << 10, 0},
		{"purgatory", 64 << 10, phys.PageSize, 0x3000},
		{"zero page and command line", 64 << 10, phys.PageSize, 0x3000},
		{"stage", stage.InitSize, stage.Alignment, max(stage.PrefAddress, mib)},
		{"payload", payload, phys.PageSize, mib},
		{"next kernel", kernel.InitSize, kernel.Alignment, max(kernel.PrefAddress, mib)},
		{"its zero page and command line", 64 << 10, phys.PageSize, mib},
	}
}

// total returns the sum of the sizes.
func total(needs []need) (n uint64) {
	for _, need := range needs {
		n += need.size
	}
	return n
}

// place puts the needs into the areas as kexec does: each in the first area where it fits, as high as it goes. It
// returns the places in the order of the needs.
func place(areas []phys.Range, needs []need) ([]phys.Range, error) {
	var taken []phys.Range
	for _, need := range needs {
		at, ok := placeOne(areas, taken, need)
		if !ok {
			var have []string
			for _, area := range areas {
				if !area.Empty() {
					have = append(have, fmt.Sprintf("%s at %#x", size(area.Size()), uint64(area.Start)))
				}
			}
			if len(have) == 0 {
				have = []string{"none"}
			}
			return nil, &problem{
				what: fmt.Sprintf("no room in scratch for the %s of %s; a crossing takes %s, the host has %s",
					need.name, size(need.size), size(total(needs)), strings.Join(have, ", ")),
				do: "boot with more, for example kho_scratch=64M,0," + suggestion(needs),
			}
		}
		taken = append(taken, at)
	}
	return taken, nil
}

func placeOne(areas, taken []phys.Range, n need) (phys.Range, bool) {
	bytes := (n.size + phys.PageSize - 1) &^ (phys.PageSize - 1)
	for _, area := range areas {
		// Candidates: as high as the area goes, or just below something that is taken.
		ends := []phys.Addr{area.End}
		for _, r := range taken {
			ends = append(ends, r.Start)
		}
		slices.Sort(ends)
		for _, end := range slices.Backward(ends) {
			if end > area.End || end < area.Start || uint64(end-area.Start) < bytes {
				continue
			}
			start := phys.AlignDown(end-phys.Addr(bytes), n.align)
			at, _ := phys.Span(start, bytes)
			if start >= max(area.Start, n.min) && !slices.ContainsFunc(taken, at.Overlaps) {
				return at, true
			}
		}
	}
	return phys.Range{}, false
}

// suggestion is a size for the scratch area of a node: what a crossing takes, and as much again as a kernel of this
// size wants while it boots, in steps of 64 MiB.
func suggestion(needs []need) string {
	n := total(needs) + 64*mib
	return fmt.Sprintf("%dM", (n+64*mib-1)/(64*mib)*64)
}

// size prints a number of bytes as a person reads it.
func size(n uint64) string {
	switch {
	case n >= 10*mib || n >= mib && n%mib == 0:
		return fmt.Sprintf("%d MiB", (n+mib/2)/mib)
	case n >= mib:
		return fmt.Sprintf("%.1f MiB", float64(n)/mib)
	}
	return fmt.Sprintf("%d KiB", (n+1023)/1024)
}
