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

// Arrays of records, each in one preserved block. Linux takes blocks of the first
// orders; readers take whatever order the preserved-memory map says.
const (
	arrayHeader  = 8             // of the session array: u64, number of records
	sessionOrder = phys.Order(4) // even for no sessions
	fileOrder    = phys.Order(1)
	maxOrder     = phys.Order(10) // largest block that Linux allocates, and that 7.0 and before take back
)

// treeForm is the shape of the formats whose root is a device tree of one page,
// and whose records lie in arrays: one of all sessions behind a header, one of
// the files of each session that has any, FLBs in one page. Numbers in the tree
// are 8 raw bytes, little endian.
type treeForm struct {
	flbs bool // has a node for FLBs
}

func (f *treeForm) restore(r *reader, page []byte) error {
	st := r.st
	t, err := fdt.Parse(st.root, page)
	if err != nil {
		return err
	}
	root := t.Root()
	want := []string{compatibleProperty, numberProperty}
	if err := known(root, want, []string{sessionNode, flbNode}); err != nil {
		return err
	}
	if st.Number, err = root.Uint64(numberProperty); err != nil {
		return err
	}
	array, err := header(root, sessionNode, sessionCompatible, sessionProperty)
	if err != nil {
		return err
	}
	if err := f.sessions(r, array); err != nil {
		return err
	}
	if st.noFLBs = !f.flbs; st.noFLBs {
		return nil
	}
	flbs, err := header(root, flbNode, flbCompatible, flbProperty)
	if err != nil {
		return err
	}
	return phys.In("FLB page", flbs, r.flbs(flbs))
}

// known proves that n has properties and nodes of these names alone, each once:
// what is not known cannot be carried.
func known(n fdt.Node, properties, nodes []string) error {
	if err := n.Unique(); err != nil {
		return err
	}
	bad := func(a phys.Addr, kind string, name []byte) error {
		return &phys.Error{Object: n.String(), Addr: a, Found: kind + " " + phys.Quote(name),
			Want: "what Linux writes alone", Err: ErrTree}
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

// array proves the block that starts at a, of which head bytes are read before
// the records, and returns it and how many records of size bytes it has room for.
func (r *reader) array(object string, a phys.Addr, head, size uint64) (b phys.Block, room uint64, err error) {
	b, ok := r.heads.Head(a)
	if !ok {
		b = phys.Block{Addr: a} // for what else is wrong with it
	}
	if err := r.c.Block(object, b); err != nil {
		return b, 0, err
	}
	if b.Order > maxOrder {
		return b, 0, &phys.Error{Object: object, Addr: a, Found: fmt.Sprintf("a block of order %d", b.Order),
			Want: fmt.Sprintf("at most order %d", maxOrder), Err: ErrSize}
	}
	r.st.arrays.add(b)
	return b, (b.Order.Bytes() - head) / size, nil
}

// records returns the count records of size bytes behind head bytes of b, which
// has room for them if count is at most room, and all that there is room for.
func (r *reader) records(object string, b phys.Block, head, size, count, room uint64) (seg, all []byte, err error) {
	if count > room {
		return nil, nil, &phys.Error{Object: object, Addr: b.Addr, Found: fmt.Sprintf("count %d", count),
			Want: fmt.Sprintf("at most %d, what its block of order %d holds", room, b.Order), Hint: stops, Err: ErrCount}
	}
	if all, err = r.c.Memory().View(b.Addr+phys.Addr(head), b.Order.Bytes()-head); err != nil {
		return nil, nil, err
	}
	return all[: count*size : count*size], all, nil
}

// sessions reads the session array at a.
func (f *treeForm) sessions(r *reader, a phys.Addr) error {
	const object = "session array"
	b, room, err := r.array(object, a, arrayHeader, sessionSize)
	if err != nil {
		return err
	}
	count, err := r.c.Memory().View(a, arrayHeader)
	if err != nil {
		return err
	}
	seg, all, err := r.records(object, b, arrayHeader, sessionSize, u64(count), room)
	if err != nil {
		return err
	}
	r.behind(all[len(seg):], b.Range().End, unused(object, b.Addr, b.Range().End, all, u64(count), sessionSize))
	r.st.first = slices.Grow(r.st.first, len(seg)/sessionSize)
	if err := r.sessions(seg, a+arrayHeader); err != nil {
		return err
	}
	return r.uniqueNames()
}

// files reads the array at head. One that holds no files has no reader and is
// only taken out of the handover.
func (f *treeForm) files(r *reader, a, head phys.Addr, count uint64) (int, error) {
	const object = "file array"
	if head == 0 {
		return 0, nil
	}
	b, room, err := r.array(object, head, 0, fileSize)
	if err != nil {
		return 0, err
	}
	seg, all, err := r.records(object, b, 0, fileSize, count, room)
	if err != nil {
		return 0, err
	}
	if r.more() {
		if odd := unused(object, b.Addr, b.Range().End, all, count, fileSize); odd != nil {
			r.odd(odd)
		}
	}
	return r.files(seg, head, inArray, 0)
}

// orderOf returns the order of the block for size bytes, at least that which
// Linux takes.
func orderOf(size int, least phys.Order) phys.Order {
	o := least
	for o.Bytes() < uint64(size) {
		o++
	}
	return o
}

// serialize takes the pages in a fixed order: root, session array, FLB page if
// there is to be a new one, then the file array of each session.
func (f *treeForm) serialize(w *writer) (root phys.Addr, size uint64, err error) {
	root, page, err := w.d.Alloc()
	if err != nil {
		return 0, 0, fmt.Errorf("page for the root: %w", err)
	}
	n := w.st.Len()
	array, sessions, err := w.d.AllocBlock(orderOf(arrayHeader+n*sessionSize, sessionOrder))
	if err != nil {
		return 0, 0, fmt.Errorf("array of %d sessions: %w", n, err)
	}
	binary.LittleEndian.PutUint64(sessions, uint64(n))
	sessions = sessions[arrayHeader:]
	var flbs phys.Addr
	if f.flbs {
		if flbs, err = w.flbs(); err != nil {
			return 0, 0, err
		}
	}
	slot := func() (rec []byte) {
		rec, sessions = sessions[:sessionSize:sessionSize], sessions[sessionSize:]
		return rec
	}
	if err := w.sessions(slot, w.fileArray); err != nil {
		return 0, 0, err
	}
	total, err := f.writeTree(page, w.format.compatible, w.st.Number, array, flbs)
	return root, uint64(total), err
}

// fileArray writes the files of s, if there are any, into an array.
func (w *writer) fileArray(s Session) (phys.Addr, error) {
	n := s.Len()
	if n == 0 {
		return 0, nil
	}
	a, files, err := w.d.AllocBlock(orderOf(n*fileSize, fileOrder))
	if err != nil {
		return 0, fmt.Errorf("array of %d files: %w", n, err)
	}
	return a, w.files(s, func(records []byte) error {
		files = files[copy(files, records):]
		return nil
	})
}

// writeTree writes the device tree into page and returns its size. Properties are
// named in the order in which Linux lists their names: the last one used first.
func (f *treeForm) writeTree(page []byte, compatible string, number uint64, sessions, flbs phys.Addr) (int, error) {
	names := []string{sessionProperty, numberProperty, compatibleProperty}
	if f.flbs {
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
	if f.flbs {
		w.Begin(flbNode)
		w.String(compatibleProperty, flbCompatible)
		w.Address(flbProperty, flbs)
		w.End()
	}
	w.End()
	return w.Finish()
}
