package crossing

import (
	"strings"

	"ferry/phys"
)

// Failure is one thing that went wrong. What found it returns it as an error, and from
// then on this record is all that is carried: the console, the stage's last page and the
// report are three writers of it.
type Failure struct {
	Step   string    // what was being done, as [Watch] calls it
	Object string    // path of the object, outermost first; empty: it is nothing in memory
	Addr   phys.Addr // of the object
	Found  string    // what memory held, or what happened
	Want   string    // what is expected instead; may be empty
	Hint   string    // what the operator can do; may be empty
	Trace  string    // lines of a stack, of a defect in Ferry itself
	Err    error     // the error that it was, for errors.Is
}

// failures returns an error as records: one, or one for each of several findings.
func failures(err error) []*Failure {
	switch e := err.(type) {
	case nil:
		return nil
	case *phys.Errors:
		var all []*Failure
		for _, err := range e.All() {
			all = append(all, failures(err)...)
		}
		if e.More() > 0 {
			all = append(all, &Failure{Found: e.Rest(), Err: e})
		}
		return all
	}
	f := &Failure{Err: err}
	switch e := err.(type) {
	case *phys.Error:
		f.Object, f.Addr, f.Found, f.Want, f.Hint = e.Object, e.Addr, e.Found, e.Want, e.Hint
		return []*Failure{f}
	case *defect:
		f.Trace = e.stack
	}
	f.Found = strings.ReplaceAll(err.Error(), "\n", "; ")
	return []*Failure{f}
}

// String describes the failure in one line.
func (f *Failure) String() string {
	if f.Object == "" {
		return f.Found
	}
	return (&phys.Error{Object: f.Object, Addr: f.Addr, Found: f.Found, Want: f.Want, Hint: f.Hint}).Error()
}
