// Package pack writes the archives that package payload reads. It belongs to the
// host tool and is not linked into the stage.
package pack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/cavaliergopher/cpio"

	"ferry/boot"
	"ferry/boot/payload"
	"ferry/phys"
)

// Write writes an archive with the manifest and the kernel, and with the initrd
// unless it is empty. Kernel and initrd start on a page of the archive, so that
// an archive that was loaded to a page needs no copy of its initrd. The bytes
// written depend on nothing but the arguments. A kernel that cannot be started
// is refused with an error wrapping [boot.ErrKernel].
//
// Where the manifest does not name the kernel's release, the kernel's own is
// written.
func Write(w io.Writer, m payload.Manifest, kernel, initrd []byte) error {
	k, err := boot.ParseKernel(kernel)
	if err != nil {
		return err
	}
	m.Version = payload.Version
	if m.Kernel.Release == "" {
		m.Kernel.Release = k.Release
	}
	if m.Cmdline != nil && uint64(len(*m.Cmdline)) > k.CmdlineMax {
		return fmt.Errorf("%w: %d bytes, the kernel takes %d", boot.ErrCmdline, len(*m.Cmdline), k.CmdlineMax)
	}
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("pack: manifest: %w", err)
	}
	a := &archive{counter: counter{w: w}}
	a.cpio = cpio.NewWriter(&a.counter)
	a.add(payload.ManifestName, append(manifest, '\n'))
	a.addOnPage(payload.KernelName, kernel)
	if len(initrd) > 0 {
		a.addOnPage(payload.InitrdName, initrd)
	}
	if a.err == nil {
		a.err = a.cpio.Close()
	}
	if a.err != nil {
		return fmt.Errorf("pack: %w", a.err)
	}
	return nil
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

// headerSize is the room that header and name take in a newc archive.
func headerSize(name string) int64 { return (110 + int64(len(name)) + 1 + 3) &^ 3 }

// addOnPage appends a file whose data starts on a page of the archive, after a
// file of zeros that fills the gap.
func (a *archive) addOnPage(name string, data []byte) {
	filler := "pad." + name
	start := a.counter.n + headerSize(filler) + headerSize(name)
	gap := -start & (phys.PageSize - 1)
	a.add(filler, make([]byte, gap))
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
