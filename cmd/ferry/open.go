package main

import (
	"fmt"
	"strings"

	"ferry/boot"
	"ferry/boot/opened/extract"
	"ferry/boot/vmlinux"
)

// formFlags say in which form the next kernel is packed.
type formFlags struct {
	KeepCompressed bool `xor:"form" help:"Pack the next kernel as it is. Default: opened if that can be, which is decompressed here, so that its own decompressor does not run while the machine is away; a larger payload."`
	WithCompressed bool `xor:"form" help:"Pack the next kernel opened and as it is: for a machine on which it may not be entered opened, such as one that will run with another number of page table levels."`
}

// open opens the next kernel as the flags say, and returns what to tell the operator.
func (k *packed) open(f formFlags, cmdline *string) (note string) {
	asItIs := func(why string) string { return "as it is, compressed: " + why }
	if f.KeepCompressed {
		return asItIs("--keep-compressed")
	}
	if k.vmlinux == nil {
		return asItIs(k.undone.Error())
	}
	if cmdline != nil {
		// Whether there will be scratch is for the stage to know.
		if word := boot.Steered(*cmdline, false); word != "" {
			return asItIs(word + " on its command line is for its decompressor")
		}
	}
	image, err := extract.Open(k.image, k.vmlinux)
	if err == nil {
		k.opened, err = image.Part()
	}
	if err == nil {
		k.openedKernel, err = boot.ParseOpened(k.opened)
	}
	if err != nil {
		k.opened = nil
		return asItIs(reason(err))
	}
	o := k.openedKernel.Opened()
	move := "not built to be moved"
	if o.Randomised() {
		move = fmt.Sprintf("%d relocations", o.Relocations())
	}
	note = fmt.Sprintf("opened: %s in place of %s (%s), %s", size(uint64(len(k.opened))), size(uint64(len(k.image))), k.compression, move)
	if f.WithCompressed {
		return note + "; and as it is"
	}
	return note
}

// reason returns why a kernel is not opened, without the rule that the package puts before it.
func reason(err error) string {
	return strings.TrimPrefix(err.Error(), extract.ErrOpen.Error()+": ")
}

// forms returns the kernel as the stage may start it: in one form or both.
func (k *packed) forms(f formFlags) (all []*boot.Kernel) {
	if k.opened != nil {
		all = append(all, k.openedKernel)
	}
	if k.opened == nil || f.WithCompressed {
		all = append(all, k.kernel)
	}
	return all
}

// form returns a kernel of a payload in the form in which the stage starts it with a command line, and what it says of
// itself. One that could only be entered opened, and is not to be, is a doubt.
func (r *review) form(what string, image, part []byte, cmdline string, cpu boot.Processor) (k *boot.Kernel, found *vmlinux.Kernel, openErr, err error) {
	if len(part) > 0 {
		if k, err = boot.ParseOpened(part); err != nil {
			return nil, nil, nil, err
		}
		why := k.Enterable(cmdline, cpu, true)
		if why == nil || len(image) == 0 {
			if why != nil {
				r.doubt(fmt.Sprintf("the %s cannot be started: %v", what, why), "that is a failure", "pack it with --with-compressed or --keep-compressed")
			}
			return k, vmlinux.LookOpened(k), nil, nil
		}
		r.warn("the %s decompresses itself: %v", what, why)
	}
	if k, err = boot.ParseKernel(image); err != nil {
		return nil, nil, nil, err
	}
	found, openErr = vmlinux.Open(image)
	return k, found, openErr, nil
}
