package memfd_test

import (
	"errors"
	"strings"
	"testing"

	"ferry/memfd"
	"ferry/phys"
)

func TestFilesWithHolesAreNotWhole(t *testing.T) {
	for _, tt := range []struct {
		name   string
		orders []int
		short  uint64 // pages that the file is longer
		want   string // empty: it is whole
	}{
		{"empty", nil, 0, ""},
		{"folios of several orders", []int{1, 0, 0, 2}, 0, ""},
		{"a hole at the beginning", []int{-2, 1}, 0, "page 0 of 4 in none"},
		{"a hole between", []int{0, 0, -2, 1}, 0, "page 2 of 6 in none of them (entry 2 at "},
		{"an entry without memory", []int{0, 100, 0}, 0, "page 1 of 3 in none of them (entry 1 at "},
		{"an entry without memory at the end", []int{0, 100}, 0, "page 1 of 2 in none"},
		{"too few folios", []int{1}, 1, "page 2 of 3 in none of them, want"},
	} {
		d := first(t)
		fs, pages := folios(t, d, tt.orders...)
		a, err := memfd.Write(d, memfd.V2, memfd.Meta{Size: (pages + tt.short) * phys.PageSize}, fs)
		if err != nil {
			t.Fatal(err)
		}
		_, c := commit(t, d)
		f, err := memfd.Open(c, memfd.Ref{Format: memfd.V2, Addr: a})
		if err != nil {
			t.Fatal(err)
		}
		err = f.Whole()
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, memfd.ErrStruct) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestPagesNeverWrittenToAreNoHoles: only the first kernels that preserved memfds
// recorded the flags of the moment; later ones give every page contents.
func TestPagesNeverWrittenToAreNoHoles(t *testing.T) {
	for _, flags := range []uint16{0, memfd.Dirty, memfd.UpToDate, 0x800} {
		for _, f := range memfd.Formats() {
			_, file, _ := unset(t, f, []int{0, 0, 1}, []uint16{3, flags, 3})
			if err := file.Whole(); err != nil || file.Unset() != 1 {
				t.Errorf("%v, flags %d: %v, %d folios lack a flag", f, flags, err, file.Unset())
			}
		}
	}
}
