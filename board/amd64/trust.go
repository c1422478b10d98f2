package amd64

import "ferry/linker/header"

// Trust returns the area of the image's header page that says whose payloads the
// image takes, a window on the stage's memory. What is in it is
// for package payload to say. If the page cannot be read, the byte returned is no
// area, so that the image does not pass for one without a key.
func Trust() []byte {
	area, err := Memory().View(Boot().Stage.Start+header.Trust, header.TrustSize)
	if err != nil {
		return []byte{1}
	}
	return area
}
