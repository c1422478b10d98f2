package memfd

import (
	"bytes"
	"fmt"
	"strings"

	"ferry/kho"
	"ferry/phys"
)

// family begins the handlers of all memfds, whatever their format.
const family = "memfd"

// unreleased says of handlers what is known of them. None was ever in a release,
// so none is read.
var unreleased = map[string]string{
	"memfd":               "the name in linux-next of 2026, with a header of feature bits, 128 bytes, before the structure",
	"memfd-v2;vmalloc-v1": "the layout of memfd-v2 with its component named, proposed in June 2026",
}

// Unknown is [Table.Unknown] of [Formats].
func Unknown(handler []byte) error { return table.Unknown(handler) }

// Unknown refuses the handler of memfds in a format that is not in t: what such a
// file's data names cannot be proved, nor brought to another kernel. It is nil for the
// handlers of t and for those of other kinds of file. The error wraps [ErrVersion] and
// says what is known of the handler; the caller adds where it was found.
func (t Table) Unknown(handler []byte) error {
	if !bytes.HasPrefix(handler, []byte(family)) {
		return nil // costs nothing: there may be half a million of them
	}
	s := string(handler)
	base, components := kho.ParseCompatible(s)
	version, ok := strings.CutPrefix(base, family+"-v")
	ok = ok && version != "" && strings.Trim(version, "0123456789") == ""
	if s != family && !ok || t.ByHandler(handler) != nil {
		return nil
	}
	known := unreleased[s]
	if known == "" && len(components) > 0 {
		known = base + " made of " + strings.Join(components, " and ") + ", which no release wrote"
	}
	if known != "" {
		known = ": " + s + " is " + known
	}
	var names []string
	for _, f := range t {
		names = append(names, f.handler)
	}
	return fmt.Errorf("memfd: handler %s%s, want %s (the kernel that wrote it is of another release than this image reads): %w",
		phys.Quote(s), known, strings.Join(names, " or "), ErrVersion)
}
