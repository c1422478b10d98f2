// Package pack writes the archives that package payload reads. It belongs to the
// host tool and is not linked into the stage.
package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/cavaliergopher/cpio"

	"ferry/boot"
	"ferry/boot/payload"
	"ferry/phys"
)

// Files are the parts of an archive. All but the kernel may be empty, which is there
// as a bzImage, or opened, or both.
//
// An initrd that is large is better a file: InitrdFile and RollbackInitrdFile take the
// places of Initrd and RollbackInitrd if they are not nil. They are read twice, once
// for the digest, and must not change in between.
type Files struct {
	Kernel, Opened, Initrd         []byte
	RollbackKernel, RollbackInitrd []byte

	InitrdFile, RollbackInitrdFile *io.SectionReader
}

// Write is [WriteFiles] for a kernel and its initrd.
func Write(w io.Writer, m payload.Manifest, kernel, initrd []byte) error {
	return WriteFiles(w, m, Files{Kernel: kernel, Initrd: initrd})
}

// WriteFiles is [New] and [Archive.WriteTo].
func WriteFiles(w io.Writer, m payload.Manifest, f Files) error {
	a, err := New(m, f)
	if err == nil {
		_, err = a.WriteTo(w)
	}
	return err
}

// An Archive is one that can be written: its manifest is made, and its size is known.
type Archive struct {
	manifest []byte
	parts    []part
	size     int64 // bytes
}

// New makes the manifest of an archive of the files that are not empty, for which it
// reads all of them. Kernels and initrds start on a page of the archive, so that an
// archive that was loaded to a page needs no copy of its initrd. The bytes depend
// on nothing but the arguments. A kernel that cannot be started is refused with
// an error wrapping [boot.ErrKernel].
//
// The version and the list of parts are filled in, and the releases of the kernels if
// the manifest does not name them.
func New(m payload.Manifest, f Files) (*Archive, error) {
	m.Version = payload.Version
	if m.ExpectSessions > 0 {
		m.Version = payload.VersionSessions
	}
	if len(f.Opened) > 0 {
		m.Version = payload.VersionOpened
	}
	a := &Archive{}
	m.Parts = map[string]payload.Part{}
	for _, p := range f.parts() {
		if p.data.Size() == 0 {
			continue
		}
		digest, err := p.digest()
		if err != nil {
			return nil, fmt.Errorf("pack: %s: %w", p.name, err)
		}
		m.Parts[p.name] = digest
		a.parts = append(a.parts, p)
	}
	if len(f.Kernel) > 0 || len(f.Opened) == 0 {
		k, err := boot.ParseKernel(f.Kernel)
		if err := describe(&m.Kernel, k, err, m.Cmdline); err != nil {
			return nil, err
		}
	}
	if len(f.Opened) > 0 {
		k, err := boot.ParseOpened(f.Opened)
		if err := describe(&m.Kernel, k, err, m.Cmdline); err != nil {
			return nil, err
		}
	}
	if len(f.RollbackKernel) > 0 {
		back := payload.Rollback{}
		if m.Rollback != nil {
			back = *m.Rollback
		}
		k, err := boot.ParseKernel(f.RollbackKernel)
		if err := describe(&back.Kernel, k, err, back.Cmdline); err != nil {
			return nil, fmt.Errorf("rollback kernel: %w", err)
		}
		m.Rollback = &back
	}
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("pack: manifest: %w", err)
	}
	a.manifest = append(manifest, '\n')
	// What the stage would refuse is not written.
	if _, err := payload.ParseManifest(a.manifest); err != nil {
		return nil, err
	}
	a.size, err = a.write(io.Discard, func(p part) io.Reader { return io.LimitReader(zeros{}, p.data.Size()) })
	return a, err
}

// Manifest returns the manifest as it is in the archive.
func (a *Archive) Manifest() []byte { return a.manifest }

// Size returns the bytes of the archive.
func (a *Archive) Size() uint64 { return uint64(a.size) }

// WriteTo implements [io.WriterTo]. It may be called again.
func (a *Archive) WriteTo(w io.Writer) (int64, error) {
	return a.write(w, func(p part) io.Reader { return io.NewSectionReader(p.data, 0, p.data.Size()) })
}

// write writes the archive with the data of its parts from open, and returns its size.
func (a *Archive) write(w io.Writer, open func(part) io.Reader) (int64, error) {
	out := newArchive(w)
	out.add(payload.ManifestName, a.manifest)
	for _, p := range a.parts {
		out.addOnPage(p.name, open(p), p.data.Size())
	}
	err := out.close()
	return out.counter.n, err
}

// zeros reads as zeros without an end.
type zeros struct{}

// Read implements [io.Reader].
func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// describe checks a kernel that was parsed, and its command line, and fills in its
// release if none is given.
func describe(info *payload.KernelInfo, k *boot.Kernel, err error, cmdline *string) error {
	if err != nil {
		return err
	}
	if cmdline != nil && uint64(len(*cmdline)) > k.CmdlineMax {
		return fmt.Errorf("%w: %d bytes, the kernel takes %d", boot.ErrCmdline, len(*cmdline), k.CmdlineMax)
	}
	if info.Release == "" {
		info.Release = k.Release
	}
	return nil
}

