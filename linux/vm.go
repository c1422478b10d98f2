package linux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// A VM is one run of a virtual machine: processors, memory, the first kernel, and how long it may take.
type VM struct {
	CPU     string        // QEMU's -cpu, "max" if empty
	CPUs    int           // 1 if zero
	Memory  string        // QEMU's -m, "1G" if empty
	Kernel  string        // path of a bzImage
	Initrd  []byte        // newc archive
	Cmdline string        // of the first kernel
	Timeout time.Duration // 60 s if zero
	Console io.Writer     // also gets the console as it comes, if not nil
}

// Cmdline is what every kernel of the suite is started with: serial console, KHO and LUO on, reset after a panic.
const Cmdline = "console=ttyS0 kho=on liveupdate=on panic=-1"

// ErrTimeout says that the machine was stopped because it ran for longer than it may.
var ErrTimeout = errors.New("timeout")

// Run boots the machine, waits until it resets or powers off, and returns what it wrote to its serial console, also
// when there is an error. Without hardware virtualization, so that it runs the same everywhere.
func (vm VM) Run(ctx context.Context) (Log, error) {
	dir, err := os.MkdirTemp("", "ferry-vm")
	if err != nil {
		return Log{}, err
	}
	defer os.RemoveAll(dir)
	initrd := filepath.Join(dir, "initrd")
	if err := os.WriteFile(initrd, vm.Initrd, 0o600); err != nil {
		return Log{}, err
	}

	timeout := vm.Timeout
	if timeout == 0 {
		timeout = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	cmd := exec.CommandContext(ctx, "qemu-system-x86_64",
		"-accel", "tcg",
		"-cpu", or(vm.CPU, "max"),
		"-smp", strconv.Itoa(max(vm.CPUs, 1)),
		"-m", or(vm.Memory, "1G"),
		"-nodefaults", "-display", "none", "-no-reboot",
		"-device", "isa-debug-exit,iobase=0xf4,iosize=0x4", // how the stage ends when it cannot go on
		"-serial", "stdio",
		"-kernel", vm.Kernel,
		"-initrd", initrd,
		"-append", vm.Cmdline,
	)
	cmd.WaitDelay = 5 * time.Second
	var console, problems bytes.Buffer
	cmd.Stdout = &console
	if vm.Console != nil {
		cmd.Stdout = io.MultiWriter(&console, vm.Console)
	}
	cmd.Stderr = &problems

	err = cmd.Run()
	log := ParseLog(console.Bytes())
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return log, fmt.Errorf("machine ran for %v: %w", timeout, ErrTimeout)
	case err != nil:
		return log, fmt.Errorf("%w: %s", err, bytes.TrimSpace(problems.Bytes()))
	}
	return log, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
