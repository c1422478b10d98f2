//go:build !metal

package kernel

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/boot/protocol"
)

// Each row of the command line, and the RAM that it adds. Package boot has the same rows.
func TestRAMOfTheCommandLine(t *testing.T) {
	four := region820(4*gib, gib, protocol.E820RAM)
	for _, tt := range []struct {
		line string
		want []protocol.Region
	}{
		{"", nil},
		{"memmap=1G@4G", []protocol.Region{four}},
		{"quiet memmap=0x40000000@0x100000000 root=/dev/vda", []protocol.Region{four}},
		{"memmap=010000000000@040000000000", []protocol.Region{four}},
		{`"memmap=1048576k@4g" quiet`, []protocol.Region{four}},
		{"ferry.ram=1G@4G", []protocol.Region{four}},
		{"memmap=1G@4G,64M@8G memmap=16M$0x7000000", []protocol.Region{four, region820(8*gib, 64*mib, protocol.E820RAM)}},
		{"memmap=16M$4G,1G@4G", []protocol.Region{four}},
		{"memmap=1G", nil},
		{"memmap=exactmap", nil},
		{"memmap=1G#4G memmap=1G!4G memmap=1G%4G-1+2 memmap=@4G memmap=1G@ memmap=0@4G memmap=", nil},
		{"xmemmap=1G@4G memmaps=1G@4G mem=1G@4G", nil},
		{`x="a memmap=1G@4G"`, nil},
		{"-- memmap=1G@4G", nil},
		{`"--" memmap=1G@4G`, nil},
		{`memmap="1G@4G"`, []protocol.Region{four}},
		{"memmap=1Gx@4G", nil},
		{"--x memmap=1G@4G", []protocol.Region{four}},
		{"memmap=1G@0xfffffffffffff000 memmap=1G@4194304G memmap=99999999999999999999@4G memmap=16777216T@4G", nil},
	} {
		b := newBench(t, 64, 4, 1)
		b.cmdline.size = uint64(copy(b.cmdline.bytes[:], tt.line))
		b.readAddedRAM()
		got := append([]protocol.Region(nil), b.e820.Regions[:b.e820.Count]...)
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%q (-want +got):\n%s", tt.line, d)
		}
		for _, e := range tt.want {
			if pa, _ := b.maps(DirectMap + e.Addr); pa != e.Addr {
				t.Errorf("%q: %#x leads to %#x in the direct map", tt.line, e.Addr, pa)
			}
		}
	}
}

// A line that fills its place is read to its end and no further.
func TestTheLongestCommandLineIsReadToItsEnd(t *testing.T) {
	b := newBench(t, 64, 4, 1)
	for i := range b.cmdline.bytes {
		b.cmdline.bytes[i] = ' '
	}
	copy(b.cmdline.bytes[maxCmdline-12:], "memmap=1G@4G")
	b.cmdline.size = maxCmdline - 1
	b.readAddedRAM()
	if b.e820.Count != 1 || b.e820.Regions[0] != region820(4, gib, protocol.E820RAM) {
		t.Errorf("%d regions, the first %v", b.e820.Count, b.e820.Regions[0])
	}
}
