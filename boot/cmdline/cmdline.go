package cmdline

import (
	"iter"
	"strings"
)

// Option is a word of the kernel's as strings, which are parts of the command line.
type Option struct {
	Name, Value string // without quotes
	HasValue    bool
	Word        string // all of it
	start       int    // in the command line
}

// Options yields the words of a command line up to "--", behind which words belong to
// init.
func Options(line string) iter.Seq[Option] {
	return func(yield func(Option) bool) {
		for i := 0; ; {
			w, ok := Next(line, i)
			if !ok || w.Dashes(line) {
				return
			}
			if !yield(Option{line[w.Name:w.NameEnd], line[w.Value:w.ValueEnd], w.HasValue, line[w.Start:w.End], w.Start}) {
				return
			}
			i = w.End
		}
	}
}

// Early yields the words of a command line as code sees them that runs before the
// kernel proper, its decompressor for one: what is up to a space separates them,
// and quotes mean nothing (arch/x86/boot/cmdline.c, arch/x86/lib/cmdline.c).
func Early(line string) iter.Seq[string] {
	return strings.FieldsFuncSeq(line, func(c rune) bool { return c <= ' ' })
}

// Append returns the command line with more words for the kernel: before the "--", if
// there is one.
func Append(line, words string) string {
	end, _ := Init(line)
	before, rest := strings.TrimRight(line[:end], " "), line[end:]
	if before != "" {
		before += " "
	}
	if rest != "" {
		rest = " " + rest
	}
	return before + words + rest
}

// Without returns the command line less the kernel's words whose name starts with
// prefix, and the space behind each. All other bytes stay as they are.
func Without(line, prefix string) string {
	var b strings.Builder
	last := 0
	for o := range Options(line) {
		if !strings.HasPrefix(o.Name, prefix) {
			continue
		}
		b.WriteString(line[last:o.start])
		last = o.start + len(o.Word)
		for last < len(line) && Space(line[last]) {
			last++
		}
	}
	b.WriteString(line[last:])
	if last == len(line) && last > 0 {
		return strings.TrimRight(b.String(), " ")
	}
	return b.String()
}

// Cut returns the beginning of a command line that has at most limit bytes, and the
// rest: no word is cut in two.
func Cut(line string, limit int) (fits, rest string) {
	if len(line) <= limit {
		return line, ""
	}
	end := 0
	for i := 0; ; {
		w, ok := Next(line, i)
		if !ok || w.End > limit {
			return line[:end], line[end:]
		}
		i, end = w.End, w.End
	}
}
