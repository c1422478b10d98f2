// Command bench measures what Ferry promises about its cost and prints it in one
// table. `make bench` runs it in the root of the module, with the images built.
//
// Two kinds of numbers. What a crossing costs in instructions and memory is
// counted in a machine under QEMU with -icount, where each instruction is one
// nanosecond: the same everywhere, and a bound that is missed fails the run. What
// is compared with a memcpy of the same bytes is timed on this machine, both in
// one process in turns; others use the machine too, so that these fail the run
// only where they miss their bound by more than [grace].
//
// bench toolchains <folder> <folder> compares images that the stock toolchain and
// TamaGo's built, and prints docs/toolchains.md; `make toolchains` runs it.
package main

import (
	"fmt"
	"os"
	"strings"
)

// grace is how many times its bound a figure that was timed may reach before it
// fails the run.
const grace = 2

// figure is one line of the table.
type figure struct {
	name  string
	bound float64 // 0: told for information
	value float64
	unit  unit
	timed bool // with a clock, on a machine that others use too
	note  string
}

// unit says how a value is printed.
type unit struct {
	name   string
	scale  float64 // one of the unit
	digits int
}

var (
	instructions = unit{"M instructions", 1e6, 3}
	megabytes    = unit{"MB", 1e6, 2}
	mebibytes    = unit{"MiB", 1 << 20, 1}
	percent      = unit{"%", 0.01, 2}
	memcpys      = unit{"x memcpy", 1, 2}
	milliseconds = unit{"ms", 1e-3, 2}
	allocations  = unit{"an entry", 1, 4}
)

func (u unit) format(v float64) string { return fmt.Sprintf("%.*f %s", u.digits, v/u.scale, u.name) }

// verdict says whether the bound holds, and whether it does not in a way that
// fails the run.
func (f figure) verdict() (s string, failed bool) {
	switch {
	case f.bound == 0:
		return "", false
	case f.value <= f.bound:
		return "ok", false
	case f.timed && f.value <= grace*f.bound:
		return "over, on a shared machine", false
	}
	return "MISSED", true
}

func main() {
	run := run
	if len(os.Args) == 4 && os.Args[1] == "toolchains" {
		run = func() error { return toolchains(os.Args[2], os.Args[3]) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	metal, cost, err := onMetal("build")
	if err != nil {
		return err
	}
	host, err := onHost()
	if err != nil {
		return err
	}
	missed := table(append(metal, host...))
	fmt.Println()
	cost.print()
	if missed > 0 {
		return fmt.Errorf("%d bounds missed", missed)
	}
	return nil
}

// table prints the figures and returns how many of them fail the run.
func table(all []figure) (missed int) {
	const line = "%-46s %20s %20s  %s\n"
	fmt.Printf(line, "", "bound", "measured", "")
	for _, f := range all {
		bound := ""
		if f.bound != 0 {
			bound = "<= " + f.unit.format(f.bound)
		}
		verdict, failed := f.verdict()
		if failed {
			missed++
		}
		if f.note != "" {
			verdict = strings.TrimSpace(verdict + "  " + f.note)
		}
		fmt.Printf(line, f.name, bound, f.unit.format(f.value), verdict)
	}
	return missed
}
