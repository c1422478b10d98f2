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
	name   string
	image  []byte
	initrd *initrd // nil for none
	kernel *boot.Kernel
	info   payload.KernelInfo
	reads  string // what it reads, for the operator

	compression string
	vmlinux     []byte // what is compressed in the image
	undone      error  // why that is not known

	opened       []byte // part of the payload, nil if the kernel is not opened
	openedKernel *boot.Kernel
}

// readKernel reads a kernel and its initrd, and finds out which generation of formats the kernel reads, or takes what the
// operator says by a flag.
func (r *review) readKernel(name, initrd, generation, flag string) (k *packed, err error) {
	k = &packed{name: name}
	defer func(k *packed) {
		if err != nil {
			k.close()
		}
	}(k)
	if k.image, err = readImage(name); err != nil {
		return nil, err
	}
	if initrd != "" {
		if k.initrd, err = openInitrd(initrd); err != nil {
			return nil, err
		}
	}
	if k.kernel, err = boot.ParseKernel(k.image); err != nil {
		return nil, fmt.Errorf("kernel %s: %w", name, err)
	}
	k.compression, k.vmlinux, k.undone = vmlinux.Decompress(k.image)
	found, openErr := (*vmlinux.Kernel)(nil), k.undone
	if openErr == nil {
		if found, openErr = vmlinux.Look(k.image, k.compression, k.vmlinux); openErr == nil {
			k.info.Release = found.Release
		}
	}
	if generation != "" {
		return k, k.is(generation, flag, found, openErr, r)
	}
	return k, k.identify(found, openErr, flag)
}

// close closes the initrd.
func (k *packed) close() {
	if k.initrd != nil {
		k.initrd.file.Close()
	}
}

// is takes what the operator says of a kernel.
func (k *packed) is(generation, flag string, found *vmlinux.Kernel, openErr error, r *review) error {
	g := crossing.ByName(generation)
	if g == nil {
		return usage(fmt.Sprintf("%s %s: want one of %s", flag, generation, strings.Join(names(crossing.Generations()), " ")))
	}
	k.info.Generation, k.reads = g.Name, fmt.Sprintf("%v, as %s says", g, flag)
	r.claims("kernel "+k.name, k.info, flag, found, openErr)
	return nil
}

// identify takes what the image of a kernel says.
func (k *packed) identify(found *vmlinux.Kernel, openErr error, flag string) error {
	switch {
	case silent(found, openErr):
		return in(classPayload, &problem{fmt.Sprintf("kernel %s does not say which formats it reads", k.name), "say it with " + flag, openErr})
	case openErr != nil:
		return &problem{fmt.Sprintf("kernel %s", k.name), "take a whole one", openErr}
	}
	g, note, err := identify(crossing.Generations(), found)
	if err != nil {
		return &problem{fmt.Sprintf("kernel %s, Linux %s", k.name, found.Release), "take a kernel that ferry abi names a generation for", err}
	}
	if k.info.Generation, k.reads = g.Name, g.String(); note != "" {
		k.reads += ", " + note
	}
	return nil
}
