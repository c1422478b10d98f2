package luo

import (
	"strings"
	"testing"

	"ferry/own"
	"ferry/phys"
)

// oddState is a state that kernels take, and what they take it for.
type oddState struct {
	name string
	odd  []string // in the errors of Odd, in their order
	// What the state of two sessions and a third without files is taken for.
	names []string
	files []int
}

var usual = oddState{names: []string{"vm-0", "vm-1", "vm-2"}, files: []int{1, 70, 0}}

// taken reads the state as it now is, and again as it is written in every format.
func (want oddState) taken(t *testing.T, mem phys.Memory, d *draft) {
	t.Helper()
	if want.names == nil {
		want.names = usual.names
	}
	if want.files == nil {
		want.files = usual.files
	}
	st, err := restoreFrom(own.NewLedger(mem, d, scratch), d, d.root, d.size)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range want.odd {
		if i >= len(st.Odd()) || !strings.Contains(st.Odd()[i].Error(), text) {
			t.Fatalf("odd: %v, want %q as number %d", st.Odd(), text, i)
		}
	}
	if len(st.Odd()) != len(want.odd) {
		t.Errorf("odd: %v, want %q", st.Odd(), want.odd)
	}
	check := func(st *State) {
		t.Helper()
		var names []string
		var files []int
		for s, err := range st.Sessions() {
			if err != nil {
				t.Fatal(err)
			}
			names, files = append(names, string(s.Name)), append(files, s.Len())
		}
		if strings.Join(names, "|") != strings.Join(want.names, "|") || len(files) != len(want.files) {
			t.Errorf("sessions %q with %v files, want %q with %v", names, files, want.names, want.files)
		}
		for i, n := range files {
			if n != want.files[i] {
				t.Errorf("sessions with %v files, want %v", files, want.files)
			}
		}
	}
	check(st)
	for _, f := range []*Format{V1FLB, V5, V4Block} {
		serializeAs(t, f, st, d)
		again := restore(t, mem, d)
		check(again)
		if err := again.Diff(st, nil); err != nil {
			t.Errorf("in %v: %v", f, err)
		}
		st = again
	}
}

// TestOddBlocksAreTakenAsKernelsTakeThem changes blocks where Linux 7.2 and 7.3 do not
// look, or do not mind.
func TestOddBlocksAreTakenAsKernelsTakeThem(t *testing.T) {
	const one = 16 + 80 // record of session 1 in its block
	long := strings.Repeat("n", 64)
	for _, tt := range []struct {
		do func(*handover)
		oddState
	}{
		{func(*handover) {}, oddState{name: "nothing"}},
		{func(h *handover) { put(h.sess, 8, 4) }, oddState{name: "a session too many", odd: []string{`session 3 "": record 0x10001100: neither a name nor files`},
			names: []string{"vm-0", "vm-1", "vm-2", ""}, files: []int{1, 70, 0, 0}}},
		{func(h *handover) { h.sess[one] = 0 }, oddState{name: "a name that begins with a NUL", odd: []string{`session 1 "": record 0x10001060: bytes behind the end of name ""`},
			names: []string{"vm-0", "", "vm-2"}}},
		{func(h *handover) { copy(h.sess[one:], long) }, oddState{name: "a name without end", odd: []string{"does not end, want a NUL within 64 bytes"},
			names: []string{"vm-0", long[:63], "vm-2"}}},
		{func(h *handover) { h.sess[one+63] = 1 }, oddState{name: "what is left of a longer name", odd: []string{`session 1 "vm-1": record 0x10001060: bytes behind the end`}}},
		{func(h *handover) { put(h.sess, 8, 2) }, oddState{name: "a count that hides a session without files",
			odd: []string{"session block 0x10001000: record 2 0x100010b0: bytes that are not zero, want zeros behind the 2 records"}, names: []string{"vm-0", "vm-1"}, files: []int{1, 70}}},
		{func(h *handover) { put(h.file[1], 8, 6); put(h.sess, one+72, 69) }, oddState{name: "counts that hide a file",
			odd: []string{"file block 0x10005000: record 6 0x10005190: bytes that are not zero"}, files: []int{1, 69, 0}}},
		{func(h *handover) { h.file[1][4095] = 1 }, oddState{name: "a byte behind the last file", odd: []string{"record 63 0x10005fd0: bytes"}}},
		{func(h *handover) { put(h.sess, one+64, 0) }, oddState{name: "files that are nowhere", odd: []string{`session 1 "vm-1": record 0x10001060: 70 files that are nowhere`}, files: []int{1, 0, 0}}},
		{func(h *handover) { h.file[0][16+47] = 1 }, oddState{name: "bytes behind a handler", odd: []string{"file block 0: file 0 0x10004010: bytes behind the end of handler"}}},
		{func(h *handover) { put(h.file[1], 16+56, 14) }, oddState{name: "a token twice", odd: []string{`session 1 "vm-1": file 63 0x10005010: token 0xe of file 2`}}},
		{func(h *handover) { put(h.flb, 0, 0) }, oddState{name: "no FLB page", odd: []string{"FLB page: header 0x10002000: 0 pages, want 1"}}},
		{func(h *handover) { h.flb[16+47] = 1 }, oddState{name: "bytes behind the name of an FLB", odd: []string{"FLB page: FLB 0 0x10002010: bytes behind the end of name"}}},
		{func(h *handover) { put(h.flb, 16+56, 1<<31-1) }, oddState{name: "an FLB that many hold"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := breakable(t)
			tt.do(h)
			tt.taken(t, h.mem, h.d)
		})
	}
}

