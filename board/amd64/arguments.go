package amd64

import (
	"strings"

	"ferry/boot/cmdline"
)

// Variable is an environment variable.
type Variable struct{ Name, Value string }

// Arguments splits a kernel command line into what a program on the board gets: the
// words behind "--" are its arguments, those of the kernel that look like NAME=value
// with the name in capitals its environment. Double quotes hold spaces together.
// GOMEMLIMIT is the board's to set and left out, see [GoMemory].
func Arguments(line string) (args []string, env []Variable) {
	ours := false
	for i := 0; ; {
		w, ok := cmdline.Next(line, i)
		switch {
		case !ok:
			return args, env
		case ours:
			args = append(args, unquoted(line[w.Start:w.End]))
		case w.Dashes(line):
			ours = true
		case w.Variable(line) && !w.Named(line, "GOMEMLIMIT"):
			env = append(env, Variable{line[w.Name:w.NameEnd], unquoted(line[w.Value:w.ValueEnd])})
		}
		i = w.End
	}
}

// unquoted takes away all quotes.
func unquoted(word string) string { return strings.ReplaceAll(word, `"`, "") }
