//go:build qemu

package amd64_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryEndStartsTheFallback lets the trial fail in every way that it knows, with
// the same image placed as the fallback. That one tries the whole machine.
func TestEveryEndStartsTheFallback(t *testing.T) {
	const ended = "the program ended before it started a kernel, with exit code "
	type end struct {
		how  string
		want string
	}
	ends := []end{
		{"exit 0", ended + "0, in step trial of exit; starting the fallback at 0x20000200"},
		{"exit 3", ended + "3"},
		{"return", ended + "0"},
		{"panic", ended + "2"},
		{"nil", ended + "2"},
		{"overflow", ended + "2"},
		{"deadlock", ended + "2"},
		{"kernel", "fatal: fault in the kernel, in step trial of kernel"},
		{"stack", "fatal: fault in the kernel, in step trial of stack"},
		{"double", "double fault"},
		{"spin", "after the start, in step trial of spin\nferry: starting the fallback at 0x20000200"},
	}
	if tamago {
		ends = append(ends, end{"stray", "unexpected fault address"}, end{"memory", ended + "2"})
	} else {
		ends = append(ends, end{"stray", ended + "2"}, end{"memory", "the stage's memory is used up"},
			end{"buffer", "the stage's memory is used up"}, end{"tables", "fatal: page fault on memory that the program may access"})
	}
	for _, c := range ends {
		t.Run(c.how, func(t *testing.T) {
			t.Parallel()
			args := slices.Concat([]string{"fallback", "0x20000000"}, strings.Fields(c.how))
			out, code := run(t, []string{"INITRD=" + trial, "TIMEOUT=60"}, args...)
			i, j := strings.Index(out, c.want), strings.Index(out, "trial: fallen back\n")
			if code != 0 || i < 0 || j < i || !strings.Contains(out[j:], "trial: ok\n") {
				t.Errorf("exit code %d, want 0, %q, then the fallback:\n%s", code, c.want, out)
			}
		})
	}
}

// TestDeadlineIsKeptOnEveryMachine: the trial spins without a system call, on
// machines with every kind of timer.
func TestDeadlineIsKeptOnEveryMachine(t *testing.T) {
	for _, c := range []struct {
		name     string
		env      []string
		deadline string
	}{
		{"pc", []string{"MACHINE=pc"}, "900ms"},
		{"longer than the timer counts", nil, "2500ms"},
		{"microvm", []string{"MACHINE=microvm"}, "900ms"},
		{"x2APIC", []string{"CPU=max,x2apic=on"}, "900ms"},
		{"no interval timer", []string{"MACHINE=q35,pit=off"}, "900ms"},
		{"no local APIC", []string{"MACHINE=pc", "CPU=max,apic=off"}, "900ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, code := run(t, append(c.env, "TIMEOUT=20"), "spin", c.deadline)
			if code != 62 || !strings.Contains(out, "deadline is watched: true\n") || !late.MatchString(out) {
				t.Errorf("exit code %d, want 62 and the deadline:\n%s", code, out)
			}
		})
	}
}

// late is what the console says when the time is up: nothing of registers or a stack,
// which have no part in it.
var late = regexp.MustCompile(`\nferry: the time is up, \d+\.\d{3} s after the start\n` +
	"ferry: HALTED: the time that was set is up; memory intact; do: dump the memory for `ferry inspect`, then restart the machine\n$")

// TestDeadlineIsSeenWithoutATimer: by a program that makes system calls.
func TestDeadlineIsSeenWithoutATimer(t *testing.T) {
	if tamago {
		t.Skip("TamaGo's runtime makes no system calls")
	}
	out, code := run(t, []string{"MACHINE=pc,pit=off", "CPU=max,apic=off", "TIMEOUT=20"}, "spin", "900ms", "calls")
	if code != 62 || !strings.Contains(out, "deadline is watched: false\n") || !late.MatchString(out) {
		t.Errorf("exit code %d, want 62 and the deadline:\n%s", code, out)
	}
}
