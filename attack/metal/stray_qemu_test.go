//go:build qemu

package metal

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/cmd/probe/standin"
	"ferry/crossing"
	"ferry/kho"
	"ferry/linux"
	"ferry/phys"
)

// written is what a crossing wrote, in pages.
type written struct {
	scratch uint64 // in scratch
	records uint64 // new, and part of the new handover
	tables  uint64 // page tables of the kernel before, in which the processor notes that it used them
	kept    uint64 // compared, of the handover that came in
}

// account compares the memory before a crossing with that after it, and wants every
// page that differs to lie in scratch, or to be part of the new handover and to have
// belonged to nobody before.
func account(before, after *Dump, from, to *kho.Format) (w written, err error) {
	in, err := Read(before.RAM, before.Data, from)
	if err != nil {
		return w, fmt.Errorf("the handover that came in: %w", err)
	}
	out, err := Read(after.RAM, after.Data, to)
	if err != nil {
		return w, fmt.Errorf("the handover that went out: %w", err)
	}
	differ, err := Differ(before.RAM, after.RAM)
	if err != nil {
		return w, err
	}
	outside := differ.Sub(in.Scratch...)
	w.scratch, w.kept = (differ.Size()-outside.Size())>>phys.PageShift, in.All().Size()>>phys.PageShift
	for _, r := range outside {
		for a := r.Start; a < r.End; a += phys.PageSize {
			page := phys.Block{Addr: a}.Range()
			if hit, ok := in.All().Overlaps(page); ok {
				return w, fmt.Errorf("%v was written to, memory of the handover that came in (%v)", page, hit)
			}
			switch {
			case out.All().Contains(page):
				w.records++
			case noted(before.RAM, after.RAM, a):
				w.tables++
			default:
				return w, fmt.Errorf("%v was written to, outside scratch and no part of the new handover", page)
			}
		}
	}
	if w.records == 0 || before.Data.FDT == after.Data.FDT {
		return w, fmt.Errorf("no new handover at %v: %d pages outside scratch differ", after.Data.FDT, w.records)
	}
	return w, nil
}

// noted reports whether all that differs in a page is that entries of page tables
// have become accessed or dirty: the processor runs on the tables of the kernel
// before until the stage has its own.
func noted(before, after *RAM, a phys.Addr) bool {
	const present, marks = 1, 0x60
	was, err := before.View(a, phys.PageSize)
	if err != nil {
		return false
	}
	is, err := after.View(a, phys.PageSize)
	if err != nil {
		return false
	}
	for i := 0; i < phys.PageSize; i += 8 {
		w, n := binary.LittleEndian.Uint64(was[i:]), binary.LittleEndian.Uint64(is[i:])
		if w != n && (w&present == 0 || n&^w&^marks != 0 || w&^n != 0) {
			return false
		}
	}
	return true
}

// TestStrayWrites compares all memory at the stage's entry with that at the next
// kernel's, for every pair of generations.
func TestStrayWrites(t *testing.T) {
	dir := folder(t)
	table := Table{{"from \\ to"}}
	for _, g := range standin.Generations {
		table[0] = append(table[0], g.Name)
	}
	var total written
	pairs := 0
	for _, from := range standin.Generations {
		row := []string{from.Name}
		for _, to := range standin.Generations {
			t.Run(from.Name+" to "+to.Name, func(t *testing.T) {
				w := crossAndAccount(t, dir, from, to)
				row = append(row, fmt.Sprintf("%d / %d", w.scratch, w.records))
				total = written{total.scratch + w.scratch, total.records + w.records, total.tables + w.tables, total.kept + w.kept}
				pairs++
			})
		}
		table = append(table, row)
	}
	result(t, "attack 5: generations", fmt.Sprintf(`%s, `+"`make attack-stray`"+`: %d pairs of generations, a machine of %d MiB each, all of its memory compared page by
page: at the stage's first instruction and at the next kernel's. The table has the pages that differ in scratch / outside of it. Each of the %d outside
belongs to the new handover and belonged to nobody before, but for %d page tables of the kernel before, in which the processor itself marked entries as
accessed. None of the %d pages of the handovers that came in differs, and each next kernel found its state whole.`, today(), pairs, memory>>20, total.records, total.tables, total.kept), table)
}

