package linux

import (
	"fmt"
	"slices"
	"strings"
)

// Where the files of linux/init's initrd are.
const (
	InitPath    = "/init"
	StagePath   = "/stage" // ferry.bzimage
	FerryPath   = "/ferry" // the host tool
	kernelsPath = "/kernels/"
)

// ReportPrefix begins every line that linux/init writes to the console.
const ReportPrefix = "crossing: "

// ListsLine begins what linux/init reports of the lists of preserved memory that it told apart:
//
//	crossing: lists n=<n> aligned=<n> behind=<n> read=<n>,<n>,<n> alike=... refused=... wrong=<n>
//
// Three numbers are those without a claim of what the list is, with the right claim and with the wrong one.
const ListsLine = "lists n="

// DumpLine begins a list that linux/init prints, in base64, as a file of kho/khotest/testdata.
const DumpLine = "dump "

// A Route is the kernels that one machine runs in turn.
type Route struct {
	Releases []string // of each kernel, from the first one on; the last one repeats
	Rounds   int      // how many crossings there are: one less than kernels
	Direct   bool     // from Linux straight to Linux, without the stage
}

// NewRoute is a crossing from each of the releases to the next.
func NewRoute(releases ...string) Route {
	return Route{Releases: releases, Rounds: len(releases) - 1}
}

// Release returns the release of a kernel of the route, counted from 0.
func (r Route) Release(round int) string {
	return r.Releases[min(round, len(r.Releases)-1)]
}

// History returns the releases up to that kernel, itself included.
func (r Route) History(round int) []string {
	var all []string
	for i := range round + 1 {
		all = append(all, r.Release(i))
	}
	return all
}

// KernelPath is where the initrd holds the kernel of that release.
func KernelPath(release string) string { return kernelsPath + release }

// Files returns the paths of what the initrd of a kernel of the route holds: its init, and what the rest of the route
// takes.
func (r Route) Files(round int) []string {
	names := []string{InitPath}
	if round >= r.Rounds {
		return names
	}
	if !r.Direct {
		names = append(names, StagePath, FerryPath)
	}
	for i := round + 1; i <= r.Rounds; i++ {
		names = append(names, KernelPath(r.Release(i)))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Words returns the words of the command line that tell linux/init the route.
func (r Route) Words() string {
	words := fmt.Sprintf("crossing.kernels=%s crossing.rounds=%d", strings.Join(r.Releases, ","), r.Rounds)
	if r.Direct {
		words += " crossing.direct=1"
	}
	return words
}
