package cmdline_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ferry/boot/cmdline"
	"ferry/phys/phystest"
)

// ignorePlace leaves out of comparisons where and how an option stands in its line.
var ignorePlace = cmp.Options{cmpopts.IgnoreUnexported(cmdline.Option{}), cmpopts.IgnoreFields(cmdline.Option{}, "Word")}

func TestOptionsFollowTheKernelsQuoting(t *testing.T) {
	val := func(n, v string) cmdline.Option { return cmdline.Option{Name: n, Value: v, HasValue: true} }
	bare := func(n string) cmdline.Option { return cmdline.Option{Name: n} }
	for _, c := range []struct {
		line string
		want []cmdline.Option
	}{
		{"", nil},
		{"   ", nil},
		{"quiet", []cmdline.Option{bare("quiet")}},
		{"a=1 b=2", []cmdline.Option{val("a", "1"), val("b", "2")}},
		{" a=1\t\nb\xa0c ", []cmdline.Option{val("a", "1"), bare("b"), bare("c")}},
		{"a=b=c", []cmdline.Option{val("a", "b=c")}},
		{"a=", []cmdline.Option{val("a", "")}},
		{"=a", []cmdline.Option{bare("=a")}},
		{"==a", []cmdline.Option{val("=", "a")}},
		{`a="b c" d`, []cmdline.Option{val("a", "b c"), bare("d")}},
		{`"a=b c" d`, []cmdline.Option{val("a", "b c"), bare("d")}},
		{`"a b"`, []cmdline.Option{bare("a b")}},
		{`a="b c`, []cmdline.Option{val("a", "b c")}},
		{`a=b"c d"e f`, []cmdline.Option{val("a", `b"c d"e`), bare("f")}},
		{`dyndbg="file a.c +p; file b.c +p"`, []cmdline.Option{val("dyndbg", "file a.c +p; file b.c +p")}},
		{"a -- ferry.x=1 b", []cmdline.Option{bare("a")}},
		{"a --b c", []cmdline.Option{bare("a"), bare("--b"), bare("c")}},
		{`"`, []cmdline.Option{bare("")}},
		{`a "--" b`, []cmdline.Option{bare("a")}},
		{`a "-- " b`, []cmdline.Option{bare("a"), bare("-- "), bare("b")}},
		{"a\v--\fb", []cmdline.Option{bare("a")}},
	} {
		if d := cmp.Diff(c.want, slices.Collect(cmdline.Options(c.line)), ignorePlace, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%q (-want +got):\n%s", c.line, d)
		}
	}
}

func TestAppendedWordsAreTheKernels(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"", "new=1"},
		{"  ", "new=1"},
		{"quiet", "quiet new=1"},
		{"quiet ", "quiet new=1"},
		{"quiet -- single", "quiet new=1 -- single"},
		{"--", "new=1 --"},
		{`a="x -- y" b`, `a="x -- y" b new=1`},
		{"a --b", "a --b new=1"},
	} {
		if got := cmdline.Append(c.line, "new=1"); got != c.want {
			t.Errorf("%q: %q, want %q", c.line, got, c.want)
		}
	}
}

func TestWithoutTakesOutWholeWordsOnly(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"", ""},
		{"quiet", "quiet"},
		{"  quiet  ", "  quiet  "},
		{"ferry.mode=pass", ""},
		{"a ferry.mode=pass b", "a b"},
		{"a ferry.mode=pass", "a"},
		{"ferry.mode=pass b", "b"},
		{"a ferry.x ferry.y   b", "a b"},
		{`a ferry.note="two words" b`, "a b"},
		{`a "ferry.note=two words" b`, "a b"},
		{`a x="in ferry.mode=pass quotes" b`, `a x="in ferry.mode=pass quotes" b`},
		{"a x=ferry.mode b", "a x=ferry.mode b"},
		{"a xferry.mode=1 b", "a xferry.mode=1 b"},
		{"ferry=1 b", "ferry=1 b"},
		{"a ferry.x=1 -- ferry.for=init", "a -- ferry.for=init"},
	} {
		if got := cmdline.Without(c.line, "ferry."); got != c.want {
			t.Errorf("%q: %q, want %q", c.line, got, c.want)
		}
	}
}

