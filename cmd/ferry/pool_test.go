package main

import (
	"testing"
	"testing/fstest"

	"ferry/crossing"
)

func TestPoolFollowsWhatIsWrittenAnew(t *testing.T) {
	g := crossing.ByName
	for _, tt := range []struct {
		name, meminfo string
		from, to      *crossing.Generation
		mib           uint64
	}{
		{"nothing is known of the host", "", g("F"), g("F"), 4},
		{"equal formats", "MemTotal: 1073741824 kB\nShmem: 536870912 kB\n", g("F"), g("F"), 4},
		{"another map", "MemTotal: 1073741824 kB\nShmem: 0 kB\n", g("D"), g("E"), 68}, // 1 TiB: 8192 leaves of two orders
		{"another memfd", "MemTotal: 16777216 kB\nShmem: 8388608 kB\n", g("D"), g("E"), 36},
		{"nobody knows who hands over", "MemTotal: 16777216 kB\nShmem: 8388608 kB\n", nil, g("E"), 36},
		{"a file of rubbish", "MemTotal: x kB\nShmem\n\n", g("D"), g("E"), 4},
	} {
		h := host{root: fstest.MapFS{"proc/meminfo": {Data: []byte(tt.meminfo)}}}
		if got := h.pool(tt.from, tt.to); got != tt.mib*mib {
			t.Errorf("%s: %s, want %d MiB", tt.name, size(got), tt.mib)
		}
	}
}
