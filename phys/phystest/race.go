//go:build race

package phystest

// underRace says that the race detector is on, under which more of what a function
// uses goes to the heap.
const underRace = true