// FuzzWithout: what is left has none of the words, and all others in order.
func FuzzWithout(f *testing.F) {
	f.Add(`console=ttyS0 ferry.mode=pass "ferry.x=a b" kho=on -- ferry.init`)
	f.Add(`a="b c" ferry.note="x y" =z "`)
	f.Add(strings.Repeat("a ", 32<<10))
	f.Add(strings.Repeat("ferry.a ", 8<<10))
	f.Fuzz(func(t *testing.T, line string) {
		phystest.Bounded(t, 4<<10, func() {
			for range cmdline.Options(line) {
			}
		})
		phystest.Bounded(t, 4<<10+4*uint64(len(line)), func() { cmdline.Without(line, "ferry.") })
		var want []cmdline.Option
		for o := range cmdline.Options(line) {
			if !strings.HasPrefix(o.Name, "ferry.") {
				want = append(want, o)
			}
		}
		got := slices.Collect(cmdline.Options(cmdline.Without(line, "ferry.")))
		if d := cmp.Diff(want, got, ignorePlace, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%q -> %q (-want +got):\n%s", line, cmdline.Without(line, "ferry."), d)
		}
	})
}

// TestNextAllocatesNothing, and takes any offset: it also runs where nothing may panic.
func TestNextAllocatesNothing(t *testing.T) {
	const line = `a="b c" -- "d`
	if n := testing.AllocsPerRun(10, func() {
		for i := -2; i < len(line)+2; i++ {
			cmdline.Next(line, i)
		}
		cmdline.Init(line)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestInitsWordsComeBehindTheDashes(t *testing.T) {
	for _, c := range []struct{ line, before, after string }{
		{"", "", ""},
		{"quiet", "quiet", ""},
		{"quiet -- one two", "quiet ", " one two"},
		{`a="x -- y" -- z`, `a="x -- y" `, " z"},
		{`a "--" b -- c`, "a ", " b -- c"},
		{"a\v--\xa0b", "a\v", "\xa0b"},
		{"a -- -- b", "a ", " -- b"},
		{"a --=1 b", "a --=1 b", ""},
	} {
		end, start := cmdline.Init(c.line)
		if before, after := c.line[:end], c.line[start:]; before != c.before || after != c.after {
			t.Errorf("%q: %q and %q, want %q and %q", c.line, before, after, c.before, c.after)
		}
	}
}

func TestCutKeepsWordsWhole(t *testing.T) {
	for _, c := range []struct {
		line string
		max  int
		fits string
	}{
		{"one two", 7, "one two"},
		{"one two", 6, "one"},
		{"one two", 3, "one"},
		{"one two", 2, ""},
		{`one x="two three" four`, 16, "one"},
		{`one x="two three" four`, 17, `one x="two three"`},
	} {
		fits, rest := cmdline.Cut(c.line, c.max)
		if fits != c.fits || fits+rest != c.line {
			t.Errorf("%q in %d bytes: %q and %q, want %q", c.line, c.max, fits, rest, c.fits)
		}
	}
}

// The decompressor knows no quotes.
func TestEarlyWordsAreSeparatedWhateverIsQuoted(t *testing.T) {
	got := slices.Collect(cmdline.Early("a=\"b mem=1G\"\x01c\xa0d"))
	if d := cmp.Diff([]string{`a="b`, `mem=1G"`, "c\xa0d"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestBytesAreReadAsLinuxReadsThem(t *testing.T) {
	for s, want := range map[string]uint64{"4096": 4096, "64K": 64 << 10, "512M": 512 << 20, "3g": 3 << 30, "0x10000000": 0x10000000, "0x1e": 0x1e, "010": 8, "08": 0, "0x": 0, "0xg": 0, "0": 0, "18446744073709551615": 1<<64 - 1, "15E": 15 << 60, "1Gx": 1 << 30} {
		if got, ok := cmdline.ParseBytes(s); !ok || got != want {
			t.Errorf("%q: %v, %v; want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "nopentium", "M", "99999999999999999999", "16777216T", "16E", "18446744073709551616"} {
		if got, ok := cmdline.ParseBytes(s); ok {
			t.Errorf("%q: %v", s, got)
		}
	}
}
