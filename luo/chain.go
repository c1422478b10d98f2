package luo

import (
	"encoding/binary"
	"fmt"

	"ferry/blockset"
	"ferry/phys"
)

// chain is the form of the formats whose root is struct luo_ser and whose records
// are in linked blocks: sessions in one chain, the files of each session in one of
// its own, FLBs in one page. Behind its beginning, all fields of the root are u64.
// Offsets and sizes in bytes.
type chain struct {
	head     head   // how the root begins
	number   uint64 // liveupdate_num
	sessions uint64 // sessions_pa: first session block, 0 if there are none
	flbs     uint64 // flbs_pa: FLB page, 0 if there is none
	size     uint64 // of the root, and of the sub-tree, exactly
}

// head is the beginning of a root, by which readers know its format.
type head interface {
	// match reports whether s begins with it.
	match(s *source) bool
	// check refuses what is in the head of s, which matches, but not known. odd is
	// what readers ignore.
	check(s *source) (odd, err error)
	// put writes it to the beginning of page, which is zero.
	put(page []byte)
}

// versionString is a head that is a version string, padded with zeros to room bytes:
// the string with its NUL in whole words.
type versionString struct {
	text string
	room int
}

func (v versionString) match(s *source) bool { return string(s.text()) == v.text }

// check finds bytes behind the end of the string. Linux compares up to there.
func (v versionString) check(s *source) (odd, err error) {
	if !zeros(s.page[len(v.text):v.room]) {
		odd = &phys.Error{Object: "root", Addr: s.addr, Found: "bytes behind the version string " + phys.Quote(s.page[:v.room]), Want: "zeros", Err: ErrName}
	}
	return odd, nil
}

func (v versionString) put(page []byte) { copy(page, v.text) }

func (c *chain) match(f *Format, s *source) bool { return s.tree == nil && c.head.match(s) }

func (c *chain) open(f *Format, s *source) (in contents, err error) {
	if s.size != c.size {
		return in, &phys.Error{Object: "sub-tree", Addr: s.addr, Found: fmt.Sprintf("%d bytes", s.size),
			Want: fmt.Sprintf("%d, the size of a %s root", c.size, f), Err: ErrSize}
	}
	if in.odd, err = c.head.check(s); err != nil {
		return in, err
	}
	in.number = u64(s.page[c.number:])
	in.sessions, in.flbs = phys.Addr(u64(s.page[c.sessions:])), phys.Addr(u64(s.page[c.flbs:]))
	return in, nil
}

// stretchOf returns the records of one block, of size bytes each.
func stretchOf(object string, i int, b blockset.Block, size int) stretch {
	end := blockset.HeaderSize + b.Len()*size
	return stretch{object, i, b.Addr(), b.Addr() + blockset.HeaderSize, b.Page()[blockset.HeaderSize:end:end], b.Page()[end:]}
}

func (c *chain) readSessions(r *reader, head phys.Addr) error {
	const object = "session block"
	size := r.st.session.size
	blocks, err := blockset.AppendChain(nil, r.c, object, blockset.Layout(size), head)
	n := 0
	for _, b := range blocks {
		n += b.Len()
	}
	r.expect(n)
	for i, b := range blocks {
		if err := r.takeSessions(stretchOf(object, i, b, size)); err != nil {
			return err
		}
	}
	return err
}

func (c *chain) readFiles(r *reader, head phys.Addr, count uint64) (err error) {
	if head != 0 && count == 0 {
		return &phys.Error{Object: "record", Addr: r.at, Found: fmt.Sprintf("%d files in the chain at %v", count, head),
			Want: "no chain for no files", Hint: stops, Err: ErrCount}
	}
	const object = "file block"
	size := r.st.file.size
	r.chain, err = blockset.AppendChain(r.chain[:0], r.c, object, blockset.Layout(size), head)
	for i, b := range r.chain {
		if err := r.takeFiles(stretchOf(object, i, b, size)); err != nil {
			return err
		}
	}
	if err == nil && uint64(r.n) != count {
		err = &phys.Error{Object: "record", Addr: r.at, Found: fmt.Sprintf("count %d, but %d files in the chain at %v", count, r.n, head),
			Want: "the number of files", Hint: stops, Err: ErrCount}
	}
	return err
}

func (c *chain) firstFile() int { return blockset.HeaderSize }

// owned relies on each run of records being one block.
func (c *chain) owned(st *State, visit func(what string, b phys.Block) error) error {
	for _, l := range []*runs{&st.sessions, &st.files} {
		for i := range l.n {
			if err := visit("block", phys.Block{Addr: l.at(i).addr().Page()}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *chain) blocks(l *RecordLayout, n int) int { return blockset.Layout(l.size).Blocks(n) }

// chains places records in linked blocks, which it fills to their capacity.
type chains struct {
	chain    *chain
	root     phys.Addr
	page     []byte
	sessions *blockset.Set
	slot     blockset.Iter // behind the session records that were given out
	list     *blockset.Set // of the files begun last
}

func (c *chain) create(d outgoing, f *Format, sessions int) (places, error) {
	root, page, err := d.Alloc()
	if err != nil {
		return nil, fmt.Errorf("page for the root: %w", err)
	}
	p := &chains{chain: c, root: root, page: page, sessions: blockset.New(blockset.Layout(f.session.size), d), list: blockset.New(blockset.Layout(f.file.size), d)}
	if err := p.sessions.Grow(sessions); err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	p.slot = p.sessions.Iter()
	return p, nil
}

func (p *chains) session() []byte { return p.slot.Reserve() }

func (p *chains) files(int) error {
	p.list.Init()
	return nil
}

func (p *chains) append(records []byte) error { return p.list.Append(records) }

func (p *chains) head() phys.Addr { return p.list.Head() }

func (p *chains) finish(number uint64, flbs phys.Addr) (phys.Addr, uint64, error) {
	c := p.chain
	c.head.put(p.page)
	binary.LittleEndian.PutUint64(p.page[c.number:], number)
	binary.LittleEndian.PutUint64(p.page[c.sessions:], uint64(p.sessions.Head()))
	binary.LittleEndian.PutUint64(p.page[c.flbs:], uint64(flbs))
	return p.root, c.size, nil
}
