//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// bootParams is where Linux shows the zero page that it was started with, and loadflags what it says of KASLR.
const (
	bootParams = "/sys/kernel/boot_params/data"
	loadflags  = 0x211
	kaslrFlag  = 1 << 1
)

// reportKernel says where the kernel lies, and whether it was told that it is randomised.
func reportKernel(round int) error {
	text, err := field("/proc/kallsyms", func(line string) (string, bool) {
		f := strings.Fields(line)
		return f[0], len(f) > 2 && f[2] == "_text"
	})
	if err != nil {
		return err
	}
	code, err := field("/proc/iomem", func(line string) (string, bool) {
		at, name, _ := strings.Cut(line, " : ")
		start, _, _ := strings.Cut(strings.TrimSpace(at), "-")
		return start, name == "Kernel code"
	})
	if err != nil {
		return err
	}
	params, err := os.Open(bootParams)
	if err != nil {
		return err
	}
	defer params.Close()
	flags := make([]byte, 1)
	if _, err := params.ReadAt(flags, loadflags); err != nil {
		return fmt.Errorf("%s: %w", bootParams, err)
	}
	report("kernel round=%d text=0x%s code=0x%s kaslr=%v", round, text, code, flags[0]&kaslrFlag != 0)
	return nil
}

// field returns what the first line of a file gives that has it.
func field(name string, of func(line string) (string, bool)) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if s, ok := of(lines.Text()); ok {
			return s, nil
		}
	}
	return "", fmt.Errorf("%s: no line has it (%v)", name, lines.Err())
}
