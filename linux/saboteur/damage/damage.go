// Package damage breaks a handover that a real Linux 7.3 wrote, in the ways that a kernel would follow into memory that
// is not what it says. It finds what it breaks by offsets of the ABI alone, not through Ferry's readers.
//
// Source: Linux 7.3.4 include/linux/kho/abi/luo.h, block.h.
package damage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"ferry/kho"
	"ferry/phys"
)

// A Damage is one way to break a handover.
type Damage struct {
	Name string
	do   func(h *handover) (phys.Addr, error)
}

// Offsets in struct luo_ser, and in a block of sessions.
const (
	luoSessions = 16 // u64, physical address of the first block
	blockNext   = 0  // u64
	blockCount  = 8  // u64
	blockFirst  = 16 // first entry
	sessionFile = 64 // u64 in an entry, physical address of the first block of files
)

// All is every damage that is known.
var All = []Damage{
	{"cycle", func(h *handover) (phys.Addr, error) {
		return h.sessions, h.put(h.sessions+blockNext, uint64(h.sessions))
	}},
	{"count-zero", func(h *handover) (phys.Addr, error) { return h.sessions, h.put(h.sessions+blockCount, 0) }},
	{"count-too-large", func(h *handover) (phys.Addr, error) { return h.sessions, h.put(h.sessions+blockCount, 52) }},
	{"count-huge", func(h *handover) (phys.Addr, error) { return h.sessions, h.put(h.sessions+blockCount, ^uint64(0)) }},
	{"pointer-outside-ram", func(h *handover) (phys.Addr, error) { return h.relink(0x7ffffffff000) }},
	{"pointer-into-scratch", func(h *handover) (phys.Addr, error) { return h.relink(h.scratch) }},
	{"pointer-unaligned", func(h *handover) (phys.Addr, error) { return h.relink(h.sessions + 8) }},
	{"block-not-preserved", func(h *handover) (phys.Addr, error) {
		return h.relink(0x10000) // RAM that no kernel preserves
	}},
	{"files-outside-ram", func(h *handover) (phys.Addr, error) {
		const nowhere = 0x7ffffffff000
		return nowhere, h.put(h.sessions+blockFirst+sessionFile, nowhere)
	}},
	{"root-outside-ram", func(h *handover) (phys.Addr, error) {
		const nowhere = 0x7ffffffff000
		return nowhere, h.put(h.luo+luoSessions, nowhere)
	}},
	{"file-count", func(h *handover) (phys.Addr, error) {
		at := h.sessions + blockFirst + sessionFile + 8
		return at, h.put(at, 7)
	}},
	{"unknown-luo-version", func(h *handover) (phys.Addr, error) { return h.luo, h.put(h.luo, 0x39762d6f756c) }},
	{"unknown-kho-version", func(h *handover) (phys.Addr, error) {
		b, err := h.mem.Edit(h.fdt, phys.PageSize)
		if err != nil {
			return h.fdt, err
		}
		at := bytes.Index(b, []byte("kho-v4\x00"))
		if at < 0 {
			return h.fdt, errors.New("the root tree does not say kho-v4")
		}
		b[at+5] = '9'
		return h.fdt + phys.Addr(at), nil
	}},
	// What came after Linux 7.3 in development trees has no string but a header of feature bits: supported, required, active.
	{"feature-header", func(h *handover) (phys.Addr, error) {
		b, err := h.mem.Edit(h.luo, 152)
		if err == nil {
			copy(b[128:], b[8:32])
			clear(b[:128])
			binary.LittleEndian.PutUint64(b[0:], 7)
			binary.LittleEndian.PutUint64(b[8:], 7)
			binary.LittleEndian.PutUint64(b[16:], 7)
		}
		return h.luo, err
	}},
	{"truncated-fdt", func(h *handover) (phys.Addr, error) {
		b, err := h.mem.Edit(h.fdt, 8)
		if err == nil {
			binary.BigEndian.PutUint32(b[4:], 0x40)
		}
		return h.fdt, err
	}},
}

// Do does the damage to the handover that data names, and returns where: an error about it has to name
// an address in that page.
func Do(mem phys.Memory, data kho.Data, name string) (phys.Addr, error) {
	for _, d := range All {
		if d.Name != name {
			continue
		}
		h, err := find(mem, data)
		if err != nil {
			return 0, err
		}
		return d.do(h)
	}
	return 0, fmt.Errorf("no damage is called %q", name)
}

// handover is where the parts of one are.
type handover struct {
	mem      phys.Memory
	fdt      phys.Addr // KHO's root tree
	luo      phys.Addr // struct luo_ser
	sessions phys.Addr // first block of sessions
	scratch  phys.Addr // page in a scratch area
}

func find(mem phys.Memory, data kho.Data) (*handover, error) {
	in, err := kho.Open(mem, data, nil)
	if err != nil {
		return nil, fmt.Errorf("the handover is damaged already: %w", err)
	}
	luo, ok := in.Subtree("LUO")
	if !ok {
		return nil, fmt.Errorf("the handover has no LUO")
	}
	h := &handover{mem: mem, fdt: data.FDT, luo: luo.Data}
	b, err := mem.View(h.luo, 32)
	if err != nil {
		return nil, err
	}
	h.sessions = phys.Addr(binary.LittleEndian.Uint64(b[luoSessions:]))
	table, err := mem.View(data.Scratch, data.ScratchSize)
	if err != nil {
		return nil, err
	}
	for ; len(table) >= 16; table = table[16:] {
		if binary.LittleEndian.Uint64(table[8:]) > 0 {
			h.scratch = phys.Addr(binary.LittleEndian.Uint64(table))
		}
	}
	return h, nil
}

// relink makes the second block of sessions lie at a.
func (h *handover) relink(a phys.Addr) (phys.Addr, error) {
	return a, h.put(h.sessions+blockNext, uint64(a))
}

func (h *handover) put(a phys.Addr, v uint64) error {
	b, err := h.mem.Edit(a, 8)
	if err == nil {
		binary.LittleEndian.PutUint64(b, v)
	}
	return err
}
