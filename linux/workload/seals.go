package workload

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// HoldsSeals reports whether the memfd handler of the release writes a file's seals down. That of 6.19 and 7.0 does not:
// it gives every file that it restores F_SEAL_SEAL (mm/memfd_luo.c makes them without MFD_ALLOW_SEALING).
func HoldsSeals(release string) bool {
	return !strings.HasPrefix(release, "6.") && !strings.HasPrefix(release, "7.0.")
}

// AllHoldSeals reports whether no kernel on the way forgets seals, so that files may have any.
func AllHoldSeals(releases []string) bool {
	return !slices.ContainsFunc(releases, func(r string) bool { return !HoldsSeals(r) })
}

// Arrived returns the seals that a file has in the last of the releases if it was made with these in the first.
func Arrived(seals int, releases []string) int {
	if len(releases) > 1 && !AllHoldSeals(releases) {
		return unix.F_SEAL_SEAL
	}
	return seals
}
