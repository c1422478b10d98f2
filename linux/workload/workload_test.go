package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ferry/linux/liveupdate"
)

func TestPlanGivesEverySessionAndFileItsOwnName(t *testing.T) {
	sessions := Plan{Sessions: 100, Files: 40, Big: 3}.List()
	names := map[string]bool{}
	for i, s := range sessions {
		if names[s.Name] || len(s.Name) > liveupdate.NameLen || s.Name == "" {
			t.Errorf("session %d: name %q is used twice, empty or too long", i, s.Name)
		}
		names[s.Name] = true
		want := 40
		if i == 0 {
			want = 41
		}
		if len(s.Files) != want {
			t.Errorf("session %d has %d files, want %d", i, len(s.Files), want)
		}
		tokens := map[uint64]bool{}
		for j, f := range s.Files {
			if tokens[f.Token] {
				t.Errorf("session %d: token %#x is used twice", i, f.Token)
			}
			tokens[f.Token] = true
			if f.Pos < 0 || f.Pos > f.Size {
				t.Errorf("session %d, file %d: position %d of %d bytes", i, j, f.Pos, f.Size)
			}
		}
	}
}

func TestPlanIsTheSameEveryTime(t *testing.T) {
	p := Plan{Sessions: 7, Files: 9, Big: 1}
	if diff := cmp.Diff(p.List(), p.List(), cmp.AllowUnexported(File{})); diff != "" {
		t.Error(diff)
	}
	small := Plan{Sessions: 3, Files: 9}.List()
	if diff := cmp.Diff(small[1:], p.List()[1:3], cmpopts.EquateComparable(File{})); diff != "" {
		t.Errorf("a session depends on the size of the plan:\n%s", diff)
	}
}

func TestPagesDiffer(t *testing.T) {
	f := file(1, 6)
	if !f.Sparse || f.Size != 65537 {
		t.Fatalf("file is not the sparse one: %+v", f)
	}
	seen := map[string]int64{}
	for n := range (f.Size + PageSize - 1) / PageSize {
		page := make([]byte, min(PageSize, f.Size-n*PageSize))
		f.Fill(page, n)
		zero := string(page) == string(make([]byte, len(page)))
		if hole := n != 0 && n != 16; zero != hole {
			t.Errorf("page %d: all zero %v, want %v", n, zero, hole)
		}
		if other, ok := seen[string(page)]; ok && !zero {
			t.Errorf("pages %d and %d are equal", other, n)
		}
		seen[string(page)] = n
	}
}
