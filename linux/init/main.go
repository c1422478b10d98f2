//go:build linux

// Command init is process 1 of the real-kernel runs. It plays the user space of a live update: makes sessions and
// memfds, packs the next kernel with an initrd made of its own files, loads the stage through the ferry tool, and
// reboots into it; then, in the next kernel, takes everything back and compares it with what was made.
//
// What it does is on the command line of its kernel, see [config]. It reports on the console, in lines that begin with
// [linux.ReportPrefix].
package main

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ferry/linux"
)

func main() {
	if err := run(); err != nil {
		report("FAIL: %v", err)
		unix.Sync()
		unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	}
}

func run() error {
	if err := mounts(); err != nil {
		return err
	}
	c, err := readConfig("/proc/cmdline")
	if err != nil {
		return err
	}
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return err
	}
	report("machine round=%d la57=%v", c.round, bytes.Contains(cpu, []byte(" la57")))
	live, err := c.begin()
	if err != nil {
		return fmt.Errorf("round %d: %w", c.round, err)
	}
	if c.round == c.rounds {
		report("DONE rounds=%d", c.rounds)
		return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	}
	if err := c.load(); err != nil {
		return fmt.Errorf("round %d: %w", c.round, err)
	}
	defer live.close() // not before the reboot: a closed session is given up
	return unix.Reboot(unix.LINUX_REBOOT_CMD_KEXEC)
}

// begin makes the live state in the first kernel, and takes it over in every other one.
func (c config) begin() (*state, error) {
	if err := limits(); err != nil {
		return nil, err
	}
	if c.round == 0 {
		return c.create()
	}
	return c.takeOver()
}

func mounts() error {
	for _, m := range []struct{ kind, dir string }{
		{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"debugfs", "/sys/kernel/debug"},
	} {
		if err := unix.Mount(m.kind, m.dir, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.dir, err)
		}
	}
	// Large folios in memfds of 2 MiB and more, so that blocks of a high order are preserved too.
	const huge = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
	if err := os.WriteFile(huge, []byte("within_size"), 0); err != nil {
		return err
	}
	return nil
}

// limits lets this process hold as many sessions as a test wants.
func limits() error {
	limit := unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}

func report(format string, args ...any) {
	fmt.Printf(linux.ReportPrefix+format+"\n", args...)
}
