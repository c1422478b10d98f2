package crossing

import (
	"strings"
	"testing"

	"ferry/internal/oracle/standin"
)

// TestNoRollbackWithoutAKernelForIt: the command line may ask for what the payload
// does not have. If the handover is damaged, the machine then halts and
// says why; if it is not, nobody needs it.
func TestNoRollbackWithoutAKernelForIt(t *testing.T) {
	for _, damage := range []bool{false, true} {
		m := newMachine(t, standin.Shape{Sessions: 1, Files: 2}, "ferry.on-error=rollback")
		if damage {
			m.edit(m.fdt, 1)[0] = 0
		}
		before := m.pages()
		jump, err := Run(&m.Machine)
		if !damage {
			if err != nil || jump.Entry == 0 {
				t.Errorf("an undamaged handover does not cross: %v\n%s", err, m.log)
			}
			continue
		}
		m.unchanged(before)
		if err == nil || !strings.Contains(err.Error(), "the payload has no rollback kernel") || strings.Contains(m.log.String(), "defect") {
			t.Errorf("got %v, want that there is no rollback kernel\n%s", err, m.log)
		}
	}
}
