package luo

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/own"
)

// other are records that no kernel writes: larger, with their fields in another order.
var other = layouts{
	session: RecordLayout{size: 120, name: 24, room: 64, first: 16, second: 0},
	file:    RecordLayout{size: 88, name: 16, room: 48, first: 8, second: 64},
	flb:     RecordLayout{size: 64, name: 16, room: 48, first: 8, second: 0},
}

// strange are formats of such records in both forms. The last shares all of its
// records but those of files with Linux 7.3.
func strange() []*Format {
	blocks, arrays, mixed := *V5, *V1FLB, *V5
	blocks.name, blocks.layouts = "strange blocks", other
	blocks.form = &chain{head: versionString{"strange", 8}, number: 32, sessions: 24, flbs: 16, size: 40}
	arrays.name, arrays.compatible, arrays.layouts = "strange arrays", "strange-v1", other
	mixed.name, mixed.layouts.file = "mixed", other.file
	mixed.form = &chain{head: versionString{"mixed", 8}, number: 8, sessions: 16, flbs: 24, size: 32}
	return []*Format{&blocks, &arrays, &mixed}
}

// TestRecordsOfOtherLayoutsCrossOneByOne: fields arrive where the other format has
// them, whichever way round, and nothing else is in the record.
func TestRecordsOfOtherLayoutsCrossOneByOne(t *testing.T) {
	for _, strange := range strange() {
		for _, f := range append(Formats(), strange) {
			mem, d := machine(t)
			st := state(t, 0, 1, 0, 150, 63)
			if f.HoldsFLBs() {
				st = state(t, 3, 1, 0, 150, 63)
			}
			want := modelOf(st)
			from := func() *State {
				t.Helper()
				in, err := restoreFrom(own.NewLedger(mem, d, scratch), d, d.root, d.size, strange)
				if err != nil {
					t.Fatal(err)
				}
				return in
			}
			for _, to := range []*Format{f, strange, f, strange, V5} {
				serializeAs(t, to, st, d)
				if st = from(); st.Format() != to {
					t.Fatalf("written as %v, read as %v", to, st.Format())
				}
				if diff := cmp.Diff(want, modelOf(st)); diff != "" {
					t.Fatalf("in %v (-built +restored):\n%s", to, diff)
				}
			}
			n := 2 + sessionLayout.Blocks(4)
			for _, files := range []int{1, 150, 63} {
				n += fileLayout.Blocks(files)
			}
			if d.Len() != n {
				t.Errorf("%v and %v: %d blocks are preserved, want %d", strange, f, d.Len(), n)
			}
		}
	}
}

// TestStatesOfOtherLayoutsAreCompared by what they say, field by field.
func TestStatesOfOtherLayoutsAreCompared(t *testing.T) {
	for _, strange := range strange() {
		mem, d := machine(t)
		serializeAs(t, strange, state(t, 2, 3, 70), d)
		st, err := restoreFrom(own.NewLedger(mem, d, scratch), d, d.root, d.size, strange)
		if err != nil {
			t.Fatal(err)
		}
		same := state(t, 2, 3, 70)
		if err := st.Diff(same, nil); err != nil {
			t.Errorf("%v: %v", strange, err)
		}
		if err := same.Diff(st, nil); err != nil {
			t.Errorf("%v: %v", strange, err)
		}
		rec, err := mem.Edit(st.fileAddr(1, 69), uint64(strange.file.size))
		if err != nil {
			t.Fatal(err)
		}
		put(rec, strange.file.first, 7)
		const want = `luo: session 1 "vm-1": file 69: "memfd-v2" 0x7 0x1e3, want "memfd-v2" 0x10048000 0x1e3: states differ`
		if err := st.Diff(same, nil); err == nil || err.Error() != want {
			t.Errorf("%v: %v, want %s", strange, err, want)
		}
	}
}

// TestAFormatIsReadIfItIsAskedFor: formats of [Formats] always are, others are refused
// as unknown.
func TestAFormatIsReadIfItIsAskedFor(t *testing.T) {
	for _, strange := range strange() {
		mem, d := machine(t)
		serializeAs(t, strange, state(t, 0, 1), d)
		if _, err := restoreFrom(own.NewLedger(mem, d, scratch), d, d.root, d.size); err == nil {
			t.Errorf("%v is read though nobody asked for it", strange)
		}
	}
}

// TestReadsIsAboutReaders: no kernel reads what was written for another but Linux 6.19,
// which ignores FLBs.
func TestReadsIsAboutReaders(t *testing.T) {
	for _, f := range Formats() {
		for _, g := range Formats() {
			if want := f == g || f == V1 && g == V1FLB; f.Reads(g) != want {
				t.Errorf("%v reads %v: %v", f, g, !want)
			}
		}
	}
}
