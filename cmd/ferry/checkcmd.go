package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/cpuid/v2"
)

type checkCmd struct {
	Payload    string  `type:"existingfile" placeholder:"FILE" xor:"what" help:"Payload that ferry pack wrote."`
	Kernel     string  `type:"existingfile" placeholder:"FILE" xor:"what" help:"The next kernel, a bzImage, if there is no payload yet."`
	Stage      string  `type:"existingfile" placeholder:"FILE" help:"The stage, ferry.bzimage. Default: one that was linked with the default size."`
	Cmdline    *string `help:"As for ferry load."`
	Append     string  `placeholder:"WORDS" help:"As for ferry load."`
	AcceptHalt bool    `help:"As for ferry load."`
	Force      bool    `help:"As for ferry load."`
	JSON       bool    `name:"json" help:"Print JSON."`
}

// report is what ferry check prints.
type report struct {
	Ready  bool      `json:"ready"`          // ferry load would load this, as far as is known
	Line   string    `json:"line,omitempty"` // that the stage gets
	Checks []finding `json:"checks"`
}

// Run prints what each check of ferry load finds.
func (c *checkCmd) Run() error {
	return c.check(host{root: os.DirFS("/")}, os.Stdout, cpuid.CPU.Supports)
}

func (c *checkCmd) check(h host, out io.Writer, has func(...cpuid.FeatureID) bool) error {
	load := &loadCmd{Payload: c.Payload, Stage: c.Stage, Cmdline: c.Cmdline, Append: c.Append, AcceptHalt: c.AcceptHalt, Force: c.Force}
	k := &check{cmd: load, host: h, has: has, kernel: c.Kernel}
	var err error
	if k.files, err = load.open(); err != nil {
		return err
	}
	defer k.files.close()
	done, against := k.run()
	if done == nil {
		return against
	}
	if c.JSON {
		err = printJSON(out, report{against == nil, done.line, done.findings})
	} else {
		err = done.list(out)
	}
	if err == nil && against != nil {
		// It is all said; what is left is the class.
		err = &classed{classOf(against), errors.New("ferry load would refuse this")}
	}
	return err
}

// list prints every check, and what follows.
func (c *checked) list(out io.Writer) error {
	count := map[string]int{}
	for _, f := range c.findings {
		count[f.Is]++
		if _, err := fmt.Fprintln(out, f); err != nil {
			return err
		}
	}
	if c.briefing != nil {
		fmt.Fprintln(out)
		c.briefing.print(linePrinter(out))
	}
	_, err := fmt.Fprintf(out, "\n%d yes, %d no, %d unknown\n", count[isFine], count[isWrong], count[isUnknown])
	return err
}
