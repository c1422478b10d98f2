//go:build qemu

package amd64_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runStopped boots the trial and takes the processor away from QEMU again and again
// for as long as it runs, as other work on a busy host does: time goes on.
func runStopped(t *testing.T, random *rand.Rand) string {
	t.Helper()
	cmd := exec.Command(string(script), trial)
	cmd.Env = append(os.Environ(), "TIMEOUT=90")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case err := <-done:
			if err != nil || !strings.Contains(out.String(), "trial: ok") {
				t.Fatalf("%v, output:\n%s", err, out.String())
			}
			return strings.ReplaceAll(out.String(), "\r", "")
		case <-time.After(time.Duration(20+random.IntN(200)) * time.Microsecond):
			syscall.Kill(-cmd.Process.Pid, syscall.SIGSTOP)
			time.Sleep(time.Duration(random.IntN(5000)) * time.Microsecond)
			syscall.Kill(-cmd.Process.Pid, syscall.SIGCONT)
		}
	}
}

// TestTheClockIsRightOnAStoppedMachine: neither the first measurement nor the refined
// one is off by more than what it leaves open, on a machine that is stopped during
// it. What is right is what most of the starts find.
func TestTheClockIsRightOnAStoppedMachine(t *testing.T) {
	const starts = 8
	clock := regexp.MustCompile(`(?m)^trial: (clock|refined) (\d+) MHz from pit`)
	random := rand.New(rand.NewPCG(1, 1))
	var found, all []float64
	for range starts {
		out := runStopped(t, random)
		pair := clock.FindAllStringSubmatch(out, -1)
		if len(pair) != 2 {
			t.Fatalf("no clock from the interval timer:\n%s", out)
		}
		for _, m := range pair {
			mhz, _ := strconv.ParseFloat(m[2], 64)
			all = append(all, mhz)
		}
		found = append(found, all[len(all)-1])
	}
	t.Logf("MHz: %v", all)
	slices.Sort(found)
	right := found[starts/2]
	for _, mhz := range all {
		if off := mhz/right - 1; off > 0.04 || off < -0.04 {
			t.Errorf("a clock of %.0f MHz was taken to have %.0f", right, mhz)
		}
	}
}
