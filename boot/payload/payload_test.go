package payload_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/boot/payload"
	"ferry/phys/phystest"
)

// file is one entry of a hand-made archive.
type file struct {
	name string
	data string
	mode uint32
}

const regular = 0o100644

// newc writes an archive from the description of the format.
func newc(files ...file) []byte {
	var b bytes.Buffer
	pad := func() { b.Write(make([]byte, -b.Len()&3)) }
	for i, f := range append(files, file{"TRAILER!!!", "", 0}) {
		fmt.Fprintf(&b, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
			i, f.mode, 0, 0, 1, 0, len(f.data), 0, 0, 0, 0, len(f.name)+1, 0)
		b.WriteString(f.name + "\x00")
		pad()
		b.WriteString(f.data)
		pad()
	}
	return b.Bytes()
}

func TestOpenReturnsWindowsOnTheArchive(t *testing.T) {
	b := newc(
		file{".", "", 0o40755},
		file{"manifest.json", `{"version": 2, "from": "6.19.14", "cmdline": "quiet", "later": {"x": [1]}}`, regular},
		file{"README", "passed over", regular},
		file{"./kernel", "KERNEL", regular},
		file{"initrd", "INITRD7", regular},
	)
	b = append(b, make([]byte, 512)...) // as cpio fills its last block
	p, err := payload.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	if string(p.Kernel.Data) != "KERNEL" || string(p.Initrd.Data) != "INITRD7" {
		t.Errorf("kernel %q, initrd %q", p.Kernel.Data, p.Initrd.Data)
	}
	for _, f := range []payload.File{p.Kernel, p.Initrd} {
		if &b[f.Offset] != &f.Data[0] || cap(f.Data) != len(f.Data) {
			t.Errorf("%q is not the window at offset %#x", f.Data, f.Offset)
		}
	}
	if p.Manifest.Cmdline == nil || *p.Manifest.Cmdline != "quiet" || p.Manifest.From != "6.19.14" {
		t.Errorf("manifest %+v", p.Manifest)
	}
}

