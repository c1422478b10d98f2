// Command compatibility writes docs/compatibility.md from the results that the real-kernel suite left in the build
// folder. Nothing in the tables comes from anywhere else.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"

	"ferry/linux"
)

type cli struct {
	Build  string `default:"build" help:"Folder in which the suite left its results."`
	Output string `default:"docs/compatibility.md" help:"File to write."`
}

func main() {
	var c cli
	kong.Parse(&c, kong.Name("compatibility"), kong.Description("The results of the real-kernel suite as tables."))
	if err := c.run(); err != nil {
		fmt.Fprintln(os.Stderr, "compatibility:", err)
		os.Exit(1)
	}
}

func (c cli) run() error {
	results, err := linux.Results(filepath.Join(c.Build, "linux/compatibility"))
	if err != nil {
		return err
	}
	if len(results) == 0 {
		return fmt.Errorf("no results in %s: run make test-matrix", c.Build)
	}
	return os.WriteFile(c.Output, page(results), 0o644)
}