// Sign writes an archive again, with a signature of its manifest, which it
// neither makes nor verifies. One that was there is replaced. All other members stay
// in their order, those that no stage knows byte for byte.
func Sign(w io.Writer, old, signature []byte) error {
	p, err := payload.Open(old)
	if err != nil {
		return err
	}
	if p.Raw.Offset == 0 {
		return fmt.Errorf("%w: there is none to sign", payload.ErrManifest)
	}
	parts := map[string]bool{}
	for _, part := range (Files{}).parts() {
		parts[part.name] = true
	}
	a := newArchive(w)
	for m, err := range payload.Members(old) {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(string(m.Name), "./")
		before, isFiller := strings.CutPrefix(name, filler)
		switch {
		case name == payload.ManifestName:
			a.add(name, m.Data)
			if len(signature) > 0 {
				a.add(payload.SignatureName, signature)
			}
		case name == payload.SignatureName, isFiller && parts[before]:
		case parts[name]:
			a.addOnPage(name, bytes.NewReader(m.Data), int64(len(m.Data)))
		default:
			a.addRaw(m.Raw)
		}
	}
	return a.close()
}

// part is a file by its name in the archive.
type part struct {
	name string
	data *io.SectionReader
}

// digest reads all of a part.
func (p part) digest() (payload.Part, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, io.NewSectionReader(p.data, 0, p.data.Size()))
	if err == nil && n != p.data.Size() {
		err = fmt.Errorf("%d bytes, want %d: %w", n, p.data.Size(), io.ErrUnexpectedEOF)
	}
	return payload.Part{Size: uint64(n), SHA256: hex.EncodeToString(sum.Sum(nil))}, err
}

func (f Files) parts() []part {
	bytesOf := func(data []byte) *io.SectionReader {
		return io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data)))
	}
	either := func(file *io.SectionReader, data []byte) *io.SectionReader {
		if file != nil {
			return file
		}
		return bytesOf(data)
	}
	return []part{
		{payload.KernelName, bytesOf(f.Kernel)}, {payload.OpenedName, bytesOf(f.Opened)}, {payload.InitrdName, either(f.InitrdFile, f.Initrd)},
		{payload.RollbackKernelName, bytesOf(f.RollbackKernel)}, {payload.RollbackInitrdName, either(f.RollbackInitrdFile, f.RollbackInitrd)},
	}
}

// maxFile is the largest file that the eight digits of newc can name.
const maxFile = 1<<32 - 1

// archive remembers the first error, so that a sequence of files reads as one.
type archive struct {
	counter counter
	cpio    *cpio.Writer
	inode   int64
	buffer  [256 << 10]byte
	err     error
}

func newArchive(w io.Writer) *archive {
	a := &archive{counter: counter{w: w}}
	a.cpio = cpio.NewWriter(&a.counter)
	return a
}

// close ends the archive and returns the first error.
func (a *archive) close() error {
	if a.err == nil {
		a.err = a.cpio.Close()
	}
	if a.err != nil {
		return fmt.Errorf("pack: %w", a.err)
	}
	return nil
}

// addRaw appends a member of another archive as it is.
func (a *archive) addRaw(raw []byte) {
	if a.err != nil {
		return
	}
	if _, a.err = a.counter.Write(raw); a.err == nil {
		_, a.err = a.counter.Write(make([]byte, -len(raw)&3)) // the last member may lack it
	}
}

// add appends a file.
func (a *archive) add(name string, data []byte) {
	a.addFrom(name, bytes.NewReader(data), int64(len(data)))
}

// addFrom appends a file of a size that r yields.
func (a *archive) addFrom(name string, r io.Reader, size int64) {
	if a.err == nil && size > maxFile {
		a.err = fmt.Errorf("%s: %d bytes, a cpio archive takes at most %d", name, size, uint64(maxFile))
	}
	if a.err != nil {
		return
	}
	a.inode++
	h := &cpio.Header{Name: name, Inode: a.inode, Mode: cpio.TypeReg | 0o644, Links: 1, Size: size}
	if a.err = a.cpio.WriteHeader(h); a.err != nil {
		return
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{a.cpio}, struct{ io.Reader }{r}, a.buffer[:])
	if a.err = err; err == nil && n != size {
		a.err = fmt.Errorf("%s: %d bytes, want %d: %w", name, n, size, io.ErrUnexpectedEOF)
	}
	if a.err == nil {
		a.err = a.cpio.Flush()
	}
}

// filler begins the name of the file of zeros that fills the gap before a part.
const filler = "pad."

// headerSize is the room that header and name take in a newc archive.
func headerSize(name string) int64 { return (110 + int64(len(name)) + 1 + 3) &^ 3 }

// addOnPage appends a file whose data starts on a page of the archive, after a
// file of zeros that fills the gap.
func (a *archive) addOnPage(name string, r io.Reader, size int64) {
	start := a.counter.n + headerSize(filler+name) + headerSize(name)
	gap := -start & (phys.PageSize - 1)
	a.add(filler+name, make([]byte, gap))
	a.addFrom(name, r, size)
}

// counter counts what was written.
type counter struct {
	w io.Writer
	n int64
}

// Write implements [io.Writer].
func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
