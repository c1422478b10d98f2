package standin

import (
	"bytes"
	"errors"
	"fmt"

	"ferry/phys"
)

// Damage is a way to break a handover that [Produce] made. It takes a shape of
// at least two blocks of sessions, with two files or more in a block, and one
// region.
type Damage struct {
	Name string
	// do breaks the handover and returns what an error about it has to name.
	do func(d *damager) string
}

// Damages lists the ways to break a handover: each is one that a kernel follows
// into memory that is not what it says.
var Damages = []Damage{
	{"cycle", func(d *damager) string {
		at, b := d.block(sessionName(0))
		le.PutUint64(b, uint64(at))
		return at.String() + ": "
	}},
	{"count-zero", func(d *damager) string {
		at, b := d.block(sessionName(0))
		le.PutUint64(b[8:], 0)
		return at.String() + ": count 0"
	}},
	{"count-too-large", func(d *damager) string {
		at, b := d.block(memfdHandler)
		le.PutUint64(b[8:], 64)
		return at.String() + ": count 64"
	}},
	{"counts-beyond-files", func(d *damager) string {
		first, _ := d.block(sessionName(0))
		for at := first; at != 0; at = phys.Addr(le.Uint64(d.page(at))) {
			b := d.page(at)
			for i := range int(le.Uint64(b[8:])) {
				le.PutUint64(b[blockHeader+i*sessionSize+72:], 630000)
			}
		}
		return fmt.Sprintf("record %v: count 630000", first+blockHeader)
	}},
	{"pointer-outside-ram", func(d *damager) string { return d.relink(0x7f00000000) }},
	{"pointer-into-scratch", func(d *damager) string { return d.relink(d.scratch) }},
	{"block-not-preserved", func(d *damager) string { return d.relink(d.free[len(d.free)-1].End - phys.PageSize) }},
	{"pointer-unaligned", func(d *damager) string {
		at, _ := d.block(memfdHandler)
		return d.relink(at + 8)
	}},
	{"truncated-tree", func(d *damager) string {
		be.PutUint32(d.page(d.fdt)[4:], 0x40)
		return d.fdt.String()[:len(d.fdt.String())-3]
	}},
	{"unknown-version", func(d *damager) string {
		b := d.page(d.fdt)
		b[bytes.Index(b, []byte(khoCompatible))+5] = '9'
		return "kho-v9"
	}},
	{"region-not-preserved", func(d *damager) string {
		for _, r := range d.free {
			for a := r.Start; a < r.End; a += phys.PageSize {
				if tree, err := parseTree(d.page(a)); err == nil && len(tree.kids) > 0 && tree.kids[0].name == "region0" {
					start, _ := tree.kids[0].prop("start")
					copy(start, le64(uint64(r.End-phys.PageSize)))
					return (r.End - phys.PageSize).String()
				}
			}
		}
		d.err = errors.New("no region is reserved")
		return ""
	}},
	{"file-without-memory", func(d *damager) string {
		_, b := d.block(memfdHandler)
		le.PutUint64(b[blockHeader+48:], 0)
		return fmt.Sprintf("file token %#x", le.Uint64(b[blockHeader+56:]))
	}},
	{"folio-outside-map", func(d *damager) string {
		_, b := d.block(memfdHandler)
		at := d.free[len(d.free)-1].End - phys.PageSize
		le.PutUint64(d.folios(b[blockHeader:]), uint64(at.PFN())|3<<52)
		return "folio 0: memory " + at.String() + ": not the head of a preserved block"
	}},
	{"folio-of-two-files", func(d *damager) string {
		_, b := d.block(memfdHandler)
		folio := d.folios(b[blockHeader:])[:8]
		copy(d.folios(b[blockHeader+fileSize:]), folio)
		return "folio 0: memory " + phys.PFN(le.Uint64(folio)&(1<<52-1)).Addr().String() + ": already part of another object"
	}},
}

// DamageOf returns the damage of the name.
func DamageOf(name string) (Damage, error) {
	var names []string
	for _, d := range Damages {
		if d.Name == name {
			return d, nil
		}
		names = append(names, d.Name)
	}
	return Damage{}, fmt.Errorf("no damage is called %q: %v", name, names)
}

// Do breaks the handover at fdt that [Produce] laid into free, and returns what
// an error about it has to name. scratch is an address inside a scratch area.
func (w Damage) Do(mem phys.Memory, free phys.Ranges, fdt, scratch phys.Addr) (named string, err error) {
	d := &damager{mem: mem, free: free, fdt: fdt, scratch: scratch}
	named = w.do(d)
	return named, d.err
}

type damager struct {
	mem          phys.Memory
	free         phys.Ranges
	fdt, scratch phys.Addr
	err          error
}

// page returns the page at a, or an empty one after an error.
func (d *damager) page(a phys.Addr) []byte {
	b, err := d.mem.Edit(a, phys.PageSize)
	if err != nil {
		d.err = err
		return make([]byte, phys.PageSize)
	}
	return b
}

// block returns the first block whose first entry begins with s.
func (d *damager) block(s string) (phys.Addr, []byte) {
	for _, r := range d.free {
		for a := r.Start; a < r.End; a += phys.PageSize {
			if b := d.page(a); string(b[blockHeader:blockHeader+len(s)]) == s {
				return a, b
			}
		}
	}
	d.err = fmt.Errorf("no block begins with %q", s)
	return 0, make([]byte, phys.PageSize)
}

// folios returns the array of the folios of the file that rec names.
func (d *damager) folios(rec []byte) []byte {
	structure := d.page(phys.Addr(le.Uint64(rec[48:])))
	chunk := d.page(phys.Addr(le.Uint64(structure[32:])))
	return d.page(phys.Addr(le.Uint64(chunk[8:])))
}

// relink makes the second block of sessions lie at a.
func (d *damager) relink(a phys.Addr) string {
	_, b := d.block(sessionName(0))
	le.PutUint64(b, uint64(a))
	return a.String() + ": "
}
