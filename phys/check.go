package phys

import "fmt"

// Check proves that [a, a+n) lies in one range of ram, for those who implement
// [Memory]; the error is an [*Error] wrapping [ErrNotRAM]. A request of no bytes
// must still name a byte of RAM.
func Check(ram Ranges, a Addr, n uint64) error {
	r, ok := Span(a, n)
	if ok && n > 0 && ram.Contains(r) || n == 0 && ram.Contains(Range{a, a + 1}) {
		return nil
	}
	return &Error{Object: "memory", Addr: a, Found: fmt.Sprintf("%d bytes not in RAM", n),
		Want: "an address inside one RAM range of the e820 map", Err: ErrNotRAM}
}
