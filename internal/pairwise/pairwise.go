// Package pairwise chooses rows of a table of test settings such that every value of
// one setting meets every value of each other one. Most faults that depend on
// settings depend on one or two of them, so that these rows find what the whole
// table finds, at a fraction of its time. The whole table runs in the nightly.
package pairwise

// Rows returns rows of the product of settings with so many values each: row[i] is
// the number, from 0, of the value of setting i. Each pair of values of two settings
// is in some row. The same sizes give the same rows.
func Rows(sizes ...int) [][]int {
	left := All(sizes...)
	missing := make(map[pair]bool)
	for _, row := range left {
		for _, p := range of(row) {
			missing[p] = true
		}
	}
	var rows [][]int
	for len(missing) > 0 {
		best, most := 0, -1
		for i, row := range left {
			n := 0
			for _, p := range of(row) {
				if missing[p] {
					n++
				}
			}
			if n > most {
				best, most = i, n
			}
		}
		for _, p := range of(left[best]) {
			delete(missing, p)
		}
		rows = append(rows, left[best])
	}
	return rows
}

// All returns every row of the product.
func All(sizes ...int) [][]int {
	rows := [][]int{nil}
	for _, n := range sizes {
		var longer [][]int
		for _, row := range rows {
			for v := range n {
				longer = append(longer, append(row[:len(row):len(row)], v))
			}
		}
		rows = longer
	}
	return rows
}

// pair is a value of setting i and one of a later setting j.
type pair struct{ i, v, j, w int }

func of(row []int) (all []pair) {
	for i, v := range row {
		for j := i + 1; j < len(row); j++ {
			all = append(all, pair{i, v, j, row[j]})
		}
	}
	return all
}
