//go:build linux

// Package qemu runs machines under QEMU, with all of a machine's memory in a file
// that can be looked at, changed and started again.
//
// [RAM] is the memory of a stopped machine as a [phys.Memory], so that readers of a
// handover work on it. [Starter] is firmware that starts a kernel in such a memory
// as kexec does and writes no byte of it. [Machine] runs QEMU on it, and [Debugger]
// stops it at an address. [Script] is qemu.sh, for machines that only boot.
package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

// Machine is a machine to run: the one that qemu.sh has by default, with its
// memory in a file.
type Machine struct {
	RAM string // path; the file's size is that of the memory
	CPU string // "max" where it is empty

	// Firmware, such as a Starter, takes the place of QEMU's own. Without any, QEMU
	// boots the kernel.
	Firmware []byte

	Kernel, Initrd, Cmdline string

	// Debug makes the machine wait for a [Debugger] before its first instruction.
	Debug bool

	Timeout time.Duration // 60 s where it is zero
	Args    []string      // more arguments for QEMU
}

// Exit codes of a run beside those of the guest, of qemu.sh too.
const (
	ExitTimeout = 124
	ExitReset   = 125 // the guest reset or powered off, or QEMU failed
)

// Running is a machine that runs.
type Running struct {
	cmd    *exec.Cmd
	dir    string
	cancel context.CancelFunc
	done   chan struct{}
	code   int

	mu      sync.Mutex
	console bytes.Buffer
	grown   chan struct{} // closed and replaced with each write
}

// Start runs the machine. [Running.Wait] has to be called.
func (m Machine) Start() (*Running, error) {
	dir, err := os.MkdirTemp("", "ferry-metal")
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(m.RAM)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	cpu, timeout := m.CPU, m.Timeout
	if cpu == "" {
		cpu = "max"
	}
	if timeout == 0 {
		timeout = time.Minute
	}
	args := []string{"-machine", "q35,memory-backend=ram", "-accel", "tcg", "-cpu", cpu, "-m", fmt.Sprintf("%dK", info.Size()>>10),
		"-object", fmt.Sprintf("memory-backend-file,id=ram,size=%d,mem-path=%s,share=on", info.Size(), m.RAM),
		"-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-no-reboot", "-serial", "stdio",
		"-device", "isa-debug-exit,iobase=0xf4,iosize=4"}
	if m.Firmware != nil {
		rom := filepath.Join(dir, "firmware")
		if err := os.WriteFile(rom, m.Firmware, 0o600); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		args = append(args, "-bios", rom)
	}
	if m.Kernel != "" {
		args = append(args, "-kernel", m.Kernel, "-append", m.Cmdline)
	}
	if m.Initrd != "" {
		args = append(args, "-initrd", m.Initrd)
	}
	if m.Debug {
		args = append(args, "-S", "-gdb", "unix:"+filepath.Join(dir, "gdb")+",server=on,wait=off")
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	r := &Running{dir: dir, cancel: cancel, done: make(chan struct{}), grown: make(chan struct{})}
	r.cmd = exec.CommandContext(ctx, "qemu-system-x86_64", append(args, m.Args...)...)
	r.cmd.Stdout, r.cmd.Stderr = r, r
	if err := r.cmd.Start(); err != nil {
		cancel()
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	go func() {
		defer close(r.done)
		err := r.cmd.Wait()
		r.code = ExitCode(r.cmd.ProcessState.ExitCode())
		if errors.Is(ctx.Err(), context.DeadlineExceeded) && err != nil {
			r.code = ExitTimeout
		}
		os.RemoveAll(dir)
	}()
	return r, nil
}

// exitCode returns the guest's exit code for QEMU's, as qemu.sh does.
func ExitCode(status int) int {
	switch {
	case status >= 193 && status%2 == 1:
		return status>>1 - 96
	case status >= 33 && status <= 95 && status%2 == 1:
		return status>>1 + 16
	}
	return ExitReset
}

// Write takes what the machine says.
func (r *Running) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.grown)
	r.grown = make(chan struct{})
	return r.console.Write(b)
}

// Console returns what the machine has said so far, without carriage returns.
func (r *Running) Console() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(bytes.ReplaceAll(r.console.Bytes(), []byte("\r"), nil))
}

// Says waits until the console matches, or the machine has ended, and returns what
// matched: nil for nothing.
func (r *Running) Says(text *regexp.Regexp) [][]byte {
	for {
		r.mu.Lock()
		match, grown := text.FindSubmatch(r.console.Bytes()), r.grown
		r.mu.Unlock()
		if match != nil {
			return match
		}
		select {
		case <-grown:
		case <-r.done:
			return text.FindSubmatch([]byte(r.Console()))
		}
	}
}

// Wait returns the console and the exit code when the machine has ended.
func (r *Running) Wait() (console string, code int) {
	<-r.done
	r.cancel()
	return r.Console(), r.code
}

// Kill ends the machine as a loss of power would, but for its memory.
func (r *Running) Kill() {
	r.cancel()
	<-r.done
}

// Run is Start and Wait.
func (m Machine) Run() (console string, code int, err error) {
	r, err := m.Start()
	if err != nil {
		return "", 0, err
	}
	console, code = r.Wait()
	return console, code, nil
}
