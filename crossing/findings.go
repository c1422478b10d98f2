package crossing

import (
	"fmt"
	"strings"

	"ferry/phys"
)

// maxFindings bounds how many findings are kept; the others are counted.
const maxFindings = 16

// findings is what an audit of a handover found wrong.
type findings struct {
	list []error
	more int
}

// add keeps a finding, each of several; nil is none.
func (f *findings) add(err error) {
	if all, ok := err.(phys.Errors); ok {
		for _, err := range all {
			f.add(err)
		}
		return
	}
	switch {
	case err == nil:
	case len(f.list) < maxFindings:
		f.list = append(f.list, err)
	default:
		f.more++
	}
}

// join adds the findings of g.
func (f *findings) join(g findings) {
	for _, err := range g.list {
		f.add(err)
	}
	f.more += g.more
}

// err returns the findings as one error, nil if there is none.
func (f *findings) err() error {
	if len(f.list) == 0 {
		return nil
	}
	return f
}

// Error names all findings on one line.
func (f *findings) Error() string { return strings.Join(f.lines(), "; ") }

// Unwrap returns the findings, for errors.Is and errors.As.
func (f *findings) Unwrap() []error { return f.list }

// lines describes one finding a line.
func (f *findings) lines() []string {
	var all []string
	for _, err := range f.list {
		all = append(all, err.Error())
	}
	if f.more > 0 {
		all = append(all, f.counted())
	}
	return all
}

// counted says how many findings are not kept.
func (f *findings) counted() string { return fmt.Sprintf("%d findings more", f.more) }
