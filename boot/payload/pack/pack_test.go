package pack_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/cavaliergopher/cpio"

	"ferry/boot"
	"ferry/boot/opened/openedtest"
	"ferry/boot/payload"
	"ferry/boot/payload/pack"
)

// bzImage is the smallest kernel that a 64-bit loader takes.
func bzImage(code string) []byte {
	b := make([]byte, 1024, 1024+len(code))
	le := binary.LittleEndian
	b[0x1f1] = 1
	le.PutUint16(b[0x1fe:], 0xaa55)
	b[0x201] = 0x6a
	copy(b[0x202:], "HdrS")
	le.PutUint16(b[0x206:], 0x20f)
	le.PutUint16(b[0x20e:], 0x100)
	b[0x211] = 1
	le.PutUint32(b[0x230:], 2<<20)
	b[0x234] = 1
	le.PutUint16(b[0x236:], 0x63)
	le.PutUint32(b[0x238:], 20)
	le.PutUint32(b[0x260:], 1<<20)
	copy(b[0x300:], "9.9.9 test\x00")
	return append(b, code...)
}

func write(t *testing.T, m payload.Manifest, kernel, initrd []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := pack.Write(&b, m, kernel, initrd); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatIsPackedIsOpened(t *testing.T) {
	cmdline := "console=ttyS0 x=\"\u00e4\""
	for _, initrdSize := range []int{0, 1, 4095, 4096, 70001} {
		kernel, initrd := bzImage(strings.Repeat("code", 3333)), bytes.Repeat([]byte{7}, initrdSize)
		b := write(t, payload.Manifest{Cmdline: &cmdline}, kernel, initrd)
		p, err := payload.Open(b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p.Kernel.Data, kernel) || !bytes.Equal(p.Initrd.Data, initrd) {
			t.Errorf("initrd of %d bytes: contents differ", initrdSize)
		}
		if p.Kernel.Offset%4096 != 0 || p.Initrd.Offset%4096 != 0 {
			t.Errorf("initrd of %d bytes: kernel at %#x, initrd at %#x: not on a page", initrdSize, p.Kernel.Offset, p.Initrd.Offset)
		}
		if m := p.Manifest; m.Version != payload.Version || *m.Cmdline != cmdline || m.Kernel.Release != "9.9.9 test" {
			t.Errorf("manifest %+v", m)
		}
	}
}

// A stage that knows nothing of expected sessions must not take a manifest that names them.
func TestExpectedSessionsAskForALaterVersion(t *testing.T) {
	for sessions, version := range map[uint64]int{0: payload.Version, 3: payload.VersionSessions} {
		p, err := payload.Open(write(t, payload.Manifest{ExpectSessions: sessions}, bzImage("code"), nil))
		if err != nil || p.Manifest.Version != version || p.Manifest.ExpectSessions != sessions {
			t.Errorf("%d sessions: %+v, %v; want version %d", sessions, p.Manifest, err, version)
		}
	}
}

// A stage that does not know the part would look for a bzImage.
func TestOpenedKernelIsPackedInPlaceOfTheOtherOrBeside(t *testing.T) {
	part := openedtest.Part()
	for _, kernel := range [][]byte{nil, bzImage("code")} {
		var b, signed bytes.Buffer
		if err := pack.WriteFiles(&b, payload.Manifest{ExpectSessions: 1}, pack.Files{Kernel: kernel, Opened: part, Initrd: []byte("initrd")}); err != nil {
			t.Fatal(err)
		}
		if err := pack.Sign(&signed, b.Bytes(), []byte("signature")); err != nil {
			t.Fatal(err)
		}
		for _, archive := range []*bytes.Buffer{&b, &signed} {
			p, err := payload.Open(archive.Bytes())
			if err == nil {
				err = p.Check()
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p.Kernel.Data, kernel) || !bytes.Equal(p.Opened.Data, part) || p.Opened.Offset%4096 != 0 || p.Manifest.Version != payload.VersionOpened {
				t.Errorf("kernel of %d bytes, opened of %d at %#x, version %d", len(p.Kernel.Data), len(p.Opened.Data), p.Opened.Offset, p.Manifest.Version)
			}
			if release := p.Manifest.Kernel.Release; release != map[bool]string{false: openedtest.Release, true: "9.9.9 test"}[kernel != nil] {
				t.Errorf("release %q", release)
			}
		}
	}
}

func TestOtherReadersOpenThePackage(t *testing.T) {
	r := cpio.NewReader(bytes.NewReader(write(t, payload.Manifest{}, bzImage("code"), []byte("initrd"))))
	var names []string
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	if got := strings.Join(names, " "); got != "manifest.json pad.kernel kernel pad.initrd initrd" {
		t.Error(got)
	}
}

func TestPackingIsReproducible(t *testing.T) {
	a, b := write(t, payload.Manifest{}, bzImage("code"), []byte("x")), write(t, payload.Manifest{}, bzImage("code"), []byte("x"))
	if !bytes.Equal(a, b) {
		t.Error("two archives of the same parts differ")
	}
}

func TestWriteRefuses(t *testing.T) {
	long := strings.Repeat("x", 21)
	for _, c := range []struct {
		name   string
		rule   error
		m      payload.Manifest
		kernel []byte
	}{
		{"no kernel", boot.ErrKernel, payload.Manifest{}, []byte("\x7fELF")},
		{"long command line", boot.ErrCmdline, payload.Manifest{Cmdline: &long}, bzImage("code")},
	} {
		var b bytes.Buffer
		back := pack.Files{Kernel: bzImage("x"), RollbackKernel: c.kernel}
		if err := pack.WriteFiles(&b, payload.Manifest{Rollback: &payload.Rollback{Cmdline: c.m.Cmdline}}, back); !errors.Is(err, c.rule) || b.Len() > 0 {
			t.Errorf("%s, as rollback kernel: %v, %d bytes written", c.name, err, b.Len())
		}
		if err := pack.Write(&b, c.m, c.kernel, nil); !errors.Is(err, c.rule) || b.Len() > 0 {
			t.Errorf("%s: %v, %d bytes written", c.name, err, b.Len())
		}
	}
	if err := pack.WriteFiles(io.Discard, payload.Manifest{}, pack.Files{Opened: openedtest.Part()[:8192]}); !errors.Is(err, boot.ErrKernel) {
		t.Errorf("a damaged opened kernel: %v", err)
	}
	line := strings.Repeat("x", 2048)
	if err := pack.WriteFiles(io.Discard, payload.Manifest{Cmdline: &line}, pack.Files{Opened: openedtest.Part()}); !errors.Is(err, boot.ErrCmdline) {
		t.Errorf("long command line of an opened kernel: %v", err)
	}
	if err := pack.Write(io.Discard, payload.Manifest{OnError: payload.OnErrorRollback}, bzImage("x"), nil); !errors.Is(err, payload.ErrManifest) {
		t.Errorf("rollback without a kernel: %v", err)
	}
	if err := pack.Write(failing{}, payload.Manifest{}, bzImage("code"), nil); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("failing writer: %v", err)
	}
}