// TestOddArraysAreTakenAsKernelsTakeThem is the same for Linux 7.0 and 7.1.
func TestOddArraysAreTakenAsKernelsTakeThem(t *testing.T) {
	const one = arrayHeader + sessionSize // record of session 1
	stale := func(b []byte, name string, files phys.Addr, count uint64) {
		clear(b[:sessionSize])
		copy(b, name)
		put(b, sessionFiles, uint64(files))
		put(b, sessionCount, count)
	}
	for _, tt := range []struct {
		do func(*brokenTree)
		oddState
	}{
		{func(*brokenTree) {}, oddState{name: "nothing"}},
		{func(h *brokenTree) { put(h.sessions, 0, 4) }, oddState{name: "a session too many", odd: []string{`neither a name nor files`},
			names: []string{"vm-0", "vm-1", "vm-2", ""}, files: []int{1, 70, 0, 0}}},
		{func(h *brokenTree) { put(h.sessions, 0, 2) }, oddState{name: "a session that was given up before another attempt", odd: []string{"record 2 0x100100a8: bytes that are not zero"},
			names: []string{"vm-0", "vm-1"}, files: []int{1, 70}}},
		{func(h *brokenTree) { stale(h.sessions[one+2*sessionSize:], "gone", h.at[1], 70) }, oddState{name: "one whose array is another's now", odd: []string{"record 3 0x100100f8: bytes"}}},
		{func(h *brokenTree) { stale(h.sessions[one+2*sessionSize:], "gone", base+8<<20, 70) }, oddState{name: "one whose array is nobody's now", odd: []string{"record 3 0x100100f8: bytes"}}},
		{func(h *brokenTree) {
			h.d.Preserve(phys.Block{Addr: base + 8<<20, Order: 1})
			stale(h.sessions[one+2*sessionSize:], "gone", base+8<<20, 70)
		}, oddState{name: "one whose array is a file's memory now", odd: []string{"record 3 0x100100f8: bytes"}}},
		{func(h *brokenTree) { h.sessions[16*4096-1] = 1 }, oddState{name: "a byte at the end", odd: []string{"session array 0x10010000: record 819 0x1001fff8: bytes that are not zero, want zeros behind the 3 records"}}},
		{func(h *brokenTree) { put(h.sessions, one+sessionCount, 69) }, oddState{name: "a count that hides a file", odd: []string{"record 69 0x"}, files: []int{1, 69, 0}}},
		{func(h *brokenTree) { put(h.sessions, one+sessionFiles, 0) }, oddState{name: "files that are nowhere", odd: []string{"70 files that are nowhere"}, files: []int{1, 0, 0}}},
		{func(h *brokenTree) { put(h.files[1], 69*fileSize+fileToken, 14) }, oddState{name: "a token twice", odd: []string{"token 0xe of file 2"}}},
		{func(h *brokenTree) { h.files[1][64+40] = 1 }, oddState{name: "bytes behind a handler", odd: []string{"file array: file 1 0x"}}},
		{func(h *brokenTree) { h.sessions[one+63] = 1 }, oddState{name: "what is left of a longer name", odd: []string{"bytes behind the end of name \"vm-1\""}}},
		{func(h *brokenTree) { copy(h.flb[16+5*64:], "gone") }, oddState{name: "what is left of an FLB", odd: []string{"FLB page: header 0x10020000: record 5 0x10020150: bytes"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := breakableTree(t)
			tt.do(h)
			tt.taken(t, h.mem, h.d)
		})
	}
}
