package luo

import (
	"errors"
	"strings"
	"testing"

	"ferry/own"
	"ferry/phys"
)

// TestEveryDamagedSessionIsReported breaks all three sessions and an FLB, in blocks
// and in arrays: each is named once, and nothing else is.
func TestEveryDamagedSessionIsReported(t *testing.T) {
	want := []string{
		`session 0 "vm-0": file `, "empty handler",
		`session 1 "vm-1": file `, "handler \"hhh",
		`session 2 "vm-2": file `, "address inside one RAM range",
		"FLB page: FLB 0 ", "has 0 users, want 1 to ",
	}
	damage := func(sessions, first, second, flb []byte) {
		clear(first[:handlerName])
		copy(second, strings.Repeat("h", handlerName))
		put(sessions, 2*sessionSize+sessionFiles, 1<<44)
		put(sessions, 2*sessionSize+sessionCount, 5)
		put(flb, flbRecords+flbCount, 0)
	}
	check := func(name string, mem phys.Memory, d *draft) {
		_, err := restoreFrom(own.NewLedger(mem, d, scratch), d, d.root, d.size)
		var all *phys.Errors
		if !errors.As(err, &all) || len(all.All()) != len(want)/2 {
			t.Fatalf("%s: got %v, want %d errors", name, err, len(want)/2)
		}
		for i, err := range all.All() {
			if !strings.HasPrefix(err.Error(), want[2*i]) || !strings.Contains(err.Error(), want[2*i+1]) {
				t.Errorf("%s: error %d is %q, want %q with %q", name, i, err, want[2*i], want[2*i+1])
			}
		}
		for _, rule := range []error{ErrName, phys.ErrNotRAM, ErrCount} {
			if !errors.Is(err, rule) {
				t.Errorf("%s: no error is %q", name, rule)
			}
		}
	}
	h := breakable(t)
	first, err := h.mem.Edit(phys.Addr(u64(h.sess[16+sessionFiles:])), phys.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	damage(h.sess[16:], first[16:], h.file[1][16:], h.flb)
	check("blocks", h.mem, h.d)
	a := breakableTree(t)
	damage(a.sessions[arrayHeader:], a.files[0], a.files[1][63*fileSize:], a.flb)
	check("arrays", a.mem, a.d)
}

// TestFindingsOfAStateAreBounded breaks every one of 60 sessions.
func TestFindingsOfAStateAreBounded(t *testing.T) {
	mem, d := machine(t)
	serialize(t, state(t, 0, make([]int, 60)...), d)
	root, err := mem.View(d.root, phys.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	block, err := mem.Edit(phys.Addr(u64(root[16:])), phys.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	broken := func(n int) *phys.Errors {
		for i := range n {
			put(block, 16+i*sessionSize+sessionCount, 1)
			put(block, 16+i*sessionSize+sessionFiles, 1<<44)
		}
		_, err := restoreFrom(own.NewLedger(mem, d, scratch), d, d.root, d.size)
		var all *phys.Errors
		if !errors.As(err, &all) {
			t.Fatalf("%d sessions broken: got %v", n, err)
		}
		return all
	}
	if all := broken(13); len(all.All()) != 13 || errors.Is(all, errMore) {
		t.Errorf("%d errors of 13 sessions: %v", len(all.All()), all)
	}
	if all := broken(51); len(all.All()) != 15 || all.All()[14] != errMore || !strings.Contains(all.All()[13].Error(), "session 13 ") {
		t.Errorf("%d errors of 51 sessions: %v", len(all.All()), all)
	}
}
