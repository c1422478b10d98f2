//go:build tamago

package tamago

import (
	"os"
	"runtime/debug"

	"ferry/board/amd64"
	"ferry/board/amd64/internal/kernel"
)

// The board's last part, once the runtime is up: what an operating system passes
// to a program.
func init() {
	debug.SetMaxStack(kernel.MaxGoStack)
	debug.SetMemoryLimit(int64(kernel.GoMemory()))
	args, env := amd64.Arguments(amd64.Boot().Cmdline)
	os.Args = append([]string{"ferry"}, args...)
	for _, e := range env {
		os.Setenv(e.Name, e.Value)
	}
	if level, ok := os.LookupEnv("GOTRACEBACK"); ok {
		debug.SetTraceback(level)
	}
}
