package opened

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"ferry/phys"
)

// Image is what a part is made of.
type Image struct {
	Link      phys.Addr
	Memory    uint64
	Entry     uint64
	Alignment uint64
	Space     uint64
	Setup     []byte
	Release   string

	Bytes        []byte   // image
	Wide, Narrow []uint32 // where in it addresses are to be relocated, ascending
}

// Part returns the part, which [Parse] takes, or the error of Parse.
func (i *Image) Part() ([]byte, error) {
	if uint64(len(i.Bytes)) > math.MaxUint32 || len(i.Setup)+len(i.Release) > headerSize-offText {
		return nil, fmt.Errorf("%w: %d bytes of image, setup header of %d, release of %d", ErrPart, len(i.Bytes), len(i.Setup), len(i.Release))
	}
	part := make([]byte, headerSize, headerSize+len(i.Bytes))
	present := make([]byte, (len(i.Bytes)+8*phys.PageSize-1)/(8*phys.PageSize))
	var zero [phys.PageSize]byte
	for at := 0; at < len(i.Bytes); at += phys.PageSize {
		page := i.Bytes[at:min(at+phys.PageSize, len(i.Bytes))]
		if bytes.Equal(page, zero[:len(page)]) {
			continue
		}
		n := at / phys.PageSize
		present[n/8] |= 1 << (n % 8)
		part = append(append(part, page...), zero[len(page):]...)
	}
	le := binary.LittleEndian
	put := func(off int, v int) { le.PutUint64(part[off:], uint64(v)) }
	put(offPresent, len(part))
	part = append(part, present...)
	put(offTables, len(part))
	for _, table := range [][]uint32{i.Wide, i.Narrow} {
		for _, at := range table {
			part = le.AppendUint32(part, at)
		}
	}
	copy(part, Magic)
	le.PutUint32(part[offVersion:], version)
	le.PutUint32(part[offLength:], headerSize)
	le.PutUint64(part[offLink:], uint64(i.Link))
	put(offImage, len(i.Bytes))
	le.PutUint64(part[offMemory:], i.Memory)
	le.PutUint64(part[offEntry:], i.Entry)
	le.PutUint64(part[offAlignment:], i.Alignment)
	le.PutUint64(part[offSpace:], i.Space)
	put(offWide, len(i.Wide))
	put(offNarrow, len(i.Narrow))
	put(offPages, headerSize)
	put(offSetup, offText)
	put(offSetupLen, len(i.Setup))
	put(offRelease, offText+len(i.Setup))
	put(offReleaseLen, len(i.Release))
	copy(part[offText+copy(part[offText:], i.Setup):], i.Release)
	_, err := Parse(part)
	return part, err
}
