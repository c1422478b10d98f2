package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/boot"
	"ferry/boot/payload"
	"ferry/linker/header"
)

// formatsF are the strings of a kernel of Linux 7.3.
const formatsF = "\x7fELF\x00Linux version 7.3.4 (user@host)\x00kho-v4\x00luo-v5\x00memfd-v2\x00"

// bzImage returns the smallest image that can be started, with the strings of Linux 7.3, changed by the edits.
func bzImage(edits ...func(b []byte)) []byte {
	b := make([]byte, 5*512+4096)
	le := binary.LittleEndian
	b[0x1f1] = 4                     // setup sectors
	le.PutUint32(b[0x1f4:], 4096/16) // code
	le.PutUint16(b[0x1fe:], 0xaa55)
	b[0x201] = 0x6a
	copy(b[0x202:], "HdrS")
	le.PutUint16(b[0x206:], 0x20f)
	b[0x211] = 1
	le.PutUint32(b[0x230:], 2<<20)
	b[0x234] = 1
	le.PutUint16(b[0x236:], 0x23)
	le.PutUint32(b[0x238:], 2047)
	le.PutUint64(b[0x258:], 16<<20)
	le.PutUint32(b[0x260:], 8<<20)
	formats(formatsF)(b)
	for _, edit := range edits {
		edit(b)
	}
	return b
}

// formats gives an image an uncompressed kernel, or none.
func formats(kernel string) func([]byte) {
	return func(b []byte) {
		const offset = 0x400
		clear(b[5*512+offset:])
		copy(b[5*512+offset:], kernel)
		binary.LittleEndian.PutUint32(b[0x248:], offset)
		binary.LittleEndian.PutUint32(b[0x24c:], uint32(len(kernel)))
	}
}

// stageImage returns the smallest image that passes for a stage, changed by the edits.
func stageImage(edits ...func(b []byte)) []byte {
	const setup, code = 8 * 512, 8192
	b := make([]byte, setup+code)
	copy(b[:0x290], bzImage(initSize(64<<20)))
	le := binary.LittleEndian
	b[0x1f1] = setup/512 - 1
	le.PutUint32(b[0x1f4:], code/16)
	le.PutUint64(b[setup+header.Params:], header.Magic)
	for _, edit := range edits {
		edit(b)
	}
	return b
}

// initSize sets the memory that an image asks for, in bytes.
func initSize(n uint32) func([]byte) {
	return func(b []byte) { binary.LittleEndian.PutUint32(b[0x260:], n) }
}

func put(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPackWritesWhatTheStageReads(t *testing.T) {
	kernel, initrd := bzImage(), []byte("an initrd")
	line := "console=ttyS0"
	out := filepath.Join(t.TempDir(), "payload")
	c := packCmd{Kernel: put(t, "k", kernel), Initrd: put(t, "i", initrd), Output: out, Cmdline: &line, Room: 128, From: "6.17"}
	if err := c.pack(io.Discard); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	p, err := payload.Open(first)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.Kernel.Data, kernel) || !bytes.Equal(p.Initrd.Data, initrd) {
		t.Error("kernel or initrd differ from what was packed")
	}
	want := payload.Manifest{Version: payload.Version, Kernel: payload.KernelInfo{Release: "7.3.4", Generation: "F"}, From: "6.17",
		Cmdline: &line, OnError: payload.OnErrorHalt}
	want.Parts = map[string]payload.Part{"kernel": payload.NewPart(kernel), "initrd": payload.NewPart(initrd)}
	if d := cmp.Diff(want, p.Manifest); d != "" {
		t.Errorf("manifest (-want +got):\n%s", d)
	}
	if err := c.pack(io.Discard); err != nil {
		t.Fatal(err)
	}
	if second, err := os.ReadFile(out); err != nil || !bytes.Equal(first, second) {
		t.Errorf("a second payload of the same parts differs (%v)", err)
	}
}

