package standin

import (
	"fmt"

	"ferry/phys"
)

func arrays(g *Generation) bool { return g.Sessions() && !g.blocks() }

// sessions returns where the records of sessions start, and the bytes from there.
func (d *damager) sessions() (phys.Addr, []byte) {
	at, b := d.at("sessions")
	if d.from.blocks() {
		return at + blockHeader, b[blockHeader:]
	}
	return at + 8, b[8:]
}

// files returns the records of the first session's files.
func (d *damager) files() []byte {
	_, b := d.at("files")
	if d.from.blocks() {
		return b[blockHeader:]
	}
	return b
}

// folios returns the array of the folios of the file that rec names.
func (d *damager) folios(rec []byte) []byte {
	structure := d.structure(rec)
	chunk := d.page(phys.Addr(le.Uint64(structure[d.from.layout().array:])))
	return d.page(phys.Addr(le.Uint64(chunk[8:])))
}

// structure returns the state of the memfd that rec names, behind its header if it has
// one.
func (d *damager) structure(rec []byte) []byte {
	return d.page(phys.Addr(le.Uint64(rec[48:])))[len(d.from.head(memfdFeatures)):]
}

// relink makes the second block of sessions lie at a.
func (d *damager) relink(a phys.Addr) string {
	_, b := d.at("sessions")
	le.PutUint64(b, uint64(a))
	return a.String() + ": "
}

// point makes LUO's root object name a for its sessions, or its FLBs.
func (d *damager) point(what string, a phys.Addr) string {
	_, b := d.at("LUO")
	at := map[string]int{"luo-session": 8, "luo-flb": 16}[what]
	if d.from.blocks() {
		le.PutUint64(b[d.from.luoString+at:], uint64(a))
	} else {
		copy(d.value(b, what+"-header", what), le64(uint64(a)))
	}
	return a.String()
}

// sessionDamages break what all have that have sessions.
var sessionDamages = []Damage{
	{"unknown-sessions", (*Generation).Sessions, func(d *damager) string {
		_, b := d.at("LUO")
		if d.from.features {
			b[9] = 1 // a feature that a reader needs
			return "feature bits 0x107"
		}
		d.find(b, d.from.luo)[5] = '9'
		return "luo-v9"
	}},
	{"sessions-outside-ram", (*Generation).Sessions, func(d *damager) string { return d.point("luo-session", beyondRAM) }},
	{"sessions-not-preserved", (*Generation).Sessions, func(d *damager) string { return d.point("luo-session", d.unused()) }},
	{"sessions-in-scratch", (*Generation).Sessions, func(d *damager) string { return d.point("luo-session", d.scratch) }},
	{"flb-not-preserved", func(g *Generation) bool { return g.flb }, func(d *damager) string { return d.point("luo-flb", d.unused()) }},
	{"same-name", (*Generation).Sessions, func(d *damager) string {
		_, b := d.sessions()
		copy(b[sessionSize:sessionSize+64], b[:64])
		return sessionName(0)
	}},
}

// memfd returns the record, the structure and the descriptor of the first file.
func (d *damager) memfd() (rec, structure, desc []byte) {
	rec = d.files()
	structure = d.structure(rec)
	return rec, structure, structure[d.from.layout().array:]
}

// token is what an error about the file of the record has to name.
func token(rec []byte) string { return fmt.Sprintf("file token %#x", le.Uint64(rec[56:])) }

// fileDamages break what is behind a file.
var fileDamages = []Damage{
	{"file-without-memory", (*Generation).Sessions, func(d *damager) string {
		b := d.files()
		le.PutUint64(b[48:], 0)
		return fmt.Sprintf("file token %#x", le.Uint64(b[56:]))
	}},
	{"file-of-two", (*Generation).Sessions, func(d *damager) string {
		b := d.files()
		copy(b[fileSize+48:fileSize+56], b[48:56])
		return phys.Addr(le.Uint64(b[48:])).String()
	}},
	{"folio-outside-map", (*Generation).Sessions, func(d *damager) string {
		at := d.unused()
		le.PutUint64(d.folios(d.files()), uint64(at.PFN())|3<<52)
		return at.String()
	}},
	{"folio-of-two-files", (*Generation).Sessions, func(d *damager) string {
		b := d.files()
		folio := d.folios(b)[:8]
		copy(d.folios(b[fileSize:]), folio)
		return phys.PFN(le.Uint64(folio) & (1<<52 - 1)).Addr().String()
	}},
	{"folio-index", (*Generation).Sessions, func(d *damager) string {
		b := d.folios(d.files())
		le.PutUint64(b[16+8:], 0)
		return "folio 1"
	}},
	{"size-negative", (*Generation).Sessions, func(d *damager) string {
		rec, structure, _ := d.memfd()
		le.PutUint64(structure[8:], 1<<63)
		return token(rec)
	}},
	{"unknown-seals", func(g *Generation) bool { return g.sealed }, func(d *damager) string {
		rec, structure, _ := d.memfd()
		le.PutUint32(structure[16:], 0x40)
		return token(rec)
	}},
	{"folios-beyond-array", (*Generation).Sessions, func(d *damager) string {
		rec, structure, _ := d.memfd()
		le.PutUint64(structure[d.from.layout().folios:], 1<<60) // times 16 is 0
		return token(rec)
	}},
	{"array-too-long", (*Generation).Sessions, func(d *damager) string {
		rec, _, desc := d.memfd()
		le.PutUint32(desc[8:], 2)
		return token(rec)
	}},
	{"array-of-order-9", (*Generation).Sessions, func(d *damager) string {
		rec, _, desc := d.memfd()
		le.PutUint16(desc[14:], 9)
		return token(rec)
	}},
	{"array-of-two", (*Generation).Sessions, func(d *damager) string {
		rec, _, desc := d.memfd()
		second := d.structure(rec[fileSize:])
		copy(second[d.from.layout().array:], desc[:16])
		return token(rec[fileSize:])
	}},
	{"array-chunk-cycle", (*Generation).Sessions, func(d *damager) string {
		rec, _, desc := d.memfd()
		le.PutUint64(d.page(phys.Addr(le.Uint64(desc))), le.Uint64(desc))
		return token(rec)
	}},
	{"array-not-preserved", (*Generation).Sessions, func(d *damager) string {
		rec, _, desc := d.memfd()
		le.PutUint64(d.page(phys.Addr(le.Uint64(desc)))[8:], uint64(d.unused()))
		return token(rec)
	}},
}

