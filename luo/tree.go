package luo

import (
	"encoding/binary"
	"fmt"
	"slices"

	"ferry/fdt"
	"ferry/phys"
)

// Names in the device tree of the formats that have one.
const (
	compatibleProperty = "compatible"
	numberProperty     = "liveupdate-number"

	sessionNode       = "luo-session"
	sessionCompatible = "luo-session-v2"
	sessionProperty   = "luo-session-header"

	flbNode       = "luo-flb"
	flbCompatible = "luo-flb-v1"
	flbProperty   = "luo-flb-header"
)

// Arrays of records, each in one preserved block. Linux writes blocks of these
// orders; readers take whatever order the preserved-memory map says.
const (
	arrayHeader  = 8             // of the session array: u64, number of records
	sessionOrder = phys.Order(4) // even for no sessions
	fileOrder    = phys.Order(1)
	maxOrder     = phys.Order(10) // largest block that Linux allocates, and that 7.0 and before take back
)

// tree is the form of the formats whose root is a device tree of one page, and
// whose records are in arrays: one of all sessions behind a header, one of the
// files of each session that has any, FLBs in one page. Numbers in the tree are 8
// raw bytes, little endian.
type tree struct {
	flbs bool // has a node for FLBs
}

func (t *tree) match(f *Format, s *source) bool {
	if s.tree == nil {
		return false
	}
	root := s.tree.Root()
	_, flbs := root.Child(flbNode)
	ok, _ := root.HasString(compatibleProperty, f.compatible)
	return ok && flbs == t.flbs
}

func (t *tree) open(f *Format, s *source) (in contents, err error) {
	root := s.tree.Root()
	if err := known(root, []string{compatibleProperty, numberProperty}, []string{sessionNode, flbNode}); err != nil {
		return in, err
	}
	if in.number, err = root.Uint64(numberProperty); err != nil {
		return in, err
	}
	in.sessions, in.badSessions = header(root, sessionNode, sessionCompatible, sessionProperty)
	if t.flbs {
		in.flbs, in.badFLBs = header(root, flbNode, flbCompatible, flbProperty)
	}
	return in, nil
}

// known proves that n has only properties and nodes of these names, each once:
// what is not known cannot be carried.
func known(n fdt.Node, properties, nodes []string) error {
	if err := n.Unique(); err != nil {
		return err
	}
	bad := func(a phys.Addr, kind string, name []byte) error {
		return &phys.Error{Object: n.String(), Addr: a, Found: kind + " " + phys.Quote(name),
			Want: "only what Linux writes", Err: ErrTree}
	}
	for p := range n.Properties() {
		if !slices.Contains(properties, string(p.Name)) {
			return bad(p.Addr, "property", p.Name)
		}
	}
	for c := range n.Children() {
		if !slices.Contains(nodes, string(c.Name())) {
			return bad(c.Addr(), "node", c.Name())
		}
	}
	return nil
}

// header returns the address that the node of this name below root holds.
func header(root fdt.Node, name, compatible, property string) (phys.Addr, error) {
	n, ok := root.Child(name)
	if !ok {
		return 0, &phys.Error{Object: "root", Addr: root.Addr(), Found: "no node " + phys.Quote(name), Want: "one", Err: ErrTree}
	}
	if err := known(n, []string{compatibleProperty, property}, nil); err != nil {
		return 0, err
	}
	list, err := n.Strings(compatibleProperty)
	if err != nil {
		return 0, err
	}
	if ok, _ := n.HasString(compatibleProperty, compatible); !ok {
		return 0, &phys.Error{Object: n.String(), Addr: n.Addr(), Found: "compatible " + phys.QuoteList(list),
			Want: compatible, Hint: "written by another kernel release than this image reads", Err: ErrVersion}
	}
	a, err := n.Uint64(property)
	return phys.Addr(a), err
}

// array proves the block at a, which begins with head bytes that are not records,
// and returns count records of l behind them. A count of more than the block has
// room for is an error.
func (r *reader) array(object string, a phys.Addr, head uint64, l *RecordLayout, count func(first []byte) uint64) (s stretch, err error) {
	b, ok := r.heads.Head(a)
	if !ok {
		b = phys.Block{Addr: a} // for what else is wrong with it
	}
	if err := r.c.Claim(object, b); err != nil {
		return s, err
	}
	if b.Order > maxOrder {
		return s, &phys.Error{Object: object, Addr: a, Found: fmt.Sprintf("a block of order %d", b.Order),
			Want: fmt.Sprintf("at most order %d", maxOrder), Err: ErrSize}
	}
	r.st.arrays.add(b)
	all, err := r.c.Memory().View(a, b.Order.Bytes())
	if err != nil {
		return s, err
	}
	n, room := count(all), (uint64(len(all))-head)/uint64(l.size)
	if n > room {
		return s, &phys.Error{Object: object, Addr: a, Found: fmt.Sprintf("count %d", n),
			Want: fmt.Sprintf("at most %d, what its block of order %d holds", room, b.Order), Hint: stops, Err: ErrCount}
	}
	end := head + n*uint64(l.size)
	return stretch{object, inArray, a, a + phys.Addr(head), all[head:end:end], all[end:]}, nil
}