// failing is a full disk.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestSignLeavesThePartsAsTheyAre(t *testing.T) {
	back := "back"
	kernel, initrd := bzImage("next"), bytes.Repeat([]byte{7}, 5000)
	var plain, signed, again bytes.Buffer
	files := pack.Files{Kernel: kernel, Initrd: initrd, RollbackKernel: bzImage("old"), RollbackInitrd: []byte("old initrd")}
	m := payload.Manifest{Serial: 3, OnError: payload.OnErrorRollback,
		Rollback: &payload.Rollback{Kernel: payload.KernelInfo{Generation: "E"}, Cmdline: &back}}
	if err := pack.WriteFiles(&plain, m, files); err != nil {
		t.Fatal(err)
	}
	if err := pack.Sign(&signed, plain.Bytes(), []byte("signature")); err != nil {
		t.Fatal(err)
	}
	before, err := payload.Open(plain.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	after, err := payload.Open(signed.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if string(after.Signature.Data) != "signature" || !bytes.Equal(before.Raw.Data, after.Raw.Data) {
		t.Errorf("signature %q, manifest %q", after.Signature.Data, after.Raw.Data)
	}
	for _, p := range []*payload.Payload{before, after} {
		if err := p.Check(); err != nil {
			t.Error(err)
		}
		for _, f := range []payload.File{p.Kernel, p.Initrd, p.RollbackKernel, p.RollbackInitrd} {
			if len(f.Data) == 0 || f.Offset%4096 != 0 {
				t.Errorf("%d bytes at offset %#x: not on a page", len(f.Data), f.Offset)
			}
		}
		if r := p.Manifest.Rollback; r.Kernel.Release != "9.9.9 test" || r.Kernel.Generation != "E" || *r.Cmdline != back || p.Manifest.Serial != 3 {
			t.Errorf("manifest %+v, rollback %+v", p.Manifest, r)
		}
	}
	if err := pack.Sign(&again, signed.Bytes(), []byte("another")); err != nil {
		t.Fatal(err)
	}
	if p, err := payload.Open(again.Bytes()); err != nil || string(p.Signature.Data) != "another" {
		t.Errorf("signed twice: %v", err)
	}
}

// An archive may carry what no stage knows: microcode, a note, a folder.
func TestSignKeepsMembersThatItDoesNotKnow(t *testing.T) {
	plain := write(t, payload.Manifest{}, bzImage("code"), []byte("initrd"))
	unknown := func(name string, mode cpio.FileMode, data string) []byte {
		var b bytes.Buffer
		w := cpio.NewWriter(&b)
		h := &cpio.Header{Name: name, Mode: mode, Inode: 77, Links: 1, Size: int64(len(data)), Uid: 5, Guid: 6}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	note := unknown("note.txt", cpio.TypeReg|0o600, "by hand")
	dir := unknown("kernel.d", cpio.TypeDir|0o755, "")
	pad := unknown("pad.note.txt", cpio.TypeReg|0o644, "x")
	archive := bytes.Join([][]byte{note, dir, pad, plain}, nil)
	for range 2 { // a second signature takes the place of the first
		var signed bytes.Buffer
		if err := pack.Sign(&signed, archive, []byte("signature")); err != nil {
			t.Fatal(err)
		}
		archive = signed.Bytes()
		for name, member := range map[string][]byte{"note.txt": note, "kernel.d": dir, "pad.note.txt": pad} {
			if bytes.Count(archive, member) != 1 {
				t.Errorf("%s is not there once, as it was", name)
			}
		}
		p, err := payload.Open(archive)
		if err == nil {
			err = p.Check()
		}
		if err != nil || string(p.Signature.Data) != "signature" || p.Kernel.Offset%4096 != 0 || p.Initrd.Offset%4096 != 0 {
			t.Errorf("%v: signature %q, kernel at %#x, initrd at %#x", err, p.Signature.Data, p.Kernel.Offset, p.Initrd.Offset)
		}
		var names []string
		r := cpio.NewReader(bytes.NewReader(archive))
		for {
			h, err := r.Next()
			if err != nil {
				break
			}
			names = append(names, h.Name)
		}
		want := "note.txt kernel.d pad.note.txt manifest.json manifest.json.minisig pad.kernel kernel pad.initrd initrd"
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// An initrd from a file gives the same archive as one from memory, of the size that was said before.
func TestAFileIsPackedLikeBytes(t *testing.T) {
	kernel := bzImage("code")
	for _, n := range []int{0, 1, 4095, 300_000} {
		initrd := bytes.Repeat([]byte("initrd."), n)
		var want, got bytes.Buffer
		if err := pack.Write(&want, payload.Manifest{Serial: 5}, kernel, initrd); err != nil {
			t.Fatal(err)
		}
		a, err := pack.New(payload.Manifest{Serial: 5}, pack.Files{Kernel: kernel, InitrdFile: io.NewSectionReader(bytes.NewReader(initrd), 0, int64(len(initrd)))})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			got.Reset()
			if n, err := a.WriteTo(&got); err != nil || uint64(n) != a.Size() || !bytes.Equal(got.Bytes(), want.Bytes()) {
				t.Errorf("%d bytes of %d, %v; want %d that are the same", n, a.Size(), err, want.Len())
			}
		}
		p, err := payload.Open(want.Bytes())
		if err != nil || !bytes.Equal(p.Raw.Data, a.Manifest()) {
			t.Errorf("manifest %q, %v", a.Manifest(), err)
		}
	}
}

// A file that ends before its size is an error.
func TestAFileThatIsCutShortIsRefused(t *testing.T) {
	short := io.NewSectionReader(bytes.NewReader(make([]byte, 100)), 0, 200)
	if _, err := pack.New(payload.Manifest{}, pack.Files{Kernel: bzImage("code"), InitrdFile: short}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}
