//go:build !metal

package kernel

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each row of the command line, and the RAM that it adds. Package boot has the same rows.
func TestRAMOfTheCommandLine(t *testing.T) {
	four := e820entry{4 * gib, gib, E820RAM}
	for _, tt := range []struct {
		line string
		want []e820entry
	}{
		{"", nil},
		{"memmap=1G@4G", []e820entry{four}},
		{"quiet memmap=0x40000000@0x100000000 root=/dev/vda", []e820entry{four}},
		{"memmap=010000000000@040000000000", []e820entry{four}},
		{`"memmap=1048576k@4g" quiet`, []e820entry{four}},
		{"ferry.ram=1G@4G", []e820entry{four}},
		{"memmap=1G@4G,64M@8G memmap=16M$0x7000000", []e820entry{four, {8 * gib, 64 * mib, E820RAM}}},
		{"memmap=16M$4G,1G@4G", []e820entry{four}},
		{"memmap=1G", nil},
		{"memmap=exactmap", nil},
		{"memmap=1G#4G memmap=1G!4G memmap=1G%4G-1+2 memmap=@4G memmap=1G@ memmap=0@4G memmap=", nil},
		{"xmemmap=1G@4G memmaps=1G@4G mem=1G@4G", nil},
		{`x="a memmap=1G@4G"`, nil},
		{"-- memmap=1G@4G", nil},
		{"--x memmap=1G@4G", []e820entry{four}},
		{"memmap=1G@0xfffffffffffff000 memmap=1G@4194304G memmap=99999999999999999999@4G memmap=16777216T@4G", nil},
	} {
		b := newBench(t, 64, 4, 1)
		b.cmdlineLen = uint64(copy(b.cmdline[:], tt.line))
		b.readAddedRAM()
		got := append([]e820entry(nil), b.e820[:b.regions]...)
		if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(e820entry{})); d != "" {
			t.Errorf("%q (-want +got):\n%s", tt.line, d)
		}
		for _, e := range tt.want {
			if pa, _ := b.maps(DirectMap + e.addr); pa != e.addr {
				t.Errorf("%q: %#x leads to %#x in the direct map", tt.line, e.addr, pa)
			}
		}
	}
}

// A line that fills its place is read to its end and no further.
func TestTheLongestCommandLineIsReadToItsEnd(t *testing.T) {
	b := newBench(t, 64, 4, 1)
	for i := range b.cmdline {
		b.cmdline[i] = ' '
	}
	copy(b.cmdline[maxCmdline-12:], "memmap=1G@4G")
	b.cmdlineLen = maxCmdline - 1
	b.readAddedRAM()
	if b.regions != 1 || b.e820[0] != (e820entry{4, gib, E820RAM}) {
		t.Errorf("%d regions, the first %v", b.regions, b.e820[0])
	}
}
