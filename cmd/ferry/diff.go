package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"

	"ferry/crossing"
	"ferry/memfd"
	"ferry/phys"
	"ferry/phys/dump"
)

type diffCmd struct {
	Dump  string `arg:"" type:"existingfile" help:"Memory of a machine: ${dumpHelp}"`
	Other string `arg:"" type:"existingfile" help:"Memory of a machine, later or another one."`
	dumpFlags
	Handover      string `help:"Address of the device tree of the first dump's handover; the live one by default." placeholder:"ADDRESS"`
	OtherHandover string `help:"The same of the second dump." placeholder:"ADDRESS"`
}

// Run prints what two handovers preserve differently. Differences are an error, for the exit code.
func (c *diffCmd) Run() error { return c.diff(os.Stdout) }

func (c *diffCmd) diff(out io.Writer) error {
	var sides [2]*preserved
	for i, name := range []string{c.Dump, c.Other} {
		f, d, err := c.read(name)
		if err != nil {
			return err
		}
		defer d.Close()
		h, err := f.pick([]string{c.Handover, c.OtherHandover}[i])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if !h.Readable {
			return fmt.Errorf("%s: the handover cannot be opened: %s", name, h.Findings[0].text)
		}
		sides[i] = preservedBy(d, h)
	}
	n := 0
	compare(sides[0], sides[1], func(format string, args ...any) {
		n++
		fmt.Fprintf(out, format+"\n", args...)
	})
	if n > 0 {
		return &problem{fmt.Sprintf("%d differences", n), "- is in the first dump alone, + in the second, ~ in both and not the same", nil}
	}
	fmt.Fprintln(out, "both preserve the same")
	return nil
}

// preserved is what a handover preserves, whatever it is written in and wherever it lies.
type preserved struct {
	*handoverFacts
	sessions []string // in their order
	files    map[string][]preservedFile
	damaged  map[string]bool // sessions
}

type preservedFile struct {
	token    uint64
	handler  string
	data     uint64
	memfd    *memfd.File
	damaged  bool
	contents [sha256.Size]byte
}

// preservedBy reads all that counts, the contents of memfds among them.
func preservedBy(d *dump.Memory, h *handoverFacts) *preserved {
	p := &preserved{handoverFacts: h, files: make(map[string][]preservedFile), damaged: make(map[string]bool)}
	if h.audit.State == nil {
		return p
	}
	for s, err := range h.audit.State.Sessions() {
		if err != nil {
			break
		}
		p.sessions = append(p.sessions, string(s.Name))
		p.damaged[string(s.Name)] = s.Err != nil
	}
	h.audit.Files(func(f crossing.AuditedFile) {
		file := preservedFile{token: f.Token, handler: string(bytes.TrimRight(f.Handler, "\x00")), data: f.Data, memfd: f.Memfd, damaged: f.Err != nil}
		if f.Memfd != nil && !file.damaged {
			sum := sha256.New()
			err := eachPage(d, f.Memfd, func(off uint64, page []byte) error {
				sum.Write(binary.LittleEndian.AppendUint64(nil, off))
				sum.Write(bytes.TrimRight(page, "\x00"))
				return nil
			})
			file.damaged = err != nil
			sum.Sum(file.contents[:0])
		}
		name := string(f.Session.Name)
		p.files[name] = append(p.files[name], file)
	})
	return p
}

// compare calls differ for each difference between what a and b preserve.
func compare(a, b *preserved, differ func(format string, args ...any)) {
	changed := func(what string, x, y any) {
		if x != y {
			differ("~ %s: %v, then %v", what, x, y)
		}
	}
	number := func(p *preserved) string {
		if p.Number == nil {
			return "none"
		}
		return fmt.Sprint(*p.Number)
	}
	changed("format", a.Format, b.Format)
	changed("live update format", or(a.LUO, "none"), or(b.LUO, "none"))
	changed("live update number", number(a), number(b))
	for i, s := range a.Scratch {
		if i < len(b.Scratch) {
			changed(fmt.Sprintf("scratch area %d", i), s.At+" "+bytesText(s.Size), b.Scratch[i].At+" "+bytesText(b.Scratch[i].Size))
		}
	}
	changed("scratch areas", len(a.Scratch), len(b.Scratch))
	matched(a.Subtrees, b.Subtrees, func(s treeFacts) string { return s.Name },
		func(mark string, s treeFacts) { differ("%s sub-tree %s", mark, phys.Quote(s.Name)) }, func(x, y treeFacts) {})
	matched(a.FLBs, b.FLBs, func(f flbFacts) string { return f.Name },
		func(mark string, f flbFacts) { differ("%s FLB %s", mark, phys.Quote(f.Name)) },
		func(x, y flbFacts) {
			changed("FLB "+phys.Quote(x.Name)+": data", x.Data, y.Data)
			changed("FLB "+phys.Quote(x.Name)+": users", x.Users, y.Users)
		})
	matched(a.sessions, b.sessions, func(s string) string { return s },
		func(mark, s string) {
			files := a.files[s]
			if mark == "+" {
				files = b.files[s]
			}
			differ("%s session %s with %d files", mark, phys.Quote(s), len(files))
		},
		func(s, _ string) {
			of := "session " + phys.Quote(s)
			changed(of+": damaged", a.damaged[s], b.damaged[s])
			matched(a.files[s], b.files[s], func(f preservedFile) string { return fmt.Sprint(f.token) },
				func(mark string, f preservedFile) {
					differ("%s %s: token %#x of %s", mark, of, f.token, phys.Quote(f.handler))
				},
				func(x, y preservedFile) { compareFiles(fmt.Sprintf("%s: token %#x", of, x.token), x, y, changed) })
		})
}

// compareFiles compares two files of one token.
func compareFiles(of string, x, y preservedFile, changed func(what string, x, y any)) {
	changed(of+": handler", x.handler, y.handler)
	changed(of+": damaged", x.damaged, y.damaged)
	if x.memfd == nil || y.memfd == nil {
		if x.memfd == nil && y.memfd == nil {
			changed(of+": data", fmt.Sprintf("%#x", x.data), fmt.Sprintf("%#x", y.data))
		}
		return
	}
	changed(of+": bytes", x.memfd.Size, y.memfd.Size)
	changed(of+": position", x.memfd.Pos, y.memfd.Pos)
	changed(of+": seals", or(strings.Join(seals(x.memfd.Seals), ","), "none"), or(strings.Join(seals(y.memfd.Seals), ","), "none"))
	if !x.damaged && !y.damaged && x.contents != y.contents {
		changed(of+": contents", fmt.Sprintf("sha256 %x", x.contents[:8]), fmt.Sprintf("%x", y.contents[:8]))
	}
}

// matched pairs what has the same key: alone is called for what has no partner, both for pairs.
func matched[T any](a, b []T, key func(T) string, alone func(mark string, x T), both func(x, y T)) {
	there := make(map[string]T, len(b))
	for _, y := range b {
		there[key(y)] = y
	}
	here := make(map[string]bool, len(a))
	for _, x := range a {
		here[key(x)] = true
		if y, ok := there[key(x)]; ok {
			both(x, y)
		} else {
			alone("-", x)
		}
	}
	for _, y := range b {
		if !here[key(y)] {
			alone("+", y)
		}
	}
}
