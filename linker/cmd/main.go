// Command cmd links the ELF file of a stage, or of a test that runs on metal,
// into a bzImage.
package main

import (
	"fmt"
	"os"

	"github.com/alecthomas/kong"

	"ferry/linker"
)

var cli struct {
	InitSize uint64 `default:"64" help:"RAM that belongs to the image from its load address, in MiB."`
	Name     string `help:"Version string in the setup header. Default: ferry and its version."`
	Output   string `short:"o" required:"" type:"path" help:"The bzImage to write."`
	ELF      string `arg:"" type:"existingfile" help:"The program: static, text at image base + 0x1000."`
}

func main() {
	kong.Parse(&cli, kong.Name("linker"), kong.Description("Link an ELF executable into a bzImage."))
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	f, err := os.Open(cli.ELF)
	if err != nil {
		return err
	}
	defer f.Close()
	image, err := linker.Link(f, linker.Options{InitSize: cli.InitSize << 20, Version: cli.Name})
	if err != nil {
		return fmt.Errorf("%s: %w", cli.ELF, err)
	}
	return os.WriteFile(cli.Output, image, 0o644)
}
