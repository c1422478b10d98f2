package phys

import (
	"errors"
	"strings"
)

// Reasons for which a window is refused.
var (
	ErrNotRAM   = errors.New("not in RAM")
	ErrReadOnly = errors.New("memory is read-only")
)

// Error says what was wrong with one object in physical memory. Its text is one
// line: object, address, what was found, what was expected, what to do.
//
//	luo: session 3 "vm-7": file block 0x1042f3000: count 71, want 1..63
type Error struct {
	Object string // path of the object, outermost first, without the address
	Addr   Addr   // physical address of the object or of the offending field
	Found  string // what memory held
	Want   string // what the format or the kernel requires; may be empty
	Hint   string // what the operator can do; may be empty
	Err    error  // the rule that was broken, for errors.Is; may be nil
}

// Error formats e on one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Object)
	b.WriteByte(' ')
	b.WriteString(e.Addr.String())
	b.WriteString(": ")
	b.WriteString(e.Found)
	if e.Want != "" {
		b.WriteString(", want ")
		b.WriteString(e.Want)
	}
	if e.Hint != "" {
		b.WriteString(" (")
		b.WriteString(e.Hint)
		b.WriteByte(')')
	}
	return b.String()
}

// Unwrap returns the broken rule.
func (e *Error) Unwrap() error { return e.Err }

// In puts the name of the surrounding object before that of err's object and
// returns err, so that every layer names its own part of the path once. Any other
// error, one that wraps an [*Error] among them, becomes the Found of an error about
// object at address a, with all of its text; of [Errors] each gets the name.
func In(object string, a Addr, err error) error {
	switch e := err.(type) {
	case nil:
		return nil
	case *Errors:
		named := &Errors{more: e.more}
		for _, err := range e.list {
			named.list = append(named.list, In(object, a, err))
		}
		return named
	case *Error:
		c := *e
		c.Object = object + ": " + e.Object
		return &c
	}
	return &Error{Object: object, Addr: a, Found: err.Error(), Err: err}
}
