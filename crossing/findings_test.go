package crossing

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"ferry/crossing/crossingtest"
	"ferry/internal/oracle/standin"
	"ferry/kho"
	"ferry/phys"
)

// TestAllFindingsAreReported breaks several objects of one handover, each of which
// is refused by another package, and the same kind more often than is looked for.
func TestAllFindingsAreReported(t *testing.T) {
	for n, tt := range map[int]struct {
		lines int
		last  string
	}{
		2:  {3, `luo: session 1 "session-1": `},
		20: {16, "luo 0x"},
	} {
		m := newMachineOf(t, standin.F, standin.Shape{Sessions: 20, Files: 1, Plain: true, Regions: 1, RegionOrder: 2}, "")
		h, err := kho.Open(m.Memory, m.payload(), nil)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := h.Subtree(kho.ReservedName)
		tree := m.edit(s.Data, s.Size)
		copy(tree[bytes.Index(tree, []byte("memblock-v1")):], "memblock-v9")
		for i := range n {
			count := m.session(i) + 72
			m.edit(count, 8)[0] = 2
		}
		m.next("F", "F")
		if _, err := Run(&m.Machine); err != nil {
			t.Fatal(err)
		}
		found := crossingtest.Causes(m.log.String())
		found = append(found[len(found)-1:], found[:len(found)-1]...) // the verdict has the first
		if len(found) != tt.lines || !strings.Contains(found[0], `"memblock-v9"`) || !strings.HasPrefix(found[len(found)-1], tt.last) {
			t.Fatalf("%d sessions broken: %d findings, want %d, the last with %q:\n%s", n, len(found), tt.lines, tt.last, m.log)
		}
		for i := range min(n, 14) {
			want := fmt.Sprintf("luo: session %d \"session-%d\": record %v: count 2, but 1 files", i, i, m.session(i))
			if !strings.HasPrefix(found[1+i], want) {
				t.Errorf("finding %d is %q, want %q", 1+i, found[1+i], want)
			}
		}
	}
}

// session returns where the record of session i lies, found by its name.
func (m *machine) session(i int) phys.Addr {
	m.t.Helper()
	for at, page := range m.pages() {
		if j := bytes.Index(page, append([]byte(fmt.Sprintf("session-%d", i)), make([]byte, 40)...)); j >= 0 {
			return at + phys.Addr(j)
		}
	}
	m.t.Fatalf("no session %d", i)
	return 0
}
