//go:build qemu

package metal

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ferry/cmd/probe/standin"
	"ferry/phys"
)

var perPlace = flag.Int("door", 30, "changes by chance for each place of TestDoor")

// TestDoor changes what the stage is started with, and not the handover: words of
// the zero page, of the nodes behind it, of the scratch table and of the payload.
// Any of that may take the stage the means to do what its policy says. It must not
// hang, reset or fault, nor write to the handover.
func TestDoor(t *testing.T) {
	dir := folder(t)
	_, _, d := depart(t, filepath.Join(dir, "probe"), standin.F, standin.F, back(t, standin.F, standin.F), words(standin.F, standin.F)+" ferry.deadline=20s")
	in, err := Read(d.RAM, d.Data, nil)
	if err != nil {
		t.Fatal(err)
	}
	scratch, table, err := d.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	var nodes phys.Ranges
	for _, n := range d.Params.SetupData {
		nodes = nodes.Add(n.Range())
	}
	places := []struct {
		name  string
		where phys.Ranges
	}{
		{"zero page", phys.NewRanges(phys.Block{Addr: d.ZeroPage}.Range())},
		{"setup_data nodes", nodes},
		{"scratch table", phys.NewRanges(table)},
		{"payload: its first page", phys.NewRanges(phys.Range{Start: d.Params.Initrd.Start, End: d.Params.Initrd.Start + phys.PageSize})},
		{"payload: all of it", phys.NewRanges(d.Params.Initrd)},
	}
	var ends tally
	var rows []string
	columns := []string{"crossed", "went back", "started the next kernel otherwise", "stood still"}
	for i, p := range places {
		rows = append(rows, p.name)
		for n := range *perPlace {
			rng := rand.New(rand.NewPCG(*seed, uint64(i)<<32|uint64(n)))
			t.Run(fmt.Sprintf("%s/%d", p.name, n), func(t *testing.T) {
				end := openDoor(t, filepath.Join(dir, "door"), d, in, p.where, scratch, rng)
				if !t.Failed() {
					ends.add(p.name, end)
				}
			})
		}
	}
	result3, n := ends.table("changed", rows, columns)
	result(t, "attack 3: door", fmt.Sprintf(`%s, `+"`make attack-door`"+` (seed %d): %d starts of the stage with one word changed of what it is started with. No run hung, reset the machine or took longer than
its deadline, and none changed a byte of the handover, or one outside scratch but for new pages of a new handover. The payloads are not signed here: most of one is
the next kernel's code, which Ferry does not look into.`, today(), *seed, n), result3)
}

// openDoor changes a word somewhere and returns how the stage ended.
func openDoor(t *testing.T, path string, d *Dump, in *Contents, where phys.Ranges, scratch []phys.Range, rng *rand.Rand) string {
	t.Helper()
	run, err := d.Copy(path)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	defer run.Close()
	r := where[rng.IntN(len(where))]
	// Most of a zero page and of an archive's first is zero: look for what is not.
	at := r.Start + phys.Addr(rng.Uint64N(r.Size()))
	for range 200 {
		if run.view[at] != 0 {
			break
		}
		at = r.Start + phys.Addr(rng.Uint64N(r.Size()))
	}
	le := binary.LittleEndian
	change := fmt.Sprintf("%v changed", at)
	switch at8 := at &^ 7; rng.IntN(4) {
	case 0, 1:
		run.edit[at] ^= 1 << rng.IntN(8)
	case 2:
		le.PutUint64(run.edit[at8:], 0)
	case 3:
		le.PutUint64(run.edit[at8:], rng.Uint64())
	}
	before, err := run.Copy(path + ".before")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(before.Path)
	defer before.Close()
	m := run.Resume(d.Start, 40*time.Second)
	m.Debug = true
	running, err := m.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer running.Kill()
	g, err := running.Attach()
	if err != nil {
		t.Fatal(err)
	}
	last, err := stage().Symbol("ferry/board/amd64.(*machine).depart")
	if err == nil {
		err = g.Break(last)
	}
	if err == nil {
		err = g.Continue()
	}
	if err != nil {
		t.Fatal(err)
	}
	end, code := "stood still", 0
	if g.Stopped() == nil {
		running.Kill()
		switch log := running.Console(); {
		case strings.Contains(log, " blocks added, "):
			end = "crossed"
		case strings.Contains(log, "the rollback kernel boots with the untouched handover"):
			end = "went back"
		default:
			end = "started the next kernel otherwise"
		}
	} else if _, code = running.Wait(); code >= ExitTimeout {
		t.Errorf("%s: the stage ended with %d:\n%s", change, code, running.Console())
	}
	if log := running.Console(); strings.Contains(log, "a defect in Ferry") || strings.Contains(log, "ferry: fatal") {
		t.Errorf("%s: the stage itself failed, exit code %d:\n%s", change, code, log)
	}
	differ, err := Differ(before.RAM, run.RAM)
	if err != nil {
		t.Fatal(err)
	}
	// What the changed table calls scratch is as good as any memory that nobody preserved.
	claimed, _, err := before.Scratch()
	if err != nil {
		claimed = nil
	}
	for _, r := range differ.Sub(scratch...) {
		if hit, ok := in.All().Overlaps(r); ok {
			t.Errorf("%s: %v was written to, memory of the handover (%v):\n%s", change, r, hit, running.Console())
		}
	}
	for _, r := range differ.Sub(scratch...).Sub(claimed...) {
		for a := r.Start; a < r.End; a += phys.PageSize {
			if (end == "went back" || end == "stood still") && !noted(before.RAM, run.RAM, a) {
				t.Errorf("%s: %v was written to:\n%s", change, a, running.Console())
			}
		}
	}
	return end
}
