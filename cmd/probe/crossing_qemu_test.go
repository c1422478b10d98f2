//go:build qemu

// The crossing on bare metal: the probe at both ends, Ferry between them, under
// QEMU. `make test-run` builds the images first; a missing one fails the tests.
package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"ferry/internal/qemu"
)

// cross runs one crossing and returns the console log and the exit code. words go
// to the probe's command line, settings to qemu.sh.
func cross(t *testing.T, words string, settings ...string) (string, int) {
	t.Helper()
	for _, f := range []string{"probe.bzimage", "probe.cpio"} {
		if _, err := os.Stat(build + f); err != nil {
			t.Fatalf("%v: run make test-run, which builds it", err)
		}
	}
	log, code := bootImage(t, "probe.bzimage", append([]string{"INITRD=" + build + "probe.cpio", "APPEND=" + words, "TIMEOUT=100"}, settings...)...)
	if strings.Contains(log, "unknown system call") { // of the stage, which has no exit code
		t.Errorf("a system call has no answer:\n%s", log)
	}
	return log, code
}

func bootImage(t *testing.T, image string, settings ...string) (string, int) {
	t.Helper()
	log, code, err := qemu.Script("../../qemu.sh").Boot(build+image, settings)
	if err != nil {
		t.Fatal(err)
	}
	return log, code
}

func TestCrossingOnMetal(t *testing.T) {
	for name, tt := range map[string]struct {
		words    string
		settings []string
	}{
		"empty":                {"probe.sessions=0 probe.files=0", nil},
		"unfilled blocks":      {"probe.sessions=60 probe.files=12 probe.fill=5", nil},
		"reserved memory":      {"probe.sessions=2 probe.files=3 probe.regions=4 probe.order=12", nil},
		"10,000 blocks":        {"probe.sessions=510000 probe.files=0", nil},
		"old CPU":              {"probe.sessions=3 probe.files=5", []string{"CPU=qemu64", "MACHINE=pc"}},
		"five levels, 8 GiB":   {"probe.sessions=3 probe.files=5", []string{"CPU=max,la57=on", "MEM=8G"}},
		"microvm, four CPUs":   {"probe.sessions=3 probe.files=5", []string{"MACHINE=microvm", "SMP=4"}},
		"untouched when asked": {"probe.sessions=3 probe.files=5 ferry.mode=pass probe.expect=untouched", nil},
		"one session too few":  {"probe.sessions=3 probe.files=5 ferry.expect-sessions=4 ferry.on-error=pass probe.expect=untouched", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, code := cross(t, tt.words, tt.settings...)
			if code != 0 || !strings.Contains(log, "probe B: PASSED") {
				t.Errorf("exit code %d:\n%s", code, log)
			}
		})
	}
}

// TestACrossingWithoutSessionsSaysSoLast: whoever reads the console reads it there.
func TestACrossingWithoutSessionsSaysSoLast(t *testing.T) {
	for sessions, want := range map[string]bool{"0": true, "1": false} {
		log, code := cross(t, "probe.files=0 probe.sessions="+sessions)
		report, _, ok := strings.Cut(log, "probe B: entered")
		lines := strings.Split(strings.TrimSpace(report), "\n")
		last := lines[len(lines)-1]
		if code != 0 || !ok || !strings.HasPrefix(last, "ferry: CROSSED ") || strings.Contains(last, "; NO SESSION CAME IN: ") != want {
			t.Errorf("%s sessions: exit code %d, last line %q:\n%s", sessions, code, last, log)
		}
	}
}

// TestTimeIsUpOnMetal lets the time end in the midst of a crossing: QEMU counts
// instructions, a nanosecond each, so that it does on every host.
func TestTimeIsUpOnMetal(t *testing.T) {
	log, code := cross(t, "probe.sessions=510000 probe.files=0 probe.expect=untouched ferry.deadline=1s", "ICOUNT=1", "TIMEOUT=300")
	late := regexp.MustCompile(`\nferry: the time is up, 1\.0\d\d s after the start, in step (kho|luo|files|serialize|commit|verify)\n` +
		`ferry: starting the next kernel with the untouched handover at 0x[0-9a-f]+\n`)
	if code != 0 || !late.MatchString(log) || !strings.Contains(log, "probe B: PASSED") || strings.Contains(log, "rip 0x") {
		t.Errorf("exit code %d, want 0 and the way out, without registers:\n%s", code, log)
	}
}

// TestNothingCameOnMetal boots Ferry itself, as `kexec -c` would: no handover comes.
func TestNothingCameOnMetal(t *testing.T) {
	const none, quietly = "no handover came in, want one, as the command line says \"liveupdate=on\"", " COLD: no handover came in\nprobe B: entered"
	for words, want := range map[string]string{
		"liveupdate=on ferry.on-error=rollback": none,
		"liveupdate=on":                         none,
		"liveupdate=on ferry.on-error=cold":     "its state is lost, as on-error=cold says\nprobe B: entered",
		"quiet":                                 quietly,
	} {
		log, _ := bootImage(t, "ferry.bzimage", "INITRD="+build+"payload-F.cpio", "APPEND="+words+" probe.role=b", "TIMEOUT=60")
		if !strings.Contains(log, want) || strings.Contains(log, "probe B: entered") != (want != none) {
			t.Errorf("%q: want %q and the probe if it boots cold:\n%s", words, want, log)
		}
		if halted := strings.HasSuffix(log, "on-error=cold would; memory intact; do: dump the memory for `ferry inspect`, then restart the machine\n"); halted != (want == none) {
			t.Errorf("%q: the last words are %q", words, log[max(0, len(log)-200):])
		}
	}
}
