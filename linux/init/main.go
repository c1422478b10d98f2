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
	"errors"
	"fmt"
	"hash/crc64"
	"io/fs"
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
	if err := limits(); err != nil {
		return err
	}
	if c.lists > 0 {
		if err := c.tellApart(); err != nil {
			return err
		}
		return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	}
	if c.cases {
		if err := c.tryCases(); err != nil {
			return err
		}
		return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	}
	if c.fragmented && c.round == 0 {
		if _, err := newChurn(true); err != nil {
			return err
		}
	}
	if err := c.inspect(); err != nil {
		return err
	}
	live, err := c.begin()
	if err != nil {
		return fmt.Errorf("round %d: %w", c.round, err)
	}
	if c.round == c.route.Rounds {
		report("DONE rounds=%d", c.route.Rounds)
		return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	}
	if err := c.load(); err != nil {
		return fmt.Errorf("round %d: %w", c.round, err)
	}
	defer live.close() // not before the reboot: a closed session is given up
	report("instant round=%d left=%d", c.round, tick())
	return unix.Reboot(unix.LINUX_REBOOT_CMD_KEXEC)
}

// inspect reports the machine and what a crossing left, wants the kernel and the root to be those of the route, and looks
// after the region.
func (c config) inspect() error {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return err
	}
	release := unix.ByteSliceToString(uts.Release[:])
	if want := c.route.Release(c.round); !linux.Calls(want, release) {
		return fmt.Errorf("round %d: linux %s runs, want %s", c.round, release, want)
	}
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return err
	}
	_, err = os.Stat("/sys/module/test_kho")
	report("machine round=%d release=%s luo=%v test_kho=%v la57=%v", c.round, release, hasLUO(), err == nil, bytes.Contains(cpu, []byte(" la57")))
	report("instant round=%d began=%d", c.round, began)
	if err := reportKernel(c.round); err != nil {
		return err
	}
	root, err := c.archive(c.round)
	if err != nil {
		return err
	}
	report("root round=%d bytes=%d crc=%016x", c.round, len(root), crc64.Checksum(root, table))
	if err := c.showLeft(); err != nil {
		return err
	}
	if !c.unmade {
		if err := finalize(); err != nil {
			return err
		}
	}
	if c.region == "" || c.unmade { // where the region is, the handover says
		return nil
	}
	return c.checkRegion()
}

// begin makes the live state in the first kernel, and takes it over in every other one.
func (c config) begin() (*state, error) {
	if len(c.plan.List()) == 0 {
		return &state{}, nil
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

// finalize tells a kernel without LUO to make its handover. It does so at once, not at the reboot, and hands it to an
// image only if that is loaded later.
func finalize() error {
	if hasLUO() {
		return nil
	}
	return os.WriteFile("/sys/kernel/debug/kho/out/finalize", []byte("1"), 0)
}

func hasLUO() bool {
	_, err := os.Stat("/dev/liveupdate")
	return !errors.Is(err, fs.ErrNotExist)
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
