package phys_test

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"ferry/phys"
	"ferry/phys/phystest"
)

func TestQuoteIsTheVerbForShortTexts(t *testing.T) {
	for _, s := range []string{"", "vm-7", "a\x00b\xff", `"`, "ü€😀", strings.Repeat("x", 128), strings.Repeat("😀", 32)} {
		if got, want := phys.Quote(s), fmt.Sprintf("%q", s); got != want || phys.Quote([]byte(s)) != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestQuoteClipsLongTexts(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct{ text, want string }{
		{x(129), `"` + x(128) + `"... (129 bytes)`},
		{x(4 << 20), `"` + x(128) + `"... (4194304 bytes)`},
		{x(127) + "é", `"` + x(127) + `"... (129 bytes)`},
		{x(126) + "é.", `"` + x(126) + `é"... (129 bytes)`},
		{x(125) + "😀", `"` + x(125) + `"... (129 bytes)`},
		{strings.Repeat("\xff", 200), `"` + strings.Repeat(`\xff`, 128) + `"... (200 bytes)`},
		{strings.Repeat("\x80", 200), `"` + strings.Repeat(`\x80`, 128) + `"... (200 bytes)`}, // no character at all
	} {
		if got := phys.Quote(c.text); got != c.want {
			t.Errorf("%d bytes: %s, want %s", len(c.text), got, c.want)
		}
	}
}

func TestQuoteListShowsTheFirstTexts(t *testing.T) {
	list := func(s ...string) iter.Seq[[]byte] {
		return func(yield func([]byte) bool) {
			for _, s := range s {
				if !yield([]byte(s)) {
					return
				}
			}
		}
	}
	long := strings.Repeat("x", 200)
	for _, c := range []struct {
		list iter.Seq[[]byte]
		want string
	}{
		{list(), "[]"},
		{list(""), `[""]`},
		{list("kho-v4", "kho-v3"), `["kho-v4" "kho-v3"]`},
		{list(long), "[" + phys.Quote(long) + "]"},
		{list("a", long, "b"), `["a" ` + phys.Quote(long) + " ...]"},
		{list(slices.Repeat([]string{""}, 200)...), "[" + strings.Repeat(`"" `, 128) + "...]"},
	} {
		if got := phys.QuoteList(c.list); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// TestQuotingCostsLessThanAPage takes what is dearest to quote: text of which
// nothing is printable.
func TestQuotingCostsLessThanAPage(t *testing.T) {
	text := bytes.Repeat([]byte{0xff}, 4<<20)
	parts := func(yield func([]byte) bool) {
		for b := text; len(b) > 0 && yield(b[:100]); b = b[100:] {
		}
	}
	phystest.Bounded(t, phys.PageSize, func() { phys.Quote(text) })
	phystest.Bounded(t, phys.PageSize, func() { phys.QuoteList(parts) })
}
