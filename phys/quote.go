package phys

import (
	"fmt"
	"iter"
	"strconv"
	"unicode/utf8"
)

// maxQuote is how many bytes of a text that somebody else wrote are shown.
const maxQuote = 128

// Quote returns text as %q does, but of one longer than 128 bytes only the
// beginning, and its length. Messages quote with it whatever was read from memory: a
// name without an end costs them as little as any other.
func Quote[T ~string | ~[]byte](text T) string { return string(appendQuote(nil, text)) }

func appendQuote[T ~string | ~[]byte](b []byte, text T) []byte {
	if len(text) <= maxQuote {
		return strconv.AppendQuote(b, string(text))
	}
	b = strconv.AppendQuote(b, clip(string(text[:maxQuote+1])))
	return fmt.Appendf(b, "... (%d bytes)", len(text))
}

// clip returns the first maxQuote bytes of s, which has one more, except for a
// character that they would cut in two.
func clip(s string) string {
	for i := range utf8.UTFMax {
		if utf8.RuneStart(s[maxQuote-i]) {
			return s[:maxQuote-i]
		}
	}
	return s[:maxQuote] // no character at all
}

// QuoteList is [Quote] for a list of texts. Those behind the first 128 bytes are
// not shown.
func QuoteList[T ~string | ~[]byte](texts iter.Seq[T]) string {
	b := []byte{'['}
	used := 0
	for t := range texts {
		if used > 0 {
			b = append(b, ' ')
		}
		if used >= maxQuote {
			b = append(b, "..."...)
			break
		}
		b = appendQuote(b, t)
		used += len(t) + 1
	}
	return string(append(b, ']'))
}
