package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"ferry/boot"
	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/boot/vmlinux"
	"ferry/crossing"
	"ferry/linker"
	"ferry/phys"
)

type packCmd struct {
	Kernel     string  `required:"" type:"existingfile" help:"The next kernel, a bzImage."`
	Initrd     string  `type:"existingfile" help:"Its initrd, as it is. Default: none."`
	Output     string  `required:"" short:"o" type:"path" help:"Payload to write."`
	Cmdline    *string `help:"Command line of the next kernel. Default: what the stage was given, less the words that begin with ferry."`
	Stage      string  `type:"existingfile" help:"The stage that will be loaded, ferry.bzimage, for the sum that is printed. Default: one that was linked with the default size."`
	Room       uint64  `placeholder:"MiB" help:"MiB of the largest scratch area of the host: refuse what does not fit."`
	Generation string  `placeholder:"NAME" help:"Generation of formats that the next kernel reads (ferry abi lists them). Default: what its image says; one that does not say is refused."`
	From       string  `placeholder:"RELEASE" help:"Release or generation of the kernel that will hand over, for what its memory leaves open: 6.16 and 6.17 look like 6.18. Default: unknown."`
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
	if err := checkFrom(c.From); err != nil {
		return err
	}
	info, reads, err := c.generation(kernelFile)
	if err != nil {
		return err
	}
	stage := &boot.Kernel{InitSize: linker.InitSize, Alignment: linker.Alignment, PrefAddress: linker.PrefAddress}
	if c.Stage != "" {
		if stage, err = openStage(c.Stage); err != nil {
			return err
		}
	}
	var archive bytes.Buffer
	if err := pack.Write(&archive, payload.Manifest{Kernel: info, From: c.From, Cmdline: c.Cmdline}, kernelFile, initrd); err != nil {
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
	for _, line := range reads {
		fmt.Fprintln(out, line)
	}
	for _, n := range needs {
		fmt.Fprintf(out, "%-32s %s\n", n.name, size(n.size))
	}
	fmt.Fprintf(out, "%-32s %s, for example %s\n", "scratch that a crossing takes", size(total(needs)), suggestion(needs))
	return nil
}

// generation finds out which generation of formats the next kernel reads, or takes what the operator says. The lines are
// for the operator.
func (c *packCmd) generation(image []byte) (info payload.KernelInfo, lines []string, err error) {
	k, openErr := vmlinux.Open(image)
	if openErr == nil {
		info.Release = k.Release
	}
	if c.Generation != "" {
		g := crossing.ByName(c.Generation)
		if g == nil {
			return info, nil, fmt.Errorf("--generation %s: want one of %s", c.Generation, strings.Join(names(crossing.Generations()), " "))
		}
		info.Generation = g.Name
		return info, []string{fmt.Sprintf("%-32s %v, as --generation says", "next kernel reads generation", g)}, nil
	}
	if openErr != nil {
		return info, nil, &problem{fmt.Sprintf("kernel %s does not say which formats it reads", c.Kernel), "say it with --generation", openErr}
	}
	g, note, err := speaks(crossing.Generations(), k)
	if err != nil {
		do := "take a kernel that ferry abi names a generation for, or say with --generation what it reads"
		return info, nil, &problem{fmt.Sprintf("kernel %s, Linux %s", c.Kernel, k.Release), do, err}
	}
	info.Generation = g.Name
	lines = append(lines, fmt.Sprintf("%-32s %v", "next kernel reads generation", g))
	if note != "" {
		lines = append(lines, fmt.Sprintf("%-32s %s", "", note))
	}
	return info, lines, nil
}

// checkFrom wants the hint to be one that the stage understands, or none.
func checkFrom(from string) error {
	if from == "" || crossing.ByName(from) != nil || crossing.ByRelease(from) != nil {
		return nil
	}
	return fmt.Errorf("--from %s: want a release such as 6.17.13, or a generation, as ferry abi lists them", from)
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
