// Command ferry is the host's side of a crossing. `ferry pack` puts the next kernel and its initrd into a payload,
// `ferry load` loads the stage with that payload into the running kernel, so that the next kexec goes through it, `ferry
// abi` says which formats a kernel reads. `ferry image` sets a key in the stage, `ferry seal` the signature in a payload;
// neither they nor anything here sees a secret key. `ferry inspect` reads what a halted stage left in memory.
//
// It needs nothing but the kernel: linked statically, it runs from an initrd.
package main

import (
	"fmt"
	"os"

	"github.com/alecthomas/kong"
)

type cli struct {
	Pack    packCmd    `cmd:"" help:"Put the next kernel and its initrd into a payload."`
	Load    loadCmd    `cmd:"" help:"Load the stage and a payload into the running kernel, for the next kexec."`
	Seal    sealCmd    `cmd:"" help:"Put the signature of its manifest into a payload."`
	Image   imageCmd   `cmd:"" help:"Set the key in a stage whose payloads alone it starts."`
	Inspect inspectCmd `cmd:"" help:"Find the record of a halted stage in a dump of memory."`
	ABI     abiCmd     `cmd:"" name:"abi" help:"Print which formats kernels read, or which can be crossed."`
}

func main() {
	ctx := kong.Parse(&cli{},
		kong.Name("ferry"),
		kong.Description("Carries live state from one Linux kernel to the next."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err := ctx.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "ferry:", err)
		os.Exit(1)
	}
}
