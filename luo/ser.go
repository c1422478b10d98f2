package luo

import (
	"encoding/binary"
	"fmt"
	"slices"

	"ferry/blockset"
	"ferry/phys"
)

// serForm is the shape of the formats whose root is struct luo_ser and whose
// records lie in linked blocks: sessions in one chain, the files of each session
// in one of its own, FLBs in one page. All fields of the root are u64 but for the
// version string. Offsets and sizes in bytes.
type serForm struct {
	text     uint64 // length of compatible, which comes first: the string with its NUL in whole words
	number   uint64 // liveupdate_num
	sessions uint64 // sessions_pa: first session block, 0 if there are none
	flbs     uint64 // flbs_pa: FLB page, 0 if there is none
	size     uint64 // of the root, and of the sub-tree, exactly
}

func (f *serForm) restore(r *reader, page []byte) error {
	st := r.st
	st.Number = u64(page[f.number:])
	chain, err := r.c.AppendChain(nil, "session block", sessionLayout, phys.Addr(u64(page[f.sessions:])))
	if err != nil {
		return err
	}
	n := 0
	for i, b := range chain {
		n += b.Len()
		r.behind(b.Page[blockset.HeaderSize+b.Len()*sessionSize:], b.Addr+phys.PageSize, unusedIn("session block", i, b, sessionSize))
	}
	st.first = slices.Grow(st.first, n)
	for _, b := range chain {
		if err := r.sessions(b.Entries(sessionLayout), b.Addr+blockset.HeaderSize); err != nil {
			return err
		}
	}
	if err := r.uniqueNames(); err != nil {
		return err
	}
	flbs := phys.Addr(u64(page[f.flbs:]))
	if st.noFLBs = flbs == 0; st.noFLBs {
		return nil
	}
	return phys.In("FLB page", flbs, r.flbs(flbs))
}

// unusedIn is unused for block i of a chain.
func unusedIn(object string, i int, b blockset.Block, size uint64) (odd *phys.Error) {
	if n := uint64(b.Len()); n*size+blockset.HeaderSize < phys.PageSize {
		odd = unused(object, b.Addr, b.Addr+phys.PageSize, b.Page[blockset.HeaderSize:], n, size)
		if odd != nil {
			odd.Object = fmt.Sprintf("block %d: %s", i, odd.Object)
		}
	}
	return odd
}

func (f *serForm) files(r *reader, a, head phys.Addr, count uint64) (n int, err error) {
	if head != 0 && count == 0 {
		return 0, &phys.Error{Object: "record", Addr: a, Found: fmt.Sprintf("%d files in the chain at %v", count, head),
			Want: "no chain for no files", Hint: stops, Err: ErrCount}
	}
	if r.chain, err = r.c.AppendChain(r.chain[:0], "file block", fileLayout, head); err != nil {
		return 0, err
	}
	for i, b := range r.chain {
		if r.more() {
			if odd := unusedIn("file block", i, b, fileSize); odd != nil {
				r.odd(odd)
			}
		}
		if n, err = r.files(b.Entries(fileLayout), b.Addr+blockset.HeaderSize, i, n); err != nil {
			return n, err
		}
	}
	if uint64(n) != count {
		return n, &phys.Error{Object: "record", Addr: a, Found: fmt.Sprintf("count %d, but %d files in the chain at %v", count, n, head),
			Want: "the number of files", Hint: stops, Err: ErrCount}
	}
	return n, nil
}

// serialize takes the pages in a fixed order: root, session blocks, FLB page if
// there is to be a new one, then the file blocks of each session. Blocks are
// filled to their capacity.
func (f *serForm) serialize(w *writer) (root phys.Addr, size uint64, err error) {
	root, page, err := w.d.Alloc()
	if err != nil {
		return 0, 0, fmt.Errorf("page for the root: %w", err)
	}
	sessions := blockset.New(sessionLayout, w.d)
	if err := sessions.Grow(w.st.Len()); err != nil {
		return 0, 0, fmt.Errorf("sessions: %w", err)
	}
	flbs, err := w.flbs()
	if err != nil {
		return 0, 0, err
	}
	slot, files := sessions.Iter(), blockset.New(fileLayout, w.d)
	err = w.sessions(slot.Reserve, func(s Session) (phys.Addr, error) {
		files.Init()
		err := w.files(s, files.Append)
		return files.Head(), err
	})
	copy(page[:f.text], w.format.compatible)
	binary.LittleEndian.PutUint64(page[f.number:], w.st.Number)
	binary.LittleEndian.PutUint64(page[f.sessions:], uint64(sessions.Head()))
	binary.LittleEndian.PutUint64(page[f.flbs:], uint64(flbs))
	return root, f.size, err
}
