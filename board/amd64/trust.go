package amd64

// The area of the header page that says whose payloads the image takes:
// linker.TrustOffset, linker.TrustSize.
const (
	paramTrust = 0xfa0
	trustSize  = 96
)

// Trust returns the area, a window on the stage's memory. What stands in it is
// for package payload to say. Were the page not to be seen, the byte returned is
// no area, so that the image does not pass for one without a key.
func Trust() []byte {
	area, err := Memory().View(Boot().Stage.Start+paramTrust, trustSize)
	if err != nil {
		return []byte{1}
	}
	return area
}