func TestPackRefusesAndLeavesNothingBehind(t *testing.T) {
	long := strings.Repeat("x", 3000)
	tests := []struct {
		name   string
		kernel []byte
		room   uint64
		line   *string
		want   []string // in the error
	}{
		{"no bzImage", []byte(strings.Repeat("ELF", 1000)), 0, nil, []string{"no bzImage"}},
		{"empty file", nil, 0, nil, []string{"0 bytes"}},
		{"no 64-bit entry", bzImage(func(b []byte) { b[0x236] = 0x22 }), 0, nil, []string{"64-bit", "0x22"}},
		{"cut short", bzImage()[:5*512+4000], 0, nil, []string{"4000 bytes", "4096"}},
		{"larger than its init_size", append(bzImage(func(b []byte) { binary.LittleEndian.PutUint32(b[0x260:], 4096) }), 0), 0, nil,
			[]string{"4097 bytes", "init_size of 4096"}},
		{"no room", bzImage(), 70, nil, []string{"init_size 8 MiB", "70 MiB", "takes 76 MiB", "kho_scratch="}},
		{"long command line", bzImage(), 0, &long, []string{"3000 bytes", "2047"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			c := packCmd{Kernel: put(t, "k", tt.kernel), Initrd: put(t, "i", []byte("i")), Output: filepath.Join(dir, "payload"),
				Room: tt.room, Cmdline: tt.line}
			err := c.pack(io.Discard)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("%v is left behind", left)
			}
		})
	}
}

func TestPackWarnsOfWhatLooksWrongAnywhere(t *testing.T) {
	line := "root=UUID=1-2 kho=on"
	c := packCmd{Kernel: put(t, "k", bzImage()), Output: filepath.Join(t.TempDir(), "payload"), Cmdline: &line,
		Rollback: rollbackFlags{Kernel: put(t, "b", bzImage()), Initrd: put(t, "i", []byte("MZ"))}}
	var said strings.Builder
	if err := c.pack(&said); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"next kernel has root=UUID=1-2 and no initrd", "command line of the next kernel has no liveupdate=on",
		"initrd of the rollback kernel begins with 4d 5a"} {
		if !strings.Contains(said.String(), "warning                          the "+want) {
			t.Errorf("no warning that the %s:\n%s", want, said.String())
		}
	}
	if n := strings.Count(said.String(), "warning"); n != 3 {
		t.Errorf("%d warnings, want 3:\n%s", n, said.String())
	}
}

func TestPackCountsTheStageItIsGiven(t *testing.T) {
	c := packCmd{Kernel: put(t, "k", bzImage()), Output: filepath.Join(t.TempDir(), "payload")}
	for _, tt := range []struct{ name, stage, want, sum string }{
		{"default", "", "64 MiB", "76 MiB"},
		{"linked with more", put(t, "s", bzImage(initSize(192<<20))), "192 MiB", "204 MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			c.Stage = tt.stage
			if err := c.pack(&out); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"stage                            " + tt.want, "scratch that a crossing takes    " + tt.sum} {
				if !strings.Contains(out.String(), want+",") && !strings.Contains(out.String(), want+"\n") {
					t.Errorf("output does not say %q:\n%s", want, out.String())
				}
			}
		})
	}
	c.Stage = put(t, "s", bzImage(func(b []byte) { b[0x236] = 0x3 }))
	if err := c.pack(io.Discard); err == nil || !strings.Contains(err.Error(), "not a stage") {
		t.Errorf("error %v for a kernel that is no stage", err)
	}
}

// on is what the running kernel of [live] has on its command line, and the next one has to.
const on = "kho=on liveupdate=on "

// given is a command line as a flag, none for an empty one.
func given(cmdline string) *string {
	if cmdline == "" {
		return nil
	}
	return &cmdline
}