func TestOpenNeedsOnlyAKernel(t *testing.T) {
	for _, name := range []string{"kernel", "opened"} {
		p, err := payload.Open(newc(file{name, "K", regular}))
		if err != nil || len(p.Initrd.Data) != 0 || p.Manifest.Version != payload.Version || p.Manifest.Cmdline != nil {
			t.Errorf("%+v, %v", p, err)
		}
		if len(p.Kernel.Data)+len(p.Opened.Data) != 1 {
			t.Errorf("kernel %q, opened %q", p.Kernel.Data, p.Opened.Data)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	good := newc(file{"kernel", "KERNEL", regular})
	edit := func(off int, s string) []byte {
		b := bytes.Clone(good)
		copy(b[off:], s)
		return b
	}
	for _, c := range []struct {
		name, want string
		rule       error
		archive    []byte
	}{
		{"nothing", "cut short", payload.ErrArchive, nil},
		{"a compressed archive", "uncompressed cpio", payload.ErrArchive, edit(0, "\x1f\x8b\x08")},
		{"the old portable form", "uncompressed cpio", payload.ErrArchive, edit(0, "070707")},
		{"no trailer", "cut short", payload.ErrArchive, good[:124]},
		{"half a header", "cut short", payload.ErrArchive, good[:200]},
		{"no digits", "hexadecimal", payload.ErrArchive, edit(54, "0000000g")},
		{"a sign", "hexadecimal", payload.ErrArchive, edit(54, "-0000001")},
		{"file beyond the end", "cut short", payload.ErrArchive, edit(54, "FFFFFFFF")},
		{"name beyond the end", "name of", payload.ErrArchive, edit(94, "00000FFF")},
		{"name without bytes", "name of", payload.ErrArchive, edit(94, "00000000")},
		{"name of 4 GiB", "name of", payload.ErrArchive, edit(94, "FFFFFFFF")},
		{"no kernel", "no file named kernel or opened", payload.ErrArchive, newc(file{"initrd", "x", regular})},
		{"kernel is a folder", "not a regular file", payload.ErrArchive, newc(file{"kernel", "", 0o40755})},
		{"two kernels", "a second file", payload.ErrArchive, newc(file{"kernel", "a", regular}, file{"./kernel", "b", regular})},
		{"manifest is no JSON", "want '{'", payload.ErrManifest,
			newc(file{"kernel", "a", regular}, file{"manifest.json", "version=1", regular})},
		{"manifest of another version", "version 1", payload.ErrManifest,
			newc(file{"kernel", "a", regular}, file{"manifest.json", `{"version": 1}`, regular})},
		{"manifest of a later version", "version 5, this stage reads versions 2 to 4", payload.ErrManifest,
			newc(file{"kernel", "a", regular}, file{"manifest.json", `{"version": 5}`, regular})},
		{"sessions that are no number", "a number from 0", payload.ErrManifest,
			newc(file{"kernel", "a", regular}, file{"manifest.json", `{"version": 3, "expect_sessions": -1}`, regular})},
		{"manifest without version", "version 0", payload.ErrManifest,
			newc(file{"kernel", "a", regular}, file{"manifest.json", `{}`, regular})},
		{"policy that is none", "rollback, pass, cold, halt", payload.ErrManifest,
			newc(file{"kernel", "a", regular}, file{"manifest.json", `{"version": 2, "on_error": "retry"}`, regular})},
		{"rollback to nothing", "without a rollback kernel", payload.ErrManifest,
			newc(file{"kernel", "a", regular}, file{"manifest.json", `{"version": 2, "on_error": "rollback"}`, regular})},
		{"rollback kernel is missing", "no file named rollback.kernel", payload.ErrManifest,
			newc(file{"kernel", "a", regular}, file{"manifest.json", `{"version": 2, "rollback": {}}`, regular})},
		{"two signatures", "a second file", payload.ErrArchive,
			newc(file{"manifest.json.minisig", "a", regular}, file{"manifest.json.minisig", "b", regular}, file{"kernel", "a", regular})},
		{"manifest too large", "at most", payload.ErrManifest,
			newc(file{"kernel", "a", regular}, file{"manifest.json", strings.Repeat(" ", 70000) + `{"version": 2}`, regular})},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := payload.Open(c.archive)
			if !errors.Is(err, c.rule) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// FuzzOpen: what is returned lies in the archive at the offset given.
func FuzzOpen(f *testing.F) {
	f.Add(newc(file{"manifest.json", `{"version": 2}`, regular}, file{"kernel", "KERNEL", regular}, file{"initrd", "x", regular}))
	f.Add(newc(file{"kernel", "", regular}))
	f.Add(newc(file{"opened", "K", regular}, file{"kernel", "KERNEL", regular}))
	f.Add(newc(slices.Repeat([]file{{strings.Repeat("n", 4000), "", regular}}, 1000)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		phystest.Bounded(t, 16<<10+16*(64<<10), func() { payload.Open(b) }) // for the largest manifest
		p, err := payload.Open(b)
		if err != nil {
			if !errors.Is(err, payload.ErrArchive) && !errors.Is(err, payload.ErrManifest) {
				t.Errorf("error without a rule: %v", err)
			}
			return
		}
		for _, file := range []payload.File{p.Kernel, p.Opened, p.Initrd} {
			if n := len(file.Data); n > 0 && &b[file.Offset] != &file.Data[0] {
				t.Errorf("%d bytes are not those at offset %#x", n, file.Offset)
			}
		}
	})
}

func TestManifestKeepsWhatItKnows(t *testing.T) {
	m, err := payload.ParseManifest([]byte(`{"version":2,"kernel":{"release":"7.3.4","generation":"F","new":1},"from":"C"}`))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(payload.Manifest{Version: 2, Kernel: payload.KernelInfo{Release: "7.3.4", Generation: "F"}, From: "C"}, m); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
