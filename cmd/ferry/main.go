// Command ferry is the host's side of a crossing. `ferry pack` puts the next kernel and its initrd into a payload, `ferry
// show` says what is in one, `ferry check` whether all is ready, `ferry load` loads the stage with that payload into the running kernel, so that the next kexec
// goes through it, `ferry abi` says which formats a kernel reads. `ferry image` sets a key in the stage, `ferry seal` the
// signature in a payload; neither they nor anything here sees a secret key. `ferry inspect` prints what is in a dump
// of memory, `ferry extract` takes a preserved file out of it, `ferry diff` compares two.
//
// It needs nothing but the kernel: linked statically, it runs from an initrd. What it exits with is in exit.go.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

type cli struct {
	Pack    packCmd    `cmd:"" help:"Put the next kernel and its initrd into a payload."`
	Show    showCmd    `cmd:"" help:"Print what is in a payload."`
	Check   checkCmd   `cmd:"" help:"Print what ferry load checks: every check, with what was found and what to do."`
	Load    loadCmd    `cmd:"" help:"Load the stage and a payload into the running kernel, for the next kexec."`
	Seal    sealCmd    `cmd:"" help:"Put the signature of its manifest into a payload."`
	Image   imageCmd   `cmd:"" help:"Set the key in a stage whose payloads alone it starts."`
	Inspect inspectCmd `cmd:"" help:"Print what is in a dump of memory: records of stages, and handovers."`
	Extract extractCmd `cmd:"" help:"Write the contents of a preserved memfd out of a dump of memory."`
	Diff    diffCmd    `cmd:"" help:"Print what the handovers in two dumps of memory preserve differently."`
	ABI     abiCmd     `cmd:"" name:"abi" help:"Print which formats kernels read, or which can be crossed."`
	Version versionCmd `cmd:"" help:"Print the version of this tool, and of a stage."`
}

func main() { os.Exit(int(run(os.Args[1:], os.Stdout, os.Stderr))) }

// run does what the arguments say, but for what commands print themselves, and returns the exit code.
func run(args []string, out, errOut io.Writer) class {
	parser, err := newParser(out, errOut)
	if err != nil {
		panic(err) // the flags above are wrong
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(errOut, "ferry: %v\nferry: %s says what there is\n", err, helpFor(err))
		return classOf(err)
	}
	if err := ctx.Run(); err != nil {
		fmt.Fprintln(errOut, "ferry: "+strings.ReplaceAll(err.Error(), "\n", "\nferry: "))
		return classOf(err)
	}
	return classDone
}

func newParser(out, errOut io.Writer) (*kong.Kong, error) {
	return kong.New(&cli{},
		kong.Name("ferry"),
		kong.Description("Carries live state from one Linux kernel to the next."),
		kong.Vars{"dumpHelp": dumpHelp},
		kong.Writers(out, errOut),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Help(func(options kong.HelpOptions, ctx *kong.Context) error {
			if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
				return err
			}
			fmt.Fprint(ctx.Stdout, "\nExit codes:\n")
			for code, text := range classes {
				fmt.Fprintf(ctx.Stdout, "  %d  %s\n", code, text)
			}
			return nil
		}),
	)
}

// helpFor is the command line that explains the command of a usage error.
func helpFor(err error) string {
	if parse, ok := err.(*kong.ParseError); ok && parse.Context != nil {
		if selected := parse.Context.Selected(); selected != nil {
			return "ferry " + selected.Name + " --help"
		}
	}
	return "ferry --help"
}
