package payload

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"ferry/phys"
)

// decoder reads the part of JSON (RFC 8259) that a manifest has: objects,
// strings, and numbers that count something; other values are only skipped.
// It is stricter than encoding/json: a key appears once, its case matters, and
// text is UTF-8. And it is a tenth of an image smaller, which counts if the
// image also verifies signatures.
type decoder struct {
	b  []byte
	at int
}

// maxDepth bounds how deep values that are skipped are nested.
const maxDepth = 16

// fail returns the error that something else was wanted at the place reached.
func (d *decoder) fail(want string) error {
	return fmt.Errorf("%s at offset %d, want %s", phys.Quote(d.b[min(d.at, len(d.b)):min(d.at+8, len(d.b))]), d.at, want)
}

// peek returns the next byte that is no white space, 0 at the end.
func (d *decoder) peek() byte {
	for ; d.at < len(d.b); d.at++ {
		switch c := d.b[d.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// want consumes one byte of punctuation.
func (d *decoder) want(c byte) error {
	if d.peek() != c {
		return d.fail(strconv.QuoteRune(rune(c)))
	}
	d.at++
	return nil
}

// end wants nothing but white space.
func (d *decoder) end() error {
	if d.peek(); d.at < len(d.b) {
		return d.fail("the end")
	}
	return nil
}

// object calls field for each key, which consumes the value.
func (d *decoder) object(field func(key string) error) error {
	seen := map[string]bool{}
	return d.list('{', '}', func() error {
		key, err := d.text()
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("key %s appears twice, again before offset %d", phys.Quote(key), d.at)
		}
		seen[key] = true
		if err := d.want(':'); err != nil {
			return err
		}
		return field(key)
	})
}

// list consumes what is between two brackets, with commas between elements.
func (d *decoder) list(open, end byte, element func() error) error {
	if err := d.want(open); err != nil {
		return err
	}
	if d.peek() == end {
		d.at++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if d.peek() != ',' {
			return d.want(end)
		}
		d.at++
	}
}

// text consumes a string.
func (d *decoder) text() (string, error) {
	if err := d.want('"'); err != nil {
		return "", err
	}
	var s []byte
	for d.at < len(d.b) {
		c := d.b[d.at]
		switch {
		case c == '"':
			d.at++
			if !utf8.Valid(s) {
				return "", fmt.Errorf("string %s is not UTF-8", phys.Quote(s))
			}
			return string(s), nil
		case c < ' ':
			return "", d.fail("an escape")
		case c != '\\':
			s = append(s, c)
			d.at++
		default:
			var err error
			if s, err = d.escape(s); err != nil {
				return "", err
			}
		}
	}
	return "", d.fail("the end of a string")
}

// escapes are those of one letter.
var escapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape consumes a backslash and what belongs to it.
func (d *decoder) escape(s []byte) ([]byte, error) {
	if d.at+1 < len(d.b) {
		if c, ok := escapes[d.b[d.at+1]]; ok {
			d.at += 2
			return append(s, c), nil
		}
	}
	r, err := d.unicode()
	if err != nil {
		return nil, err
	}
	if utf16.IsSurrogate(r) {
		low, err := d.unicode()
		if err != nil {
			return nil, err
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return nil, d.fail("the other half of a character before")
		}
	}
	return utf8.AppendRune(s, r), nil
}

// unicode consumes \uXXXX.
func (d *decoder) unicode() (rune, error) {
	const length = 6
	if len(d.b)-d.at < length || d.b[d.at] != '\\' || d.b[d.at+1] != 'u' {
		return 0, d.fail("an escape")
	}
	n, err := strconv.ParseUint(string(d.b[d.at+2:d.at+length]), 16, 16)
	if err != nil {
		return 0, d.fail("four hexadecimal digits")
	}
	d.at += length
	return rune(n), nil
}

// count consumes a number that is not negative and has no fraction.
func (d *decoder) count() (uint64, error) {
	d.peek()
	start := d.at
	if err := d.number(); err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(d.b[start:d.at]), 10, 64)
	if err != nil {
		d.at = start
		return 0, d.fail("a number from 0 to 2^64-1")
	}
	return n, nil
}

// number consumes a number.
func (d *decoder) number() error {
	accept := func(chars string) bool {
		for i := range len(chars) {
			if d.at < len(d.b) && d.b[d.at] == chars[i] {
				d.at++
				return true
			}
		}
		return false
	}
	digits := func() error {
		if !accept("0123456789") {
			return d.fail("a digit")
		}
		for accept("0123456789") {
		}
		return nil
	}
	accept("-")
	if !accept("0") {
		if err := digits(); err != nil {
			return err
		}
	}
	if accept(".") {
		if err := digits(); err != nil {
			return err
		}
	}
	if accept("eE") {
		accept("+-")
		return digits()
	}
	return nil
}

// skip consumes any value.
func (d *decoder) skip(depth int) error {
	if depth > maxDepth {
		return errors.New("values are nested too deep")
	}
	switch c := d.peek(); c {
	case '{':
		return d.object(func(string) error { return d.skip(depth + 1) })
	case '[':
		return d.list('[', ']', func() error { return d.skip(depth + 1) })
	case '"':
		_, err := d.text()
		return err
	case 't', 'f', 'n':
		for _, word := range []string{"true", "false", "null"} {
			if end := d.at + len(word); end <= len(d.b) && string(d.b[d.at:end]) == word {
				d.at = end
				return nil
			}
		}
		return d.fail("true, false or null")
	}
	return d.number()
}
