package phys

import (
	"fmt"
	"slices"
	"sort"
)

// Range is a half-open span of physical memory: Start inclusive, End exclusive.
type Range struct{ Start, End Addr }

// Span returns the range of n bytes at a; ok is false if it wraps.
func Span(a Addr, n uint64) (r Range, ok bool) {
	r = Range{a, a + Addr(n)}
	return r, r.End >= a
}

// Size returns the length of r in bytes.
func (r Range) Size() uint64 { return uint64(r.End - r.Start) }

// Empty reports whether r covers no byte.
func (r Range) Empty() bool { return r.End <= r.Start }

// Contains reports whether every byte of s lies in r.
func (r Range) Contains(s Range) bool { return r.Start <= s.Start && s.End <= r.End }

// Overlaps reports whether r and s share a byte.
func (r Range) Overlaps(s Range) bool { return max(r.Start, s.Start) < min(r.End, s.End) }

// String formats r like /proc/iomem, with an inclusive end.
func (r Range) String() string {
	if r.Empty() {
		return fmt.Sprintf("[%#x, empty]", uint64(r.Start))
	}
	return fmt.Sprintf("[%#x-%#x]", uint64(r.Start), uint64(r.End-1))
}

// Ranges is a set of bytes: ranges in ascending order, none empty, none
// overlapping or touching. The zero value is the empty set. Methods that change
// the set return the new one and leave the old one as it was.
type Ranges []Range

// NewRanges returns the union of rs.
func NewRanges(rs ...Range) Ranges {
	s := make([]Range, 0, len(rs))
	for _, r := range rs {
		if !r.Empty() {
			s = append(s, r)
		}
	}
	slices.SortFunc(s, func(a, b Range) int {
		switch {
		case a.Start < b.Start:
			return -1
		case a.Start > b.Start:
			return 1
		}
		return 0
	})
	out := s[:0]
	for _, r := range s {
		if n := len(out); n > 0 && r.Start <= out[n-1].End {
			out[n-1].End = max(out[n-1].End, r.End)
			continue
		}
		out = append(out, r)
	}
	return Ranges(out)
}

// Index returns the position of the first range that ends after a, len(s) if none
// does.
func (s Ranges) Index(a Addr) int {
	return sort.Search(len(s), func(i int) bool { return s[i].End > a })
}

// Contains reports whether every byte of r is in the set. An empty r is
// contained if its start is.
func (s Ranges) Contains(r Range) bool {
	i := s.Index(r.Start)
	return i < len(s) && s[i].Contains(r)
}

// Overlaps reports whether any byte of r is in the set, and the first range
// that holds one.
func (s Ranges) Overlaps(r Range) (Range, bool) {
	if i := s.Index(r.Start); i < len(s) && s[i].Overlaps(r) {
		return s[i], true
	}
	return Range{}, false
}

// Add returns the union of s and rs.
func (s Ranges) Add(rs ...Range) Ranges {
	return NewRanges(append(slices.Clone([]Range(s)), rs...)...)
}

// Sub returns s without the bytes of rs.
func (s Ranges) Sub(rs ...Range) Ranges {
	var out []Range
	holes := NewRanges(rs...)
	for _, r := range s {
		for i := holes.Index(r.Start); i < len(holes) && holes[i].Start < r.End; i++ {
			if holes[i].Start > r.Start {
				out = append(out, Range{r.Start, holes[i].Start})
			}
			r.Start = max(r.Start, holes[i].End)
			if r.Empty() {
				break
			}
		}
		if !r.Empty() {
			out = append(out, r)
		}
	}
	return out
}

// Size returns the number of bytes in the set.
func (s Ranges) Size() (n uint64) {
	for _, r := range s {
		n += r.Size()
	}
	return n
}
