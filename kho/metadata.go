package kho

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"ferry/phys"
)

// The sub-tree in which a kernel names itself (struct kho_kexec_metadata, from
// include/linux/kho/abi/kexec_metadata.h of Linux 7.1 to 7.3): a packed
// structure in a page of its own. A kernel without it is fine.
const (
	MetadataName = "kexec-metadata"
	MetadataSize = 73

	metadataVersion = 1
	releaseOffset   = 4
	releaseSize     = 65
	countOffset     = releaseOffset + releaseSize
)

// Metadata is what a kernel says of itself to the next one.
type Metadata struct {
	Release string // uname -r, at most 64 bytes
	Count   uint32 // kexecs with a handover since the machine was cold
}

// ParseMetadata reads the sub-tree's data b, found at address a. Linux ignores
// metadata that this refuses.
func ParseMetadata(a phys.Addr, b []byte) (Metadata, error) {
	bad := func(at int, found, want string) error {
		return &phys.Error{Object: MetadataName, Addr: a + phys.Addr(at), Found: found, Want: want, Err: ErrMetadata}
	}
	if len(b) < MetadataSize {
		return Metadata{}, bad(0, fmt.Sprintf("%d bytes", len(b)), fmt.Sprintf("%d or more", MetadataSize))
	}
	if v := binary.LittleEndian.Uint32(b); v != metadataVersion {
		return Metadata{}, bad(0, fmt.Sprintf("version %d", v), fmt.Sprint(metadataVersion))
	}
	release, _, ok := bytes.Cut(b[releaseOffset:countOffset], []byte{0})
	if !ok {
		return Metadata{}, bad(releaseOffset, "a release without end", "a zero-terminated string")
	}
	return Metadata{string(release), binary.LittleEndian.Uint32(b[countOffset:])}, nil
}

// Put writes m to the first [MetadataSize] bytes of b, cutting a release that is
// too long.
func (m Metadata) Put(b []byte) {
	clear(b[:MetadataSize])
	binary.LittleEndian.PutUint32(b, metadataVersion)
	copy(b[releaseOffset:countOffset-1], m.Release)
	binary.LittleEndian.PutUint32(b[countOffset:], m.Count)
}

// Metadata returns what the kernel that wrote the handover says of itself; ok is
// false where it says nothing.
func (h *Handover) Metadata() (m Metadata, ok bool, err error) {
	s, ok := h.Subtree(MetadataName)
	if !ok {
		return m, false, nil
	}
	b, err := h.mem.View(s.Data, s.Size)
	if err == nil {
		m, err = ParseMetadata(s.Data, b)
	}
	return m, err == nil, phys.In("kho", s.Data, err)
}
