//go:build qemu

package metal

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ferry/boot/opened"
	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/internal/oracle/standin"
	"ferry/internal/qemu"
	"ferry/kho"
	"ferry/linux"
	"ferry/phys"
)

var starts = flag.Int("starts", 100, "starts of TestStartsAreSpreadEvenly")

// newest returns the newest kernel to open.
func newest(t *testing.T) []byte {
	t.Helper()
	all := bzImages(t)
	best := ""
	for name := range all {
		if !strings.Contains(name, "-") && (best == "" || linux.Compare(name, best) > 0) {
			best = name
		}
	}
	return all[best]
}

// departOpened is depart with a real kernel, opened, as the next one, and the probe to
// go back to.
func departOpened(t *testing.T, dir, words string) (*qemu.Running, *qemu.Debugger, *Dump, *opened.Kernel) {
	t.Helper()
	image := newest(t)
	k, _, part := openPart(t, image)
	m := manifest(standin.F, standin.F)
	m.Rollback = &payload.Rollback{Kernel: payload.KernelInfo{Release: "probe", Generation: "F"}}
	line := "quiet no5lvl" // the probe runs with four levels of page tables
	m.Cmdline = &line
	inner := packed(t, m, pack.Files{Opened: part, RollbackKernel: read(t, probe().Path)})
	r, d, dump := depart(t, dir, standin.F, standin.F, inner, words)
	return r, d, dump, k
}

// entered is an opened kernel of which the stage has just started the first
// instruction.
type entered struct {
	*decompressed
	d *qemu.Debugger
}

// enter lets a stage run in a copy of the memory, up to the opened kernel. end gives
// the machine back.
func enter(t *testing.T, dump *Dump, path string, k *opened.Kernel) (e entered, end func()) {
	t.Helper()
	run, err := dump.Copy(path)
	if err != nil {
		t.Fatal(err)
	}
	m := run.Resume(dump.Start, 3*time.Minute)
	m.Debug = true
	r, err := m.Start()
	if err != nil {
		t.Fatal(err)
	}
	end = func() {
		r.Kill()
		run.Close()
		os.Remove(path)
	}
	d, err := r.Attach()
	if err != nil {
		end()
		t.Fatal(err)
	}
	s, err := Leave(d, stage())
	if err != nil {
		end()
		t.Fatalf("%v\n%s", err, r.Console())
	}
	e = entered{&decompressed{ram: run.RAM, at: s.Entry - phys.Addr(k.Entry), zeroPage: s.ZeroPage}, d}
	e.findSlide(t, k, (k.Image+phys.PageSize-1)&^(phys.PageSize-1))
	return e, end
}

