package main

import (
	"fmt"

	"ferry/boot"
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
	return l
}

// passedOn is what a kernel of the payload gets, which may have a line of its own.
func (l line) passedOn(own *string) line {
	if own != nil {
		return line{*own, "in the payload"}
	}
	return line{boot.Without(l.text, "ferry."), l.from}
}
