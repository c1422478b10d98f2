package amd64

import (
	"unsafe"

	"ferry/board/amd64/internal/kernel"
)

// Random fills b with random bytes: from the loader's RNG seed, RDSEED and RDRAND
// if the processor has them, and the jitter of the time stamp counter. All of them
// but the seed are read again at each call.
func Random(b []byte) {
	if len(b) > 0 {
		kernel.Reseed()
		kernel.FillRandom(uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	}
}
