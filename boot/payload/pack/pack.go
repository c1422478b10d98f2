// Package pack writes the archives that package payload reads. It belongs to the
// host tool and is not linked into the stage.
package pack

import (
	"bytes"
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
type Files struct {
	Kernel, Opened, Initrd         []byte
	RollbackKernel, RollbackInitrd []byte
}

// Write is [WriteFiles] for a kernel and its initrd.
func Write(w io.Writer, m payload.Manifest, kernel, initrd []byte) error {
	return WriteFiles(w, m, Files{Kernel: kernel, Initrd: initrd})
}

// WriteFiles writes an archive with the manifest and the files that are not
// empty. Kernels and initrds start on a page of the archive, so that an archive
// that was loaded to a page needs no copy of its initrd. The bytes written depend
// on nothing but the arguments. A kernel that cannot be started is refused with
// an error wrapping [boot.ErrKernel].
//
// The version and the list of parts are filled in, and the releases of the kernels if
// the manifest does not name them.
func WriteFiles(w io.Writer, m payload.Manifest, f Files) error {
	m.Version = payload.Version
	if m.ExpectSessions > 0 {
		m.Version = payload.VersionSessions
	}
	if len(f.Opened) > 0 {
		m.Version = payload.VersionOpened
	}
	m.Parts = map[string]payload.Part{}
	for _, p := range f.parts() {
		if len(p.data) > 0 {
			m.Parts[p.name] = payload.NewPart(p.data)
		}
	}
	if len(f.Kernel) > 0 || len(f.Opened) == 0 {
		k, err := boot.ParseKernel(f.Kernel)
		if err := describe(&m.Kernel, k, err, m.Cmdline); err != nil {
			return err
		}
	}
	if len(f.Opened) > 0 {
		k, err := boot.ParseOpened(f.Opened)
		if err := describe(&m.Kernel, k, err, m.Cmdline); err != nil {
			return err
		}
	}
	if len(f.RollbackKernel) > 0 {
		back := payload.Rollback{}
		if m.Rollback != nil {
			back = *m.Rollback
		}
		k, err := boot.ParseKernel(f.RollbackKernel)
		if err := describe(&back.Kernel, k, err, back.Cmdline); err != nil {
			return fmt.Errorf("rollback kernel: %w", err)
		}
		m.Rollback = &back
	}
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("pack: manifest: %w", err)
	}
	manifest = append(manifest, '\n')
	// What the stage would refuse is not written.
	if _, err := payload.ParseManifest(manifest); err != nil {
		return err
	}
	return write(w, manifest, f)
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
			a.addOnPage(name, m.Data)
		default:
			a.addRaw(m.Raw)
		}
	}
	return a.close()
}

// part is a file by its name in the archive.
type part struct {
	name string
	data []byte
}

func (f Files) parts() []part {
	return []part{
		{payload.KernelName, f.Kernel}, {payload.OpenedName, f.Opened}, {payload.InitrdName, f.Initrd},
		{payload.RollbackKernelName, f.RollbackKernel}, {payload.RollbackInitrdName, f.RollbackInitrd},
	}
}

// write writes the archive.
func write(w io.Writer, manifest []byte, f Files) error {
	a := newArchive(w)
	a.add(payload.ManifestName, manifest)
	for _, p := range f.parts() {
		if len(p.data) > 0 {
			a.addOnPage(p.name, p.data)
		}
	}
	return a.close()
}

// maxFile is the largest file that the eight digits of newc can name.
const maxFile = 1<<32 - 1

// archive remembers the first error, so that a sequence of files reads as one.
type archive struct {
	counter counter
	cpio    *cpio.Writer
	inode   int64
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
	if a.err == nil && uint64(len(data)) > maxFile {
		a.err = fmt.Errorf("%s: %d bytes, a cpio archive takes at most %d", name, len(data), uint64(maxFile))
	}
	if a.err != nil {
		return
	}
	a.inode++
	h := &cpio.Header{Name: name, Inode: a.inode, Mode: cpio.TypeReg | 0o644, Links: 1, Size: int64(len(data))}
	if a.err = a.cpio.WriteHeader(h); a.err != nil {
		return
	}
	if _, a.err = io.Copy(a.cpio, bytes.NewReader(data)); a.err == nil {
		a.err = a.cpio.Flush()
	}
}

// filler begins the name of the file of zeros that fills the gap before a part.
const filler = "pad."

// headerSize is the room that header and name take in a newc archive.
func headerSize(name string) int64 { return (110 + int64(len(name)) + 1 + 3) &^ 3 }

// addOnPage appends a file whose data starts on a page of the archive, after a
// file of zeros that fills the gap.
func (a *archive) addOnPage(name string, data []byte) {
	start := a.counter.n + headerSize(filler+name) + headerSize(name)
	gap := -start & (phys.PageSize - 1)
	a.add(filler+name, make([]byte, gap))
	a.add(name, data)
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
