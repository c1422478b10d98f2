package standin

import (
	"bytes"
	"errors"
	"fmt"

	"ferry/phys"
)

// luo reads the root object and everything below it: luo_early_startup and the
// first open of /dev/liveupdate.
func (c *consumer) luo(blob []byte) error {
	if !c.Sessions() {
		return fmt.Errorf("kernel %s knows none", c.release)
	}
	number, sessions, flb := uint64(0), uint64(0), uint64(0)
	if c.blocks() {
		size := c.luoString + 24
		if want := c.luoField(); len(blob) != size || !bytes.Equal(blob[:len(want)], want) {
			return fmt.Errorf("%d bytes, compatible %q; want %d, %q", len(blob), blob[:min(len(blob), c.luoString)], size, want)
		}
		fields := blob[c.luoString:]
		number, sessions, flb = le.Uint64(fields), le.Uint64(fields[8:]), le.Uint64(fields[16:])
	} else {
		tree, err := parseTree(blob)
		if err != nil {
			return err
		}
		if v, _ := tree.prop("compatible"); string(v) != c.Generation.luo+"\x00" {
			return fmt.Errorf("compatible %q, want %q", v, c.Generation.luo)
		}
		if number, err = tree.u64("liveupdate-number"); err != nil {
			return err
		}
		if sessions, err = header(tree, "luo-session", "luo-session-v2"); err != nil {
			return err
		}
		want := 1
		if c.flb {
			want = 2
			if flb, err = header(tree, "luo-flb", "luo-flb-v1"); err != nil {
				return err
			}
		}
		if len(tree.kids) != want {
			return fmt.Errorf("%d nodes, want %d", len(tree.kids), want)
		}
	}
	if c.from.Sessions() && number != 1 {
		return fmt.Errorf("liveupdate number %d, want 1", number)
	}
	if err := c.flbs(phys.Addr(flb)); err != nil {
		return err
	}
	if !c.blocks() {
		return c.sessionArray(phys.Addr(sessions))
	}
	return c.entries("session", phys.Addr(sessions), sessionSize, c.session)
}

// luoField is the string field of struct luo_ser.
func (c *consumer) luoField() []byte {
	field := make([]byte, c.luoString)
	copy(field, c.Generation.luo)
	copy(field, c.head(luoFeatures))
	return field
}

// header returns what a node of LUO's device tree points at.
func header(tree node, name, version string) (uint64, error) {
	for _, n := range tree.kids {
		if n.name != name {
			continue
		}
		if v, _ := n.prop("compatible"); string(v) != version+"\x00" {
			return 0, fmt.Errorf("node %s: compatible %q, want %q", name, v, version)
		}
		return n.u64(name + "-header")
	}
	return 0, fmt.Errorf("node %s is missing", name)
}

// flbs reads the page of FLBs. Linux before 7.0 had none to give.
func (c *consumer) flbs(at phys.Addr) error {
	if at == 0 && (!c.flb || c.blocks()) {
		if c.flb && c.from.flb && c.odd&NoFLB == 0 && c.left.Files > 0 {
			return errors.New("FLBs are missing")
		}
		return nil
	}
	page, err := c.page("FLB", at)
	if err != nil {
		return err
	}
	want := uint64(testFLBs)
	if !c.from.flb || c.odd&NoFLB != 0 || c.left.Files == 0 {
		want = 0
	}
	if le.Uint64(page) != 1 || le.Uint64(page[8:]) != want {
		return fmt.Errorf("FLB %v: %d pages, %d records, want 1, %d", at, le.Uint64(page), le.Uint64(page[8:]), want)
	}
	for i := range want {
		rec := page[blockHeader+i*flbSize:][:flbSize]
		name, _, _ := bytes.Cut(rec[:48], []byte{0})
		if string(name) != fmt.Sprint(testFLB, i) || le.Uint64(rec[48:]) != testHandle+i || le.Uint64(rec[56:]) != c.left.Files {
			return fmt.Errorf("FLB %v: record %d: %x", at, i, rec)
		}
	}
	return nil
}

