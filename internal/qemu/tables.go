//go:build linux

package qemu

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"ferry/phys"
)

// Tables returns the pages that hold the page tables by which the stopped machine
// runs: those below CR3, leaves included. The memory is the machine's.
func (d *Debugger) Tables(ram *RAM) (phys.Ranges, error) {
	cr3, err := d.Control(29)
	if err != nil {
		return nil, err
	}
	cr4, err := d.Control(30)
	if err != nil {
		return nil, err
	}
	const addr, la57 = 0x000ffffffffff000, 1 << 12
	level := 4
	if cr4&la57 != 0 {
		level = 5
	}
	all, err := ram.TablesBelow(phys.Addr(cr3&addr), level)
	if err != nil {
		return nil, fmt.Errorf("page tables below CR3 = %#x: %w", cr3, err)
	}
	return all, nil
}

// TablesBelow returns the pages of the table at root, whose level is 1 for one of
// 4 KiB pages, and of those below it.
func (r *RAM) TablesBelow(root phys.Addr, level int) (phys.Ranges, error) {
	found := map[phys.Addr]bool{}
	if err := r.tables(root, level, found); err != nil {
		return nil, err
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

// Control reads a control register by its number in the protocol: QEMU lists them
// behind the segments, and gives single ones to who asked what there are.
func (d *Debugger) Control(n int) (uint64, error) {
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
