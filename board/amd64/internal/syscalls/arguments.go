package syscalls

import (
	"ferry/board/amd64/internal/kernel"
	"ferry/boot/cmdline"
)

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

	line := kernel.Cmdline()
	for _, i := cmdline.Init(line); ; {
		w, ok := cmdline.Next(line, i)
		if !ok {
			break
		}
		b.argument(line, w.Start, w.End)
		argc, i = argc+1, w.End
	}
	b.word(0)
	*word(vec) = argc

	b.environment(line)
	b.word(b.text)
	b.string(memoryLimit + "=")
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

// argument adds a string: bytes of the command line, less its quotes.
func (b *builder) argument(line string, start, end int) {
	b.word(b.text)
	b.unquoted(line, start, end)
	b.byte(0)
}

// unquoted copies bytes of the command line, less its quotes.
func (b *builder) unquoted(line string, start, end int) {
	for i := uint(start); i < uint(end) && i < uint(len(line)); i++ {
		if c := line[i]; c != '"' {
			b.byte(c)
		}
	}
}

// memoryLimit is the variable by which the runtime takes its limit. Only the board
// sets it: the runtime ends the program if it cannot read the value, and this early
// there is no fallback.
const memoryLimit = "GOMEMLIMIT"

// environment passes on the words of the kernel that look like NAME=value, the name
// in capitals: GODEBUG, GOTRACEBACK, GOGC; but not GOMEMLIMIT.
func (b *builder) environment(line string) {
	for i := 0; ; {
		w, ok := cmdline.Next(line, i)
		if !ok || w.Dashes(line) {
			return
		}
		i = w.End
		switch {
		case !w.Variable(line):
		case w.Named(line, memoryLimit):
			kernel.Print("ferry: GOMEMLIMIT follows from the stage's memory; the command line's is ignored\n")
		default:
			b.word(b.text)
			b.unquoted(line, w.Name, w.NameEnd)
			b.byte('=')
			b.unquoted(line, w.Value, w.ValueEnd)
			b.byte(0)
		}
	}
}
