//go:build qemu

package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ferry/crossing/crossingtest"
	"ferry/internal/oracle/standin"
)

const (
	build      = "../../build/"
	noSessions = "probe.sessions=0 probe.files=0" // the default is one
)

// crossTo is cross with the payload of a crossing between two generations. hint
// is what the payload says of the kernel before.
func crossTo(t *testing.T, from, to *standin.Generation, hint, words string, settings ...string) (string, int) {
	t.Helper()
	dir := t.TempDir()
	inner, outer := filepath.Join(dir, "payload.cpio"), filepath.Join(dir, "probe.cpio")
	for _, args := range [][]string{
		{"--kernel", build + "probe.bzimage", "--generation", to.Name, "--from", hint, "--output", inner},
		{"--kernel", build + "ferry.bzimage", "--generation", to.Name, "--initrd", inner, "--output", outer},
	} {
		if out, err := exec.Command(build+"ferry", append([]string{"pack"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("ferry pack: %v: run make test-run, which builds it\n%s", err, out)
		}
	}
	return cross(t, "probe.from="+from.Word()+" probe.to="+to.Word()+" "+words, append(settings, "INITRD="+outer)...)
}

// TestEveryPairOnMetal leads a state that both generations can hold from each of
// them to each other one.
func TestEveryPairOnMetal(t *testing.T) {
	for _, from := range standin.Generations {
		for _, to := range standin.Generations {
			t.Run(from.Name+" to "+to.Name, func(t *testing.T) {
				t.Parallel()
				words := "probe.regions=3 probe.order=5 probe.tests=6 "
				if !from.Sessions() || !to.Sessions() {
					words += noSessions
				} else {
					words += "probe.sessions=5 probe.files=7"
					if standin.Carried(from, to, standin.Shape{}).Plain {
						words += " probe.plain"
					}
				}
				log, code := crossTo(t, from, to, from.Name, words)
				if code != 0 || !strings.Contains(log, "probe B: PASSED") || crossingtest.Failed(log) {
					t.Errorf("exit code %d:\n%s", code, log)
				}
			})
		}
	}
}

// TestGenerationsOnMetal is about what not every state or pair has.
func TestGenerationsOnMetal(t *testing.T) {
	for name, tt := range map[string]struct {
		from, to *standin.Generation
		hint     string
		words    string
		report   string // that Ferry has to give
	}{
		"900 sessions":                {standin.F, standin.F, "", "probe.sessions=900 probe.files=1", ""},
		"200 files":                   {standin.F, standin.F, "", "probe.sessions=2 probe.files=200", ""},
		"900 sessions for arrays":     {standin.F, standin.E, "", "probe.sessions=900 probe.files=1 ferry.beyond-limits=1", ""},
		"900 sessions from arrays":    {standin.E, standin.F, "", "probe.sessions=900 probe.files=1", ""},
		"200 files for arrays":        {standin.F, standin.C, "", "probe.plain probe.sessions=2 probe.files=200 ferry.beyond-limits=1", ""},
		"200 files from arrays":       {standin.C, standin.F, "", "probe.sessions=2 probe.files=200", ""},
		"900 sessions, limits kept":   {standin.F, standin.E, "", "probe.sessions=900 probe.files=1 probe.expect=untouched ferry.on-error=pass", `session 819 "session-819"`},
		"200 files, limits kept":      {standin.F, standin.D, "", "probe.plain probe.sessions=2 probe.files=200 probe.expect=untouched ferry.on-error=pass", `session 0 "session-0"`},
		"10,000 blocks from patches":  {standin.EPrime, standin.F, "", "probe.sessions=510000 probe.files=0", ""},
		"seals that 7.0 cannot hold":  {standin.E, standin.D, "", "probe.sessions=1 probe.files=2 probe.expect=untouched ferry.on-error=pass", "seals 0xf"},
		"sessions that 6.18 has not":  {standin.F, standin.B, "", "probe.sessions=1 probe.files=1 probe.expect=untouched ferry.on-error=pass", `session 0 "session-0"`},
		"cold where the policy says":  {standin.F, standin.A, "", "probe.sessions=1 probe.files=1 probe.expect=cold ferry.on-error=cold", `session 0 "session-0"`},
		"sub-tree that is no tree":    {standin.F, standin.C, "", noSessions + " probe.odd=raw probe.expect=untouched ferry.on-error=pass", `"raw"`},
		"records of 6.19.8":           {standin.C, standin.F, "", "probe.plain probe.sessions=3 probe.files=7 probe.odd=unset,reversed,small", "repaired: "},
		"bitmaps that may be 6.18's":  {standin.A, standin.F, "6.17.13", noSessions + " probe.regions=2 probe.tests=3 probe.odd=aligned", ""},
		"bitmaps of nobody knows who": {standin.B, standin.F, "", noSessions + " probe.regions=3 probe.order=10 probe.tests=40", ""},
		"bitmaps of 6.17, said to be 6.18's": {standin.A, standin.F, "6.18.15", noSessions + " probe.regions=3 probe.order=10 probe.tests=40 probe.expect=untouched ferry.on-error=pass",
			"and not kho-v1 as claimed"},
		"bitmaps of 6.18, said to be 6.17's": {standin.B, standin.F, "6.17.13", noSessions + " probe.regions=3 probe.order=10 probe.tests=40 probe.expect=untouched ferry.on-error=pass",
			"and not kho-v1/512 as claimed"},
		"bitmaps of 6.18, the command line says 6.17": {standin.B, standin.F, "", noSessions + " probe.regions=3 probe.order=10 probe.tests=40 ferry.from=6.17 probe.expect=untouched ferry.on-error=pass",
			"and not kho-v1/512 as claimed"},
		"encrypted memory":           {standin.F, standin.E, "", "probe.sessions=1 probe.files=1 probe.node=7 probe.expect=untouched ferry.on-error=pass", "encrypted: a setup_data node of type 7"},
		"a node that nobody knows":   {standin.F, standin.E, "", "probe.sessions=1 probe.files=1 probe.node=66", ""},
		"feature headers":            {standin.F, standin.X, "", "probe.sessions=60 probe.files=7 ferry.experimental=1", ""},
		"from feature headers":       {standin.X, standin.E, "X", "probe.sessions=60 probe.files=7 ferry.experimental=1", ""},
		"feature headers, not asked": {standin.F, standin.X, "", "probe.sessions=1 probe.files=1 probe.expect=untouched ferry.on-error=pass", "ferry.experimental=1 crosses all the same"},
		"other handlers, no FLBs":    {standin.F, standin.EPrime, "", "probe.sessions=7 probe.files=5 probe.odd=foreign,no-flb,gaps,raw", `"standin-v1"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, code := crossTo(t, tt.from, tt.to, tt.hint, tt.words)
			if code != 0 || !strings.Contains(log, "probe B: PASSED") || !strings.Contains(log, tt.report) {
				t.Errorf("exit code %d, want 0 and a report of %q:\n%s", code, tt.report, log)
			}
		})
	}
}

// TestLargeBlocksAreSplitOnMetal hands 4 GiB in two blocks to kernels that would
// take each of them for a block of another size.
func TestLargeBlocksAreSplitOnMetal(t *testing.T) {
	for _, to := range []*standin.Generation{standin.A, standin.D, standin.E, standin.F} {
		t.Run(to.Name, func(t *testing.T) {
			t.Parallel()
			log, code := crossTo(t, standin.F, to, "", noSessions+" probe.regions=2 probe.order=19", largeRAM...)
			if code != 0 || !strings.Contains(log, "probe B: PASSED") {
				t.Errorf("exit code %d:\n%s", code, log)
			}
		})
	}
}

// TestDamagedHandoverOnMetal breaks some parts of each generation; the crossing's
// own tests have all the ways there are.
func TestDamagedHandoverOnMetal(t *testing.T) {
	for _, tt := range []struct {
		g      *standin.Generation
		damage string
		policy string
	}{
		{standin.A, "chunk-cycle", "pass"}, {standin.A, "bitmap-outside-ram", "cold"},
		{standin.B, "order-64", "pass"}, {standin.B, "preserved-twice", "halt"},
		{standin.C, "files-of-two", "pass"}, {standin.C, "start-misaligned", "cold"},
		{standin.D, "sessions-count", "pass"}, {standin.D, "no-session-node", "halt"},
		{standin.E, "sessions-null", "pass"}, {standin.E, "node-outside-ram", "cold"},
		{standin.EPrime, "unknown-sessions", "pass"}, {standin.EPrime, "node-cycle", "halt"},
		{standin.F, "feature-header", "pass"}, {standin.F, "cycle", "cold"}, {standin.F, "count-zero", "pass"},
		{standin.F, "counts-beyond-files", "pass"}, {standin.F, "pointer-outside-ram", "halt"},
		{standin.F, "pointer-into-scratch", "cold"}, {standin.F, "pointer-unaligned", "pass"},
		{standin.F, "truncated-tree", "cold"}, {standin.F, "unknown-version", "halt"},
		{standin.F, "region-not-preserved", "pass"}, {standin.C, "folio-of-two-files", "file"},
		{standin.D, "array-too-long", "file"}, {standin.F, "folio-of-two-files", "file"}, {standin.F, "folio-outside-map", "file"},
	} {
		t.Run(tt.g.Name+" "+tt.damage+" "+tt.policy, func(t *testing.T) {
			t.Parallel()
			words := "probe.regions=1 probe.break=" + tt.damage
			switch tt.policy {
			case "file": // a damage that costs a file or two, and nothing else
				words += " ferry.on-error=halt"
			case "cold", "halt":
				words += " ferry.on-error=" + tt.policy
			}
			if tt.g.Sessions() {
				words += " probe.sessions=3 probe.files=3 probe.fill=2"
			} else {
				words += " " + noSessions
			}
			words += map[string]string{"pass": " probe.expect=untouched ferry.on-error=pass", "cold": " probe.expect=cold", "file": " probe.expect=damaged"}[tt.policy]
			log, code := crossTo(t, tt.g, tt.g, tt.g.Name, words)
			outcome(t, log, code, tt.policy)
		})
	}
}

// outcome fails where Ferry does not name the damage, or what followed is not
// what the policy says.
func outcome(t *testing.T, log string, code int, policy string) {
	t.Helper()
	says, want, passed := crossingtest.Names, 0, "probe B: PASSED"
	switch policy {
	case "file":
		says = func(log, text string) bool {
			_, report, ok := strings.Cut(log, "ferry: warning: ")
			return ok && strings.Contains(report, text)
		}
	case "halt":
		want, passed = 1, ""
	}
	_, named, ok := strings.Cut(log, "Ferry has to say \"")
	named, _, _ = strings.Cut(named, "\"")
	if !ok || !says(log, named) {
		t.Errorf("the report does not name %q:\n%s", named, log)
	}
	if code != want || !strings.Contains(log, passed) {
		t.Errorf("exit code %d, want %d:\n%s", code, want, log)
	}
}
