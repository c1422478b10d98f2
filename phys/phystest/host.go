//go:build linux && !metal

package phystest

import (
	"testing"

	"ferry/phys"
)

// OnMetal reports whether the test runs on the machine's own RAM.
const OnMetal = false

// New returns zeroed RAM at the given ranges, each a multiple of the page size:
// the machine's own at exactly these addresses on metal, a [Sparse] elsewhere.
func New(t testing.TB, ram ...phys.Range) phys.Memory { return NewSparse(t, ram...) }
