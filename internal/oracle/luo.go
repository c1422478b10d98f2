package oracle

import (
	"bytes"

	"ferry/phys"
)

func (m *Model) luo(at, by phys.Addr) {
	m.own(at, by)
	var flbs phys.Addr
	if m.form.Tree {
		root := m.tree(m.view(at, phys.PageSize))
		m.add(Number, 0, 0, root.u64("liveupdate-number"))
		array := phys.Addr(root.kid("luo-session").u64("luo-session-header"))
		m.own(array, at)
		n := le.Uint64(m.view(array, 8))
		b := m.view(array+8, 80*n)
		for s := range int(n) {
			m.session(s, array, array+8+phys.Addr(80*s), b[80*s:][:80])
		}
		if m.form.FLBs {
			flbs = phys.Addr(root.kid("luo-flb").u64("luo-flb-header"))
		}
	} else {
		page := m.view(at, phys.PageSize)[m.form.Text:]
		m.add(Number, 0, 0, le.Uint64(page))
		s := 0
		m.chain(phys.Addr(le.Uint64(page[8:])), at, 80, func(by, at phys.Addr, rec []byte) { m.session(s, by, at, rec); s++ })
		flbs = phys.Addr(le.Uint64(page[16:]))
	}
	page := make([]byte, phys.PageSize) // without a list: one of none
	if flbs != 0 {
		m.own(flbs, at)
		page = m.view(flbs, phys.PageSize)
	}
	if !m.to.FLBs {
		return
	}
	m.add(FLBs, 0, 0, le.Uint64(page[8:]))
	for i := range min(le.Uint64(page[8:]), 63) {
		rec := page[16+64*i:][:64]
		m.text(FLBName, 0, int(i), rec[:48])
		m.add(FLBData, 0, int(i), le.Uint64(rec[48:]))
		m.add(FLBUsers, 0, int(i), le.Uint64(rec[56:]))
	}
}

// chain calls each with every record of a chain of blocks, the block that it is in and its address.
func (m *Model) chain(at, by phys.Addr, size uint64, each func(block, at phys.Addr, rec []byte)) {
	for n := 0; at != 0 && m.bad == nil; n++ {
		if n == 10000 {
			m.fail("a chain without end")
			return
		}
		m.own(at, by)
		page := m.view(at, phys.PageSize)
		for i := range min(le.Uint64(page[8:]), 4080/size) {
			each(at, at+phys.Addr(16+i*size), page[16+i*size:][:size])
		}
		at, by = phys.Addr(le.Uint64(page)), at
	}
}

// asString returns what strscpy takes of a field.
func asString(field []byte) []byte {
	b := make([]byte, len(field))
	name, _, _ := bytes.Cut(field[:len(field)-1], []byte{0})
	copy(b, name)
	return b
}

func (m *Model) session(s int, by, home phys.Addr, rec []byte) {
	m.text(SessionName, s, 0, asString(rec[:64]))
	at, n := phys.Addr(le.Uint64(rec[64:])), le.Uint64(rec[72:])
	if at == 0 {
		n = 0 // Linux warns if it was not
	}
	m.add(SessionFiles, s, 0, n)
	m.Refer(home, 80, at)
	if at == 0 {
		return
	}
	f := 0
	if !m.form.Tree {
		m.chain(at, by, 64, func(by, at phys.Addr, rec []byte) { m.file(s, f, by, at, rec); f++ })
		return
	}
	m.own(at, by)
	home = at
	for b := m.view(at, 64*n); len(b) > 0; b = b[64:] {
		m.file(s, f, at, home, b[:64])
		home += 64
		f++
	}
}

func (m *Model) file(s, f int, by, home phys.Addr, rec []byte) {
	data := phys.Addr(le.Uint64(rec[48:]))
	handler, _, _ := bytes.Cut(rec[:48], []byte{0})
	m.Refer(home, 64, data)
	m.add(Token, s, f, le.Uint64(rec[56:]))
	if string(handler) != m.form.Memfd {
		m.text(Handler, s, f, asString(rec[:48]))
		m.add(Opaque, s, f, uint64(data))
		return
	}
	m.text(Handler, s, f, make([]byte, 48))
	key := FileKey{int32(s), int32(f)}
	if m.without[key] {
		m.add(NotRetrieved, s, f, 0)
		return
	}
	m.own(data, by)
	page := m.view(data, phys.PageSize)
	if m.notRetrieved(page) {
		m.add(NotRetrieved, s, f, 0)
		if m.GivenUp == nil {
			m.GivenUp = make(map[FileKey]bool)
		}
		m.GivenUp[key] = true
		return
	}
	m.add(Position, s, f, le.Uint64(page))
	m.add(Size, s, f, le.Uint64(page[8:]))
	if page = page[16:]; m.form.Seals {
		if m.to.Seals {
			m.add(Seals, s, f, le.Uint64(page))
		}
		page = page[8:]
	} else if m.to.Seals {
		m.add(Seals, s, f, 1)
	}
	n := le.Uint64(page)
	if n > 1<<22 {
		m.fail("session %d file %d: %d folios", s, f, n)
	}
	m.add(Folios, s, f, n)
	if n == 0 {
		return
	}
	left := 16 * n
	m.area(page[8:], data, func(part phys.Addr, size uint64) bool {
		k := min(left, size)
		for b := m.view(part, k); len(b) >= 16; b = b[16:] {
			m.folio(s, f, part, le.Uint64(b), le.Uint64(b[8:]))
		}
		left -= k
		return left > 0
	})
	if left > 0 {
		m.fail("session %d file %d: %d bytes of folios are missing", s, f, left)
	}
}

// notRetrieved reports whether the structure of a file says one page of contents, in an
// array of one page and no chunks, and nothing else: kernels answer EINVAL for it.
func (m *Model) notRetrieved(page []byte) bool {
	want := make([]byte, 48)
	le.PutUint64(want[8:], phys.PageSize)
	rest := want[16:]
	if m.form.Seals {
		rest = want[24:]
	}
	le.PutUint64(rest, 1)
	le.PutUint32(rest[16:], 1) // pages
	le.PutUint16(rest[20:], 1) // flags: from vmalloc
	return bytes.Equal(page[:48], want)
}

// area calls each with every block of a vmalloc area as long as it wants more.
func (m *Model) area(desc []byte, by phys.Addr, each func(part phys.Addr, size uint64) bool) {
	size := uint64(phys.PageSize) << min(le.Uint16(desc[14:]), 10)
	more := true
	for chunk, n := phys.Addr(le.Uint64(desc)), 0; chunk != 0 && more && m.bad == nil; n++ {
		if n == 10000 {
			m.fail("chunks without end")
			return
		}
		m.own(chunk, by)
		list := m.view(chunk, phys.PageSize)
		for i := 8; i < phys.PageSize && more; i += 8 {
			part := phys.Addr(le.Uint64(list[i:]))
			if part == 0 {
				break
			}
			m.own(part, chunk)
			more = each(part, size)
		}
		by, chunk = chunk, phys.Addr(le.Uint64(list))
	}
}

func (m *Model) folio(s, f int, by phys.Addr, word, index uint64) {
	pfn, flags := word&(1<<52-1), word>>52
	order := uint64(0)
	if pfn != 0 {
		order = m.own(phys.PFN(pfn).Addr(), by)
	}
	m.add(FolioFlags, s, f, flags)
	m.add(FolioPlace, s, f, pfn)
	m.add(FolioOrder, s, f, order)
	m.add(FolioIndex, s, f, index)
}
