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
	"syscall"
	"time"
)

// A VM is one run of a virtual machine: processors, memory, the first kernel, and how long it may take.
type VM struct {
	Script  string        // path of qemu.sh
	CPU     string        // processor model, qemu.sh's if empty
	CPUs    int           // 1 if zero
	Memory  string        // qemu.sh's if empty
	Kernel  string        // path of a bzImage
	Initrd  []byte        // newc archive
	Cmdline string        // of the first kernel
	Args    string        // further arguments for QEMU, split at blanks
	Timeout time.Duration // 3 minutes if zero
	Count   bool          // count instructions: a tick of the time stamp counter is one
	Console io.Writer     // also gets the console as it comes, if not nil
}

// Cmdline is what every kernel of the suite is started with: serial console, KHO and LUO on, reset after a panic. Without
// hardware virtualization and on a busy host Linux finds too few timer interrupts in the 40 ms for which it looks, and
// goes on without the IO-APIC or panics, hence no_timer_check.
const Cmdline = "console=ttyS0 kho=on liveupdate=on panic=-1 no_timer_check"

// ErrTimeout says that the machine was stopped because it ran for longer than it may.
var ErrTimeout = errors.New("timeout")

// Exit codes of qemu.sh.
const (
	exitTimeout = 124
	exitReset   = 125 // the guest reset or powered off, which is how Linux ends; or QEMU did not start
)

// Run boots the machine, waits until it resets or powers off, and returns what it wrote to its serial console, also
// when there is an error. A stage that ends the machine by an exit code is an error.
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
		timeout = 3 * time.Minute
	}
	cmd := exec.CommandContext(ctx, vm.Script, vm.Kernel)
	cmd.Env = append(os.Environ(), "INITRD="+initrd, "APPEND="+vm.Cmdline, "SMP="+strconv.Itoa(max(vm.CPUs, 1)),
		"TIMEOUT="+strconv.Itoa(int(timeout.Seconds())))
	if vm.CPU != "" {
		cmd.Env = append(cmd.Env, "CPU="+vm.CPU)
	}
	if vm.Count {
		cmd.Env = append(cmd.Env, "ICOUNT=1")
	}
	if vm.Memory != "" {
		cmd.Env = append(cmd.Env, "MEM="+vm.Memory)
	}
	if vm.Args != "" {
		cmd.Env = append(cmd.Env, "QEMU_ARGS="+vm.Args)
	}
	// The script's children end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

	var console, problems bytes.Buffer
	cmd.Stdout = &console
	if vm.Console != nil {
		cmd.Stdout = io.MultiWriter(&console, vm.Console)
	}
	cmd.Stderr = &problems

	err = cmd.Run()
	log := ParseLog(console.Bytes())
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		switch code := exit.ExitCode(); {
		case code == exitReset && len(log.Kernels()) > 1:
			return log, nil
		case code == exitTimeout:
			return log, fmt.Errorf("machine ran for %v: %w", timeout, ErrTimeout)
		case len(log.Kernels()) > 1:
			return log, fmt.Errorf("the stage ended the machine with exit code %d", code)
		}
	}
	if err != nil {
		return log, fmt.Errorf("%s: %w: %s", vm.Script, err, bytes.TrimSpace(problems.Bytes()))
	}
	return log, nil
}