func crossAndAccount(t *testing.T, dir string, from, to *standin.Generation) written {
	t.Helper()
	r, d, at := depart(t, dir, from, to, inner(t, from, to), words(from, to))
	defer r.Kill()
	before, err := at.Copy(filepath.Join(dir, "before"))
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	s, err := d.Leave(stage())
	if err != nil {
		t.Fatalf("%v\n%s", err, r.Console())
	}
	after, err := Look(at.RAM, s)
	if err != nil {
		t.Fatal(err)
	}
	w, err := account(before, after, hint(from), hint(to))
	if err != nil {
		t.Errorf("%v\n%s", err, r.Console())
	}
	// That the next kernel finds all of it is not for this test alone to say.
	if err := d.Continue(); err != nil {
		t.Fatal(err)
	}
	if log, code := r.Wait(); code != 0 {
		t.Errorf("exit code %d\n%s", code, log)
	}
	return w
}

// hint is the format of the list of the generations that memory does not tell apart.
func hint(g *standin.Generation) *kho.Format {
	switch g {
	case standin.A:
		return kho.V1Small
	case standin.B, standin.C, standin.D:
		return kho.V1
	}
	return nil
}

// TestStrayWritesBetweenKernels does the same with what real kernels hand over.
// Each leaves one state and starts Ferry by kexec, and is stopped there. To the
// kernels of other releases Ferry starts from that memory.
func TestStrayWritesBetweenKernels(t *testing.T) {
	dir := folder(t)
	all := releases(t)
	table := Table{append([]string{"from \\ to"}, all...)}
	var total written
	runs := 0
	for _, from := range all {
		row := make([]string, len(all)+1)
		row[0] = from
		t.Run(from, func(t *testing.T) {
			_, d, at := departLinux(t, filepath.Join(dir, from), route(from, from), "crossing.seals=plain")
			before, err := at.Copy(filepath.Join(dir, from, "before"))
			if err != nil {
				t.Fatal(err)
			}
			defer before.Close()
			for i, to := range all {
				if row[i+1] = "no sessions"; number(from) >= 619 && number(to) < 619 {
					continue
				}
				t.Run(to, func(t *testing.T) {
					var w written
					if to == from {
						w = crossed(t, d, before, at.RAM, from, to)
						d.machine.Kill()
					} else {
						w = crossElsewhere(t, before, from, to)
					}
					row[i+1] = fmt.Sprintf("%d / %d", w.scratch, w.records)
					total = written{total.scratch + w.scratch, total.records + w.records, total.tables + w.tables, total.kept + w.kept}
					runs++
				})
			}
		})
		table = append(table, row)
	}
	result(t, "attack 5: kernels", fmt.Sprintf(`%s, `+"`make attack-stray-linux`"+`: the same for %d pairs of real kernels, with what each left at its reboot (151 memfds in 7 sessions
from 6.19 on, a reserved region, the folios of test_kho). %d pages outside of scratch, all of them new pages of the new handover, and %d page tables in which
the processor marked entries as accessed. None of the %d pages of the handovers that came in differs.`,
		today(), runs, total.records, total.tables, total.kept), table)
}

// crossed lets Ferry run to the next kernel's first instruction, and compares.
func crossed(t *testing.T, d *Debugger, before *Dump, ram *RAM, from, to string) written {
	t.Helper()
	s, err := d.Leave(stage())
	if err != nil {
		t.Fatalf("%v\n%s", err, d.machine.Console())
	}
	after, err := Look(ram, s)
	if err != nil {
		t.Fatal(err)
	}
	w, err := account(before, after, formatOf(from), formatOf(to))
	if err != nil {
		t.Errorf("%v\n%s", err, d.machine.Console())
	}
	return w
}

// crossElsewhere starts Ferry in a copy of the memory, with another kernel as the
// next.
func crossElsewhere(t *testing.T, dump *Dump, from, to string) written {
	t.Helper()
	own, err := dump.Copy(dump.Path + "." + to)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(own.Path)
	defer own.Close()
	manifest := payload.Manifest{Kernel: payload.KernelInfo{Generation: crossing.ByRelease(to).Name}, From: from}
	start, err := own.Load(read(t, stage().Path), packed(t, manifest, pack.Files{Kernel: read(t, filepath.Join(*build, linux.Image(to)))}), "console=ttyS0")
	if err != nil {
		t.Fatal(err)
	}
	before, err := own.Copy(own.Path + ".before")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(before.Path)
	defer before.Close()
	machine := own.Resume(start, time.Minute)
	machine.Debug = true
	r, err := machine.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Kill()
	d, err := r.Attach()
	if err != nil {
		t.Fatal(err)
	}
	return crossed(t, d, before, own.RAM, from, to)
}
