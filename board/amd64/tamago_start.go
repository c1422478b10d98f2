//go:build tamago

package amd64

import (
	"os"
	"runtime/debug"
)

// The board's last part, once the runtime is up: what an operating system passes
// to a program.
func init() {
	debug.SetMaxStack(MaxGoStack)
	debug.SetMemoryLimit(int64(GoMemory()))
	args, env := Arguments(Boot().Cmdline)
	os.Args = append([]string{"ferry"}, args...)
	for _, e := range env {
		os.Setenv(e.Name, e.Value)
	}
	if level, ok := os.LookupEnv("GOTRACEBACK"); ok {
		debug.SetTraceback(level)
	}
}