// whole wants the kernel to lie there as its decompressor would have left it.
func (d *decompressed) whole(t *testing.T, k *opened.Kernel) {
	t.Helper()
	want := make([]byte, (k.Image+phys.PageSize-1)&^(phys.PageSize-1))
	k.Write(want, d.slide)
	got, err := d.ram.View(d.at, uint64(len(want)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("at %v, relocated by %#x: the kernel differs from byte %#x on", d.at, d.slide, differs(got, want))
	}
}

// TestOpenedKernelIsEnteredInTheStateThatItWants looks at the processor before the
// kernel's first instruction (arch/x86/kernel/head_64.S, startup_64).
func TestOpenedKernelIsEnteredInTheStateThatItWants(t *testing.T) {
	dir := folder(t)
	r, _, dump, k := departOpened(t, filepath.Join(dir, "a"), words(standin.F, standin.F))
	r.Kill()
	e, end := enter(t, dump, filepath.Join(dir, "b"), k)
	defer end()
	e.whole(t, k)
	register := func(n int) uint64 {
		v, err := e.d.Register(n)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	control := func(n int) uint64 {
		v, err := e.d.Control(n)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	const eflags, cr0, cr3, cr4, efer = 17, 27, 29, 30, 32
	if ip, si := register(qemu.RIP), register(qemu.RSI); ip != uint64(e.at)+k.Entry || si != uint64(e.zeroPage) {
		t.Errorf("RIP = %#x, RSI = %#x", ip, si)
	}
	const interrupt, direction = 1 << 9, 1 << 10
	if f := register(eflags) & (interrupt | direction); f != 0 {
		t.Errorf("flags %#x: interrupts or a direction", f)
	}
	const la57 = 1 << 12
	if v := control(cr0); v != 0x80000033 {
		t.Errorf("CR0 = %#x", v)
	}
	if v := control(cr4); v&^la57 != 0x20 {
		t.Errorf("CR4 = %#x", v)
	}
	if v := control(efer); v&0x500 != 0x500 {
		t.Errorf("EFER = %#x", v)
	}
	tables, err := e.d.Tables(e.ram)
	if err != nil {
		t.Fatal(err)
	}
	if hit, bad := tables.Overlaps(phys.Range{Start: e.at, End: e.at + phys.Addr(k.Memory)}); bad || !tables.Contains(phys.Block{Addr: phys.Addr(control(cr3)).Page()}.Range()) {
		t.Errorf("page tables at %v, in the kernel's memory", hit)
	}
}

// TestStartsAreSpreadEvenly starts the opened kernel often, from the same memory: each
// time it is whole, and where it goes is as likely as any other place.
func TestStartsAreSpreadEvenly(t *testing.T) {
	dir := folder(t)
	r, _, dump, k := departOpened(t, filepath.Join(dir, "a"), words(standin.F, standin.F))
	r.Kill()
	scratch, _, err := dump.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	var places, slides []uint64
	pairs := map[[2]uint64]bool{}
	for range *starts {
		e, end := enter(t, dump, filepath.Join(dir, "b"), k)
		e.whole(t, k)
		if at := (phys.Range{Start: e.at, End: e.at + phys.Addr(k.Memory)}); !phys.NewRanges(scratch...).Contains(at) || !e.at.Aligned(k.Alignment) {
			t.Errorf("at %v, not in scratch %v", at, scratch)
		}
		places, slides = append(places, uint64(e.at)/k.Alignment), append(slides, e.slide/k.Alignment)
		pairs[[2]uint64{uint64(e.at), e.slide}] = true
		end()
		if t.Failed() {
			return
		}
	}
	if len(pairs) < *starts*95/100 {
		t.Errorf("%d different pairs of place and offset in %d starts", len(pairs), *starts)
	}
	low, high := slices.Min(places), slices.Max(places)
	placeSum, placeFreedom := spread(places, low, high+1, 8)
	slideSum, slideFreedom := spread(slides, 0, k.Slides(), 8)
	for what, v := range map[string][2]float64{"places": {placeSum, placeFreedom}, "offsets": {slideSum, slideFreedom}} {
		if v[0] > v[1]+5*math.Sqrt(2*v[1]) {
			t.Errorf("%s: chi-square %.1f with %.0f degrees of freedom", what, v[0], v[1])
		}
	}
	result(t, "opened: starts", fmt.Sprintf(`%s, `+"`make attack-opened`"+`: %d starts of an opened kernel from the same memory, stopped before its first instruction and compared byte for byte with
what its own decompressor would have left. %d different pairs of place and offset; places between %#x and %#x. Chi-square over eighths: places %.1f, offsets %.1f, with %.0f degrees of freedom.`,
		today(), *starts, len(pairs), low*k.Alignment, high*k.Alignment, placeSum, slideSum, slideFreedom), nil)
}

// spread returns chi-square of values over parts of equal size of [low, high), and its
// degrees of freedom.
func spread(values []uint64, low, high uint64, parts int) (sum, freedom float64) {
	counts, sizes := make([]float64, parts), make([]float64, parts)
	part := func(v uint64) int { return int((v - low) * uint64(parts) / (high - low)) }
	for v := low; v < high; v++ {
		sizes[part(v)]++
	}
	for _, v := range values {
		counts[part(v)]++
	}
	for i, n := range counts {
		want := float64(len(values)) * sizes[i] / float64(high-low)
		sum += (n - want) * (n - want) / want
	}
	return sum, float64(parts - 1)
}

// TestScratchWithOnePlaceForTheKernel makes scratch smaller, from below, until the
// kernel and the new pages have one place each: it goes there, with another offset each
// time.
func TestScratchWithOnePlaceForTheKernel(t *testing.T) {
	dir := folder(t)
	r, _, dump, k := departOpened(t, filepath.Join(dir, "a"), words(standin.F, standin.F))
	r.Kill()
	dump.Tables = nil
	areas, table, err := dump.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	stageAt := phys.Range{Start: dump.Entry - 0x200, End: dump.Entry - 0x200 + 64<<20}
	held := phys.NewRanges(stageAt, dump.Params.Initrd, table, dump.Params.CmdlineAt, phys.Block{Addr: dump.ZeroPage}.Range())
	for _, n := range dump.Params.SetupData {
		held = held.Add(n.Range())
	}
	// What the stage needs itself: an entry as large as a page for its zero page.
	count := func(area phys.Range) uint64 {
		free := phys.NewRanges(area).Sub(held...).Sub(kho.FirstPieces([]phys.Range{area}, held, 1)...)
		if n := len(free); n > 0 {
			free[n-1].End -= 2 * phys.PageSize
		}
		return k.Places(free)
	}
	area := areas[0]
	for area.Start += 2 << 20; count(area) > 1; area.Start += 2 << 20 {
	}
	if count(area) != 1 {
		t.Fatalf("%d places in %v, less %v", count(area), area, held)
	}
	b, err := dump.Edit(table.Start, table.Size())
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	binary.LittleEndian.PutUint64(b, uint64(area.Start))
	binary.LittleEndian.PutUint64(b[8:], area.Size())
	places, slides := map[phys.Addr]bool{}, map[uint64]bool{}
	for range 4 {
		e, end := enter(t, dump, filepath.Join(dir, "b"), k)
		e.whole(t, k)
		places[e.at], slides[e.slide] = true, true
		if log := e.d.Machine.Console(); !strings.Contains(log, "it is entered opened, at one of 1 places with one of 500 offsets") {
			t.Errorf("the stage says:\n%s", log)
		}
		end()
	}
	if len(places) != 1 || len(slides) < 3 {
		t.Errorf("%d places and %d offsets", len(places), len(slides))
	}
}

// TestFaultBetweenWriteAndJumpGoesBack breaks the stage's own code where it has
// written the opened kernel and gives it the handover: the kernel before boots with all
// of the untouched handover.
func TestFaultBetweenWriteAndJumpGoesBack(t *testing.T) {
	dir := folder(t)
	r, d, dump, _ := departOpened(t, filepath.Join(dir, "a"), words(standin.F, standin.F)+" probe.expect=untouched")
	defer r.Kill()
	const hand = "ferry/boot.(*Plan).Hand"
	at, err := stage().Symbol(hand)
	if err != nil {
		t.Fatal(err)
	}
	code, err := dump.Edit(dump.Entry-0x200+phys.Addr(at-base(t, stage())), 2)
	if err != nil {
		t.Fatal(err)
	}
	copy(code, "\x0f\x0b") // UD2
	if err := d.Continue(); err != nil {
		t.Fatal(err)
	}
	log, status := r.Wait()
	for _, want := range []string{hand, "starting the rollback kernel with the untouched handover", "probe B: PASSED: the untouched handover arrived, as the policy says"} {
		if !strings.Contains(log, want) {
			t.Errorf("nobody says %q", want)
		}
	}
	if status != 0 || t.Failed() {
		t.Errorf("exit code %d:\n%s", status, log)
	}
}

// base returns the virtual address of the first page of an image.
func base(t *testing.T, i Image) uint64 {
	t.Helper()
	f, err := elf.Open(i.ELF)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lowest := uint64(math.MaxUint64)
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			lowest = min(lowest, p.Vaddr)
		}
	}
	return lowest &^ (phys.PageSize - 1)
}
