package main

import (
	"encoding/binary"
	"strings"
	"testing"

	"ferry/boot"
	"ferry/phys"
)

// bootParams is a zero page with a memory map.
func bootParams(entries ...[3]uint64) string {
	b := make([]byte, 4096)
	b[0x1e8] = byte(len(entries))
	for i, e := range entries {
		at := 0x2d0 + 20*i
		binary.LittleEndian.PutUint64(b[at:], e[0])
		binary.LittleEndian.PutUint64(b[at+8:], e[1])
		binary.LittleEndian.PutUint32(b[at+16:], uint32(e[2]))
	}
	return string(b)
}

// added is a host of 1 GiB, with 1 GiB more at 4 GiB that its firmware does not name, and scratch in the first one.
func added(more map[string]string) map[string]string {
	files := map[string]string{
		"proc/iomem": "00001000-0009fbff : System RAM\n00100000-3ffdffff : System RAM\n" +
			"  01000000-02000000 : Kernel code\n100000000-13fffffff : System RAM\n140000000-17fffffff : System RAM (kmem)\n",
		"sys/kernel/boot_params/data": bootParams([3]uint64{0, 0x9fc00, 1}, [3]uint64{0x9fc00, 0x400, 2}, [3]uint64{0x100000, 0x3fee0000, 1}),
	}
	for name, data := range more {
		files[name] = data
	}
	return files
}

var highScratch = map[string]string{"sys/kernel/debug/kho/out/scratch_phys": "0x38000000\n0x100000000\n", "sys/kernel/debug/kho/out/scratch_len": "0x4000000\n0x10000000\n"}

func TestStageIsToldOfRAMThatNoMapNames(t *testing.T) {
	const word = "ferry.ram=0x40000000@0x100000000"
	full := [][3]uint64{}
	for i := range uint64(128) {
		full = append(full, [3]uint64{i << 20, 1 << 20, 1 + i%2})
	}
	for _, tt := range []struct {
		name string
		trip trip
		line string // what the stage gets, in part; empty: no word of RAM
		says string // of the next kernel; empty: nothing
	}{
		{"a host whose map is whole", trip{}, "", ""},
		{"a host that shows no map", trip{host: added(map[string]string{"sys/kernel/boot_params/data": ""})}, "", ""},
		{"an ordinary user, who sees no addresses", trip{host: added(map[string]string{"proc/iomem": "00000000-00000000 : System RAM\n"})}, "", ""},
		{"memory added while it runs", trip{host: added(nil)}, " " + word, "1024 MiB of memory at [0x100000000-0x13fffffff] of which the next kernel is not told"},
		{"behind 128 entries", trip{host: added(map[string]string{"sys/kernel/boot_params/data": bootParams(full...),
			"proc/iomem": "00000000-000fffff : System RAM\n08000000-080fffff : System RAM\n"})}, " ferry.ram=0x100000@0x8000000", "1 MiB of memory at [0x8000000-0x80fffff]"},
		{"named by the line", trip{host: added(nil), load: loadCmd{Append: "memmap=1G@4G"}, pack: packCmd{Form: formFlags{WithCompressed: true}}}, "", ""},
		{"half of it named", trip{host: added(nil), load: loadCmd{Append: "memmap=512M@4G"}, pack: packCmd{Form: formFlags{WithCompressed: true}}},
			" ferry.ram=0x20000000@0x120000000", "512 MiB of memory at [0x120000000-0x13fffffff]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.trip.check(t)
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want one with %q", err, tt.says)
			}
			tt.trip.load.Force = true
			ready, err := tt.trip.check(t)
			if err != nil {
				t.Fatal(err)
			}
			if said := strings.Contains(ready.line, "ferry.ram="); said != (tt.line != "") || !strings.Contains(ready.line, tt.line) {
				t.Errorf("the stage gets %q", ready.line)
			}
			if got := boot.AddedRAM(ready.line); tt.line == " "+word && (len(got) != 1 || got[0] != (phys.Range{Start: 4 << 30, End: 5 << 30})) {
				t.Errorf("the stage reads %v", got)
			}
		})
	}
}

// What is advised is taken.
func TestTheAdviceOnMemoryIsGood(t *testing.T) {
	tr := trip{host: added(highScratch)}
	const word = "memmap=0x40000000@0x100000000"
	_, err := tr.check(t)
	if err == nil || !strings.Contains(err.Error(), "that way it dies without a word if something is preserved there (add "+word+" to its command line") {
		t.Fatal(err)
	}
	tr.pack.Form.WithCompressed, tr.load.Append = true, word
	if _, err := tr.check(t); err != nil {
		t.Errorf("as advised: %v", err)
	}
}
