package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"ferry/boot"
	"ferry/crossing"
	"ferry/phys"
)

// A problem is an error that the operator can do something about.
type problem struct {
	what string // what is wrong
	do   string // what to do
	err  error  // cause, may be nil
}

func (p *problem) Error() string {
	s := p.what
	if p.err != nil {
		s += ": " + p.err.Error()
	}
	return s + " (" + p.do + ")"
}

func (p *problem) Unwrap() error { return p.err }

// A host is the running system, seen through its file system.
type host struct{ root fs.FS }

// cmdline returns the running kernel's command line.
func (h host) cmdline() (string, error) {
	b, err := fs.ReadFile(h.root, "proc/cmdline")
	if err != nil {
		return "", &problem{"cannot read the kernel's command line", "mount -t proc proc /proc", err}
	}
	return strings.TrimSpace(string(b)), nil
}

// release returns the running kernel's release, empty if it is not known.
func (h host) release() string {
	b, _ := fs.ReadFile(h.root, "proc/version")
	rest, _ := strings.CutPrefix(string(b), "Linux version ")
	release, _, _ := strings.Cut(rest, " ")
	return release
}

// cpuFlags returns what Linux says of the processors, as words.
func (h host) cpuFlags() (string, error) {
	b, err := fs.ReadFile(h.root, "proc/cpuinfo")
	if err != nil {
		return "", &problem{"cannot read the processor's flags", "mount -t proc proc /proc", err}
	}
	for line := range strings.Lines(string(b)) {
		if name, flags, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "flags" {
			return flags, nil
		}
	}
	return "", errors.New("/proc/cpuinfo names no flags")
}

// processor returns what a next kernel depends on of the processors, as they will enter it. Linux takes the flag of five
// levels of page tables away if it runs with four; how long virtual addresses can be it says in any case. Of memory that
// is encrypted the stage finds out.
func (h host) processor() (cpu boot.Processor, err error) {
	b, err := fs.ReadFile(h.root, "proc/cpuinfo")
	if err != nil {
		return cpu, &problem{"cannot read the processor's flags", "mount -t proc proc /proc", err}
	}
	flags := false
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case "flags":
			flags, cpu.FiveLevel = true, hasWord(value, "la57")
		case "address sizes":
			cpu.HasFiveLevel = strings.Contains(value, " 57 bits virtual")
		case "": // the end of the first processor
			if flags {
				cpu.HasFiveLevel = cpu.HasFiveLevel || cpu.FiveLevel
				return cpu, nil
			}
		}
	}
	if cpu.HasFiveLevel = cpu.HasFiveLevel || cpu.FiveLevel; !flags {
		return cpu, errors.New("/proc/cpuinfo names no flags")
	}
	return cpu, nil
}

// loaded reports whether a kexec image is loaded. Where sysfs is not mounted nothing is known, which is no error.
func (h host) loaded() (loaded, known bool) {
	b, err := fs.ReadFile(h.root, "sys/kernel/kexec_loaded")
	if err != nil {
		return false, false
	}
	return strings.TrimSpace(string(b)) == "1", true
}

// now says what the next kexec would start as things are, after a load that failed: the kernel keeps an image that was
// loaded before, and systemd loads one if there is none, if the host has a boot loader's entries.
func (h host) now() string {
	switch loaded, known := h.loaded(); {
	case !known:
		return "what the next kexec starts is unknown: there is no /sys/kernel/kexec_loaded"
	case loaded:
		return "the image that was loaded before is still loaded: the next kexec starts that (ferry load --unload takes it back)"
	}
	if _, err := fs.Stat(h.root, "sys/firmware/efi"); err == nil {
		return "nothing is loaded: the next systemctl kexec loads the boot loader's default entry and starts that, without Ferry"
	}
	return "nothing is loaded: the next kexec starts nothing"
}

// starter is the command that starts what is loaded.
func (h host) starter() string {
	if _, err := fs.Stat(h.root, "run/systemd/system"); err == nil {
		return "systemctl kexec"
	}
	return "what ends in reboot(LINUX_REBOOT_CMD_KEXEC), such as kexec -e"
}

