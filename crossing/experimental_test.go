package crossing

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"ferry/luo"
	"ferry/memfd"
)

// TestExperimentalGenerationsAreAskedFor: nobody meets one by accident.
func TestExperimentalGenerationsAreAskedFor(t *testing.T) {
	for _, g := range generations {
		if slices.Contains(Generations(), g) == g.Experimental {
			t.Errorf("generation %s: experimental %v, among those of released kernels: %v", g.Name, g.Experimental, !g.Experimental)
		}
		if ByName(g.Name) != g {
			t.Errorf("generation %s is not found by its name", g.Name)
		}
		if err := g.allow(true, "a test"); err != nil {
			t.Errorf("generation %s, asked for: %v", g.Name, err)
		}
		err := g.allow(false, "a test")
		if errors.Is(err, ErrExperimental) != g.Experimental || err != nil && !strings.Contains(err.Error(), "ferry.experimental=1") {
			t.Errorf("generation %s, not asked for: %v", g.Name, err)
		}
		if g.Experimental && g.First != "" {
			t.Errorf("generation %s is experimental and that of Linux %s", g.Name, g.First)
		}
		if _, ok := parseSeries(g.First); ok {
			continue
		}
		if gs := written(g.KHO, nil); g.Experimental && slices.Contains(gs, g) {
			t.Errorf("a handover without a state is taken for one of generation %s", g.Name)
		}
	}
	if err := (*Generation)(nil).allow(false, "a test"); err != nil {
		t.Error(err)
	}
}

// TestFormatsOfExperimentalGenerationsAreReadIfTheyAreAskedFor and no others.
func TestFormatsOfExperimentalGenerationsAreReadIfTheyAreAskedFor(t *testing.T) {
	usual, all := readableFormats(false), readableFormats(true)
	if len(usual.luo) != 0 || !slices.Equal(usual.memfd, memfd.Formats()) {
		t.Errorf("read without being asked for: %v and %v", usual.luo, usual.memfd)
	}
	for _, g := range generations {
		if g.LUO != nil && !slices.Contains(append(luo.Formats(), all.luo...), g.LUO) || g.Memfd != nil && !slices.Contains(all.memfd, g.Memfd) {
			t.Errorf("generation %s is not read", g.Name)
		}
	}
	if g, h := slices.Clone(all.luo), slices.Clone(all.memfd); len(slices.Compact(g)) != len(all.luo) || len(slices.Compact(h)) != len(all.memfd) {
		t.Errorf("formats twice: %v, %v", all.luo, all.memfd)
	}
}

func TestExperimentalIsOffUnlessTheCommandLineSaysOne(t *testing.T) {
	for line, want := range map[string]bool{"": false, "ferry.experimental=1": true, "ferry.experimental=0": false, "ferry.experimental=1 ferry.experimental=0": false} {
		if o, err := ParseOptions(line); err != nil || o.Experimental != want {
			t.Errorf("%q: %v, %v", line, o.Experimental, err)
		}
	}
	for _, line := range []string{"ferry.experimental", "ferry.experimental=", "ferry.experimental=yes", "ferry.experimental=2"} {
		if o, err := ParseOptions(line); err == nil || o.Experimental {
			t.Errorf("%q: %v, %v", line, o.Experimental, err)
		}
	}
}