// block restores a block of any order that holds n bytes.
func (c *consumer) block(what string, at phys.Addr, n int) ([]byte, error) {
	order := c.magic[at]
	if err := c.restore(what, at, order); err != nil {
		return nil, err
	}
	if uint64(n) > order.Bytes() {
		return nil, fmt.Errorf("%s %v: %d bytes do not fit order %d", what, at, n, order)
	}
	return c.mem.View(at, order.Bytes())
}

// sessionArray restores all sessions from one block.
func (c *consumer) sessionArray(at phys.Addr) error {
	b, err := c.mem.View(at, 8)
	if err != nil {
		return err
	}
	n := int(le.Uint64(b))
	if b, err = c.block("session array", at, 8+sessionSize*n); err != nil {
		return err
	}
	c.census.Blocks++
	for s := range n {
		if err := c.session(s, b[8+sessionSize*s:]); err != nil {
			return fmt.Errorf("session %d: %w", s, err)
		}
	}
	return nil
}

// entries restores a chain block by block: kho_block_set_restore.
func (c *consumer) entries(what string, head phys.Addr, size int, each func(i int, rec []byte) error) error {
	for i := 0; head != 0; {
		page, err := c.page(what+" block", head)
		if err != nil {
			return err
		}
		n := le.Uint64(page[8:])
		if n == 0 || n > uint64(phys.PageSize-blockHeader)/uint64(size) {
			return fmt.Errorf("%s block %v: count %d", what, head, n)
		}
		c.census.Blocks++
		for k := range int(n) {
			at := blockHeader + k*size
			if err := each(i, page[at:at+size]); err != nil {
				return fmt.Errorf("%s %d: %w", what, i, err)
			}
			i++
		}
		head = phys.Addr(le.Uint64(page))
	}
	return nil
}

func (c *consumer) session(s int, rec []byte) error {
	if want := sessionName(s); !named(rec[:64], want) {
		return fmt.Errorf("name %q, want %q", rec[:64], want)
	}
	c.census.Sessions++
	n, at := int(le.Uint64(rec[72:])), phys.Addr(le.Uint64(rec[64:]))
	if (n == 0) != (at == 0) {
		return fmt.Errorf("%d files at %v", n, at)
	}
	found := 0
	var err error
	if c.blocks() {
		err = c.entries("file", at, fileSize, func(f int, rec []byte) error {
			found++
			return c.file(s, f, f == n-1, rec)
		})
	} else if n > 0 {
		var array []byte
		if array, err = c.block("file array", at, fileSize*n); err != nil {
			return err
		}
		c.census.Blocks++
		for f := 0; f < n && err == nil; f++ {
			found++
			if err = c.file(s, f, f == n-1, array[fileSize*f:]); err != nil {
				err = fmt.Errorf("file %d: %w", f, err)
			}
		}
	}
	if err == nil && found != n {
		err = fmt.Errorf("%d files, the session's count is %d", found, n)
	}
	return err
}

// named reports whether the field holds the string, and zeros behind it.
func named(field []byte, s string) bool {
	return string(bytes.TrimRight(field, "\x00")) == s && len(s) < len(field)
}

func (c *consumer) file(s, f int, last bool, rec []byte) error {
	want, at := c.fileOf(s, f), phys.Addr(le.Uint64(rec[48:]))
	name := c.handler(last)
	if !named(rec[:48], name) || le.Uint64(rec[56:]) != want.token {
		return fmt.Errorf("handler %q token %#x, want %q token %#x", rec[:48], le.Uint64(rec[56:]), name, want.token)
	}
	c.census.Files++
	if name == foreignHandler {
		page, err := c.page("file of another handler", at)
		if err != nil {
			return err
		}
		var data [phys.PageSize]byte
		if fill(data[:], foreignStream, s, f); !bytes.Equal(page, data[:]) {
			return fmt.Errorf("file of another handler at %v: content differs from what A preserved", at)
		}
		return nil
	}
	return c.memfd(s, f, at, want)
}

// handler is the handler of a file.
func (c *consumer) handler(last bool) string {
	if last && c.odd&Foreign != 0 {
		return foreignHandler
	}
	return c.Generation.memfd
}

