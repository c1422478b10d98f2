package main

import (
	"bytes"
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ferry/boot"
	"ferry/boot/opened/openedtest"
	"ferry/boot/payload"
	"ferry/phys"
)

// real returns an image with a kernel that can be opened, changed by the edits.
func real(edits ...func([]byte)) []byte { return openedtest.BzImage(openedtest.ELF(), edits...) }

// packedAs packs a kernel and returns the payload and what ferry pack said.
func packedAs(t *testing.T, c packCmd, kernel []byte) (name, said string, p *payload.Payload) {
	t.Helper()
	c.Kernel, c.Output = put(t, "k", kernel), filepath.Join(t.TempDir(), "payload")
	var out strings.Builder
	if err := c.pack(&out); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(c.Output)
	if err == nil {
		p, err = payload.Open(b)
	}
	if err == nil {
		err = p.Check()
	}
	if err != nil {
		t.Fatal(err)
	}
	return c.Output, out.String(), p
}

func TestPackOpensWhatCanBeAndSaysWhatItDid(t *testing.T) {
	plain, huge := "quiet", "hugepagesz=1G quiet"
	endless := openedtest.ELF() // its table of 13 words
	binary.LittleEndian.PutUint32(endless[len(endless)-4*13:], 0x81000000)
	for _, tt := range []struct {
		name   string
		c      packCmd
		kernel []byte
		parts  []string
		says   string
	}{
		{"in place of the bzImage", packCmd{}, real(), []string{"opened"}, "opened: 33 KiB in place of 27 KiB (none), 11 relocations\n"},
		{"with a command line", packCmd{Cmdline: &plain}, real(), []string{"opened"}, "opened: "},
		{"beside it", packCmd{Form: formFlags{WithCompressed: true}}, real(), []string{"kernel", "opened"}, "opened: 33 KiB in place of 27 KiB (none), 11 relocations; and as it is\n"},
		{"told not to", packCmd{Form: formFlags{KeepCompressed: true}}, real(), []string{"kernel"}, "as it is, compressed: --keep-compressed\n"},
		{"not relocatable", packCmd{}, real(func(b []byte) { b[0x234] = 0 }), []string{"kernel"}, "as it is, compressed: it is not relocatable\n"},
		{"a word for the decompressor", packCmd{Cmdline: &huge}, real(), []string{"kernel"}, "as it is, compressed: hugepagesz=1G on its command line is for its decompressor\n"},
		{"nothing in it", packCmd{Generation: "F"}, bzImage(formats("")), []string{"kernel"}, "as it is, compressed: vmlinux: no compressed kernel in the image"},
		{"relocations without end", packCmd{Form: formFlags{WithCompressed: true}}, openedtest.BzImage(endless), []string{"kernel"},
			"as it is, compressed: its list of 64-bit relocations has no end\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, said, p := packedAs(t, tt.c, tt.kernel)
			if got := slices.Sorted(maps.Keys(p.Manifest.Parts)); !slices.Equal(got, tt.parts) {
				t.Errorf("parts %q, want %q", got, tt.parts)
			}
			if !strings.Contains(said, "next kernel is packed            "+tt.says) {
				t.Errorf("output does not say %q:\n%s", tt.says, said)
			}
			if want := map[bool]int{false: payload.Version, true: payload.VersionOpened}[slices.Contains(tt.parts, "opened")]; p.Manifest.Version != want {
				t.Errorf("manifest of version %d, want %d", p.Manifest.Version, want)
			}
			if len(p.Kernel.Data) > 0 && !bytes.Equal(p.Kernel.Data, tt.kernel) {
				t.Error("the bzImage is not what was packed")
			}
			if r := p.Manifest.Kernel.Release; r != "7.3.4" && tt.c.Generation == "" {
				t.Errorf("release %q", r)
			}
		})
	}
}

// The kernel to go back to is copied on each crossing and seldom runs.
func TestRollbackKernelStaysABzImage(t *testing.T) {
	_, _, p := packedAs(t, packCmd{Rollback: rollbackFlags{Kernel: put(t, "b", real())}}, real())
	if got := slices.Sorted(maps.Keys(p.Manifest.Parts)); !slices.Equal(got, []string{"opened", "rollback.kernel"}) {
		t.Errorf("parts %q", got)
	}
}

