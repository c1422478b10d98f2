//go:build linux

package metal

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"ferry/phys"
)

// Tables returns the pages that hold the page tables by which the stopped machine
// runs: those below CR3, leaves included. The memory is the machine's.
func (d *Debugger) Tables(ram *RAM) (phys.Ranges, error) {
	cr3, err := d.control(29)
	if err != nil {
		return nil, err
	}
	cr4, err := d.control(30)
	if err != nil {
		return nil, err
	}
	const addr, la57 = 0x000ffffffffff000, 1 << 12
	level := 4
	if cr4&la57 != 0 {
		level = 5
	}
	found := map[phys.Addr]bool{}
	if err := ram.tables(phys.Addr(cr3&addr), level, found); err != nil {
		return nil, fmt.Errorf("page tables below CR3 = %#x: %w", cr3, err)
	}
	var all []phys.Range
	for a := range found {
		all = append(all, phys.Block{Addr: a}.Range())
	}
	return phys.NewRanges(all...), nil
}

// tables adds the table at a, and those below it.
func (r *RAM) tables(a phys.Addr, level int, found map[phys.Addr]bool) error {
	if found[a] {
		return nil
	}
	b, err := r.View(a, phys.PageSize)
	if err != nil {
		return err
	}
	found[a] = true
	const present, large, addr = 1, 0x80, 0x000ffffffffff000
	for ; level > 1 && len(b) > 0; b = b[8:] {
		e := binary.LittleEndian.Uint64(b)
		if e&present == 0 || level <= 3 && e&large != 0 {
			continue
		}
		if err := r.tables(phys.Addr(e&addr), level-1, found); err != nil {
			return err
		}
	}
	return nil
}

// control reads a control register by its number in the protocol: QEMU lists them
// behind the segments, and gives single ones to who asked what there are.
func (d *Debugger) control(n int) (uint64, error) {
	if _, err := d.ask("qXfer:features:read:target.xml:0,ffb"); err != nil {
		return 0, err
	}
	answer, err := d.ask(fmt.Sprintf("p%x", n))
	if err != nil {
		return 0, err
	}
	b, err := hex.DecodeString(answer)
	if err != nil || len(b) != 8 {
		return 0, fmt.Errorf("debugger: control register %d: %q", n, answer)
	}
	return binary.LittleEndian.Uint64(b), nil
}

// Noted reports whether all that differs in a page is that entries of a page table of
// the kernel before have become accessed or dirty: the processor runs on those tables
// until the stage has its own. No other page is forgiven anything.
func (d *Dump) Noted(after *RAM, a phys.Addr) bool {
	const present, marks = 1, 0x60
	if !d.Tables.Contains(phys.Block{Addr: a}.Range()) {
		return false
	}
	was, err := d.RAM.View(a, phys.PageSize)
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
