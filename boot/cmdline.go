package boot

import (
	"iter"
	"strings"
)

// Option is one word of a command line: name=value, or a name alone. All strings
// are parts of the command line.
type Option struct {
	Name, Value string // without quotes
	HasValue    bool
	Word        string // all of it, as it stands there
	start       int    // in the command line
}

// Options yields the words of a command line up to "--", after which words
// belong to init. Words are taken apart as Linux' next_arg (lib/cmdline.c) does:
// spaces separate them except between double quotes, a quote may open before the
// name or before the value, and the first equals sign ends the name.
func Options(cmdline string) iter.Seq[Option] {
	return func(yield func(Option) bool) {
		for i := 0; i < len(cmdline); {
			if isSpace(cmdline[i]) {
				i++
				continue
			}
			o := word(cmdline, i)
			if !o.HasValue && o.Name == "--" || !yield(o) {
				return
			}
			i = o.start + len(o.Word)
		}
	}
}

// Append returns the command line with more words: before the "--" behind which words
// belong to init, if there is one.
func Append(cmdline, words string) string {
	end := len(cmdline)
	for i := 0; i < len(cmdline); {
		if isSpace(cmdline[i]) {
			i++
			continue
		}
		o := word(cmdline, i)
		if !o.HasValue && o.Name == "--" {
			end = o.start
			break
		}
		i = o.start + len(o.Word)
	}
	before, rest := strings.TrimRight(cmdline[:end], " "), cmdline[end:]
	if before != "" {
		before += " "
	}
	if rest != "" {
		rest = " " + rest
	}
	return before + words + rest
}

// isSpace is the kernel's isspace for the characters of a command line.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' || c == 0xa0 }

// word takes the word that starts at start, which is no space.
func word(s string, start int) Option {
	quoted := s[start] == '"'
	from := start
	if quoted {
		from++
	}
	inQuote, equals, i := quoted, -1, from
	for ; i < len(s) && (inQuote || !isSpace(s[i])); i++ {
		switch {
		case s[i] == '"':
			inQuote = !inQuote
		case s[i] == '=' && equals < 0 && i > from:
			equals = i
		}
	}
	o := Option{Word: s[start:i], start: start}
	to := i
	if quoted && to > from && s[to-1] == '"' {
		to--
	}
	if equals < from || equals >= to {
		o.Name = s[from:to]
		return o
	}
	o.Name, o.Value, o.HasValue = s[from:equals], s[equals+1:to], true
	if strings.HasPrefix(o.Value, `"`) {
		o.Value = o.Value[1:]
		if !quoted {
			o.Value = strings.TrimSuffix(o.Value, `"`)
		}
	}
	return o
}

// Without returns the command line less the words whose name starts with prefix,
// and the space after each. All other bytes stay as they are.
func Without(cmdline, prefix string) string {
	var b strings.Builder
	last := 0
	for o := range Options(cmdline) {
		if !strings.HasPrefix(o.Name, prefix) {
			continue
		}
		b.WriteString(cmdline[last:o.start])
		last = o.start + len(o.Word)
		for last < len(cmdline) && isSpace(cmdline[last]) {
			last++
		}
	}
	b.WriteString(cmdline[last:])
	if last == len(cmdline) && last > 0 {
		return strings.TrimRight(b.String(), " ")
	}
	return b.String()
}
