package crossing

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ferry/kho"
	"ferry/luo"
	"ferry/memfd"
)

// Generation is the set of formats that a family of kernel releases reads and
// writes. A crossing leads from one to another.
type Generation struct {
	Name        string // a letter, as the documentation of the formats has it
	First, Last string // releases, such as "7.2"; empty if none was released

	KHO   *kho.Format
	LUO   *luo.Format   // nil: the kernels have no live update sessions
	Memfd *memfd.Format // nil: nor files

	// Metadata says that the kernels name themselves in the sub-tree
	// kexec-metadata, and read it.
	Metadata bool

	// Experimental says that no kernel is known to read the formats as they are
	// written here: a crossing takes part in them only if ferry.experimental=1 says so.
	Experimental bool
}

// generations is every generation that can be crossed from and to, the oldest
// first, the experimental ones last. Removing one is deleting its row, and the files of the formats that no
// other row names.
var generations = [...]*Generation{
	{Name: "A", First: "6.16", Last: "6.17", KHO: kho.V1Small},
	{Name: "B", First: "6.18", Last: "6.18", KHO: kho.V1},
	{Name: "C", First: "6.19", Last: "6.19", KHO: kho.V1, LUO: luo.V1, Memfd: memfd.V1},
	{Name: "D", First: "7.0", Last: "7.0", KHO: kho.V1, LUO: luo.V1FLB, Memfd: memfd.V1},
	{Name: "E", First: "7.1", Last: "7.1", KHO: kho.V3, LUO: luo.V1FLB, Memfd: memfd.V2, Metadata: true},
	{Name: "E'", KHO: kho.V3, LUO: luo.V4Block, Memfd: memfd.V2, Metadata: true},
	{Name: "F", First: "7.2", Last: "7.3", KHO: kho.V4, LUO: luo.V5, Memfd: memfd.V2, Metadata: true},
	{Name: "X", KHO: kho.V4, LUO: luo.X, Memfd: memfd.X, Metadata: true, Experimental: true},
}

// Generations returns every generation that can be crossed from and to, the
// oldest first, except for the experimental ones.
func Generations() []*Generation {
	return slices.DeleteFunc(slices.Clone(generations[:]), func(g *Generation) bool { return g.Experimental })
}

// readable is the formats that a crossing reads.
type readable struct {
	luo   []*luo.Format // beside those of released kernels, which package luo always reads
	memfd memfd.Table   // with those of released kernels
}

// readableFormats returns the formats that a crossing reads, those of experimental
// generations among them if it is to.
func readableFormats(experimental bool) readable {
	f := readable{memfd: memfd.Formats()}
	for _, g := range generations {
		if !g.Experimental || !experimental {
			continue
		}
		if g.LUO != nil && !slices.Contains(luo.Formats(), g.LUO) {
			f.luo = append(f.luo, g.LUO)
		}
		if g.Memfd != nil && !slices.Contains(f.memfd, g.Memfd) {
			f.memfd = append(f.memfd, g.Memfd)
		}
	}
	return f
}

// ErrExperimental is a generation that takes part in a crossing only if the operator says so.
var ErrExperimental = errors.New("experimental")

// allow refuses an experimental generation unless the operator wants such. by is
// who names it.
func (g *Generation) allow(experimental bool, by string) error {
	if g == nil || !g.Experimental || experimental {
		return nil
	}
	return fmt.Errorf("%s: generation %s: no kernel is known to use its formats; ferry.experimental=1 crosses all the same, between test programs: %w", by, g.Name, ErrExperimental)
}

// ByName returns the generation of this name, nil if there is none.
func ByName(name string) *Generation {
	for _, g := range generations {
		if g.Name == name {
			return g
		}
	}
	return nil
}

// ByRelease returns the generation of a kernel release such as "7.3.4-amd64",
// nil if there is none: a release that nobody has looked at is not guessed.
func ByRelease(release string) *Generation {
	s, ok := parseSeries(release)
	if !ok {
		return nil
	}
	for _, g := range generations {
		first, ok := parseSeries(g.First)
		last, _ := parseSeries(g.Last)
		if ok && !s.before(first) && !last.before(s) {
			return g
		}
	}
	return nil
}

// Releases says which releases the generation is that of: "7.2 to 7.3".
func (g *Generation) Releases() string {
	switch {
	case g.First == "":
		return "never released"
	case g.First == g.Last:
		return g.First
	}
	return g.First + " to " + g.Last
}

// Strings lists the version strings of the generation's formats.
func (g *Generation) Strings() []string {
	s := []string{g.KHO.String()}
	if g.LUO != nil {
		s = append(s, g.LUO.String())
	}
	if g.Memfd != nil {
		s = append(s, g.Memfd.Handler())
	}
	return s
}

// String names the generation with its releases and formats.
func (g *Generation) String() string {
	return fmt.Sprintf("%s (%s: %s)", g.Name, g.Releases(), strings.Join(g.Strings(), ", "))
}

// written returns the generations that write a handover of these formats; a
// state that is absent, nil, can be any one's.
func written(k *kho.Format, l *luo.Format) (gs []*Generation) {
	for _, g := range generations {
		if g.KHO == k && (l == nil && !g.Experimental || l != nil && g.LUO == l) {
			gs = append(gs, g)
		}
	}
	return gs
}

// reads reports whether the kernels of g read a handover in these formats; a nil
// one is a state that is absent.
func (g *Generation) reads(k *kho.Format, l *luo.Format) bool {
	return g.KHO == k && (l == nil || g.LUO != nil && g.LUO.Reads(l))
}

// accepts refuses a memfd that the kernels of g cannot hold; a nil generation is
// unknown.
func (g *Generation) accepts(file *memfd.File) error {
	if g == nil || g.Memfd == nil {
		return nil
	}
	return file.Fits(g.Memfd, g.KHO.MaxRestore())
}

// ReadsFrom reports whether the kernels of g read what those of from hand over.
func (g *Generation) ReadsFrom(from *Generation) bool { return g.reads(from.KHO, from.LUO) }

// series is the first two numbers of a release.
type series struct{ major, minor int }

func parseSeries(release string) (s series, ok bool) {
	major, rest, ok := strings.Cut(release, ".")
	if !ok {
		return s, false
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	var err, err2 error
	s.major, err = strconv.Atoi(major)
	s.minor, err2 = strconv.Atoi(rest[:end])
	return s, err == nil && err2 == nil
}

func (s series) before(t series) bool {
	return s.major < t.major || s.major == t.major && s.minor < t.minor
}