// memfd restores a file: memfd_luo_retrieve.
func (c *consumer) memfd(s, f int, at phys.Addr, want file) error {
	ser, err := c.page("memfd", at)
	if err != nil {
		return err
	}
	head := c.head(memfdFeatures)
	if !bytes.Equal(ser[:len(head)], head) {
		return fmt.Errorf("memfd %v: begins with %x, want %x", at, ser[:len(head)], head)
	}
	ser = ser[len(head):]
	if c.damaged && c.nothing(ser) {
		c.failed = append(c.failed, Failed{s, want.token, errors.New("EINVAL: an array of folios without chunks")})
		return nil
	}
	layout := c.layout()
	if le.Uint64(ser) != want.pos || le.Uint64(ser[8:]) != want.size || le.Uint64(ser[layout.folios:]) != uint64(len(want.orders)) {
		return fmt.Errorf("memfd %v: position, size and folios %x, want %d, %d, %d", at, ser[:layout.size], want.pos, want.size, len(want.orders))
	}
	if c.sealed {
		seals := want.seals
		if !c.from.sealed {
			seals = 1 // what 6.19 and 7.0 themselves give to every file
		}
		if le.Uint32(ser[16:]) != seals || le.Uint32(ser[20:]) != 0 {
			return fmt.Errorf("memfd %v: seals and flags %x, want %#x, 0", at, ser[16:24], seals)
		}
	}
	desc := ser[layout.array:layout.size]
	if len(want.orders) == 0 {
		if !bytes.Equal(desc, make([]byte, 16)) {
			return fmt.Errorf("memfd %v: an empty file has folios: %x", at, desc)
		}
		return nil
	}
	array, err := c.vmalloc("memfd array", desc, 16*len(want.orders))
	if err != nil {
		return err
	}
	index, lost := 0, false
	for i, order := range want.orders {
		rec := array[16*i/phys.PageSize][16*i%phys.PageSize:][:16]
		err := c.folio(s, f, i, index, rec, order, !lost)
		if _, there := c.magic[folioOf(rec)]; err != nil && c.damaged && !there && !lost {
			// This one ends the retrieve, and the others are let go of.
			c.failed = append(c.failed, Failed{s, want.token, fmt.Errorf("EIO: %w", err)})
			lost, err = true, nil
		}
		if err != nil && !lost {
			return err
		}
		index += int(order.Pages())
	}
	return nil
}

// nothing reports whether the structure is that of a file which refers to nothing: one
// page, and an array without chunks. kho_restore_vmalloc gives up at it.
func (c *consumer) nothing(ser []byte) bool {
	layout := c.layout()
	want := make([]byte, layout.size)
	le.PutUint64(want[8:], phys.PageSize)
	le.PutUint64(want[layout.folios:], 1)
	le.PutUint32(want[layout.array+8:], 1)
	le.PutUint16(want[layout.array+12:], 1)
	return bytes.Equal(ser[:layout.size], want)
}

// folioOf returns where the folio of an entry lies.
func folioOf(rec []byte) phys.Addr { return phys.PFN(le.Uint64(rec) & (1<<52 - 1)).Addr() }

// folio restores folio i of a file, which stands at index of it, and compares what is
// in it.
func (c *consumer) folio(s, f, i, index int, rec []byte, order phys.Order, compare bool) error {
	folio := folioOf(rec)
	// Also what was recorded without flags has to be made whole on the way.
	if le.Uint64(rec)>>52 != dirty|uptodate || le.Uint64(rec[8:]) != uint64(index) {
		return fmt.Errorf("folio %d: %x, want flags 3, index %d", i, rec, index)
	}
	if err := c.restore("folio", folio, order); err != nil || !compare {
		return err
	}
	return c.content(s, f, i, index, folio, order)
}

// content compares every byte of folio i with what A put there.
func (c *consumer) content(s, f, i, index int, folio phys.Addr, order phys.Order) error {
	var want [phys.PageSize]byte
	for n := range int(order.Pages()) {
		at := folio + phys.Addr(n)<<phys.PageShift
		data, err := c.mem.View(at, phys.PageSize)
		if err != nil {
			return err
		}
		if c.flagsOf(i)&uptodate != 0 {
			fill(want[:], s, f, index+n)
		}
		if !bytes.Equal(data, want[:]) {
			return fmt.Errorf("page %d at %v: content differs from what A preserved", index+n, at)
		}
		c.census.Sum = sum(c.census.Sum, data)
	}
	c.census.Folios++
	c.census.Pages += order.Pages()
	return nil
}
