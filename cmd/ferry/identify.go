package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ferry/boot/vmlinux"
	"ferry/crossing"
)

// Reasons for which a kernel is not packed unless --generation says what it reads.
var (
	errNoKHO   = errors.New("no KHO")            // it takes no handover
	errUnknown = errors.New("unknown ABI")       // it takes one that this ferry does not write
	errPart    = errors.New("a part is missing") // it would lose a part of what it is handed
)

// sessionFormat and flbFormat are the only strings that the nodes of sessions and FLBs ever had. They come and go with
// the device tree of the orchestrator and are no column of the table of generations.
const (
	sessionFormat = "luo-session-v2"
	flbFormat     = "luo-flb-v1"
)

// What a wrong format costs.
const (
	lostAll      = "everything that is preserved is lost, and its memory is used as free memory"
	lostSessions = "all sessions and files are lost, or the kernel panics"
	lostFLBs     = "the data of subsystems (FLBs) is lost, or the kernel panics"
	lostMemfds   = "all memfds are lost"
)

// A kind is one sort of format that kernels name.
type kind struct {
	found func(vmlinux.Formats) []string
	of    func(*crossing.Generation, string) bool // a generation reads it
	lost  string                                  // what becomes of a state in a format that the kernel does not read
}

// kinds are all of them, what holds the others first.
var kinds = []kind{
	{func(f vmlinux.Formats) []string { return f.KHO }, func(g *crossing.Generation, s string) bool { return g.KHO.Compatible() == s },
		lostAll},
	{func(f vmlinux.Formats) []string { return f.LUO }, func(g *crossing.Generation, s string) bool { return g.LUO != nil && g.LUO.Compatible() == s },
		lostSessions},
	{func(f vmlinux.Formats) []string { return f.Sessions }, func(_ *crossing.Generation, s string) bool { return s == sessionFormat },
		lostSessions},
	{func(f vmlinux.Formats) []string { return f.FLBs }, func(g *crossing.Generation, s string) bool { return flbs(g) && s == flbFormat },
		lostFLBs},
	{func(f vmlinux.Formats) []string { return f.Memfd }, func(g *crossing.Generation, s string) bool { return g.Memfd != nil && g.Memfd.Handler() == s },
		lostMemfds},
}

// identify finds the generation whose formats a kernel reads: by its strings, and by its release if generations share
// them. The note says what the operator should know; it may come with a generation. An error wraps errNoKHO,
// errUnknown or errPart; with errPart the generation is known nevertheless.
func identify(table []*crossing.Generation, k *vmlinux.Kernel) (g *crossing.Generation, note string, err error) {
	f := k.Formats
	if f.Features {
		return nil, "", fmt.Errorf("%w: it names its formats by a table of feature bits, as no release does", errUnknown)
	}
	if len(f.KHO) == 0 {
		return nil, "", fmt.Errorf("%w: it takes no handover, it was built without CONFIG_KEXEC_HANDOVER", errNoKHO)
	}
	left := table
	for _, kind := range kinds {
		found := kind.found(f)
		if len(found) > 1 {
			return nil, "", fmt.Errorf("%w: it names %s at once", errUnknown, and(found))
		}
		for _, s := range found {
			next := slices.DeleteFunc(slices.Clone(left), func(g *crossing.Generation) bool { return !kind.of(g, s) })
			if len(next) == 0 {
				return nil, "", fmt.Errorf("%w: %s%s", errUnknown, s, with(left, table))
			}
			left = next
		}
	}
	// Without the string of FLBs a kernel that has sessions is of a generation without them.
	if len(f.LUO) > 0 && len(f.FLBs) == 0 {
		if next := slices.DeleteFunc(slices.Clone(left), func(g *crossing.Generation) bool { return flbs(g) }); len(next) > 0 {
			left = next
		}
	}
	if g, note, err = byRelease(left, k.Release); err != nil {
		return nil, "", err
	}
	lost := ""
	switch {
	case g.LUO != nil && len(f.LUO) == 0:
		lost = "sessions and files: it was built without CONFIG_LIVEUPDATE"
	case g.Memfd != nil && len(f.Memfd) == 0:
		lost = "memfds: it was built without a handler for them"
	default:
		return g, note, nil
	}
	return g, note, fmt.Errorf("%w: the kernel is of generation %s, but loses %s", errPart, g.Name, lost)
}

// flbs reports whether the kernels of a generation have a place for FLBs.
func flbs(g *crossing.Generation) bool { return g.LUO != nil && g.LUO.HoldsFLBs() }

// with says which generations were left before a string ruled them out, nothing if all were.
func with(left, table []*crossing.Generation) string {
	if len(left) == len(table) {
		return ", of which nothing is known"
	}
	return ", which no kernel of generation " + strings.Join(names(left), " or ") + " has"
}

func names(table []*crossing.Generation) (s []string) {
	for _, g := range table {
		s = append(s, g.Name)
	}
	return s
}

// byRelease chooses among generations of equal strings. One alone is taken whatever the release is: what a kernel does
// follows its code, and a distribution may have brought that to an older release.
func byRelease(left []*crossing.Generation, release string) (g *crossing.Generation, note string, err error) {
	of := crossing.ByRelease(release)
	switch {
	case len(left) == 1 && left[0] == of:
		return of, "", nil
	case len(left) == 1 && left[0].First == "":
		return left[0], "known by its strings, never released", nil
	case len(left) == 1:
		return left[0], fmt.Sprintf("known by its strings; release %q is not of %s", release, left[0].Releases()), nil
	case of != nil && slices.Contains(left, of):
		return of, fmt.Sprintf("%s have the same strings: told apart by the release", and(names(left))), nil
	}
	return nil, "", fmt.Errorf("%w: the strings are those of %s, and release %q does not tell which: say so with --generation",
		errUnknown, and(names(left)), release)
}

// and joins words as a sentence does.
func and(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