func (t *tree) readSessions(r *reader, head phys.Addr) error {
	s, err := r.array("session array", head, arrayHeader, &r.st.session, u64)
	if err != nil {
		return err
	}
	r.expect(len(s.recs) / r.st.session.size)
	return r.takeSessions(s)
}

// readFiles reads the array at head. One that holds no files has no reader and is
// only taken out of the handover.
func (t *tree) readFiles(r *reader, head phys.Addr, count uint64) error {
	if head == 0 {
		return nil
	}
	s, err := r.array("file array", head, 0, &r.st.file, func([]byte) uint64 { return count })
	if err != nil {
		return err
	}
	return r.takeFiles(s)
}

func (t *tree) firstFile() int { return 0 }

func (t *tree) owned(st *State, visit func(what string, b phys.Block) error) error {
	for i := range st.arrays {
		if err := visit("array", st.arrays.at(i)); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) blocks(_ *RecordLayout, n int) int { return min(1, n) }

// orderOf returns the order of the block for size bytes, at least that which
// Linux takes.
func orderOf(size int, least phys.Order) phys.Order {
	o := least
	for o.Bytes() < uint64(size) {
		o++
	}
	return o
}

// arrays places records in arrays of the orders that Linux gives them, or larger.
type arrays struct {
	tree  *tree
	f     *Format
	d     outgoing
	root  phys.Addr
	page  []byte
	array phys.Addr // of the sessions
	slots []byte    // session records to come
	last  phys.Addr // array of the files begun last, 0 if there are none
	rest  []byte    // its records to come
}

func (t *tree) create(d outgoing, f *Format, sessions int) (places, error) {
	p := &arrays{tree: t, f: f, d: d}
	var err error
	if p.root, p.page, err = d.Alloc(); err != nil {
		return nil, fmt.Errorf("page for the root: %w", err)
	}
	if p.array, p.slots, err = d.AllocBlock(orderOf(arrayHeader+sessions*f.session.size, sessionOrder)); err != nil {
		return nil, fmt.Errorf("array of %d sessions: %w", sessions, err)
	}
	binary.LittleEndian.PutUint64(p.slots, uint64(sessions))
	p.slots = p.slots[arrayHeader:]
	return p, nil
}

func (p *arrays) session() (rec []byte) {
	size := p.f.session.size
	rec, p.slots = p.slots[:size:size], p.slots[size:]
	return rec
}

func (p *arrays) files(n int) (err error) {
	if p.last, p.rest = 0, nil; n == 0 {
		return nil
	}
	if p.last, p.rest, err = p.d.AllocBlock(orderOf(n*p.f.file.size, fileOrder)); err != nil {
		return fmt.Errorf("array of %d files: %w", n, err)
	}
	return nil
}

func (p *arrays) append(records []byte) error {
	p.rest = p.rest[copy(p.rest, records):]
	return nil
}

func (p *arrays) head() phys.Addr { return p.last }

func (p *arrays) finish(number uint64, flbs phys.Addr) (phys.Addr, uint64, error) {
	n, err := p.tree.write(p.page, p.f.compatible, number, p.array, flbs)
	return p.root, uint64(n), err
}

// write writes the device tree into page and returns its size. Properties are named
// in the order in which Linux lists their names: the last one used first.
func (t *tree) write(page []byte, compatible string, number uint64, sessions, flbs phys.Addr) (int, error) {
	names := []string{sessionProperty, numberProperty, compatibleProperty}
	if t.flbs {
		names = append([]string{flbProperty}, names...)
	}
	w := fdt.NewWriter(page, names...)
	w.Begin("")
	w.String(compatibleProperty, compatible)
	w.Uint64(numberProperty, number)
	w.Begin(sessionNode)
	w.String(compatibleProperty, sessionCompatible)
	w.Address(sessionProperty, sessions)
	w.End()
	if t.flbs {
		w.Begin(flbNode)
		w.String(compatibleProperty, flbCompatible)
		w.Address(flbProperty, flbs)
		w.End()
	}
	w.End()
	return w.Finish()
}
