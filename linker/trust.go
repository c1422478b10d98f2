package linker

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"ferry/boot/protocol"
	"ferry/linker/header"
)

// Trust returns the area at the end of the header page that says whose payloads the
// stage takes: a window on a bzImage that [Link] made, in which it is zero. Package
// payload defines what is in it. The image is a file that somebody names:
// one that is no stage is refused.
func Trust(image []byte) ([]byte, error) {
	var magic [8]byte
	binary.LittleEndian.PutUint64(magic[:], header.Magic)
	if len(image) < setupSize+PageSize || image[protocol.OffSetupSects] != setupSectors ||
		!bytes.Equal(image[setupSize+header.Params:][:len(magic)], magic[:]) {
		return nil, fmt.Errorf("linker: no image parameters at offset %#x: not a stage of Ferry's", setupSize+header.Params)
	}
	return image[setupSize+header.Trust : setupSize+PageSize : setupSize+PageSize], nil
}
