package amd64

import "strings"

// Variable is an environment variable.
type Variable struct{ Name, Value string }

// Arguments splits a kernel command line into what a program on the board gets:
// the words after " -- " are its arguments, those before that look like NAME=value
// with the name in capitals its environment. Double quotes hold blanks together.
// GOMEMLIMIT is the board's to set and left out, see [GoMemory].
func Arguments(cmdline string) (args []string, env []Variable) {
	before, after := cmdline, ""
	for i := range cmdline {
		if strings.HasPrefix(cmdline[i:], "--") && (i == 0 || isBlank(cmdline[i-1])) && (i+2 == len(cmdline) || isBlank(cmdline[i+2])) {
			before, after = cmdline[:i], cmdline[i+2:]
			break
		}
	}
	for _, w := range words(before) {
		if name, value, ok := strings.Cut(w, "="); ok && isVariable(name) && name != "GOMEMLIMIT" {
			env = append(env, Variable{name, value})
		}
	}
	return words(after), env
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' }

// isVariable reports whether name is made of capitals, with underscores in between.
func isVariable(name string) bool {
	return name != "" && name[0] != '_' && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == ""
}

// words splits s at blanks outside double quotes, which it takes away.
func words(s string) (ws []string) {
	var w strings.Builder
	inWord, quoted := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case isBlank(c) && !quoted:
			if inWord {
				ws = append(ws, w.String())
				w.Reset()
				inWord = false
			}
		case c == '"':
			inWord, quoted = true, !quoted
		default:
			inWord = true
			w.WriteByte(c)
		}
	}
	if inWord {
		ws = append(ws, w.String())
	}
	return ws
}
