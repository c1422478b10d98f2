package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"ferry/crossing"
	"ferry/memfd"
	"ferry/phys"
	"ferry/phys/dump"
)

type extractCmd struct {
	Dump string `arg:"" type:"existingfile" help:"Memory of the machine: ${dumpHelp}"`
	What string `arg:"" name:"session/token" help:"Which file: the session's name, a slash, and the token of the file."`
	File string `arg:"" type:"path" help:"Where the contents go: a regular file, which is replaced whole or not at all."`
	dumpFlags
	Handover string `help:"Address of the device tree of the handover to take, as ferry inspect prints it; the live one by default." placeholder:"ADDRESS"`
}

// Run writes the contents of a preserved memfd into a file.
func (c *extractCmd) Run() error { return c.extract(os.Stdout) }

func (c *extractCmd) extract(out io.Writer) error {
	i := strings.LastIndexByte(c.What, '/')
	token, err := strconv.ParseUint(c.What[i+1:], 0, 64)
	if i < 1 || err != nil {
		return in(classUsage, &problem{fmt.Sprintf("%q names no file", c.What), "say SESSION/TOKEN, as vm-7/0x1; ferry inspect lists them", nil})
	}
	session := c.What[:i]
	if c.File == standardOutput {
		return in(classUsage, &problem{"FILE is standard output, which cannot be sparse", "name a file", nil})
	}
	f, d, err := c.read(c.Dump)
	if err != nil {
		return err
	}
	defer d.Close()
	h, err := f.pick(c.Handover)
	if err != nil {
		return err
	}
	o, err := newOutput("FILE", c.File, input{"DUMP", c.Dump})
	if err != nil {
		return err
	}
	file, err := h.memfd(session, token)
	if err != nil {
		return err
	}
	var held uint64
	o.write = func(ctx context.Context, to *os.File) (err error) {
		held, err = writeContents(ctx, to, d, file)
		return err
	}
	if err := replaced(out, o); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d bytes of session %s, token %#x, %d of them in pages that are not zero\n", c.File, file.Size, phys.Quote(session), token, held)
	return nil
}

// pick returns the handover at this address, or without one that which counts.
func (f *dumpFacts) pick(at string) (*handoverFacts, error) {
	if at != "" {
		a, err := strconv.ParseUint(at, 0, 64)
		i := slices.IndexFunc(f.Handovers, func(h handoverFacts) bool { return h.data.FDT == phys.Addr(a) })
		if err != nil || i < 0 {
			return nil, &problem{"no handover with a device tree at " + at, "ferry inspect lists those that there are", nil}
		}
		return &f.Handovers[i], nil
	}
	for i := range f.Handovers {
		if f.Handovers[i].Live == "yes" {
			return &f.Handovers[i], nil
		}
	}
	if len(f.Handovers) == 0 {
		return nil, &problem{fmt.Sprintf("no handover in %d MiB of memory (%s)", f.RAM/mib, f.Form), "dump all memory", nil}
	}
	return nil, &problem{fmt.Sprintf("%d handovers, and nothing says which is live", len(f.Handovers)), "choose with --handover; ferry inspect lists them", nil}
}

// memfd returns a file that is sound.
func (h *handoverFacts) memfd(session string, token uint64) (file *memfd.File, err error) {
	sessions, files := 0, 0
	h.audit.Files(func(f crossing.AuditedFile) {
		if string(f.Session.Name) != session {
			return
		}
		sessions++
		if f.Token != token {
			return
		}
		switch files++; {
		case f.Err != nil:
			err = &problem{"the file is damaged", "nothing was written", f.Err}
		case f.Memfd == nil:
			err = &problem{fmt.Sprintf("the file is one of handler %s, no memfd that is known", phys.Quote(f.Handler)), "nothing was written", nil}
		case f.Memfd.Unreadable():
			err = &problem{"an earlier crossing found the file damaged", "take it from a dump of the kernel before", nil}
		default:
			file = f.Memfd
		}
	})
	switch {
	case sessions == 0:
		return nil, &problem{fmt.Sprintf("no file of a session %s in the handover", phys.Quote(session)), "ferry inspect lists sessions and files, and what is damaged", nil}
	case files == 0:
		return nil, &problem{fmt.Sprintf("no token %#x in session %s", token, phys.Quote(session)), "ferry inspect lists sessions and files, and what is damaged", nil}
	case files > 1:
		return nil, &problem{fmt.Sprintf("%d files of token %#x in session %s", files, token, phys.Quote(session)), "the handover is damaged", nil}
	}
	return file, err
}

// writeContents writes the pages of a file that are not zero, and returns how many bytes those are. All else is a hole.
func writeContents(ctx context.Context, to *os.File, d *dump.Memory, file *memfd.File) (held uint64, err error) {
	if file.Size > 1<<63-1 {
		return 0, fmt.Errorf("%d bytes are more than a file can have", file.Size)
	}
	err = eachPage(d, file, func(off uint64, page []byte) error {
		if ctx.Err() != nil {
			return errInterrupted
		}
		held += uint64(len(page))
		_, err := to.WriteAt(page, int64(off))
		return err
	})
	if err == nil {
		err = to.Truncate(int64(file.Size))
	}
	return held, err
}

// eachPage calls visit for each page of the file that is not zero, in order, the last one cut at the file's end.
func eachPage(d *dump.Memory, file *memfd.File, visit func(off uint64, page []byte) error) error {
	var none [phys.PageSize]byte
	return file.Walk(func(f memfd.Folio) error {
		if f.Hole() {
			return nil
		}
		off := f.Index << phys.PageShift
		for i := uint64(0); i < f.Block.Order.Bytes() && off+i < file.Size; i += phys.PageSize {
			n := min(phys.PageSize, file.Size-off-i)
			b, err := d.View(f.Block.Addr+phys.Addr(i), n)
			if err != nil {
				return err
			}
			if bytes.Equal(b, none[:n]) {
				continue
			}
			if err := visit(off+i, b); err != nil {
				return err
			}
		}
		return nil
	})
}
