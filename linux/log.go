package linux

import (
	"bytes"
	"regexp"
	"strings"
)

// A Log is what a machine wrote to its serial console, over all the kernels that ran in it.
type Log struct {
	Lines []string // without line ends
}

// ParseLog splits a console's output into lines, and drops the terminal's control sequences of the firmware. The kernel
// writes its own lines whole, but also into the middle of one that a program is writing: such a program's line is put
// together again, after the kernel's.
func ParseLog(console []byte) Log {
	console = controls.ReplaceAll(console, nil)
	console = bytes.ReplaceAll(console, []byte("\r"), nil)
	text := strings.TrimSuffix(string(console), "\n")
	if text == "" {
		return Log{}
	}
	var log Log
	var broken string
	for line := range strings.SplitSeq(text, "\n") {
		if at := kernelLine.FindStringIndex(line); at != nil {
			broken += line[:at[0]]
			log.Lines = append(log.Lines, line[at[0]:])
			continue
		}
		log.Lines = append(log.Lines, broken+line)
		broken = ""
	}
	if broken != "" {
		log.Lines = append(log.Lines, broken)
	}
	return log
}

var (
	controls = regexp.MustCompile("\x1b(\\[[0-9;?]*[A-Za-z]|c)")
	banner   = regexp.MustCompile(`^\[ +0\.000000\] Linux version `)
	// Linux reports trouble in these words: those of any kernel, those of a debugging one, and how KHO and LUO complain,
	// which is everything that they say but what ordinary lists.
	trouble = regexp.MustCompile(`WARNING|BUG[: ]|Oops|Call Trace|Kernel panic|general protection` +
		`|cut here|KASAN|UBSAN|ODEBUG:|page dumped|[Bb]ad page|(list|prev|next)_\w+ corruption|pagealloc: |page_table_check|overwritten|DEBUG_LOCKS|kmemleak: [1-9]` +
		`|KHO|[Hh]andover|\b(memfd_)?luo`)
	ordinary = []*regexp.Regexp{
		regexp.MustCompile(`KHO: found kexec handover data\.( Will skip init for some devices)?$`),
		regexp.MustCompile(`KHO: exec from: \S+ \(count \d+\)$`),
		regexp.MustCompile(`KHO: scratch (scale|areas)`),
		regexp.MustCompile(`luo: Retrieved live update data, liveupdate number: \d+$`),
		regexp.MustCompile(`Revived memory reservation '\S+' from KHO$`),
		regexp.MustCompile(`KHO restore succeeded$`),
	}
	kernelLine = regexp.MustCompile(`\[ *\d+\.\d{6}\] `)
)

// Kernels splits the log at each Linux banner: element 0 is what came before the first kernel, element i the i-th kernel
// and what followed it up to the next one, a stage between them included.
func (l Log) Kernels() []Log {
	parts := []Log{{}}
	for _, line := range l.Lines {
		if banner.MatchString(line) {
			parts = append(parts, Log{})
		}
		last := &parts[len(parts)-1]
		last.Lines = append(last.Lines, line)
	}
	return parts
}

// Complaints returns the lines in which a kernel reports trouble: warnings, bugs, panics, and whatever KHO or LUO
// say beyond their ordinary messages. What programs in user space and the stage print is not looked at.
func (l Log) Complaints() []string {
	var found []string
	for _, line := range l.Lines {
		if strings.HasPrefix(line, "[") && kernelLine.MatchString(line) && trouble.MatchString(line) && !isOrdinary(line) {
			found = append(found, line)
		}
	}
	return found
}

func isOrdinary(line string) bool {
	if strings.Contains(line, "ommand line: ") || strings.Contains(line, "Unknown kernel command line parameters") {
		return true // the words of the command line itself
	}
	for _, re := range ordinary {
		if re.MatchString(line) {
			return true
		}
	}
	return false
}

// Has reports whether a line contains the text.
func (l Log) Has(text string) bool {
	_, ok := l.Find(text)
	return ok
}

// String returns the log as it was.
func (l Log) String() string { return strings.Join(l.Lines, "\n") }

// Find returns the first line that contains the text.
func (l Log) Find(text string) (string, bool) {
	for _, line := range l.Lines {
		if strings.Contains(line, text) {
			return line, true
		}
	}
	return "", false
}
