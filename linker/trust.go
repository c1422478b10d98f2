package linker

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// The area at the end of the header page that says whose payloads the stage
// takes. It is zero in a linked image; the host tool fills it in afterwards.
// What stands in it is for package payload to say.
const (
	TrustOffset = PageSize - TrustSize // in the protected-mode part
	TrustSize   = 96                   // payload.TrustSize
)

// Trust returns the area of a bzImage that [Link] made, a window on the image.
// The image is a file that somebody names: one that is no stage is refused.
func Trust(image []byte) ([]byte, error) {
	var magic [8]byte
	binary.LittleEndian.PutUint64(magic[:], Magic)
	if len(image) < setupSize+PageSize || image[setupSects] != setupSectors ||
		!bytes.Equal(image[setupSize+ParamsOffset:][:len(magic)], magic[:]) {
		return nil, fmt.Errorf("linker: no image parameters at offset %#x: not a stage of Ferry's", setupSize+ParamsOffset)
	}
	return image[setupSize+TrustOffset : setupSize+PageSize : setupSize+PageSize], nil
}
