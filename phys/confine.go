package phys

import "fmt"

// Confined is memory of which only parts may be written.
type Confined struct {
	Memory
	writable Ranges
}

// Confine returns mem with Edit only for memory inside writable; all else fails
// with an [*Error] wrapping [ErrReadOnly]. A memory that can do so itself, by a
// method Confine(Ranges), is confined as well and permanently: that of the board
// then has no way to make another page writable.
func Confine(mem Memory, writable Ranges) *Confined {
	if m, ok := mem.(interface{ Confine(Ranges) }); ok {
		m.Confine(writable)
	}
	return &Confined{mem, writable}
}

// Edit implements [Memory].
func (c *Confined) Edit(a Addr, n uint64) ([]byte, error) {
	if err := CheckWritable(c.writable, a, n); err != nil {
		return nil, err
	}
	return c.Memory.Edit(a, n)
}

// CheckWritable proves that [a, a+n) lies in one range of writable, for those who
// can be confined; the error is an [*Error] wrapping [ErrReadOnly].
func CheckWritable(writable Ranges, a Addr, n uint64) error {
	if r, ok := Span(a, n); ok && writable.Contains(r) {
		return nil
	}
	return &Error{Object: "memory", Addr: a, Found: fmt.Sprintf("%d bytes to be written where nothing may be", n),
		Want: "an address inside scratch", Hint: "a defect in Ferry, please report it", Err: ErrReadOnly}
}
