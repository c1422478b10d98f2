package kho

import "ferry/phys"

// Remember returns the empty entries that remember pieces in a table.
func Remember(pieces phys.Ranges) []ScratchArea { return remember(pieces) }
