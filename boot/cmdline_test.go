package boot_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ferry/boot"
	"ferry/phys/phystest"
)

// ignorePlace leaves out of comparisons where and how an option stands in its line.
var ignorePlace = cmp.Options{cmpopts.IgnoreUnexported(boot.Option{}), cmpopts.IgnoreFields(boot.Option{}, "Word")}

func TestOptionsFollowTheKernelsQuoting(t *testing.T) {
	val := func(n, v string) boot.Option { return boot.Option{Name: n, Value: v, HasValue: true} }
	bare := func(n string) boot.Option { return boot.Option{Name: n} }
	for _, c := range []struct {
		line string
		want []boot.Option
	}{
		{"", nil},
		{"   ", nil},
		{"quiet", []boot.Option{bare("quiet")}},
		{"a=1 b=2", []boot.Option{val("a", "1"), val("b", "2")}},
		{" a=1\t\nb\xa0c ", []boot.Option{val("a", "1"), bare("b"), bare("c")}},
		{"a=b=c", []boot.Option{val("a", "b=c")}},
		{"a=", []boot.Option{val("a", "")}},
		{"=a", []boot.Option{bare("=a")}},
		{"==a", []boot.Option{val("=", "a")}},
		{`a="b c" d`, []boot.Option{val("a", "b c"), bare("d")}},
		{`"a=b c" d`, []boot.Option{val("a", "b c"), bare("d")}},
		{`"a b"`, []boot.Option{bare("a b")}},
		{`a="b c`, []boot.Option{val("a", "b c")}},
		{`a=b"c d"e f`, []boot.Option{val("a", `b"c d"e`), bare("f")}},
		{`dyndbg="file a.c +p; file b.c +p"`, []boot.Option{val("dyndbg", "file a.c +p; file b.c +p")}},
		{"a -- ferry.x=1 b", []boot.Option{bare("a")}},
		{"a --b c", []boot.Option{bare("a"), bare("--b"), bare("c")}},
		{`"`, []boot.Option{bare("")}},
	} {
		if d := cmp.Diff(c.want, slices.Collect(boot.Options(c.line)), ignorePlace, cmpopts.EquateEmpty()); d != "" {
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
		if got := boot.Append(c.line, "new=1"); got != c.want {
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
		if got := boot.Without(c.line, "ferry."); got != c.want {
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
			for range boot.Options(line) {
			}
		})
		phystest.Bounded(t, 4<<10+4*uint64(len(line)), func() { boot.Without(line, "ferry.") })
		var want []boot.Option
		for o := range boot.Options(line) {
			if !strings.HasPrefix(o.Name, "ferry.") {
				want = append(want, o)
			}
		}
		got := slices.Collect(boot.Options(boot.Without(line, "ferry.")))
		if d := cmp.Diff(want, got, ignorePlace, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%q -> %q (-want +got):\n%s", line, boot.Without(line, "ferry."), d)
		}
	})
}
