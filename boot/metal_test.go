//go:build metal

package boot_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/board/amd64"
	_ "ferry/board/amd64/start" // what the test runs on without an operating system
	"ferry/boot"
)

// TestBoardHasTheSameMemoryMap reads what really started this program.
func TestBoardHasTheSameMemoryMap(t *testing.T) {
	p, err := boot.Read(amd64.Memory(), amd64.Boot().ZeroPage)
	if err != nil {
		t.Fatal(err)
	}
	var board boot.E820
	for _, r := range amd64.E820() {
		board = append(board, boot.Entry{Range: r.Range, Type: r.Type})
	}
	if d := cmp.Diff(board, p.E820); d != "" || len(board) == 0 {
		t.Errorf("%d entries (-board +boot):\n%s", len(board), d)
	}
	if d := cmp.Diff(amd64.RAM(), p.E820.RAM()); d != "" {
		t.Errorf("RAM (-board +boot):\n%s", d)
	}
}
