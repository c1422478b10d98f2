package crossing

import (
	"errors"
	"strings"
	"testing"

	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/internal/oracle/standin"
)

// TestAnAnnouncedHandoverThatDoesNotCome: only on-error=cold boots a kernel without
// its state, and what went wrong is said last.
func TestAnAnnouncedHandoverThatDoesNotCome(t *testing.T) {
	for name, tt := range map[string]struct {
		stage, next string // command lines; no next: that of the stage
		policy      string
		announced   string // the word that says so
		started     string
	}{
		"to go back":             {"liveupdate=on kho=on", "", payload.OnErrorRollback, "liveupdate=on", ""},
		"to pass":                {"liveupdate=on kho=on", "", payload.OnErrorPass, "liveupdate=on", ""},
		"to halt":                {"liveupdate=on kho=on", "", payload.OnErrorHalt, "liveupdate=on", ""},
		"nobody said":            {"liveupdate=on kho=on", "", "", "liveupdate=on", ""},
		"cold":                   {"liveupdate=on kho=on", "", payload.OnErrorCold, "liveupdate=on", "B"},
		"KHO alone":              {"quiet kho=Y", "", "", "kho=Y", ""},
		"the next kernel's line": {"quiet", "kho=1", "", "kho=1", ""},
		"turned off again":       {"kho=on liveupdate=on kho=off liveupdate=0", "", "", "", "B"},
		"for init":               {"quiet -- liveupdate=on", "", "", "", "B"},
		"nobody announced one":   {"kho_scratch=64M liveupdate", "", payload.OnErrorRollback, "", "B"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, standin.Shape{}, tt.stage)
			line := "rollback=1"
			manifest := payload.Manifest{OnError: tt.policy, Rollback: &payload.Rollback{Cmdline: &line}}
			if tt.next != "" {
				manifest.Cmdline = &tt.next
			}
			m.setFiles(manifest, pack.Files{Kernel: kernelNamed("B"), RollbackKernel: kernelNamed("A")})
			le.PutUint64(m.edit(zeroPageAt+0x250, 8), 0)
			m.Figures = func() []string { return []string{"figures"} }
			w := &wary{Memory: m.Memory}
			m.Watch = w
			before := m.pages()
			jump, err := Run(&m.Machine)
			if (err == nil) != (tt.started != "") || err == nil && m.started(jump) != tt.started {
				t.Fatalf("got %v, want kernel %q\n%s", err, tt.started, m.log)
			}
			if err != nil && (!errors.Is(err, ErrNone) || w.to != nil) {
				t.Errorf("got %v, armed with %+v", err, w.to)
			}
			m.unchanged(before)
			_, last, _ := strings.Cut(m.log.String(), "ferry: figures\n")
			if tt.announced == "" {
				if last != "ferry: BOOTED an unnamed kernel COLD: no handover came in\n" {
					t.Errorf("the report:\n%s", m.log)
				}
				return
			}
			for _, want := range []string{"no handover came in", `as the command line says "` + tt.announced, "`ferry load`", "kexec -c", "finalize"} {
				if !strings.Contains(last, want) {
					t.Errorf("the last words do not say %q:\n%s", want, m.log)
				}
			}
			remedy := "on-error=cold would"
			if tt.started != "" {
				remedy = "its state is lost, as on-error=cold says"
			}
			if !strings.Contains(last, remedy) || strings.Count(last, "\n") != 1 || strings.Count(m.log.String(), "no handover came in") != 1 {
				t.Errorf("the last words do not say %q, or the error is said twice:\n%s", remedy, m.log)
			}
		})
	}
}
