package luo

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"ferry/blockset"
	"ferry/fdt"
	"ferry/own"
	"ferry/phys"
)

// handover is a serialized state to break: its pages by role.
type handover struct {
	mem  phys.Memory
	d    *draft
	root []byte
	sess []byte // first session block
	flb  []byte
	file [2][]byte // file blocks of session 1: 63 + 7 records
	at   [2]phys.Addr
	flbs phys.Addr
}

func breakable(t *testing.T) *handover {
	mem, d := machine(t)
	serialize(t, state(t, 2, 1, 70, 0), d)
	h := &handover{mem: mem, d: d}
	page := func(a phys.Addr) []byte {
		b, err := mem.Edit(a, phys.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	h.root = page(d.root)
	h.sess = page(phys.Addr(u64(h.root[16:])))
	h.flbs = phys.Addr(u64(h.root[24:]))
	h.flb = page(h.flbs)
	h.at[0] = phys.Addr(u64(h.sess[16+80+64:]))
	h.file[0] = page(h.at[0])
	h.at[1] = phys.Addr(u64(h.file[0]))
	h.file[1] = page(h.at[1])
	return h
}

func put(b []byte, off int, v uint64) { binary.LittleEndian.PutUint64(b[off:], v) }

func TestRestoreRejects(t *testing.T) {
	const one = 16 + 80 // record of session 1 in its block
	tests := []struct {
		name string
		do   func(*handover)
		want error
		text string
	}{
		{"blob size too small", func(h *handover) { h.d.size = 31 }, ErrSize, "sub-tree 0x10000000: 31 bytes, want 32, the size of a luo-v5 root"},
		{"blob size of a later format", func(h *handover) { h.d.size = 48 }, ErrSize, "48 bytes"},
		{"blob size of a page", func(h *handover) { h.d.size = 4096 }, ErrSize, "4096 bytes"},
		{"root outside RAM", func(h *handover) { h.d.root = 1 << 45 }, phys.ErrNotRAM, "root 0x200000000000"},
		{"root not at the start of a page", func(h *handover) { h.d.root += 64 }, own.ErrPlace, "root"},
		{"another format", func(h *handover) { copy(h.root, "luo-v4\x00\x00") }, ErrVersion, `compatible "luo-v4`},
		{"an FDT", func(h *handover) { copy(h.root, "\xd0\x0d\xfe\xed") }, fdt.ErrHeader, "device tree header"},
		{"string without end", func(h *handover) { copy(h.root, "luo-v5xx") }, ErrVersion, "compatible"},
		{"session pointer outside RAM", func(h *handover) { put(h.root, 16, 1<<44) }, phys.ErrNotRAM, "session block 0 0x100000000000"},
		{"session pointer to the root", func(h *handover) { put(h.root, 16, uint64(base)) }, own.ErrShared, "session block 0"},
		{"session pointer into scratch", func(h *handover) {
			h.d.Preserve(phys.Block{Addr: scratch[0].Start})
			put(h.root, 16, uint64(scratch[0].Start))
		}, own.ErrPlace, "session block 0"},
		{"session chain in a circle", func(h *handover) { put(h.sess, 0, u64(h.root[16:])) }, blockset.ErrCycle, "session block 1"},
		{"session count 0", func(h *handover) { put(h.sess, 8, 0) }, blockset.ErrCount, "count 0, want 1..51"},
		{"session count too large", func(h *handover) { put(h.sess, 8, 52) }, blockset.ErrCount, "count 52, want 1..51"},
		{"session count beyond what was written", func(h *handover) { put(h.sess, 8, 5) }, ErrDuplicate, `session 4 0x10001150: name "" of session 3`},
		{"two empty session names", func(h *handover) { clear(h.sess[16:80]); clear(h.sess[one : one+64]) }, ErrDuplicate, `name "" of session 0`},
		{"duplicate session name", func(h *handover) { h.sess[one+3] = '0' }, ErrDuplicate, `session 1 0x10001060: name "vm-0" of session 0`},
		{"session count too small", func(h *handover) { put(h.sess, 8, 1) }, ErrCount, "session block 0x10001000: record 1 0x10001060: a session whose files are preserved, want zeros behind the 1 records of its count (Linux would lose the session without a word)"},
		{"files without count", func(h *handover) { put(h.sess, one+72, 0) }, ErrCount, "0 files in the chain"},
		{"count too small", func(h *handover) { put(h.sess, one+72, 69) }, ErrCount, `session 1 "vm-1": record 0x10001060: count 69, but 70 files`},
		{"count too large", func(h *handover) { put(h.sess, one+72, 1<<60) }, ErrCount, "but 70 files"},
		{"file block count 0", func(h *handover) { put(h.file[1], 8, 0) }, blockset.ErrCount, "file block 1 0x10005000: count 0"},
		{"file block count too large", func(h *handover) { put(h.file[0], 8, 71) }, blockset.ErrCount,
			`session 1 "vm-1": file block 0 0x10004000: count 71, want 1..63`},
		{"file block linked to itself", func(h *handover) { put(h.file[1], 0, uint64(h.at[1])) }, blockset.ErrCycle, "file block 2"},
		{"file block of another session", func(h *handover) { put(h.file[1], 0, u64(h.sess[16+64:])) }, own.ErrShared, "file block 2 0x10003000"},
		{"file block not preserved", func(h *handover) { h.d.Retire(phys.Block{Addr: h.at[1]}) }, own.ErrPreserved, "file block 1"},
		{"file block of order 1", func(h *handover) { h.d.Preserve(phys.Block{Addr: h.at[0], Order: 1}) }, own.ErrPreserved, "file block 0"},
		{"file pointer unaligned", func(h *handover) { put(h.file[0], 0, uint64(h.at[1])|8) }, own.ErrPlace, "file block 1"},
		{"handler empty", func(h *handover) { clear(h.file[0][16:64]) }, ErrName, "empty handler"},
		{"first handler of all empty", func(h *handover) {
			first, _ := h.mem.Edit(phys.Addr(u64(h.sess[16+64:])), phys.PageSize)
			clear(first[16:64])
		}, ErrName, `session 0 "vm-0": file block 0: file 0 0x10003010: empty handler`},
		{"handler without end", func(h *handover) { copy(h.file[1][16+64:], strings.Repeat("h", 48)) }, ErrName,
			`session 1 "vm-1": file block 1: file 64 0x10005050: handler`},
		{"FLB page outside RAM", func(h *handover) { put(h.root, 24, 1<<44) }, phys.ErrNotRAM, "FLB page"},
		{"FLB page is a session block", func(h *handover) { put(h.root, 24, u64(h.root[16:])) }, own.ErrShared, "FLB page"},
		{"FLB page of order 4", func(h *handover) { h.d.Preserve(phys.Block{Addr: h.flbs, Order: 4}) }, own.ErrPreserved, "FLB page"},
		{"FLB count too large", func(h *handover) { put(h.flb, 8, 64) }, ErrCount, "count 64, want 0..63"},
		{"FLB count beyond what was written", func(h *handover) { put(h.flb, 8, 3) }, ErrName, "FLB 2"},
		{"FLB count too small", func(h *handover) { put(h.flb, 8, 1) }, ErrCount, "FLB page: header 0x10002000: record 1 0x10002050: bytes that are not zero, want zeros behind the 1 records"},
		{"FLB count 0", func(h *handover) { put(h.flb, 8, 0) }, ErrCount, "record 0 0x10002010"},
		{"a byte behind the last FLB", func(h *handover) { h.flb[4095] = 1 }, ErrCount, "record 63 0x10002fd0"},
		{"FLB name without end", func(h *handover) { copy(h.flb[16:], strings.Repeat("f", 48)) }, ErrName, "does not end"},
		{"FLB name twice", func(h *handover) { copy(h.flb[16+64:], "flb-v0") }, ErrDuplicate, `name "flb-v0" of FLB 0`},
		{"FLB of no file", func(h *handover) { put(h.flb, 16+56, 0) }, ErrCount, "has 0 users"},
		{"FLB of more users than a kernel counts", func(h *handover) { put(h.flb, 16+56, 1<<31) }, ErrCount, "has 2147483648 users, want 1 to 2147483647"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := breakable(t)
			c := own.NewLedger(h.mem, h.d, scratch)
			if _, err := restoreFrom(c, h.d, h.d.root, h.d.size); err != nil {
				t.Fatalf("before it was broken: %v", err)
			}
			tt.do(h)
			_, err := restoreFrom(own.NewLedger(h.mem, h.d, scratch), h.d, h.d.root, h.d.size)
			var e *phys.Error
			if !errors.Is(err, tt.want) || !errors.As(err, &e) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got  %q\nwant %q in it", err, tt.text)
			}
		})
	}
}

func TestSerializeRejectsWhatTheFormatCannotHold(t *testing.T) {
	for name, build := range map[string]func(*State) error{
		"duplicate sessions": func(st *State) error { return errors.Join(st.AddSession("a"), st.AddSession("b"), st.AddSession("a")) },
		"duplicate tokens": func(st *State) error {
			return errors.Join(st.AddSession("a"), st.AddFile("h", 1, 5), st.AddFile("h", 2, 5))
		},
		"an FLB of nobody": func(st *State) error { return errors.Join(st.AddSession("a"), st.AddFLB("f", 1, 0)) },
	} {
		st := New(1)
		if err := build(st); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := st.check(); !errors.Is(err, ErrDuplicate) && !errors.Is(err, ErrCount) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
