package phys

import "fmt"

// Check proves that [a, a+n) lies in one range of ram, for those who implement
// [Memory]; the error is an [*Error] wrapping [ErrNotRAM]. A request of no bytes
// must still name a byte of RAM.
func Check(ram Ranges, a Addr, n uint64) error {
	if r, ok := Span(a, n); ok && ram.Contains(r) {
		return nil
	}
	return &Error{Object: "memory", Addr: a, Found: fmt.Sprintf("%d bytes not in RAM", n),
		Want: "an address inside one RAM range of the e820 map", Err: ErrNotRAM}
}