// What the stage would refuse, when the old kernel is gone, is refused before.
func TestLoadChecksWhatTheNextKernelTakes(t *testing.T) {
	four := func(b []byte) { b[0x236] = 0x3 }
	low := func(b []byte) { b[0x236] = 0x21 }
	stage := stageImage(func(b []byte) { binary.LittleEndian.PutUint32(b[0x238:], 4095) })
	line := func(n int) string { return on + strings.Repeat("x", n-len(on)) }
	short := on + "quiet"
	tests := []struct {
		name     string
		kernel   []byte
		cmdline  string
		manifest *string
		la57     bool
		want     string // in the error, empty for none
	}{
		{"longest command line", bzImage(), line(2047), nil, false, ""},
		{"command line too long", bzImage(), line(2048), nil, false, "2048 bytes, the kernel takes 2047"},
		{"only words for Ferry are too many", bzImage(), "ferry.mode=pass " + line(2047), nil, false, ""},
		{"the payload's command line counts", bzImage(), line(3000), &short, false, ""},
		{"four levels on four", bzImage(four), "", nil, false, ""},
		{"four levels on five", bzImage(four), "", nil, true, "XLF_5LEVEL"},
		{"five levels on five", bzImage(), "", nil, true, ""},
		{"only below 4 GiB, on a host with scratch there", bzImage(low), "", nil, false, ""},
		{"only below 4 GiB, too large", bzImage(low, initSize(1<<30)), "", nil, false, "next kernel of 1024 MiB below 0x100000000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "payload")
			if err := (&packCmd{Kernel: put(t, "k", tt.kernel), Output: out, Cmdline: tt.manifest}).pack(io.Discard); err != nil {
				t.Fatal(err)
			}
			root := live()
			if tt.la57 {
				root["proc/cpuinfo"].Data = []byte("flags\t\t: fpu la57 lm\n")
			}
			c := loadCmd{Stage: put(t, "s", stage), Payload: out, Cmdline: given(tt.cmdline)}
			_, err := c.checkOpened(host{root})
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestLoadChecksBothFilesAndTheHost(t *testing.T) {
	good := func() []byte {
		out := filepath.Join(t.TempDir(), "payload")
		c := packCmd{Kernel: put(t, "k", bzImage()), Initrd: put(t, "i", []byte("i")), Output: out}
		if err := c.pack(io.Discard); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}()
	tests := []struct {
		name           string
		stage, payload []byte
		cmdline        string
		want           string // in the error, empty for none
	}{
		{"all good", stageImage(), good, on + "console=ttyS0", ""},
		{"stage is no bzImage", good, good, "", "stage"},
		{"stage cannot start above 4 GiB", stageImage(func(b []byte) { b[0x236] = 0x21 }), good, "", "above 4 GiB: false"},
		{"stage cannot start with five levels", stageImage(func(b []byte) { b[0x236] = 0x3 }), good, "", "five page table levels: false"},
		{"payload is no archive", stageImage(), bzImage(), "", "payload"},
		{"payload is cut short", stageImage(), good[:5000], "", "cut short"},
		{"command line too long", stageImage(), good, strings.Repeat("x", 2017), "at most 2016"},
		{"longest command line", stageImage(), good, on + strings.Repeat("x", 2016-len(on)), ""},
		{"a mode that is none", stageImage(), good, "ferry.mode=cros", "ferry.mode=cross|pass"},
		{"a misspelled policy", stageImage(), good, "quiet ferry.on_error=halt", "want ferry.mode="},
		{"words of Ferry's", stageImage(), good, on + "quiet ferry.mode=pass ferry.on-error=halt", ""},
		{"words after --", stageImage(), good, on + "quiet -- ferry.mode=cros", ""},
		{"a kernel in the stage's place", bzImage(initSize(64 << 20)), good, "", "not a stage"},
		{"no room for the stage", stageImage(initSize(512 << 20)), good, "", "no room in scratch for the stage"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := loadCmd{Stage: put(t, "s", tt.stage), Payload: put(t, "p", tt.payload), Cmdline: given(tt.cmdline), AcceptHalt: true}
			ready, err := c.checkOpened(host{live()})
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want one with %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(ready.places) != len(needs(&boot.Kernel{}, &boot.Kernel{}, 0, leastPool, 0)) {
				t.Errorf("%d places for the parts", len(ready.places))
			}
		})
	}
}
