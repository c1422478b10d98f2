package crossing

import (
	"fmt"
	"slices"

	"ferry/kho"
	"ferry/phys"
)

// producer is the kernel that hands over, as far as it is named: by a word of the
// stage's command line, which ferry load puts there for the kernel that runs, or by the
// payload, whose author had to know it beforehand. Neither is trusted: the two must
// agree with each other and with memory.
type producer struct {
	said    string      // the release or the name of a generation, empty if nobody says so
	by      string      // who says so
	gen     *Generation // nil if nobody says so
	release bool        // said is a release
}

// findProducer returns who is to hand over: as the manifest says, and a word of the
// command line.
func findProducer(manifest, word string) (producer, error) {
	loaded, err := producerOf(word, "command line: ferry.from")
	if err != nil {
		return producer{}, err
	}
	packed, err := producerOf(manifest, "manifest: from")
	if err != nil {
		return producer{}, err
	}
	return loaded.with(packed)
}

// producerOf returns the kernel that is named, the zero value if there is none.
func producerOf(name, by string) (p producer, err error) {
	if name == "" {
		return p, nil
	}
	p = producer{said: name, by: by, gen: ByName(name)}
	if p.gen == nil {
		p.gen, p.release = ByRelease(name), true
	}
	if p.gen == nil {
		return producer{}, fmt.Errorf("%s: the handover is to come from %s, no release or generation that this stage reads", by, phys.Quote(name))
	}
	return p, nil
}

// with returns the named one of two producers. They must agree, even if the
// other one is signed: a payload that was made for another kernel is the wrong one.
func (p producer) with(q producer) (producer, error) {
	switch {
	case p.gen == nil:
		return q, nil
	case q.gen == nil || p.gen == q.gen:
		return p, nil
	}
	return p, fmt.Errorf("%s: the handover is to come from %s, generation %s; %s: from %s, generation %s: take a payload that is made for the kernel that runs",
		p.by, phys.Quote(p.said), p.gen.Name, q.by, phys.Quote(q.said), q.gen.Name)
}

// format returns the format that the kernel is said to write, nil if nobody says so.
func (p producer) format() *kho.Format {
	if p.gen == nil {
		return nil
	}
	return p.gen.KHO
}

// check refuses a handover that is not of the generation that is said to write it.
func (p producer) check(c *Contents) error {
	if p.gen == nil {
		return nil
	}
	const do = "memory is damaged, or another kernel ran than that: load with ferry load, which knows"
	if !p.gen.writes(c) {
		return fmt.Errorf("%s: the handover is to come from %s, generation %s, but is in %s (%s)", p.by, phys.Quote(p.said), p.gen.Name, c.formats(), do)
	}
	if g := ByRelease(c.Release); p.release && g != nil && g != p.gen {
		return fmt.Errorf("%s: the handover is to come from %s, but names Linux %s itself (%s)", p.by, phys.Quote(p.said), phys.Quote(c.Release), do)
	}
	return nil
}

// writes reports whether the kernels of g write what c is written in. A state that
// is absent is that of any kernel.
func (g *Generation) writes(c *Contents) bool {
	return slices.Contains(c.Fits, g.KHO) && (c.Absent || g.LUO == c.LUO)
}

// undecided refuses a handover that more than one format fits if the next one is to be
// written in the same: nobody says which that is.
func (p producer) undecided(c *Contents) error {
	if fit := c.Fits; p.gen == nil && len(fit) > 1 {
		return fmt.Errorf("the handover may be in %v or in %v, which is the same, and nobody says which of them the next kernel reads: "+
			"load with ferry load, or pack with ferry pack --generation: %w", fit[0], fit[1], kho.ErrAmbiguous)
	}
	return nil
}
