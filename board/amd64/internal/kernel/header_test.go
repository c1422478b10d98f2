//go:build !metal

package kernel

import (
	"testing"

	"ferry/linker"
)

// TestHeaderPageIsTheLinkers: what the linker writes into the header page is what the
// board reads there.
func TestHeaderPageIsTheLinkers(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want uint64
	}{
		{"magic number", imageMagic, linker.Magic},
		{"parameters", paramBase, linker.ParamsOffset + 8},
		{"most segments", maxSegments, linker.MaxSegments},
		{"tail", tailSize, linker.TailSize},
		{"trust area", TrustOffset, linker.TrustOffset},
		{"size of the trust area", TrustSize, linker.TrustSize},
		{"executable", SegmentExec, linker.FlagExec},
		{"writable", SegmentWrite, linker.FlagWrite},
		{"readable", SegmentRead, linker.FlagRead},
	} {
		if c.got != c.want {
			t.Errorf("%s: %#x, the linker has %#x", c.name, c.got, c.want)
		}
	}
	if maxSegments&(maxSegments-1) != 0 {
		t.Error("the board takes segment numbers modulo a power of two")
	}
}
