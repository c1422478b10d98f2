package crossing

import (
	"fmt"

	"ferry/kho"
	"ferry/luo"
	"ferry/memfd"
	"ferry/phys"
)

// Contents is what a plan depends on of the incoming handover.
type Contents struct {
	KHO  *kho.Format
	Fits []*kho.Format // every format that it may be in, KHO among them

	LUO             *luo.Format // nil: there is no state, see Absent
	Absent          bool        // the kernel before handed over no live update state
	Sessions, Files int
	FLBs            []string // their names
	NoFLBs          bool     // the incoming state has no list of them

	Memfds  []*memfd.Format // of the files, in order of appearance
	Unset   int             // folios not recorded as up to date and written to
	Damaged bool            // some files are written as ones that cannot be retrieved

	Subtrees []kho.Subtree
	Release  string // of the kernel before, as it names itself; may be empty

	// Limit returns an error if the state cannot be written in a format or, with nil,
	// cannot be left out for kernels that are called what.
	Limit func(f *luo.Format, beyond bool, what string) error
}

// contents returns what a plan depends on of a handover that was proved.
func (in *Incoming) contents() *Contents {
	st := in.state
	c := &Contents{KHO: in.Format(), Fits: in.Formats(), LUO: st.Format(), Absent: st.Absent(), Sessions: st.Len(), Files: st.Files(),
		NoFLBs: st.NoFLBs(), Memfds: in.memfd.formats, Unset: in.memfd.unset, Damaged: in.memfd.damaged != nil, Subtrees: in.Subtrees()}
	for f := range st.FLBs() {
		c.FLBs = append(c.FLBs, string(f.Name))
	}
	m, _, _ := in.Metadata() // what is wrong with it is a warning
	c.Release = m.Release
	c.Limit = func(f *luo.Format, beyond bool, what string) error {
		if f == nil {
			return luo.FitsNone(st, what)
		}
		return luo.Fits(st, f, beyond)
	}
	return c
}

// formats names what the handover is written in, and the generation if that is certain.
func (c *Contents) formats() string {
	text := formatNames(c.KHO, c.LUO, c.Memfds...)
	if gs := written(c.KHO, c.LUO); len(gs) == 1 {
		text += ": generation " + gs[0].Name
	}
	return text
}

// formatNames lists formats; those of a state and of files may be missing.
func formatNames(k *kho.Format, l *luo.Format, files ...*memfd.Format) string {
	text := k.String()
	if l != nil {
		text += ", " + l.String()
	}
	for _, f := range files {
		if f != nil {
			text += ", " + f.Handler()
		}
	}
	return text
}

// subtree returns the sub-tree of this name.
func (c *Contents) subtree(name string) (kho.Subtree, bool) {
	for _, s := range c.Subtrees {
		if s.Name == name {
			return s, true
		}
	}
	return kho.Subtree{}, false
}

// Plan is how everything in a handover is to be written.
type Plan struct {
	KHO     *kho.Format
	LUO     *luo.Format   // nil: no sub-tree of sessions
	Memfd   *memfd.Format // nil: files keep their format
	Rewrite bool          // some memfds change
	Drop    []kho.Subtree // sub-trees that the next kernel must not get
	Beyond  bool          // past the limits of the writers of LUO, as far as its readers take it
	Notes   []string      // what does not stay as it is
}

// decide settles how a handover is written for kernels of generation next, nil if it is
// to stay in its formats, and proves that it can be written so. It writes nothing.
func decide(c *Contents, next *Generation, from producer, beyond bool) (*Plan, error) {
	if err := from.check(c); err != nil {
		return nil, err
	}
	p := &Plan{KHO: c.KHO, LUO: c.LUO, Beyond: beyond, Rewrite: c.Unset > 0 || c.Damaged}
	if next == nil {
		if err := from.undecided(c); err != nil {
			return nil, err
		}
	} else {
		p.KHO, p.LUO, p.Memfd = next.KHO, next.LUO, next.Memfd
		for _, f := range c.Memfds {
			p.Rewrite = p.Rewrite || f != p.Memfd
		}
		if s, ok := c.subtree(kho.MetadataName); ok && !next.Metadata {
			p.Drop = append(p.Drop, s)
		}
	}
	if err := p.checkLimits(c, next); err != nil {
		return nil, err
	}
	p.noteChanges(c)
	return p, nil
}

// checkLimits proves that the state can be written in the plan's format.
func (p *Plan) checkLimits(c *Contents, next *Generation) error {
	switch {
	case p.LUO == nil && next != nil:
		return c.Limit(nil, false, fmt.Sprintf("the kernels of generation %v, which have no live update", next))
	case p.LUO == nil || c.Absent:
		return nil
	}
	return c.Limit(p.LUO, p.Beyond, "")
}

// noteChanges notes what does not stay as it is.
func (p *Plan) noteChanges(c *Contents) {
	note := func(format string, args ...any) { p.Notes = append(p.Notes, fmt.Sprintf(format, args...)) }
	if s, ok := c.subtree(kho.TestName); ok && !p.KHO.ReadsTests(c.KHO) {
		note("%v is carried as it is: the test of the next kernel does not read such a list of folios", s)
	}
	if c.Unset > 0 {
		note("repaired: %d folios were not recorded as up to date and written to; those never written to become zeros", c.Unset)
	}
	for _, s := range p.Drop {
		note("%v is left out: the next kernel takes every sub-tree for a device tree", s)
	}
	if p.LUO == nil || c.Absent {
		return
	}
	if c.NoFLBs && p.LUO.HoldsFLBs() {
		note("repaired: the state came without a list of FLBs; an empty one is written")
		if c.Files > 0 {
			note("a kernel that has FLBs of its own, such as one with CONFIG_LIVEUPDATE_TEST, warns once that a count underflows: known, and harmless")
		}
	}
	if !p.LUO.HoldsFLBs() {
		for _, name := range c.FLBs {
			note("FLB %s is left out: the next kernel has no list of FLBs", phys.Quote(name))
		}
	}
	for _, f := range c.Memfds {
		switch {
		case f == p.Memfd || p.Memfd == nil:
		case !p.Memfd.HoldsSeals():
			note("memfds arrive sealed against more seals (0x1): the next kernel does so with every file")
		case !f.HoldsSeals():
			note("memfds came without a record of seals; they arrive sealed against more (0x1), as the kernel before would have restored them")
		}
	}
}
