//go:build linux

package crossingtest

import (
	"regexp"
	"strings"
)

// What a report says went wrong: the verdict has the first cause, the lines of errors
// above it have the others.
var (
	cause = regexp.MustCompile(`(?m)^ferry: (?:error|HALTED|ROLLED BACK to [^:]*|PASSED ON to [^:]*|BOOTED [^:]* COLD): (.*?)\r?$`)
	none  = regexp.MustCompile(`^(?:unread, as ferry\.mode=pass says|no handover came in)(?:;|$)`) // is no failure
)

// Causes returns what the reports in a console's output say went wrong.
func Causes(log string) (all []string) {
	for _, m := range cause.FindAllStringSubmatch(log, -1) {
		if !none.MatchString(m[1]) {
			all = append(all, m[1])
		}
	}
	return all
}

// Failed reports whether anything went wrong.
func Failed(log string) bool { return len(Causes(log)) > 0 }

// Names reports whether a cause contains the text.
func Names(log, text string) bool {
	for _, c := range Causes(log) {
		if strings.Contains(c, text) {
			return true
		}
	}
	return false
}
