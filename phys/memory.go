package phys

// Memory is a window on physical memory. Implementations check every request:
// bytes that are not RAM are never handed out.
//
// The slices alias the memory; they stay valid as long as the Memory does, and
// their capacity ends where the request ended. Two kinds of window keep apart
// what may change from what may not: code that reads a handover uses only
// View, so that the incoming state stays unchanged, bit for bit.
type Memory interface {
	// View returns the n bytes at a for reading. It fails with an [*Error]
	// wrapping [ErrNotRAM] if any byte is outside RAM, or if a+n wraps.
	// Writing through the slice is a defect; a fake may detect it.
	View(a Addr, n uint64) ([]byte, error)

	// Edit returns the n bytes at a for writing, under the checks of View. A
	// read-only backing fails with an [*Error] wrapping [ErrReadOnly].
	Edit(a Addr, n uint64) ([]byte, error)

	// RAM returns what View accepts. The caller must not change it.
	RAM() Ranges
}
