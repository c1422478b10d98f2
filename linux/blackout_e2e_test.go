//go:build linux_e2e

package linux

import (
	"fmt"
	"strconv"
	"testing"
	"time"
)

// maxBlackout is what a crossing to an opened kernel may take of a kexec without Ferry, from reboot() to the first
// program, less the comparison of the payload with its digests, which takes 31 instructions a byte on a processor without
// SHA instructions, as QEMU's is before 8.2.
const maxBlackout = 0.72

// TestBlackout counts the instructions of a live update, without Ferry and through it, with the next kernel opened and as
// it is. Those that the kernel waits for a timer are among them.
func TestBlackout(t *testing.T) {
	direct := blackout(t, true)
	through := blackout(t, false)
	took := func(b black) float64 { return float64(b.all-b.digests) / float64(direct.all) }
	t.Logf("direct %.1f M; through Ferry, opened: %.1f M, of which %.1f M digests: %.3f of direct without them, %.3f in all",
		float64(direct.all)/1e6, float64(through.all)/1e6, float64(through.digests)/1e6, took(through), float64(through.all)/float64(direct.all))
	if took(through) > maxBlackout {
		t.Errorf("through Ferry a live update takes %.3f of a direct one, want at most %.2f", took(through), maxBlackout)
	}
}

// black is how many instructions a live update took.
type black struct{ all, digests uint64 }

func blackout(t *testing.T, direct bool) black {
	t.Helper()
	r := Run{Route: same(t, 1)}
	r.Direct = direct
	log := travel(t, VM{CPUs: 1, Memory: "1G", CPU: "max,la57=off", Timeout: 20 * time.Minute, Count: true}, r, "")
	judge(t, r, log)
	tick := func(kernel int, key string) uint64 {
		text := fmt.Sprintf("%sinstant round=%d %s=", ReportPrefix, kernel, key)
		n, err := strconv.ParseUint(log.Kernels()[kernel+1].field(text, key), 10, 64)
		if err != nil {
			t.Fatalf("kernel %d: %v", kernel, err)
		}
		return n
	}
	b := black{all: tick(1, "began") - tick(0, "left")}
	if direct {
		return b
	}
	if !log.Has(openedForm) {
		t.Error("the next kernel was not entered opened")
	}
	var ms float64
	if _, err := fmt.Sscanf(match(t, log, `^ferry: digests +([0-9.]+) ms`), "%f", &ms); err != nil {
		t.Fatal(err)
	}
	b.digests = uint64(ms * 1e6) // a nanosecond is an instruction
	return b
}
