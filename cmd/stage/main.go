// Command stage is the image that runs between two Linux kernels.
package main

import (
	"fmt"

	"ferry/board/amd64"
)

// version names the build; the linker's -X sets it.
var version = "development"

func main() {
	info, ram := amd64.Boot(), amd64.RAM()
	use := amd64.MemoryUse()
	fmt.Printf("ferry %s: %d MiB of RAM, stage at %v, %d KiB of %d MiB used, command line %q\n",
		version, ram.Size()>>20, info.Stage, use.Now>>10, use.Total>>20, info.Cmdline)
	amd64.Exit(0)
}
