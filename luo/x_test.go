package luo

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/own"
	"ferry/phys"
)

// exampleX is the worked example behind a feature header, laid out as the development
// tree's header file says. Nobody has seen such bytes that a kernel wrote.
var exampleX = example{X, "memfd", 152, 4, append([]piece{{0, "0700000000000000 0700000000000000 0700000000000000"},
	{128, "0100000000000000 0020000001000000 0030000001000000"}}, exampleBlocks...)}

// restoreX reads what d holds, X among the formats.
func restoreX(t *testing.T, mem phys.Memory, d *draft) *State {
	t.Helper()
	st, err := restoreFrom(own.NewLedger(mem, d, scratch), d, d.root, d.size, X)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestFeatureHeaderIsWrittenByteForByte(t *testing.T) {
	e := exampleX
	e.memfd = "memfd-v2" // as in the blocks of the example
	e.write(t)
}

func TestAStateBehindAFeatureHeaderCrossesToEveryFormatAndBack(t *testing.T) {
	for _, f := range append(Formats(), X) {
		mem, d := machine(t)
		st := state(t, 0, 1, 0, 150)
		if f.HoldsFLBs() {
			st = state(t, 3, 1, 0, 150)
		}
		want := modelOf(st)
		for _, to := range []*Format{X, f, X} {
			serializeAs(t, to, st, d)
			if st = restoreX(t, mem, d); st.Format() != to {
				t.Fatalf("written as %v, read as %v", to, st.Format())
			}
			if diff := cmp.Diff(want, modelOf(st)); diff != "" {
				t.Fatalf("in %v (-built +restored):\n%s", to, diff)
			}
		}
		if _, err := restoreFrom(own.NewLedger(mem, d, scratch), d, d.root, d.size); !errors.Is(err, ErrVersion) {
			t.Errorf("it is read though nobody asked for it: %v", err)
		}
	}
}

// TestEveryBitOfAFeatureHeaderCounts changes one bit of each byte of it, in one machine:
// on metal each costs 96 MiB.
func TestEveryBitOfAFeatureHeaderCounts(t *testing.T) {
	mem, d := machine(t)
	serializeAs(t, X, state(t, 0, 1), d)
	root, err := mem.Edit(d.root, phys.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 128 {
		for _, bit := range []byte{1, 8, 0x80} {
			root[i] ^= bit
			// What A has besides; what a reader need not have.
			harmless := i < 8 || i == 8 && bit == 1
			_, err := restoreFrom(own.NewLedger(mem, d, scratch), d, d.root, d.size, X)
			if (err == nil) != harmless || err != nil && !errors.Is(err, ErrVersion) {
				t.Errorf("byte %d xor %#x: %v", i, bit, err)
			}
			var e *phys.Error
			if err != nil && errors.As(err, &e) && i < 24 && (e.Addr != d.root+phys.Addr(i&^7) || !strings.Contains(e.Found, fmt.Sprintf("%#x", u64(root[i&^7:])))) {
				t.Errorf("byte %d xor %#x is not named: %v", i, bit, err)
			}
			root[i] ^= bit
		}
	}
}
