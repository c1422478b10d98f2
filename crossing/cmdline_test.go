package crossing

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"ferry/boot"
	"ferry/boot/opened/openedtest"
	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/internal/oracle/standin"
	"ferry/phys"
)

// TestALineThatIsTooLongFollowsThePolicy: the stage was loaded with a command line
// that the next kernel cannot take, which is found out first. What it boots with
// whose state is lost is as much as it takes.
func TestALineThatIsTooLongFollowsThePolicy(t *testing.T) {
	const limit = 2047 // of the kernels
	for name, tt := range map[string]struct {
		bytes    int // of the line, without the words for Ferry
		words    string
		own      bool // the rollback kernel has a line of its own
		handover bool
		started  string
		length   int // of the line that it gets
	}{
		"as long as it may be":            {limit, "ferry.on-error=halt", true, true, "B", limit},
		"to go back":                      {limit + 1, "ferry.on-error=rollback", true, true, "A", len("rollback=1")},
		"to go back to a kernel like it":  {limit + 1, "ferry.on-error=rollback", false, true, "", 0},
		"to pass":                         {limit + 1, "ferry.on-error=pass", true, true, "", 0},
		"to halt":                         {limit + 1, "ferry.on-error=halt", true, true, "", 0},
		"cold":                            {limit + 1, "ferry.on-error=cold", true, true, "B", limit - len("word=12x")},
		"cold, far too long":              {4000, "ferry.on-error=cold", true, true, "B", limit},
		"cold, without a handover":        {limit + 1, "ferry.on-error=cold", true, false, "B", limit - len("word=12x")},
		"to go back, without a handover":  {limit + 1, "ferry.on-error=rollback", true, false, "A", len("rollback=1")},
		"to halt, without a handover":     {limit + 1, "ferry.on-error=halt", true, false, "", 0},
		"without a handover and in place": {limit, "ferry.on-error=halt", true, false, "B", limit},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, "")
			m.cmdline(tt.words + " " + strings.Repeat("word=12 ", 512)[:tt.bytes-1] + "x\x00")
			rollback := &payload.Rollback{}
			if line := "rollback=1"; tt.own {
				rollback.Cmdline = &line
			}
			m.setFiles(payload.Manifest{Rollback: rollback}, pack.Files{Kernel: kernelNamed("B"), RollbackKernel: kernelNamed("A")})
			if !tt.handover {
				le.PutUint64(m.edit(zeroPageAt+0x250, 8), 0)
			}
			var steps []string
			m.Watch = &wary{Memory: m.Memory, onStep: func(name string) { steps = append(steps, name) }}
			before := m.pages()
			jump, err := Run(&m.Machine)
			if (err == nil) != (tt.started != "") || err == nil && m.started(jump) != tt.started {
				t.Fatalf("got %v, want kernel %q\n%s", err, tt.started, m.log)
			}
			m.unchanged(before)
			log := m.log.String()
			said := 1
			if !tt.own {
				said = strings.Count(log, "; the rollback kernel: ") + 1
			}
			if tt.bytes > limit && (strings.Count(log, boot.ErrCmdline.Error()) > said || slices.Contains(steps, "luo")) {
				t.Errorf("steps %q, and the report says it more than once:\n%.600s", steps, log)
			}
			if err != nil {
				if !errors.Is(err, boot.ErrCmdline) {
					t.Errorf("got %v, want %v", err, boot.ErrCmdline)
				}
				return
			}
			line := m.edit(phys.Addr(le.Uint32(m.edit(jump.ZeroPage+0x228, 4))), limit+1)
			if n := slices.Index(line, 0); n != tt.length {
				t.Errorf("a line of %d bytes, want %d: ...%q", n, tt.length, line[max(0, n-20):n])
			}
		})
	}
}

// A kernel that is packed opened alone takes no longer a line.
func TestALineThatIsTooLongForAnOpenedKernelIsCutToo(t *testing.T) {
	m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, "")
	m.cmdline("ferry.on-error=cold " + strings.Repeat("word=12 ", 256) + "x\x00")
	m.setFiles(payload.Manifest{}, pack.Files{Opened: openedtest.Part()})
	jump, err := Run(&m.Machine)
	if err != nil {
		t.Fatalf("%v\n%s", err, m.log)
	}
	line := m.edit(phys.Addr(le.Uint32(m.edit(jump.ZeroPage+0x228, 4))), 2048)
	if n := slices.Index(line, 0); n != 2047 {
		t.Errorf("a line of %d bytes, want 2047", n)
	}
}
