//go:build qemu

package metal

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/internal/oracle/standin"
	"ferry/internal/qemu"
	"ferry/internal/report"
	"ferry/kho"
	"ferry/linux"
	"ferry/phys"
)

// written is what a crossing wrote, in pages.
type written struct {
	scratch uint64 // in scratch
	records uint64 // of those new, and part of the new handover
	tables  uint64 // page tables of the kernel before, in which the processor notes that it used them
	kept    uint64 // compared, of the handover that came in
	givenUp int    // files that cannot be retrieved
}

// account compares the memory before a crossing with that after it, and wants every
// page that differs to lie in scratch; the next kernel's scratch to be without what of
// it is part of the new handover; and what arrived to be what came in. Memory of the
// handovers is what Ferry's readers find and what the independent decoder finds. spare
// may be written to like scratch. Files that are damaged may be given up: they are
// counted.
func account(before, after *Dump, from, to *standin.Generation, spare ...phys.Range) (w written, err error) {
	in, err := Read(before.RAM, before.Data, hint(from))
	if err != nil {
		return w, fmt.Errorf("the handover that came in: %w", err)
	}
	out, err := Read(after.RAM, after.Data, hint(to))
	if err != nil {
		return w, fmt.Errorf("the handover that went out: %w", err)
	}
	held, givenUp, err := carried(before, after, from, to)
	w.givenUp = givenUp
	if err != nil {
		return w, err
	}
	held = held.Add(in.All()...)
	differ, err := qemu.Differ(before.RAM, after.RAM)
	if err != nil {
		return w, err
	}
	outside := differ.Sub(in.Scratch()...).Sub(spare...)
	w.scratch, w.kept = (differ.Size()-outside.Size())>>phys.PageShift, held.Size()>>phys.PageShift
	for _, r := range differ {
		if hit, ok := held.Overlaps(r); ok {
			return w, fmt.Errorf("%v was written to, memory of the handover that came in (%v)", r, hit)
		}
	}
	for _, r := range outside {
		for a := r.Start; a < r.End; a += phys.PageSize {
			if !before.Noted(after.RAM, a) {
				return w, fmt.Errorf("%v was written to, outside scratch", phys.Block{Addr: a}.Range())
			}
			w.tables++
		}
	}
	fresh := out.All().Sub(in.All()...)
	w.records = fresh.Size() >> phys.PageShift
	if left := fresh.Sub(in.Scratch()...).Sub(spare...); len(left) > 0 {
		return w, fmt.Errorf("%v is part of the new handover, and neither of the old one nor of scratch", left)
	}
	if left := out.Scratch().Sub(fresh...); left.Size() != out.Scratch().Size() {
		return w, fmt.Errorf("new pages of the handover lie in the next kernel's scratch %v", out.Scratch())
	}
	if w.records == 0 || before.Data.FDT == after.Data.FDT {
		return w, fmt.Errorf("no new handover at %v, %d new pages", after.Data.FDT, w.records)
	}
	return w, nil
}

// TestStrayWrites compares all memory at the stage's entry with that at the next
// kernel's, for every pair of generations.
func TestStrayWrites(t *testing.T) {
	dir := folder(t)
	table := report.Table{{"from \\ to"}}
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
				total = written{total.scratch + w.scratch, total.records + w.records, total.tables + w.tables, total.kept + w.kept, 0}
				pairs++
			})
		}
		table = append(table, row)
	}
	result(t, "attack 5: generations", fmt.Sprintf(`%[1]s, `+"`make attack-stray`"+`: %[2]d pairs of generations, a machine of %[6]d MiB each, all of its memory compared page by
page: at the stage's first instruction and at the next kernel's. **0 pages differ outside scratch**, but for %[4]d in which nothing but the marks differs by which the
processor notes that it used an entry: those are page tables of the kernel before, found from CR3 at the stage's first instruction, and the processor runs by them
until the stage has its own. The table has the pages of scratch that differ / those of them that became part of the new handover, %[3]d in all: none of these lies in
what the next kernel is told to be scratch. None of the %[5]d pages of the handovers that came in differs; what came in and what arrived say the same to a decoder that shares nothing with Ferry; and each next
kernel found its state whole.`, today(), pairs, total.records, total.tables, total.kept, memory>>20), table)
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
	s, err := Leave(d, stage())
	if err != nil {
		t.Fatalf("%v\n%s", err, r.Console())
	}
	after, err := Look(at.RAM, s)
	if err != nil {
		t.Fatal(err)
	}
	w, err := account(before, after, from, to)
	if err == nil && w.givenUp > 0 {
		err = fmt.Errorf("%d files are given up", w.givenUp)
	}
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
	table := report.Table{append([]string{"from \\ to"}, all...)}
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
				if row[i+1] = "no sessions"; linux.HasLUO(from) && !linux.HasLUO(to) {
					continue
				}
				t.Run(to, func(t *testing.T) {
					var w written
					if to == from {
						w = crossed(t, d, before, at.RAM, from, to)
						d.Machine.Kill()
					} else {
						w = crossElsewhere(t, before, from, to)
					}
					row[i+1] = fmt.Sprintf("%d / %d", w.scratch, w.records)
					total = written{total.scratch + w.scratch, total.records + w.records, total.tables + w.tables, total.kept + w.kept, 0}
					runs++
				})
			}
		})
		table = append(table, row)
	}
	result(t, "attack 5: kernels", fmt.Sprintf(`%s, `+"`make attack-stray-linux`"+`: the same for %d pairs of real kernels, with what each left at its reboot (151 memfds in 7 sessions
from 6.19 on, a reserved region, the folios of test_kho). **0 pages differ outside scratch**; %d in it became part of the new handover. %d page tables of the kernel
before differ as above. None of the %d pages of the handovers that came in differs, and what came in and what arrived say the same to the independent decoder.`,
		today(), runs, total.records, total.tables, total.kept), table)
}

// crossed lets Ferry run to the next kernel's first instruction, and compares.
func crossed(t *testing.T, d *qemu.Debugger, before *Dump, ram *qemu.RAM, from, to string) written {
	t.Helper()
	s, err := Leave(d, stage())
	if err != nil {
		t.Fatalf("%v\n%s", err, d.Machine.Console())
	}
	after, err := Look(ram, s)
	if err != nil {
		t.Fatal(err)
	}
	w, err := account(before, after, generation(t, from), generation(t, to))
	if err == nil && w.givenUp > 0 {
		err = fmt.Errorf("%d files are given up", w.givenUp)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, d.Machine.Console())
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
	own.Tables = nil
	manifest := payload.Manifest{Kernel: payload.KernelInfo{Generation: generation(t, to).Name}, From: from}
	if linux.IsEPrime(from) { // its release is one of 7.2
		manifest.From = generation(t, from).Name
	}
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
