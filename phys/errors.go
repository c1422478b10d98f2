package phys

import (
	"slices"
	"strconv"
	"strings"
)

// Limits of [Errors]. A report has room for so many, and who damages a handover must
// not decide how much memory it takes.
const (
	MaxErrors = 16 // that are kept; more are counted

	// enough is how many errors a reader looks for. It leaves room to say that the
	// reader stopped, and for the errors of another.
	enough = MaxErrors - 2
)

// Errors are what several objects have wrong, found by a reader that goes on as far
// as it can. The zero value is none. As an error it is a pointer, and its text is one
// line.
type Errors struct {
	list []error
	more int
}

// Add keeps err, and of [Errors] each one. Nil is none.
func (e *Errors) Add(err error) {
	switch all, many := err.(*Errors); {
	case err == nil:
	case many:
		for _, err := range slices.Clone(all.list) {
			e.Add(err)
		}
		e.more += all.more
	case len(e.list) < MaxErrors:
		e.list = append(e.list, err)
	default:
		e.more++
	}
}

// Full reports whether there are so many that looking for more is of no use.
func (e *Errors) Full() bool { return len(e.list) >= enough }

// All returns the errors that were kept. The caller must not change the slice.
func (e *Errors) All() []error { return e.list }

// More returns how many errors were not kept.
func (e *Errors) More() int { return e.more }

// Rest says how many errors were not kept.
func (e *Errors) Rest() string { return strconv.Itoa(e.more) + " more findings" }

// Err returns the errors as one: nil if there are none, and a single one as it is.
func (e *Errors) Err() error {
	switch {
	case len(e.list) == 0:
		return nil
	case len(e.list) == 1 && e.more == 0:
		return e.list[0]
	}
	return e
}

// Error joins the texts.
func (e *Errors) Error() string { return strings.Join(e.Lines(), "; ") }

// Lines describes each error, and says how many more there were.
func (e *Errors) Lines() []string {
	var all []string
	for _, err := range e.list {
		all = append(all, err.Error())
	}
	if e.more > 0 {
		all = append(all, e.Rest())
	}
	return all
}

// Unwrap returns the errors, for errors.Is and errors.As.
func (e *Errors) Unwrap() []error { return e.list }