// arrayDamages break what is kept in a device tree and arrays.
var arrayDamages = []Damage{
	{"no-session-node", arrays, func(d *damager) string {
		_, b := d.at("LUO")
		d.find(b, "\x01luo-session\x00")[1] = 'x' // behind the tag that starts a node
		return "xuo-session"
	}},
	{"unknown-session-node", arrays, func(d *damager) string {
		_, b := d.at("LUO")
		d.find(b, "luo-session-v2")[13] = '9'
		return "luo-session-v9"
	}},
	{"sessions-null", arrays, func(d *damager) string {
		d.point("luo-session", 0)
		return "session array"
	}},
	{"sessions-beyond-array", arrays, func(d *damager) string {
		at, b := d.at("sessions")
		le.PutUint64(b, 820) // 819 fit 64 KiB
		return at.String()
	}},
	{"sessions-count", arrays, func(d *damager) string {
		at, b := d.at("sessions")
		le.PutUint64(b, 1<<58) // times 80 is small again
		return at.String()
	}},
	{"files-beyond-array", arrays, func(d *damager) string {
		_, b := d.sessions()
		at := phys.Addr(le.Uint64(b[64:]))
		le.PutUint64(b[72:], 129) // 128 fit 8 KiB
		return at.String()
	}},
	{"files-of-two", arrays, func(d *damager) string {
		_, b := d.sessions()
		copy(b[sessionSize+64:], b[64:72])
		return phys.Addr(le.Uint64(b[64:])).String()
	}},
}

// blockDamages break chains of blocks.
var blockDamages = []Damage{
	{"cycle", (*Generation).blocks, func(d *damager) string {
		at, b := d.at("sessions")
		le.PutUint64(b, uint64(at))
		return at.String() + ": "
	}},
	{"count-zero", (*Generation).blocks, func(d *damager) string {
		at, b := d.at("sessions")
		le.PutUint64(b[8:], 0)
		return at.String() + ": count 0"
	}},
	{"count-too-large", (*Generation).blocks, func(d *damager) string {
		at, b := d.at("files")
		le.PutUint64(b[8:], 64)
		return at.String() + ": count 64"
	}},
	{"counts-beyond-files", (*Generation).blocks, func(d *damager) string {
		first, _ := d.at("sessions")
		for at := first; at != 0; at = phys.Addr(le.Uint64(d.page(at))) {
			b := d.page(at)
			for i := range int(le.Uint64(b[8:])) {
				le.PutUint64(b[blockHeader+i*sessionSize+72:], 630000)
			}
		}
		return fmt.Sprintf("record %v: count 630000", first+blockHeader)
	}},
	{"pointer-outside-ram", (*Generation).blocks, func(d *damager) string { return d.relink(beyondRAM) }},
	{"pointer-into-scratch", (*Generation).blocks, func(d *damager) string { return d.relink(d.scratch) }},
	{"block-not-preserved", (*Generation).blocks, func(d *damager) string { return d.relink(d.unused()) }},
	{"pointer-unaligned", (*Generation).blocks, func(d *damager) string {
		at, _ := d.at("files")
		return d.relink(at + 8)
	}},
	{"feature-header", func(g *Generation) bool { return g.blocks() && !g.features }, func(d *damager) string {
		_, b := d.at("LUO")
		clear(b)
		for _, at := range []int{0, 8, 16} { // supported, required, active
			le.PutUint64(b[at:], 7)
		}
		return "feature bits"
	}},
}
