package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ferry/boot"
	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/linker"
	"ferry/phys"
)

type packCmd struct {
	Kernel  string  `required:"" type:"existingfile" help:"The next kernel, a bzImage."`
	Initrd  string  `type:"existingfile" help:"Its initrd, as it is. Default: none."`
	Output  string  `required:"" short:"o" type:"path" help:"Payload to write."`
	Cmdline *string `help:"Command line of the next kernel. Default: what the stage was given, less the words that begin with ferry."`
	Stage   string  `type:"existingfile" help:"The stage that will be loaded, ferry.bzimage, for the sum that is printed. Default: one that was linked with the default size."`
	Room    uint64  `placeholder:"MiB" help:"MiB of the largest scratch area of the host: refuse what does not fit."`
}

// maxPart is the most that one part of a payload can have: newc's sizes are 32 bits wide.
const maxPart = 1<<32 - 1

// Run writes the payload.
func (c *packCmd) Run() error { return c.pack(os.Stdout) }

func (c *packCmd) pack(out io.Writer) error {
	kernelFile, err := readPart(c.Kernel)
	if err != nil {
		return err
	}
	var initrd []byte
	if c.Initrd != "" {
		if initrd, err = readPart(c.Initrd); err != nil {
			return err
		}
	}
	kernel, err := boot.ParseKernel(kernelFile)
	if err != nil {
		return fmt.Errorf("kernel %s: %w", c.Kernel, err)
	}
	stage := &boot.Kernel{InitSize: linker.InitSize, Alignment: linker.Alignment, PrefAddress: linker.PrefAddress}
	if c.Stage != "" {
		if stage, err = openStage(c.Stage); err != nil {
			return err
		}
	}
	var archive bytes.Buffer
	if err := pack.Write(&archive, payload.Manifest{Cmdline: c.Cmdline}, kernelFile, initrd); err != nil {
		return fmt.Errorf("payload %s: %w", c.Output, err)
	}

	needs := needs(stage, kernel, uint64(archive.Len()))
	if c.Room != 0 {
		area, _ := phys.Span(256*mib, c.Room*mib)
		if _, err := place([]phys.Range{area}, needs); err != nil {
			return fmt.Errorf("kernel %s of %s (init_size %s) and initrd of %s do not fit in %d MiB: %w", c.Kernel,
				size(uint64(len(kernelFile))), size(kernel.InitSize), size(uint64(len(initrd))), c.Room, err)
		}
	}
	if err := writeFile(c.Output, archive.Bytes()); err != nil {
		return err
	}
	for _, n := range needs {
		fmt.Fprintf(out, "%-32s %s\n", n.name, size(n.size))
	}
	fmt.Fprintf(out, "%-32s %s, for example %s\n", "scratch that a crossing takes", size(total(needs)), suggestion(needs))
	return nil
}

func readPart(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxPart {
		return nil, fmt.Errorf("%s: %s, at most %s fit into a payload", name, size(uint64(info.Size())), size(maxPart))
	}
	return os.ReadFile(name)
}

// writeFile replaces the file whole or not at all.
func writeFile(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
