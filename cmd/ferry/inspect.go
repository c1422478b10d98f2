package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"ferry/crossing"
	"ferry/kho"
	"ferry/phys"
	"ferry/phys/dump"
)

// dumpFlags say how a dump is read.
type dumpFlags struct {
	Base uint64 `help:"Physical address of the first byte, for bytes as they are."`
	From string `help:"Release or generation of the kernel that wrote the handover, if memory leaves it open." placeholder:"RELEASE"`
}

const dumpHelp = "an ELF core with physical addresses (QEMU's dump-guest-memory, /proc/vmcore), kdump-compressed, flattened or not, LiME, or bytes as they are (QEMU's pmemsave)."

type inspectCmd struct {
	Dump string `arg:"" type:"existingfile" help:"Memory of the machine: ${dumpHelp}"`
	dumpFlags
	JSON bool `name:"json" help:"Print JSON, in the form that docs/inspect.md describes."`
}

// Run prints what is in a dump of memory: the records of stages, and the handovers.
func (c *inspectCmd) Run() error { return c.inspect(os.Stdout) }

func (c *inspectCmd) inspect(out io.Writer) error {
	f, d, err := c.read(c.Dump)
	if err != nil {
		return err
	}
	defer d.Close()
	if len(f.Records)+len(f.Handovers) == 0 {
		return &problem{fmt.Sprintf("no record of a stage and no handover in %d MiB of memory (%s)", f.RAM/mib, f.Form),
			"dump all memory; a stage that started the next kernel leaves no record", nil}
	}
	if c.JSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(f)
	}
	return f.print(out)
}

// read opens a dump and looks at it. The dump is the caller's to close.
func (c *dumpFlags) read(name string) (*dumpFacts, *dump.Memory, error) {
	var claim *kho.Format
	if c.From != "" {
		g := crossing.ByName(c.From)
		if g == nil {
			g = crossing.ByRelease(c.From)
		}
		if g == nil {
			return nil, nil, in(classUsage, &problem{fmt.Sprintf("--from %q is no release and no generation that is known", c.From), "see ferry abi", nil})
		}
		claim = g.KHO
	}
	d, err := dump.Open(name, phys.Addr(c.Base))
	if err != nil {
		return nil, nil, err
	}
	return look(d, claim), d, nil
}

// print writes the facts as text.
func (f *dumpFacts) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 1, 2, ' ', 0)
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	line("dump\t%s, %s of RAM, %s stored", f.Form, bytesText(f.RAM), bytesText(f.Stored))
	w.Flush()
	for _, r := range f.Records {
		fmt.Fprint(out, r.text)
		if r.LastWords != "" {
			fmt.Fprintln(out, "console    last words:")
			for l := range strings.Lines(r.LastWords) {
				fmt.Fprintf(out, "  | %s\n", strings.TrimRight(l, "\r\n"))
			}
		}
	}
	for i := range f.Handovers {
		h := &f.Handovers[i]
		line("")
		line("handover\t%d of %d, device tree %s", i+1, len(f.Handovers), h.FDT)
		line("live\t%s: %s", h.Live, h.Why)
		h.print(line)
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return w.Flush()
}

func (h *handoverFacts) print(line func(string, ...any)) {
	if h.Readable {
		written := h.Format
		if h.LUO != "" {
			written += ", " + h.LUO
		}
		line("written as\t%s: generation %s", written, or(strings.Join(h.Generations, " or "), "unknown"))
		line("written by\t%s", or(h.Release, "a kernel that does not say which"))
	} else {
		line("written as\tunknown: it cannot be opened, see the findings")
	}
	for _, s := range h.Scratch {
		line("scratch\t%s\t%s\t%d%% not zero", s.At, bytesText(s.Size), s.Used*100/max(s.Size, 1))
	}
	for _, r := range h.Pool {
		line("pool\t%s up to %s", r.Start, r.End)
	}
	for _, o := range h.Preserved {
		line("preserved\torder %d\t%d blocks\t%s", o.Order, o.Blocks, bytesText(o.Bytes))
	}
	if h.Readable {
		line("map\t%d pages", h.MapPages)
	}
	for _, s := range h.Subtrees {
		line("sub-tree\t%s\t%s\t%s\t%s", phys.Quote(s.Name), s.At, or2(s.Size > 0, fmt.Sprintf("%d bytes", s.Size), "size unknown"), s.What)
	}
	if h.Number != nil {
		line("live update\tnumber %d", *h.Number)
	}
	for _, s := range h.Sessions {
		line("session\t%s\t%s\t%d files%s", phys.Quote(s.Name), s.At, len(s.Files), or2(s.Damaged != "", ", damaged", ""))
		for _, f := range s.Files {
			if !f.Memfd {
				line("  file\ttoken %s\t%s\tdata %s\t%s", f.Token, phys.Quote(f.Handler), f.Data, f.State)
				continue
			}
			line("  file\ttoken %s\t%s\tat %s\t%s\t%d bytes\tposition %d\t%d folios\t%s of holes\tseals %s%s", f.Token, phys.Quote(f.Handler), f.Data, f.State,
				f.Size, f.Position, f.Folios, bytesText(f.Holes), or(strings.Join(f.Seals, ","), "none"), or2(f.Shared, "\tshared", ""))
		}
	}
	for _, b := range h.FLBs {
		line("FLB\t%s\tdata %s\t%d users", phys.Quote(b.Name), b.Data, b.Users)
	}
	if h.Readable && len(h.Findings) == 0 {
		line("findings\tnone")
	}
	for _, f := range h.Findings {
		line("%s\t%s", f.Kind, f.text)
	}
}

func or(s, other string) string { return or2(s != "", s, other) }

func or2(yes bool, s, other string) string {
	if yes {
		return s
	}
	return other
}

// bytesText is a size in the largest unit that it is a multiple of.
func bytesText(n uint64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= mib && n%mib == 0:
		return fmt.Sprintf("%d MiB", n/mib)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// printable takes away what would steer a terminal.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0x7f || 0x80 <= r && r < 0xa0 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(string(b), "?"))
}
