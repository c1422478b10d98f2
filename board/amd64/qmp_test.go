//go:build qemu

package amd64_test

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// runCalls boots the trial to make nothing but system calls, and hands QEMU's
// control socket over once the board takes interrupts.
func runCalls(t *testing.T, control func(qmp net.Conn), settings []string, args ...string) (string, error) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "qmp")
	cmd := exec.Command(string(script), append(append([]string{"QEMU_ARGS=-qmp unix:" + socket + ",server=on,wait=off", "TIMEOUT=30"}, settings...),
		append([]string{trial}, args...)...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan bool, 1)
	var out strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		fmt.Fprintln(&out, strings.TrimSuffix(lines.Text(), "\r"))
		if strings.HasPrefix(lines.Text(), "trial: calls") {
			go func() {
				if qmp, err := net.Dial("unix", socket); err == nil {
					fmt.Fprintln(qmp, `{"execute": "qmp_capabilities"}`)
					control(qmp)
					qmp.Close()
				}
				done <- true
			}()
		}
	}
	err = cmd.Wait()
	if strings.Contains(out.String(), "trial: calls") {
		<-done
	}
	return out.String(), err
}

// TestInterruptsThatNothingMasks sends NMIs as fast as QEMU takes them to a program
// that makes nothing but system calls: none may hit half a context.
func TestInterruptsThatNothingMasks(t *testing.T) {
	n := 0
	out, err := runCalls(t, func(qmp net.Conn) {
		for answers := bufio.NewScanner(qmp); answers.Scan(); {
			if strings.Contains(answers.Text(), `"return"`) {
				n++
				fmt.Fprintln(qmp, `{"execute": "inject-nmi"}`)
			}
		}
	}, nil, "calls")
	if err != nil || !strings.Contains(out, "trial: ok\n") {
		t.Fatalf("%v, output:\n%s", err, out)
	}
	if n < 1000 {
		t.Errorf("only %d interrupts were sent", n)
	}
}

// TestMachineCheckStartsTheFallback: memory that cannot be read, as the processor
// says.
func TestMachineCheckStartsTheFallback(t *testing.T) {
	out, err := runCalls(t, func(qmp net.Conn) {
		answers := bufio.NewScanner(qmp)
		for answers.Scan() && !strings.Contains(answers.Text(), `"return"`) {
		}
		// Valid, uncorrected, enabled, with the processor's context corrupt; being handled.
		fmt.Fprintln(qmp, `{"execute": "human-monitor-command", "arguments": {"command-line": "mce 0 1 0xb200000000000000 5 0 0"}}`)
		if answers.Scan() {
			t.Log(answers.Text())
		}
	}, []string{"INITRD=" + trial}, "fallback", "0x20000000", "calls")
	i, j := strings.Index(out, "machine check"), strings.Index(out, "trial: fallen back\n")
	if err != nil || i < 0 || j < i || !strings.Contains(out[j:], "trial: ok\n") {
		t.Errorf("%v, want a machine check, then the fallback:\n%s", err, out)
	}
}
