package main

import (
	"fmt"
	"slices"
	"strings"

	"ferry/boot"
	"ferry/boot/cmdline"
	"ferry/phys"
)

// A line is a command line and where it comes from.
type line struct{ text, from string }

func (l line) String() string { return fmt.Sprintf("%q, %s", l.text, l.from) }

// line returns what the stage gets, and every kernel of the payload that has no line of its own, less Ferry's words.
func (c *loadCmd) line(running string) line {
	l := line{running, "that of the running kernel"}
	if c.Cmdline != nil {
		l = line{*c.Cmdline, "from --cmdline"}
	}
	if c.Append != "" {
		l = line{cmdline.Append(l.text, c.Append), l.from + " and --append"}
	}
	return l
}

// passedOn is what a kernel of the payload gets, which may have a line of its own.
func (l line) passedOn(own *string) line {
	if own != nil {
		return line{*own, "in the payload"}
	}
	return line{cmdline.Without(l.text, "ferry."), l.from}
}

// dropped warns of what the operator says to a kernel that does not get it.
func (r *review) dropped(c *loadCmd, what string, own *string) {
	if own == nil {
		return
	}
	for flag, text := range map[string]*string{"--cmdline": c.Cmdline, "--append": &c.Append} {
		if text != nil && cmdline.Without(*text, "ferry.") != "" {
			r.warn("the %s does not get %q of %s: the payload has a command line for it", what, cmdline.Without(*text, "ferry."), flag)
		}
	}
}

// enabled reports whether the last word of this name turns something on, as kstrtobool of Linux reads it.
func enabled(text, name string) (on bool) {
	on, _ = turned(text, name)
	return on
}

// turned is enabled, and reports whether any word says so or the opposite.
func turned(text, name string) (on, said bool) {
	for o := range cmdline.Options(text) {
		if o.Name != name || o.Value == "" {
			continue
		}
		switch v := strings.ToLower(o.Value); {
		case v[0] == 'y', v[0] == 't', v[0] == '1', strings.HasPrefix(v, "on"):
			on, said = true, true
		case v[0] == 'n', v[0] == 'f', v[0] == '0', strings.HasPrefix(v, "of"):
			on, said = false, true
		}
	}
	return on, said
}

// live wants a line to turn on what the running one does: without it the kernel keeps what is preserved, and nobody can ask
// for it.
func (r *review) live(what, text, running string) {
	for _, name := range []string{"kho", "liveupdate"} {
		if enabled(running, name) && !enabled(text, name) {
			r.doubt(fmt.Sprintf("the command line of the %s has no %s=on, which the running kernel has", what, name),
				"its memory stays preserved, and nobody can take it over", fmt.Sprintf("add %s=on", name))
		}
	}
}

// memory wants a line to leave in all memory in which something may be preserved: scratch, and what the running kernel has.
func (r *review) memory(what, text, running string, scratch []phys.Range, ram phys.Ranges) {
	top := phys.Addr(0)
	if len(ram) > 0 {
		top = ram[len(ram)-1].End
	}
	known := slices.Collect(cmdline.Options(running))
	for o := range cmdline.Options(text) {
		word := o.Name + "=" + o.Value
		if o.Name == "memmap" && !slices.ContainsFunc(known, func(k cmdline.Option) bool { return k.Name == o.Name && k.Value == o.Value }) &&
			!(cmdline.OnlyRAM(o.Value) && has(ram, boot.AddedRAM(o.Word))) {
			r.doubt(fmt.Sprintf("the command line of the %s has %s, which the running kernel has not", what, word),
				"what is preserved there is lost, or the kernel dies without a word", "leave it out")
		}
		if o.Name != "mem" {
			continue
		}
		n, ok := cmdline.ParseBytes(o.Value)
		limit := phys.Addr(n)
		if !ok {
			continue
		}
		for _, area := range scratch {
			if !area.Empty() && area.End > limit {
				r.doubt(fmt.Sprintf("the command line of the %s has %s, and scratch lies at %v", what, word, area),
					"the kernel dies without a word", "leave it out")
				return
			}
		}
		if top > limit {
			r.doubt(fmt.Sprintf("the command line of the %s has %s, and the running kernel has memory up to %v", what, word, top),
				"what is preserved above is lost, or the kernel dies without a word", "leave it out")
			return
		}
	}
}

// has reports whether all of it is RAM.
func has(ram phys.Ranges, all []phys.Range) bool {
	for _, r := range all {
		if !ram.Contains(r) {
			return false
		}
	}
	return true
}

// root warns of a root file system that a kernel finds only with an initrd, and of none if the running kernel has one.
func (r *review) root(what, text, running string, initrd []byte) {
	of := func(text string) (root string) {
		for o := range cmdline.Options(text) {
			if o.Name == "root" {
				root = o.Value
			}
		}
		return root
	}
	root := of(text)
	if root == "" && of(running) != "" {
		r.warn("the command line of the %s has no root=, which the running kernel has", what)
	}
	for _, prefix := range []string{"LABEL=", "UUID=", "/dev/mapper/", "/dev/disk/"} {
		if len(initrd) == 0 && strings.HasPrefix(root, prefix) {
			r.warn("the %s has root=%s and no initrd: no kernel finds that by itself", what, root)
		}
	}
}
