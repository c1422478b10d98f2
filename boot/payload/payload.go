// Package payload reads the archive that the stage is given in place of an
// initrd: the next kernel, its initrd, and a manifest that says how to start it.
//
// The archive is a cpio file of the "newc" form (Linux'
// Documentation/driver-api/early-userspace/buffer-format.rst), written by the
// host tool (package pack) or by any cpio command. It was loaded by the kernel
// before us and is untrusted: every length is checked against the archive, and
// files are windows on it, never copies.
//
//	manifest.json          optional, see [Manifest]
//	manifest.json.minisig  optional, its signature, see [Trust]
//	kernel                 a bzImage; may be missing if there is the next
//	opened                 optional, the same kernel, see package opened: started if it can be
//	initrd                 optional, handed on as it is
//	rollback.kernel        optional, the kernel to go back to after a failure
//	rollback.initrd        optional, its initrd
//
// Other names are skipped, so that an archive may carry more than a stage knows. Package pack starts kernels and initrds on a page of the archive.
//
// Nothing of an archive is proved by reading it. [Payload.Check] compares its
// files with the manifest, [Trust.Verify] proves who wrote that.
package payload

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"

	"ferry/phys"
)

// Reasons for which an archive is refused.
var (
	ErrArchive  = errors.New("payload: not an archive we can read")
	ErrManifest = errors.New("payload: manifest is not usable")
)

// Names of the files.
const (
	ManifestName       = "manifest.json"
	SignatureName      = "manifest.json.minisig"
	KernelName         = "kernel"
	OpenedName         = "opened"
	InitrdName         = "initrd"
	RollbackKernelName = "rollback.kernel"
	RollbackInitrdName = "rollback.initrd"
)

// File is one file of the archive.
type File struct {
	Data   []byte // window on the archive; empty if there is no such file
	Offset uint64 // of Data in the archive, in bytes
}

// Payload is what an archive holds.
type Payload struct {
	Kernel, Opened, Initrd         File
	RollbackKernel, RollbackInitrd File

	// Raw is the manifest as it is in the archive, and Signature the file that
	// signs it, both empty if there is none.
	Raw, Signature File
	Manifest       Manifest
}

// files returns where the files of the archive go, by their names.
func (p *Payload) files() map[string]*File {
	return map[string]*File{
		ManifestName: &p.Raw, SignatureName: &p.Signature,
		KernelName: &p.Kernel, OpenedName: &p.Opened, InitrdName: &p.Initrd,
		RollbackKernelName: &p.RollbackKernel, RollbackInitrdName: &p.RollbackInitrd,
	}
}

// Open reads the archive up to its trailer. The kernel must be there in one form or
// both, and the rollback kernel if the manifest names one; the rest may be missing.
func Open(archive []byte) (*Payload, error) {
	p := &Payload{}
	files := p.files()
	for m, err := range Members(archive) {
		if err != nil {
			return nil, err
		}
		name := bytes.TrimPrefix(m.Name, []byte("./"))
		file := files[string(name)]
		if file == nil {
			continue
		}
		if !m.Regular {
			return nil, fmt.Errorf("%w: %s at offset %#x: not a regular file", ErrArchive, name, m.At)
		}
		if file.Offset != 0 {
			return nil, fmt.Errorf("%w: %s at offset %#x: a second file of this name", ErrArchive, name, m.At)
		}
		*file = m.File
	}
	if p.Kernel.Offset == 0 && p.Opened.Offset == 0 {
		return nil, fmt.Errorf("%w: no file named %s or %s", ErrArchive, KernelName, OpenedName)
	}
	var err error
	if p.Manifest, err = ParseManifest(p.Raw.Data); err != nil {
		return nil, err
	}
	if p.Manifest.Rollback != nil && p.RollbackKernel.Offset == 0 {
		return nil, fmt.Errorf("%w: it names a rollback kernel, but there is no file named %s", ErrManifest, RollbackKernelName)
	}
	return p, nil
}

// newc: 13 numbers of 8 hexadecimal digits after the magic, then the name with a
// terminator, then the data; name and data end on a multiple of 4.
const (
	headerSize = 6 + 13*8
	trailer    = "TRAILER!!!"
	maxName    = 4096 // Linux' PATH_MAX

	fieldMode     = 1
	fieldFileSize = 6
	fieldNameSize = 11

	typeMask    = 0o170000
	typeRegular = 0o100000
)

// Member is one entry of an archive, known or not: windows on it.
type Member struct {
	File
	Name    []byte // as in the archive, without terminator
	At      uint64 // offset of its header in the archive
	Raw     []byte // header, name and data, each padded to a multiple of 4 bytes if the archive goes on there
	Regular bool   // a regular file
}

// Members yields the members of an archive up to its trailer, which is not one of
// them. The last yield has an error, which wraps [ErrArchive], if the archive is
// damaged.
func Members(archive []byte) iter.Seq2[Member, error] {
	return func(yield func(Member, error) bool) {
		for at := 0; ; {
			m, next, err := memberAt(archive, at)
			if err != nil {
				yield(m, fmt.Errorf("%w: entry at offset %#x: %w", ErrArchive, at, err))
				return
			}
			if string(bytes.TrimPrefix(m.Name, []byte("./"))) == trailer || !yield(m, nil) {
				return
			}
			at = next
		}
	}
}

// memberAt reads the member at an offset and returns the offset of the next.
func memberAt(b []byte, at int) (m Member, next int, err error) {
	if len(b)-at < headerSize {
		return m, 0, fmt.Errorf("%d bytes are left, the archive is cut short", len(b)-at)
	}
	h := b[at : at+headerSize]
	if magic := h[:6]; !bytes.Equal(magic, []byte("070701")) && !bytes.Equal(magic, []byte("070702")) {
		return m, 0, fmt.Errorf("magic % x, want \"070701\": an uncompressed cpio archive of the newc form", magic)
	}
	mode, err := field(h, fieldMode)
	if err != nil {
		return m, 0, err
	}
	size, err := field(h, fieldFileSize)
	if err != nil {
		return m, 0, err
	}
	nameSize, err := field(h, fieldNameSize)
	if err != nil {
		return m, 0, err
	}
	left := int64(len(b) - at - headerSize)
	if nameSize == 0 || nameSize > maxName || nameSize > left {
		return m, 0, fmt.Errorf("name of %d bytes, %d are left", nameSize, left)
	}
	name := at + headerSize
	m.Name, _, _ = bytes.Cut(b[name:name+int(nameSize)], []byte{0})
	m.Regular = mode&typeMask == typeRegular
	start := align4(name + int(nameSize))
	if size > int64(len(b)-start) {
		return m, 0, fmt.Errorf("file %s of %d bytes, %d are left: the archive is cut short", phys.Quote(m.Name), size, max(0, len(b)-start))
	}
	m.At, m.Offset = uint64(at), uint64(start)
	if size > 0 {
		m.Data = b[start : start+int(size) : start+int(size)]
	}
	next = align4(start + int(size))
	m.Raw = b[at:min(next, len(b)):min(next, len(b))]
	return m, next, nil
}

// field reads one number of a header.
func field(h []byte, i int) (int64, error) {
	var v [4]byte
	digits := h[6+8*i : 6+8*i+8]
	if _, err := hex.Decode(v[:], digits); err != nil {
		return 0, fmt.Errorf("field %d is %s, want 8 hexadecimal digits", i, phys.Quote(digits))
	}
	return int64(v[0])<<24 | int64(v[1])<<16 | int64(v[2])<<8 | int64(v[3]), nil
}

// align4 rounds up to a multiple of 4.
func align4(n int) int { return (n + 3) &^ 3 }
