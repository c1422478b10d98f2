package boot_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/boot"
	"ferry/boot/cmdline"
	"ferry/phys"
)

// Each row of the command line, and the RAM that it adds. The board has the same rows.
func TestRAMOfTheCommandLine(t *testing.T) {
	const gib = 1 << 30
	four := []phys.Range{{Start: 4 * gib, End: 5 * gib}}
	for _, tt := range []struct {
		line string
		want []phys.Range
	}{
		{"", nil},
		{"memmap=1G@4G", four},
		{"quiet memmap=0x40000000@0x100000000 root=/dev/vda", four},
		{"ferry.ram=1G@4G", four},
		{"memmap=1G@4G,64M@8G memmap=16M$0x7000000", []phys.Range{{Start: 4 * gib, End: 5 * gib}, {Start: 8 * gib, End: 8*gib + 64<<20}}},
		{"memmap=16M$4G,1G@4G", four},
		{"memmap=1G", nil},
		{"memmap=exactmap", nil},
		{"memmap=1G#4G memmap=1G!4G memmap=1G%4G-1+2 memmap=@4G memmap=1G@ memmap=0@4G", nil},
		{"xmemmap=1G@4G memmaps=1G@4G mem=1G@4G", nil},
		{`x="a memmap=1G@4G"`, nil},
		{"-- memmap=1G@4G", nil},
		{`"--" memmap=1G@4G`, nil},
		{`memmap="1G@4G"`, four},
		{"memmap=1Gx@4G", nil},
		{"memmap=1G@0xfffffffffffff000 memmap=1G@4194304G", nil},
	} {
		if d := cmp.Diff(tt.want, boot.AddedRAM(tt.line)); d != "" {
			t.Errorf("%q (-want +got):\n%s", tt.line, d)
		}
		m := newMachine(t)
		m.cmdline(cmdlineAt, tt.line)
		p := m.read()
		for _, r := range tt.want {
			if !p.E820.RAM().Contains(r) {
				t.Errorf("%q: %v is not in the map that was read", tt.line, r)
			}
		}
	}
}

// What the map calls something else is no RAM, as in Linux.
func TestReservedMemoryStaysReserved(t *testing.T) {
	m := newMachine(t)
	m.page[0x1e8] = 0
	m.e820(0x1000, 0x9000, 1)
	m.e820(0x2000_0000, 0x1000, 2)
	m.cmdline(cmdlineAt, "memmap=1M@0x1ff80000")
	want := phys.NewRanges(phys.Range{Start: 0x1000, End: 0xa000}, phys.Range{Start: 0x1ff8_0000, End: 0x2000_0000}, phys.Range{Start: 0x2000_1000, End: 0x2008_0000})
	if d := cmp.Diff(want, m.read().E820.RAM()); d != "" {
		t.Errorf("RAM (-want +got):\n%s", d)
	}
}

func TestRAMWordSaysWhatIsRead(t *testing.T) {
	want := phys.NewRanges(phys.Range{Start: 1 << 32, End: 5 << 30}, phys.Range{Start: 8 << 30, End: 8<<30 + 4096})
	word := boot.RAMWord(want)
	if got := phys.NewRanges(boot.AddedRAM(word)...); !cmp.Equal(want, got) {
		t.Errorf("%s: %v", word, got)
	}
	for value, want := range map[string]bool{"1G@4G": true, "1G@4G,": false, "1G": false, "": false, "1G@4G,x": false} {
		if cmdline.OnlyRAM(value) != want {
			t.Errorf("%q: RAM %v, want %v", value, !want, want)
		}
	}
}
