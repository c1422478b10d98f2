package syscalls

import "ferry/board/amd64/internal/kernel"

// The first thread's stack starts out as Linux leaves it for a program: argument
// count, arguments, environment, auxiliary vector.

const (
	stringBytes = 16 << 10
	vectorBytes = 8 << 10
	auxPageSize = 6
	auxRandom   = 25
)

// builder writes the two growing parts.
type builder struct {
	text, textEnd uint64 // strings
	vec, vecEnd   uint64 // words
}

func (b *builder) byte(c byte) {
	if b.text < b.textEnd {
		*byteAt(b.text) = c
		b.text++
	}
}

func (b *builder) string(s string) {
	for i := 0; i < len(s); i++ {
		b.byte(s[i])
	}
}

func (b *builder) word(v uint64) {
	if b.vec < b.vecEnd {
		*word(b.vec) = v
		b.vec += 8
	}
}

// number writes v in decimal.
func (b *builder) number(v uint64) {
	var digits [32]byte
	n := 0
	for {
		digits[n&31] = '0' + byte(v%10)
		n++
		if v /= 10; v == 0 {
			break
		}
	}
	for ; n > 0; n-- {
		b.byte(digits[(n-1)&31])
	}
}

// buildArguments returns the stack pointer to enter the runtime with.
func buildArguments() uint64 {
	text := uint64(stackTop - stringBytes)
	vec := text - vectorBytes
	if !touch(vec, stringBytes+vectorBytes, true) {
		kernel.Print("ferry: no memory for the arguments\n")
		kernel.Halt()
	}
	// The last bytes are kept zero, so that every string ends.
	b := builder{text, stackTop - 64, vec, vec + vectorBytes - 128}
	b.word(0) // argc, see below
	b.word(b.text)
	b.string("ferry\x00")
	argc := uint64(1)

	i := afterDashes()
	for {
		var more bool
		if i, more = b.argument(i); !more {
			break
		}
		argc++
	}
	b.word(0)
	*word(vec) = argc

	b.environment()
	b.word(b.text)
	b.string(memoryLimit)
	b.number(kernel.GoMemory())
	b.byte(0)
	b.word(0)

	random := (b.text + 15) &^ 15
	kernel.FillRandom(uintptr(random), 16)
	b.word(auxPageSize)
	b.word(kernel.PageSize)
	b.word(auxRandom)
	b.word(random)
	b.word(0)
	b.word(0)
	return vec
}

// afterDashes returns where the command line's program arguments start: after a
// word "--".
func afterDashes() uint64 {
	for i := uint64(0); kernel.CmdlineAt(i) != 0; i++ {
		if kernel.CmdlineAt(i) == '-' && kernel.CmdlineAt(i+1) == '-' && isSpace(kernel.CmdlineAt(i+2)) &&
			(i == 0 || isSpace(kernel.CmdlineAt(i-1))) {
			return i + 2
		}
	}
	return 1 << 20
}

// startsAt reports whether the command line has s at position i.
func startsAt(i uint64, s string) bool {
	for n := 0; n < len(s); n++ {
		if kernel.CmdlineAt(i+uint64(n)) != s[n] {
			return false
		}
	}
	return true
}

// isSpace reports whether c ends a word; 0 is the end of the command line.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == 0 }

// argument copies the next word from position i on. Double quotes hold blanks
// together.
func (b *builder) argument(i uint64) (next uint64, ok bool) {
	for kernel.CmdlineAt(i) != 0 && isSpace(kernel.CmdlineAt(i)) {
		i++
	}
	if kernel.CmdlineAt(i) == 0 {
		return i, false
	}
	b.word(b.text)
	for quoted := false; ; i++ {
		c := kernel.CmdlineAt(i)
		if c == 0 || isSpace(c) && !quoted {
			break
		}
		if c == '"' {
			quoted = !quoted
			continue
		}
		b.byte(c)
	}
	b.byte(0)
	return i, true
}

// memoryLimit is the variable by which the runtime takes its limit. Only the board
// sets it: the runtime ends the program if it cannot read the value, and this early
// there is no fallback.
const memoryLimit = "GOMEMLIMIT="

// environment passes on words before the dashes that look like NAME=value, the
// name in capitals: GODEBUG, GOTRACEBACK, GOGC; but not GOMEMLIMIT.
func (b *builder) environment() {
	for i, end := uint64(0), afterDashes(); i < end && kernel.CmdlineAt(i) != 0; {
		n := i
		for c := kernel.CmdlineAt(n); c >= 'A' && c <= 'Z' || c == '_' && n > i; c = kernel.CmdlineAt(n) {
			n++
		}
		if n > i && kernel.CmdlineAt(n) == '=' {
			before, name := *b, i
			if i, _ = b.argument(i); startsAt(name, memoryLimit) {
				*b = before
				kernel.Print("ferry: GOMEMLIMIT follows from the stage's memory; the command line's is ignored\n")
			}
			continue
		}
		for !isSpace(kernel.CmdlineAt(i)) {
			i++
		}
		for kernel.CmdlineAt(i) != 0 && isSpace(kernel.CmdlineAt(i)) {
			i++
		}
	}
}