// checkLUO wants the live update device, or of a release that has none a handover that is made. The device is not opened:
// the process that holds the sessions has it open, and there can be one only.
func (h host) checkLUO() error {
	if _, err := fs.Stat(h.root, "dev/liveupdate"); err != nil {
		if g := crossing.ByRelease(h.release()); g != nil && g.LUO == nil {
			return h.checkFinalized()
		}
		line, _ := h.cmdline()
		do := "boot a kernel that has CONFIG_LIVEUPDATE, and mount devtmpfs on /dev"
		if !enabled(line, "liveupdate") {
			do = "boot with liveupdate=on"
		}
		return &problem{"the live update orchestrator is off: no /dev/liveupdate", do, nil}
	}
	return nil
}

// checkFinalized wants the handover of a kernel before LUO to be made already: such a kernel gives it only to an image that
// is loaded afterwards. Source: kernel/kexec_handover.c of Linux 6.18, kho_fill_kimage.
func (h host) checkFinalized() error {
	debugfs, err := h.debugfs()
	if err != nil {
		return err
	}
	name := debugfs + "/kho/out/finalize"
	if n, err := h.numbers(name); err != nil || len(n) != 1 || n[0] != 1 {
		return &problem{"the handover is not made yet", "write 1 to /" + name + " before the load", err}
	}
	return nil
}

// scratch returns the areas in which the next kernel starts, in the kernel's order, in which it also places what is
// loaded. It fails if KHO is off.
func (h host) scratch() ([]phys.Range, error) {
	debugfs, err := h.debugfs()
	if err != nil {
		return nil, err
	}
	starts, err := h.numbers(debugfs + "/kho/out/scratch_phys")
	sizesName := "/kho/out/scratch_len"
	if errors.Is(err, fs.ErrNotExist) { // as Linux 7.4 names it
		starts, err = h.numbers(debugfs + "/kho/out/bootmem_phys")
		sizesName = "/kho/out/bootmem_len"
	}
	if errors.Is(err, fs.ErrNotExist) {
		line, _ := h.cmdline()
		do := "boot with kho=on; the kernel's log says why if it already is"
		if on, said := turned(line, "kho"); said && !on {
			do = "boot with kho=on: this kernel was told kho=off"
		}
		if _, err := fs.Stat(h.root, debugfs+"/kho"); err == nil {
			do = "boot with kho=on: the kernel has KHO, but turned it off"
		}
		return nil, &problem{"kexec handover is off: no kho/out/scratch_phys in debugfs", do, nil}
	}
	if err != nil {
		return nil, err
	}
	sizes, err := h.numbers(debugfs + sizesName)
	if err != nil {
		return nil, err
	}
	if len(starts) != len(sizes) {
		return nil, fmt.Errorf("debugfs gives %d scratch addresses and %d lengths", len(starts), len(sizes))
	}
	areas := make([]phys.Range, 0, len(starts))
	for i := range starts {
		area, ok := phys.Span(phys.Addr(starts[i]), sizes[i])
		if !ok {
			return nil, fmt.Errorf("scratch area %d: %#x bytes at %#x wrap", i, sizes[i], starts[i])
		}
		areas = append(areas, area)
	}
	return areas, nil
}

// debugfs returns where debugfs is mounted, without the leading slash.
func (h host) debugfs() (string, error) {
	mounts, err := fs.ReadFile(h.root, "proc/mounts")
	if err != nil {
		return "", &problem{"cannot read the mounts", "mount -t proc proc /proc", err}
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) >= 3 && f[2] == "debugfs" {
			return strings.TrimPrefix(f[1], "/"), nil
		}
	}
	return "", &unsure{&problem{"debugfs is not mounted, so the scratch areas are unknown",
		"mount -t debugfs debugfs /sys/kernel/debug", nil}}
}

// numbers reads a file of one number a line, in C's notation.
func (h host) numbers(name string) ([]uint64, error) {
	b, err := fs.ReadFile(h.root, name)
	if errors.Is(err, fs.ErrPermission) {
		return nil, &unsure{&problem{"cannot read the scratch areas", "run as root", err}}
	}
	if err != nil {
		return nil, err
	}
	var ns []uint64
	for _, field := range strings.Fields(string(b)) {
		n, err := strconv.ParseUint(field, 0, 64)
		if err != nil {
			return nil, fmt.Errorf("/%s: %w", name, err)
		}
		ns = append(ns, n)
	}
	return ns, nil
}

// hasWord reports whether one of the words is among the flags of a processor.
func hasWord(flags string, words ...string) bool {
	for _, field := range strings.Fields(flags) {
		for _, word := range words {
			if field == word {
				return true
			}
		}
	}
	return false
}
