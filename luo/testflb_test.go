package luo

import (
	"errors"
	"testing"
)

// TestOnlyFLBsOfTheTestAreLeftOut: a name and data that go together, and a number
// that the pattern has room for.
func TestOnlyFLBsOfTheTestAreLeftOut(t *testing.T) {
	const pattern = 0xfeedf00dcafebee0
	for _, c := range []struct {
		name string
		data uint64
		want error
	}{
		{"liveupdate-test-flb-v0", pattern, nil}, {"liveupdate-test-flb-v15", pattern + 15, nil},
		{"liveupdate-test-flb-v16", pattern + 16, ErrFLB}, {"liveupdate-test-flb-v1", pattern + 2, ErrFLB},
		{"liveupdate-test-flb-v18446744073709551615", pattern - 1, ErrFLB}, {"iommu", pattern, ErrFLB},
	} {
		st := state(t, 0, 2)
		if err := st.AddFLB(c.name, c.data, 2); err != nil {
			t.Fatal(err)
		}
		if err := Fits(st, V1, false); !errors.Is(err, c.want) {
			t.Errorf("%s with data %#x: %v, want %v", c.name, c.data, err, c.want)
		}
	}
}
