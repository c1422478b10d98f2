package main

import (
	"errors"
	"fmt"
	"io/fs"

	"ferry/boot/cmdline"
	"ferry/boot/payload"
	"ferry/boot/vmlinux"
	"ferry/crossing"
)

// A producer is the kernel that runs, as the one that will hand over.
type producer struct {
	release string               // empty: nobody knows
	gen     *crossing.Generation // what it writes, nil: nobody knows
	unread  error                // why what it writes is known to be something that no stage reads
}

// producer finds out what the running kernel writes: by the strings in the handover that it is making, which debugfs
// shows, and by its release if generations share them. What a kernel does follows its code: a release may be of
// another generation than its number, if a distribution brought the code of another one to it.
func (h host) producer() producer {
	p := producer{release: h.release()}
	p.gen = crossing.ByRelease(p.release)
	k := &vmlinux.Kernel{Release: p.release, Formats: h.formats()}
	if len(k.Formats.KHO) == 0 {
		return p
	}
	g, _, err := identify(crossing.Generations(), k)
	if err == nil || errors.Is(err, errPart) { // debugfs shows no handlers of files, and no sessions without the device
		p.gen = g
	} else if p.gen = nil; !known(k.Formats.KHO) {
		p.unread = err
	}
	return p
}

// known reports whether some generation has all of these strings of the KHO's.
func known(found []string) bool {
	for _, g := range crossing.Generations() {
		if len(found) == 1 && g.KHO.Compatible() == found[0] {
			return true
		}
	}
	return false
}

// formats returns the strings in the handover that the running kernel is making, or else in the one that it took over:
// a kernel writes what it reads. Up to 6.18 there is none before it is made; from 6.19 on debugfs may show the beginning of
// its device tree alone, which has the string, and a kernel that was handed something shows that alone (kho_init).
func (h host) formats() (f vmlinux.Formats) {
	debugfs, err := h.debugfs()
	if err != nil {
		return f
	}
	for _, way := range []string{"/kho/out/", "/kho/in/"} {
		tree, err := fs.ReadFile(h.root, debugfs+way+"fdt")
		if err != nil {
			continue
		}
		if state, err := fs.ReadFile(h.root, debugfs+way+"sub_fdts/LUO"); err == nil {
			f = vmlinux.FindFormats(state)
		}
		if f.KHO = vmlinux.FindFormats(tree).KHO; len(f.KHO) > 0 {
			return f
		}
	}
	return f
}

// String names the kernel and what it writes.
func (p producer) String() string {
	writes := "the format that it writes is unknown"
	if p.gen != nil {
		writes = "generation " + p.gen.String()
	}
	return fmt.Sprintf("%s, %s, which runs", linuxOf(p.release), writes)
}

// word names the kernel on the command line of the stage: by its release, or by its generation if the release does not
// tell that. It is empty if neither is known.
func (p producer) word() string {
	if p.gen == nil {
		return ""
	}
	for _, name := range []string{p.release, p.gen.Name} {
		if o, err := crossing.ParseOptions("ferry.from=" + name); err == nil && o.From == name && generationOf(name) == p.gen {
			return "ferry.from=" + name
		}
	}
	return ""
}

// introduced is the line with a word on who hands over, unless it has one.
func (p producer) introduced(l line, o crossing.Options) line {
	if w := p.word(); w != "" && o.From == "" {
		l.text = cmdline.Append(l.text, w)
	}
	return l
}

// producer wants the payload, and whoever wrote the command line, to expect the kernel that runs. Who overrules that knows
// it better than ferry load, which then says nothing to the stage.
func (k *check) producer(m payload.Manifest) {
	p := k.runs
	if p.unread != nil {
		k.review.doubt(fmt.Sprintf("the running kernel writes what no stage reads: %v", p.unread), "that is a failure", "boot a kernel that ferry abi names a generation for")
	}
	for _, said := range []struct{ by, name string }{{"the command line says ferry.from=", k.options.From}, {"the payload is made for a handover from ", m.From}} {
		g := generationOf(said.name)
		if said.name == "" || p.gen == nil || g == p.gen {
			continue
		}
		k.review.doubt(fmt.Sprintf("%s%s, and %v", said.by, said.name, p), "the stage refuses what memory shows to be another kernel's, which is a failure",
			"leave it out: ferry load tells the stage which kernel runs")
		if k.options.From == "" {
			k.line.text = cmdline.Without(k.line.text, "ferry.from")
		}
	}
}
