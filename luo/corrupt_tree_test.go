package luo

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"ferry/fdt"
	"ferry/own"
	"ferry/phys"
)

// brokenTree is a state of Linux 7.1 to break: its pages by role. Session 0 has one
// file, session 1 70 and session 2 none; two FLBs.
type brokenTree struct {
	mem      phys.Memory
	d        *draft
	root     []byte
	sessions []byte
	flb      []byte
	files    [2][]byte
	array    phys.Addr // of the sessions
	at       [2]phys.Addr
	flbs     phys.Addr
}

func breakableTree(t *testing.T) *brokenTree {
	mem, d := machine(t)
	serializeAs(t, V1FLB, state(t, 2, 1, 70, 0), d)
	in := restore(t, mem, d)
	edit := func(a phys.Addr, n uint64) []byte {
		b, err := mem.Edit(a, n)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	h := &brokenTree{mem: mem, d: d, array: in.arrays.at(0).Addr, flbs: in.flbPage}
	h.root, h.flb = edit(d.root, phys.PageSize), edit(in.flbPage, phys.PageSize)
	h.sessions = edit(h.array, 16*phys.PageSize)
	for i := range h.files {
		h.at[i] = in.arrays.at(1 + i).Addr
		h.files[i] = edit(h.at[i], 2*phys.PageSize)
	}
	return h
}

// write replaces the root by a tree of luo-v1 that edit changes, and sets the size
// of the sub-tree to that.
func (h *brokenTree) write(nodes ...func(*fdt.Writer)) {
	w := fdt.NewWriter(h.root)
	w.Begin("")
	for _, n := range nodes {
		n(w)
	}
	w.End()
	n, err := w.Finish()
	if err != nil {
		panic(err)
	}
	h.d.size = uint64(n)
}

func property(name string, v uint64) func(*fdt.Writer) {
	return func(w *fdt.Writer) { w.Uint64(name, v) }
}

func text8(name, s string) func(*fdt.Writer) { return func(w *fdt.Writer) { w.String(name, s) } }

func node(name string, in ...func(*fdt.Writer)) func(*fdt.Writer) {
	return func(w *fdt.Writer) {
		w.Begin(name)
		for _, n := range in {
			n(w)
		}
		w.End()
	}
}

// TestATreeMayBeSmallerThanItsSubtree: readers look at the tree's own size alone.
func TestATreeMayBeSmallerThanItsSubtree(t *testing.T) {
	for _, size := range []uint64{303, 304, phys.PageSize} {
		h := breakableTree(t)
		want := restore(t, h.mem, h.d)
		h.d.size = size
		st := restore(t, h.mem, h.d)
		if err := st.Diff(want, nil); err != nil || st.Format() != V1FLB || st.Len() != 3 {
			t.Errorf("%d bytes: %v with %d sessions: %v", size, st.Format(), st.Len(), err)
		}
		serializeAs(t, V1FLB, st, h.d)
		if h.d.size != 303 {
			t.Errorf("%d bytes: written anew with %d, want the size of the tree", size, h.d.size)
		}
	}
}

func TestRestoreRejectsTrees(t *testing.T) {
	const first, one = arrayHeader, arrayHeader + sessionSize // records of sessions 0 and 1
	var (
		compatible = text8("compatible", "luo-v1")
		number     = property("liveupdate-number", 1)
		session    = func(a phys.Addr) func(*fdt.Writer) {
			return node("luo-session", text8("compatible", "luo-session-v2"), property("luo-session-header", uint64(a)))
		}
		flb = func(a phys.Addr) func(*fdt.Writer) {
			return node("luo-flb", text8("compatible", "luo-flb-v1"), property("luo-flb-header", uint64(a)))
		}
	)
	for _, tt := range []struct {
		name string
		do   func(*brokenTree)
		want error
		text string
	}{
		{"blob size too small", func(h *brokenTree) { h.d.size = 302 }, ErrSize, "sub-tree 0x10000000: 302 bytes, want 303 at least, the size of the device tree"},
		{"a tree larger than its page", func(h *brokenTree) { binary.BigEndian.PutUint32(h.root[4:], 5000) }, fdt.ErrHeader, "total size"},
		{"no compatible", func(h *brokenTree) { h.write(number, session(h.array), flb(h.flbs)) }, fdt.ErrProperty, `"compatible"`},
		{"no number", func(h *brokenTree) { h.write(compatible, session(h.array), flb(h.flbs)) }, fdt.ErrProperty, `"liveupdate-number"`},
		{"a number of 4 bytes", func(h *brokenTree) {
			h.write(compatible, func(w *fdt.Writer) { w.Property("liveupdate-number", make([]byte, 4)) }, session(h.array), flb(h.flbs))
		}, fdt.ErrProperty, "4 bytes, want 8 bytes"},
		{"no sessions", func(h *brokenTree) { h.write(compatible, number, flb(h.flbs)) }, ErrTree, `no node "luo-session"`},
		{"two nodes of sessions", func(h *brokenTree) { h.write(compatible, number, session(h.array), session(h.array), flb(h.flbs)) },
			fdt.ErrDuplicate, `a second node "luo-session"`},
		{"an unknown node", func(h *brokenTree) { h.write(compatible, number, session(h.array), flb(h.flbs), node("luo-x")) }, ErrTree, `node "luo-x"`},
		{"an unknown property", func(h *brokenTree) { h.write(compatible, number, property("x", 1), session(h.array), flb(h.flbs)) }, ErrTree, `property "x"`},
		{"other sessions", func(h *brokenTree) {
			h.write(compatible, number, node("luo-session", text8("compatible", "luo-session-v3"), property("luo-session-header", uint64(h.array))), flb(h.flbs))
		}, ErrVersion, `node "luo-session"`},
		{"sessions without an array", func(h *brokenTree) {
			h.write(compatible, number, node("luo-session", text8("compatible", "luo-session-v2")), flb(h.flbs))
		}, fdt.ErrProperty, `"luo-session-header"`},
		{"a node below the sessions", func(h *brokenTree) {
			h.write(compatible, number, node("luo-session", text8("compatible", "luo-session-v2"), property("luo-session-header", uint64(h.array)), node("x")), flb(h.flbs))
		}, ErrTree, `node "x"`},
		{"other FLBs", func(h *brokenTree) {
			h.write(compatible, number, session(h.array), node("luo-flb", text8("compatible", "luo-flb-v2"), property("luo-flb-header", uint64(h.flbs))))
		}, ErrVersion, "luo-flb-v2"},
		{"session array 0", func(h *brokenTree) { h.write(compatible, number, session(0), flb(h.flbs)) }, own.ErrPlace, "session array 0x0"},
		{"session array outside RAM", func(h *brokenTree) { h.write(compatible, number, session(1<<44), flb(h.flbs)) }, phys.ErrNotRAM, "session array 0x100000000000"},
		{"session array inside its block", func(h *brokenTree) { h.write(compatible, number, session(h.array+4096), flb(h.flbs)) }, own.ErrPreserved, "session array"},
		{"session array unaligned", func(h *brokenTree) { h.write(compatible, number, session(h.array+8), flb(h.flbs)) }, own.ErrPlace, "session array"},
		{"session array in scratch", func(h *brokenTree) {
			h.d.Preserve(phys.Block{Addr: scratch[0].Start, Order: 4})
			h.write(compatible, number, session(scratch[0].Start), flb(h.flbs))
		}, own.ErrPlace, "session array"},
		{"session array is the root", func(h *brokenTree) { h.write(compatible, number, session(base), flb(h.flbs)) }, own.ErrShared, "session array"},
		{"session array in a block of order 11", func(h *brokenTree) {
			a := base + 8<<20
			h.d.Preserve(phys.Block{Addr: a, Order: 11})
			h.write(compatible, number, session(a), flb(h.flbs))
		}, ErrSize, "a block of order 11, want at most order 10"},
		{"a count that hides sessions", func(h *brokenTree) { put(h.sessions, 0, 1) }, ErrCount,
			"session array 0x10010000: record 1 0x10010058: a session whose files are preserved, want zeros behind the 1 records of its count (Linux would lose"},
		{"one session more than the block holds", func(h *brokenTree) { put(h.sessions, 0, 820) }, ErrCount, "count 820, want at most 819, what its block of order 4 holds"},
		{"a number of sessions that wraps", func(h *brokenTree) { put(h.sessions, 0, ^uint64(0)/80+2) }, ErrCount, "session array"},
		{"sessions that were not written", func(h *brokenTree) { put(h.sessions, 0, 5) }, ErrDuplicate, `session 4 0x10010148: name "" of session 3`},
		{"duplicate session name", func(h *brokenTree) { h.sessions[one+3] = '0' }, ErrDuplicate, `session 1 0x10010058: name "vm-0" of session 0`},
		{"file array outside RAM", func(h *brokenTree) { put(h.sessions, one+sessionFiles, 1<<44) }, phys.ErrNotRAM, `session 1 "vm-1": file array 0x100000000000`},
		{"file array of another session", func(h *brokenTree) { put(h.sessions, one+sessionFiles, uint64(h.at[0])) }, own.ErrShared, `session 1 "vm-1": file array`},
		{"file array is the session array", func(h *brokenTree) { put(h.sessions, first+sessionFiles, uint64(h.array)) }, own.ErrShared, `session 0 "vm-0": file array`},
		{"one file more than the block holds", func(h *brokenTree) { put(h.sessions, one+sessionCount, 129) }, ErrCount,
			"count 129, want at most 128, what its block of order 1 holds"},
		{"a number of files that wraps", func(h *brokenTree) { put(h.sessions, one+sessionCount, 1<<58+1) }, ErrCount, "file array"},
		{"files that were not written", func(h *brokenTree) { put(h.sessions, one+sessionCount, 71) }, ErrName, `session 1 "vm-1": file array: file 70`},
		{"handler without end", func(h *brokenTree) { copy(h.files[1][64:], strings.Repeat("h", 48)) }, ErrName, `session 1 "vm-1": file array: file 1`},
		{"FLB page outside RAM", func(h *brokenTree) { h.write(compatible, number, session(h.array), flb(1<<44)) }, phys.ErrNotRAM, "FLB page"},
		{"FLB page 0", func(h *brokenTree) { h.write(compatible, number, session(h.array), flb(0)) }, own.ErrPlace, "FLB page"},
		{"FLB page is the session array", func(h *brokenTree) { h.write(compatible, number, session(h.array), flb(h.array)) }, own.ErrPreserved, "FLB page"},
		{"FLB count too large", func(h *brokenTree) { put(h.flb, 8, 64) }, ErrCount, "count 64, want 0..63"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := breakableTree(t)
			if _, err := restoreFrom(own.NewLedger(h.mem, h.d, scratch), h.d, h.d.root, h.d.size); err != nil {
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

// TestTreesAreReadAsTheyMayBe changes what carries no meaning.
func TestTreesAreReadAsTheyMayBe(t *testing.T) {
	h := breakableTree(t)
	want := restore(t, h.mem, h.d)
	list := func(name string, all ...string) func(*fdt.Writer) {
		return func(w *fdt.Writer) { w.Property(name, []byte(strings.Join(all, "\x00")+"\x00")) }
	}
	h.write(property("liveupdate-number", want.Number), list("compatible", "luo-v0", "luo-v1"),
		node("luo-flb", property("luo-flb-header", uint64(h.flbs)), list("compatible", "luo-flb-v1", "x")),
		node("luo-session", property("luo-session-header", uint64(h.array)), list("compatible", "y", "luo-session-v2")))
	if err := restore(t, h.mem, h.d).Diff(want, nil); err != nil {
		t.Error(err)
	}
}

// TestUnknownFormatsAreNamed gives roots of kernels that nobody runs, or not yet.
func TestUnknownFormatsAreNamed(t *testing.T) {
	for _, tt := range []struct {
		name, root string
		size       uint64
		text       []string
	}{
		{"luo-v3 as a structure", "luo-v3\x00\x00", 32, []string{`compatible "luo-v3" in a structure of 32 bytes`, "a step of the series that became Linux 7.2, and stood for two layouts"}},
		{"luo-v4 without blocks of its own", "luo-v4\x00\x00", 32, []string{`compatible "luo-v4"`, "sessions in blocks, files in arrays"}},
		{"luo-v3-kho-block-v1", "luo-v3-kho-block-v1\x00\x00\x00\x00\x00", 48, []string{`compatible "luo-v3-kho-block-v1"`, "sessions in blocks, files in arrays"}},
		{"luo-v5;block-v1", "luo-v5;block-v1\x00", 40, []string{`compatible "luo-v5;block-v1" in a structure of 40 bytes`, "proposed in June 2026"}},
		{"a component that nobody knows", "luo-v5;block-v2;x-v1\x00\x00\x00\x00", 48, []string{`"luo-v5;block-v2;x-v1"`, "is luo-v5 made of block-v2 and x-v1, which no release wrote"}},
		{"a glued component that nobody knows", "luo-v6-kho-block-v2\x00", 48, []string{"is luo-v6 made of kho-block-v2, which no release wrote"}},
		{"luo-v9", "luo-v9\x00\x00", 32, []string{`compatible "luo-v9" in a structure of 32 bytes, want luo-v1, luo-v1 with FLBs, `, ", luo-v5 (the kernel that wrote it"}},
		{"luo-v1 as a structure", "luo-v1\x00\x00", 32, []string{`compatible "luo-v1" in a structure`}},
		{"no end of the string", "luo-v5xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 32, []string{`compatible "luo-v5xxxxxxxxxxxxxxxxxxxxxxxxxx"`}},
		{"a feature header", "\x07\x00\x00\x00\x00\x00\x00\x00", 152, []string{"152 bytes that begin with 07 00 00 00 00 00 00 00, no version string", "a header of feature bits, 128 bytes"}},
		{"a feature header of printable bits", "G\x00\x00\x00\x00\x00\x00\x00", 152, []string{"152 bytes that begin with 47 00", "a header of feature bits"}},
		{"a feature header of another size", "\x07\x00\x00\x00\x00\x00\x00\x00", 160, []string{"160 bytes that begin with 07", "a header of feature bits"}},
		{"a letter that is none", "\xd0luo-v5", 32, []string{"32 bytes that begin with d0 6c", "no version string"}},
		{"nothing", "", 32, []string{"no version string"}},
		{"nothing, of no size", "", 0, []string{"0 bytes", "no version string"}},
	} {
		mem, d := machine(t)
		a, page, err := d.Alloc()
		if err != nil {
			t.Fatal(err)
		}
		copy(page, tt.root)
		_, err = restoreFrom(own.NewLedger(mem, d, scratch), d, a, tt.size)
		var e *phys.Error
		if !errors.Is(err, ErrVersion) || !errors.As(err, &e) {
			t.Errorf("%s: got %v, want %v", tt.name, err, ErrVersion)
			continue
		}
		for _, s := range tt.text {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q, want %q in it", tt.name, err, s)
			}
		}
	}
	for _, tt := range []struct{ compatible, text string }{
		{"luo-v2", `compatible ["luo-v2"] in a device tree: luo-v2 is a step of the series that became Linux 7.2: a device tree that names`},
		{"luo-v3", `compatible ["luo-v3"] in a device tree: luo-v3 is a step`},
		{"luo-v9", `compatible ["luo-v9"] in a device tree, want luo-v1`},
		{"luo-v5", `compatible ["luo-v5"] in a device tree, want`},
	} {
		h := breakableTree(t)
		h.write(text8("compatible", tt.compatible), property("luo-abi-header", uint64(base)))
		_, err := restoreFrom(own.NewLedger(h.mem, h.d, scratch), h.d, h.d.root, h.d.size)
		if !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want %q in it", tt.compatible, err, tt.text)
		}
	}
}

// TestBytesBehindTheVersionStringAreNoPartOfIt changes each byte of the padding.
func TestBytesBehindTheVersionStringAreNoPartOfIt(t *testing.T) {
	for _, f := range Formats() {
		if !isChain(f) {
			continue
		}
		for i := uint64(len(f.compatible)) + 1; i < uint64(len(f.compatible)+8)&^7; i++ {
			mem, d := machine(t)
			serializeAs(t, f, New(1), d)
			root, err := mem.Edit(d.root, chainOf(f).size)
			if err != nil {
				t.Fatal(err)
			}
			root[i] = 1
			st, err := restoreFrom(own.NewLedger(mem, d, scratch), d, d.root, d.size)
			if err != nil || st.Format() != f || len(st.Odd()) != 1 || !strings.Contains(st.Odd()[0].Error(), "bytes behind the version string") {
				t.Errorf("%v, byte %d: %v, odd %v", f, i, err, st.Odd())
			}
		}
	}
}
