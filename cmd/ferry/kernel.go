package main

import (
	"fmt"
	"strings"

	"ferry/boot"
	"ferry/boot/payload"
	"ferry/boot/vmlinux"
	"ferry/crossing"
)

// packed is a kernel that goes into a payload.
type packed struct {
	name          string
	image, initrd []byte
	kernel        *boot.Kernel
	info          payload.KernelInfo
	reads         string // what it reads, for the operator
}

// readKernel reads a kernel and its initrd, and finds out which generation of formats the kernel reads, or takes what the
// operator says by a flag.
func readKernel(name, initrd, generation, flag string) (k *packed, err error) {
	k = &packed{name: name}
	if k.image, err = readPart(name); err != nil {
		return nil, err
	}
	if initrd != "" {
		if k.initrd, err = readPart(initrd); err != nil {
			return nil, err
		}
	}
	if k.kernel, err = boot.ParseKernel(k.image); err != nil {
		return nil, fmt.Errorf("kernel %s: %w", name, err)
	}
	return k, k.generation(generation, flag)
}

// generation fills in what the kernel reads.
func (k *packed) generation(told, flag string) error {
	found, openErr := vmlinux.Open(k.image)
	if openErr == nil {
		k.info.Release = found.Release
	}
	if told != "" {
		g := crossing.ByName(told)
		if g == nil {
			return fmt.Errorf("%s %s: want one of %s", flag, told, strings.Join(names(crossing.Generations()), " "))
		}
		k.info.Generation, k.reads = g.Name, fmt.Sprintf("%v, as %s says", g, flag)
		return nil
	}
	if openErr != nil {
		return &problem{fmt.Sprintf("kernel %s does not say which formats it reads", k.name), "say it with " + flag, openErr}
	}
	g, note, err := speaks(crossing.Generations(), found)
	if err != nil {
		do := "take a kernel that ferry abi names a generation for, or say with " + flag + " what it reads"
		return &problem{fmt.Sprintf("kernel %s, Linux %s", k.name, found.Release), do, err}
	}
	if k.info.Generation, k.reads = g.Name, g.String(); note != "" {
		k.reads += ", " + note
	}
	return nil
}
