// Package cmdline takes a Linux command line apart, as the kernel does (next_arg and
// parse_args in lib/cmdline.c and kernel/params.c of Linux 7.3): for the board, which
// passes words on to the program, for the stage, whose own words are among the
// kernel's, and for the host tool.
//
// A command line was written by whoever loaded us. Nothing is allocated in finding a
// word: [Next] also runs before there is a Go runtime.
package cmdline

// Word is one word of a command line, name=value or just a name, as offsets in the
// line.
type Word struct {
	Start, End      int // all of it
	Name, NameEnd   int // without quotes
	Value, ValueEnd int // without quotes; empty without HasValue
	HasValue        bool
}

// Space reports whether c separates words: the kernel's isspace.
func Space(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' || c == 0xa0 }

// Next returns the first word at or after offset i; ok is false if there is none.
// Spaces separate words except between double quotes, a quote may open before the
// name or before the value, and the first equals sign behind a byte of the name ends
// the name.
func Next(line string, i int) (w Word, ok bool) {
	at, n := uint(i), uint(len(line))
	for at < n && Space(line[at]) {
		at++
	}
	if at >= n {
		return w, false
	}
	w.Start = int(at)
	quoted := line[at] == '"'
	if quoted {
		at++
	}
	from, equals := at, n
	for open := quoted; at < n; at++ {
		c := line[at]
		if Space(c) && !open {
			break
		}
		if c == '"' {
			open = !open
		} else if c == '=' && equals == n && at > from {
			equals = at
		}
	}
	w.End = int(at)
	to := at
	if quoted && to > from && byteAt(line, to-1) == '"' {
		to--
	}
	w.Name, w.NameEnd = int(from), int(to)
	if equals >= to {
		return w, true
	}
	w.NameEnd, w.HasValue = int(equals), true
	value := equals + 1
	if value < to && byteAt(line, value) == '"' {
		value++
		if !quoted && value < to && byteAt(line, to-1) == '"' {
			to--
		}
	}
	w.Value, w.ValueEnd = int(value), int(to)
	return w, true
}

// byteAt returns a byte of the line without a check that could panic.
func byteAt(line string, at uint) byte {
	if at < uint(len(line)) {
		return line[at]
	}
	return 0
}

// Dashes reports whether the word is "--", behind which words belong to init.
func (w *Word) Dashes(line string) bool {
	return !w.HasValue && w.NameEnd-w.Name == 2 && byteAt(line, uint(w.Name)) == '-' && byteAt(line, uint(w.Name)+1) == '-'
}

// Init returns where the words of the kernel end, and where those of init begin: the
// one before and the other behind a word "--". Without one both are the line's end.
func Init(line string) (end, start int) {
	for i := 0; ; {
		w, ok := Next(line, i)
		if !ok {
			return len(line), len(line)
		}
		if w.Dashes(line) {
			return w.Start, w.End
		}
		i = w.End
	}
}

// Variable reports whether the word is one of a program's environment: NAME=value, the
// name made of capitals, with underscores in between.
func (w *Word) Variable(line string) bool {
	if !w.HasValue || byteAt(line, uint(w.Name)) == '_' {
		return false
	}
	for i := uint(w.Name); i < uint(w.NameEnd); i++ {
		if c := byteAt(line, i); (c < 'A' || c > 'Z') && c != '_' {
			return false
		}
	}
	return w.NameEnd > w.Name
}

// Named reports whether the word's name is this one.
func (w *Word) Named(line, name string) bool {
	if w.NameEnd-w.Name != len(name) {
		return false
	}
	for i := range len(name) {
		if byteAt(line, uint(w.Name)+uint(i)) != name[i] {
			return false
		}
	}
	return true
}

// ValueStarts reports whether the word's value starts with prefix.
func (w *Word) ValueStarts(line, prefix string) bool {
	if w.ValueEnd-w.Value < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if byteAt(line, uint(w.Value)+uint(i)) != prefix[i] {
			return false
		}
	}
	return true
}