func TestRoomIsForTheKernelAsItIsPacked(t *testing.T) {
	_, said, _ := packedAs(t, packCmd{}, real())
	if !strings.Contains(said, "next kernel                      6 MiB\n") {
		t.Errorf("opened, the kernel takes 6 MiB:\n%s", said)
	}
	_, said, _ = packedAs(t, packCmd{Form: formFlags{WithCompressed: true}}, real())
	if !strings.Contains(said, "next kernel                      7 MiB\n") {
		t.Errorf("with its bzImage it may take 7 MiB:\n%s", said)
	}
	c := packCmd{Kernel: put(t, "k", real()), Output: filepath.Join(t.TempDir(), "payload"), Room: 70}
	if err := c.pack(&strings.Builder{}); err == nil || !strings.Contains(err.Error(), "next kernel of 6 MiB") {
		t.Errorf("no room: %v", err)
	}
}

// An opened kernel goes to a multiple of 2 MiB of what its zero page and initrd leave.
func TestOpenedKernelIsPlacedTheLast(t *testing.T) {
	kernel, err := boot.ParseOpened(openedtest.Part())
	if err != nil {
		t.Fatal(err)
	}
	stage := &boot.Kernel{InitSize: 64 * mib, Alignment: 2 * mib, PrefAddress: 16 * mib}
	area := phys.Range{Start: 0x20000000, End: 0x20000000 + 128*mib}
	off := payload.File{Data: make([]byte, 20*mib), Offset: 4100} // not on a page
	places, err := placeAll([]phys.Range{area}, stage, kernel, 24*mib, 0, off)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range places {
		names = append(names, p.What)
	}
	if got, want := strings.Join(names[5:], ", "), "copy of its initrd, its zero page and command line, next kernel"; got != want {
		t.Errorf("placed in the order %q, want %q", got, want)
	}
	last := places[len(places)-1]
	if !last.at.Start.Aligned(2*mib) || last.at.Size() != openedtest.Memory || !last.Chance {
		t.Errorf("kernel at %v: %+v", last.at, last.Need)
	}
}

func TestLoadKnowsWhetherTheKernelIsEnteredOpened(t *testing.T) {
	both := packCmd{Form: formFlags{WithCompressed: true}}
	five := "processor\t: 0\nflags\t\t: fpu lm\naddress sizes\t: 52 bits physical, 57 bits virtual\n"
	for _, tt := range []struct {
		name, words string
		pack        packCmd
		cpuinfo     string
		force       bool
		refuses     string
		says        string
	}{
		{"it is", "", packCmd{}, "", false, "", "6 MiB, anywhere, for example at [0x"},
		{"it is, with nokaslr", "nokaslr", packCmd{}, "", false, "", "6 MiB, anywhere"},
		{"limited memory", "mem=5G", packCmd{}, "", false, "the next kernel cannot be started: boot: the opened kernel is not to be entered here: mem=5G on its command line", ""},
		{"limited memory, forced", "mem=5G", packCmd{}, "", true, "", "FORCED"},
		{"limited memory, with the bzImage", "mem=5G", both, "", false, "", "the next kernel decompresses itself: boot: the opened kernel"},
		{"it wants five levels", "", packCmd{}, five, false, "its decompressor would turn on 5", ""},
		{"it wants five levels, with the bzImage", "", both, five, false, "", "its decompressor would turn on 5"},
		{"it is told not to want them", "no5lvl", packCmd{}, five, false, "", "6 MiB, anywhere"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.pack.Rollback = rollbackFlags{Kernel: put(t, "b", real())}
			name, _, _ := packedAs(t, tt.pack, real())
			root := live()
			if tt.cpuinfo != "" {
				root["proc/cpuinfo"].Data = []byte(tt.cpuinfo)
			}
			c := loadCmd{Stage: put(t, "s", stageImage(func(b []byte) { binary.LittleEndian.PutUint32(b[0x238:], 4095) })), Payload: name, Append: tt.words, Force: tt.force}
			h := host{root}
			ready, err := c.checkOpened(h)
			if (err == nil) != (tt.refuses == "") || err != nil && !strings.Contains(err.Error(), tt.refuses) {
				t.Fatalf("%v, want %q", err, tt.refuses)
			}
			if err != nil {
				return
			}
			var out strings.Builder
			ready.print(&out, h)
			if !strings.Contains(out.String(), tt.says) {
				t.Errorf("output does not say %q:\n%s", tt.says, out.String())
			}
		})
	}
}
