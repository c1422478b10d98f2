//go:build !race

package phystest

// underRace says that the race detector is on.
const underRace = false
