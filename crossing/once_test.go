package crossing

import (
	"errors"
	"strings"
	"testing"

	"ferry/boot"
	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/internal/oracle/standin"
)

// TestEachErrorIsSaidOnce: there is no room for the next kernel, which the crossing,
// the way out and the end of the run all meet.
func TestEachErrorIsSaidOnce(t *testing.T) {
	for words, started := range map[string]string{
		"ferry.on-error=rollback": "A", "ferry.on-error=pass": "", "ferry.on-error=cold": "", "ferry.on-error=halt": "",
		"ferry.mode=pass": "A", "ferry.mode=pass ferry.on-error=pass": "",
	} {
		m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, words)
		large, line := kernelNamed("B"), "rollback=1"
		le.PutUint32(large[0x260:], 256<<20)
		m.setFiles(payload.Manifest{Rollback: &payload.Rollback{Cmdline: &line}}, pack.Files{Kernel: large, RollbackKernel: kernelNamed("A")})
		jump, err := Run(&m.Machine)
		if (err == nil) != (started != "") || err == nil && m.started(jump) != started || err != nil && !errors.Is(err, boot.ErrNoRoom) {
			t.Errorf("%q: got %v, want kernel %q\n%s", words, err, started, m.log)
		}
		seen := map[string]bool{}
		for line := range strings.Lines(m.log.String()) {
			if line = strings.TrimPrefix(strings.TrimPrefix(line, "ferry: "), "error: "); seen[line] {
				t.Errorf("%q: said twice: %s", words, line)
			}
			seen[line] = true
		}
		if n := strings.Count(m.log.String(), "KiB of free scratch"); n != 1 {
			t.Errorf("%q: the lack of room is said %d times:\n%s", words, n, m.log)
		}
	}
}
