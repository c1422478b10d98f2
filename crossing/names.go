package crossing

import (
	"errors"
	"fmt"
	"math/bits"

	"ferry/luo"
	"ferry/memfd"
	"ferry/phys"
)

// ErrName is a name that nobody knows and that is one bit from a known one.
var ErrName = errors.New("damaged name")

// nearName refuses a name that is one flipped bit away from a known one: an unknown
// object is carried as it is, and what the next kernel looks for under its name would
// be lost silently. at is the address of the object.
func nearName(object string, at phys.Addr, name string, known ...string) error {
	for _, k := range known {
		if oneBit(name, k) {
			return &phys.Error{Object: object, Addr: at, Found: fmt.Sprintf("the name %s, one bit from %s", phys.Quote(name), phys.Quote(k)),
				Want: "a known name, or one unlike it", Hint: "memory is damaged", Err: ErrName}
		}
	}
	return nil
}

// nearHandler is nearName of a file's handler. It costs nothing if the name is
// unlike any: there may be half a million such files.
func nearHandler(known memfd.Table, f luo.File) error {
	for _, m := range known {
		if longer := len(f.Handler) - len(m.Handler()); longer < -1 || longer > 1 {
			continue
		}
		if oneBit(string(f.Handler), m.Handler()) {
			return nearName("handler", phys.Addr(f.Data), string(f.Handler), m.Handler())
		}
	}
	return nil
}

// oneBit reports whether a and b, each with zeros behind it, differ in one bit.
func oneBit(a, b string) bool {
	if len(a) < len(b) {
		a, b = b, a
	}
	if len(a) > len(b)+1 {
		return false
	}
	n := 0
	for i := range len(a) {
		c := byte(0)
		if i < len(b) {
			c = b[i]
		}
		n += bits.OnesCount8(a[i] ^ c)
	}
	return n == 1
}
