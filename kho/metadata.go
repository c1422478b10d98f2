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

// ParseMetadata reads the sub-tree's data b, found at address a. Linux says of
// metadata that this refuses that it ignores it, except for a release without end,
// which it prints with what lies behind it.
func ParseMetadata(a phys.Addr, b []byte) (Metadata, error) {
	if len(b) < MetadataSize {
		return Metadata{}, badMetadata(a, fmt.Sprintf("%d bytes", len(b)), fmt.Sprintf("%d or more", MetadataSize))
	}
	if v := binary.LittleEndian.Uint32(b); v != metadataVersion {
		return Metadata{}, badMetadata(a, fmt.Sprintf("version %d", v), fmt.Sprint(metadataVersion))
	}
	release, _, ok := bytes.Cut(b[releaseOffset:countOffset], []byte{0})
	if !ok {
		return Metadata{}, badMetadata(a+releaseOffset, "a release without end", "a zero-terminated string")
	}
	return Metadata{string(release), binary.LittleEndian.Uint32(b[countOffset:])}, nil
}

func badMetadata(at phys.Addr, found, want string) error {
	return &phys.Error{Object: MetadataName, Addr: at, Found: found, Want: want,
		Hint: "damaged, or of a newer kernel than this image knows", Err: ErrMetadata}
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
// false if it says nothing.
func (h *Handover) Metadata() (m Metadata, ok bool, err error) {
	s, ok := h.Subtree(MetadataName)
	if !ok {
		return m, false, nil
	}
	if s.Size < MetadataSize && h.format.sizeProperty != "" {
		size, _ := s.node.Property(h.format.sizeProperty)
		err = badMetadata(size.Addr, fmt.Sprintf("%d bytes at %v", s.Size, s.Data), fmt.Sprintf("%d or more", MetadataSize))
		return m, false, phys.In("kho: sub-tree", size.Addr, err)
	}
	b, err := h.mem.View(s.Data, s.Size)
	if err == nil {
		m, err = ParseMetadata(s.Data, b)
	}
	return m, err == nil, phys.In("kho: sub-tree", s.Data, err)
}
