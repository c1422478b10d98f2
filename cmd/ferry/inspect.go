package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"ferry/board/record"
	"ferry/phys"
	"ferry/phys/dump"
)

type inspectCmd struct {
	Dump string `arg:"" type:"existingfile" help:"Memory of the machine: an ELF core with physical addresses (QEMU's dump-guest-memory, /proc/vmcore), kdump-compressed, flattened or not, LiME, or bytes as they are (QEMU's pmemsave)."`
	Base uint64 `help:"Physical address of the first byte, for bytes as they are."`
}

// Run prints the records of stages in a dump of memory.
func (c *inspectCmd) Run() error { return c.inspect(os.Stdout) }

func (c *inspectCmd) inspect(out io.Writer) error {
	d, err := dump.Open(c.Dump, phys.Addr(c.Base))
	if err != nil {
		return err
	}
	defer d.Close()
	records := record.Find(d.Scan())
	if len(records) == 0 {
		return &problem{fmt.Sprintf("no record of a stage in %d MiB of memory", d.RAM().Size()/mib),
			"dump all memory; a stage that started the next kernel leaves none", nil}
	}
	for _, r := range records {
		fmt.Fprint(out, r)
		if words := r.LastWords(); len(words) > 0 {
			fmt.Fprintln(out, "console    last words:")
			for line := range strings.Lines(printable(words)) {
				fmt.Fprintf(out, "  | %s\n", strings.TrimRight(line, "\r\n"))
			}
		}
	}
	return nil
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
