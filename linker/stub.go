package linker

import (
	_ "embed"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// The two stubs are listings: offset, bytes, instruction, and after a semicolon
// why it is there. The bytes are what counts; the tests disassemble them and
// compare with the text.
var (
	//go:embed real16.lst
	real16 string // 16-bit code from offset 0x26c of the setup part, 32-bit code from 0x355
	//go:embed entry32.lst
	entry32 string // 32-bit code from offset 0 of the protected-mode part, 64-bit code from 0xef
)

// Columns of a listing.
const (
	hexColumn  = 5
	textColumn = 32
)

// line is one instruction or piece of data of a listing.
type line struct {
	offset int
	bytes  []byte
	text   string // instruction, or "db"
}

// parse reads a listing whose first byte has offset origin.
func parse(listing string, origin int) ([]line, error) {
	var ls []line
	for i, s := range strings.Split(strings.TrimSuffix(listing, "\n"), "\n") {
		if len(s) < textColumn {
			return nil, fmt.Errorf("listing line %d: too short", i+1)
		}
		offset, err := strconv.ParseUint(s[:hexColumn-2], 16, 16)
		if err != nil {
			return nil, fmt.Errorf("listing line %d: offset: %w", i+1, err)
		}
		b, err := hex.DecodeString(strings.ReplaceAll(s[hexColumn:textColumn], " ", ""))
		if err != nil {
			return nil, fmt.Errorf("listing line %d: bytes: %w", i+1, err)
		}
		if int(offset) != origin {
			return nil, fmt.Errorf("listing line %d: offset %#x, want %#x", i+1, offset, origin)
		}
		text, _, _ := strings.Cut(s[textColumn:], ";")
		ls = append(ls, line{int(offset), b, strings.TrimSpace(text)})
		origin += len(b)
	}
	return ls, nil
}

// assemble returns the bytes of a listing.
func assemble(listing string, origin int) ([]byte, error) {
	ls, err := parse(listing, origin)
	var b []byte
	for _, l := range ls {
		b = append(b, l.bytes...)
	}
	return b, err
}
