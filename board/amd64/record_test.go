//go:build qemu

package amd64_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ferry/board/record"
	"ferry/phys"
)

// runAndDump boots the trial in a small machine and returns its output, its exit
// code, and the records that are in memory at the end.
func runAndDump(t *testing.T, args ...string) (string, int, []*record.Record) {
	t.Helper()
	dump := filepath.Join(t.TempDir(), "ram")
	out, code := run(t, []string{"MEM=512M", "INITRD=" + trial, "TIMEOUT=60",
		"QEMU_ARGS=-object memory-backend-file,id=ram,size=512M,share=on,mem-path=" + dump + " -machine memory-backend=ram"}, args...)
	f, err := os.Open(dump)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var found []*record.Record
	b := make([]byte, 1<<20)
	for a := int64(0); ; a += int64(len(b)) {
		if _, err := f.ReadAt(b, a); err == io.EOF {
			return out, code, found
		} else if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(b); i += record.Size {
			if r, err := record.Decode(phys.Addr(a)+phys.Addr(i), b[i:]); err == nil {
				found = append(found, r)
			}
		}
	}
}

// TestFailuresLeaveARecord lets the trial fail without a fallback and looks at the
// memory of the halted machine.
func TestFailuresLeaveARecord(t *testing.T) {
	exception := record.CauseExit // as the Go program's own report
	memory, stray := record.CauseMemory, "unexpected fault address 0x123456789000"
	full := "the stage's memory is used up"
	if tamago {
		full = "fatal error: "
		exception, memory, stray = record.CauseException, record.CauseExit, "exception in the Go program: unexpected fault address"
	}
	for _, c := range []struct {
		how      string
		code     int
		cause    record.Cause
		failures uint32
		text     string
		console  string
	}{
		{"exit 3", 3, record.CauseExit, 1, "the program ended", ""},
		{"panic", 2, record.CauseExit, 1, "panic: the trial panics", "panic: the trial panics"},
		{"stray", 0, exception, 1, stray, ""},
		{"overflow", 2, record.CauseExit, 1, "fatal error: stack overflow", ""},
		{"deadlock", 2, record.CauseExit, 1, "fatal error: all goroutines are asleep", ""},
		{"kernel", 62, record.CauseException, 1, "fault in the kernel", "ferry: fatal: fault in the kernel"},
		{"stack", 62, record.CauseException, 1, "fault in the kernel", "main.endless"},
		{"spin", 62, record.CauseDeadline, 1, "the time that was set is up", "; memory intact; do: "},
		{"memory", 0, memory, 1, full, ""},
		{"twice", 62, record.CauseException, 2, "fault in the kernel", "ferry: HALTED: failed again, "},
	} {
		t.Run(c.how, func(t *testing.T) {
			t.Parallel()
			out, code, found := runAndDump(t, append([]string{"step"}, strings.Fields(c.how)...)...)
			if c.code == 0 && code != 0 {
				code = 0 // differs between the toolchains; tested elsewhere
			}
			if code != c.code || len(found) != 1 {
				t.Fatalf("exit code %d, want %d; %d records, want 1; output:\n%s", code, c.code, len(found), out)
			}
			r := found[0]
			t.Logf("\n%s", r)
			name, _, _ := strings.Cut(c.how, " ")
			if record.Cause(r.Cause) != c.cause || r.Failures != c.failures || record.Outcome(r.Outcome) != record.OutcomeHalted ||
				!strings.HasPrefix(r.Message(), c.text) || r.StepName() != "trial of "+name {
				t.Errorf("want %v, %d failures, %q", c.cause, c.failures, c.text)
			}
			if !bytes.Contains(r.LastWords(), []byte(c.console)) {
				t.Errorf("last words lack %q:\n%s", c.console, r.LastWords())
			}
			if r.StepTSC <= r.EntryTSC || r.FailTSC <= r.StepTSC || r.Hz < 100e6 {
				t.Errorf("entry at %d, step at %d, failure at %d, %d Hz", r.EntryTSC, r.StepTSC, r.FailTSC, r.Hz)
			}
			if c.cause == record.CauseDeadline && (r.RIP == 0 || r.Stack[0] != r.RIP) {
				t.Error("the record does not say what was interrupted")
			}
			if strings.HasPrefix(c.text, "fault in the kernel") && (r.Vector != 14 || r.RIP == 0 || r.General[7] == 0 || r.Stack[0] != r.RIP) {
				t.Error("registers are missing")
			}
			if c.failures == 2 && (r.Second[0] != 14 || r.Second[4] == 0 || r.Second[4]&^0xfff != r.General[6]) {
				t.Errorf("second failure %#x, want that of the frame pointer %#x", r.Second, r.General[6])
			}
		})
	}
}

// TestFallbackLeavesTheRecordOfTheFailure: and a jump leaves none.
func TestFallbackLeavesTheRecordOfTheFailure(t *testing.T) {
	out, code, found := runAndDump(t, "fallback", "0x10000000", "panic")
	if code != 0 || len(found) != 2 {
		t.Fatalf("exit code %d, %d records, want 0 and 2:\n%s", code, len(found), out)
	}
	i := slices.IndexFunc(found, func(r *record.Record) bool { return r.StageStart != 0x1000_0000 })
	if i < 0 || record.Outcome(found[i].Outcome) != record.OutcomeFallback || found[i].FallbackEntry != 0x1000_0200 ||
		!bytes.Contains(found[i].LastWords(), []byte("panic: the trial panics")) {
		t.Errorf("records:\n%v", found)
	}
	out, code, found = runAndDump(t, "chain", "0x10000000")
	if code != 0 || len(found) != 1 || found[0].StageStart != 0x1000_0000 {
		t.Errorf("exit code %d, records %v, want only that of the stage at 0x10000000:\n%s", code, found, out)
	}
}

// TestNextKernelFindsNoSecrets: memory of the stage of every kind, and what else is
// to be wiped, is zero when the next kernel starts, as is what lies beside not.
func TestNextKernelFindsNoSecrets(t *testing.T) {
	for _, c := range []struct{ how, cpu string }{{"hide", "max"}, {"hide-fail", "max"}, {"hide", "qemu64"}} { // with AVX and without
		out, code := run(t, []string{"MEM=512M", "CPU=" + c.cpu, "INITRD=" + trial, "TIMEOUT=60"}, c.how, "0x10000000")
		if before := regexp.MustCompile(`trial: \d{6,} copies of the secret`); code != 0 || !before.MatchString(out) || !strings.Contains(out, "trial: 2 copies are left, 0 bytes of the range") {
			t.Errorf("%s, %s: exit code %d, want 0, many copies before and 2 after:\n%s", c.how, c.cpu, code, out)
		}
	}
}
