package pairwise

import "testing"

// TestEveryPairIsInSomeRow looks for each pair by itself.
func TestEveryPairIsInSomeRow(t *testing.T) {
	for _, tt := range []struct {
		sizes []int
		most  int // rows
	}{
		{[]int{3, 3, 2, 2}, 9}, {[]int{2, 2, 2}, 4}, {[]int{4, 2, 2, 2}, 8}, {[]int{2, 2, 4}, 8}, {[]int{5, 1}, 5},
	} {
		rows := Rows(tt.sizes...)
		if len(rows) > tt.most {
			t.Errorf("%v: %d rows, want at most %d", tt.sizes, len(rows), tt.most)
		}
		for i, n := range tt.sizes {
			for j, m := range tt.sizes[:i] {
				for v := range n {
					for w := range m {
						found := false
						for _, row := range rows {
							found = found || row[i] == v && row[j] == w
						}
						if !found {
							t.Errorf("%v: no row with value %d of setting %d and value %d of setting %d", tt.sizes, v, i, w, j)
						}
					}
				}
			}
		}
	}
}

func TestAllIsTheProduct(t *testing.T) {
	seen := make(map[[3]int]bool)
	for _, row := range All(3, 2, 4) {
		seen[[3]int(row)] = true
	}
	if len(seen) != 24 {
		t.Errorf("%d different rows, want 24", len(seen))
	}
}
