package crossing

import (
	"strings"
	"testing"

	"ferry/phys"
)

func TestNamesOneBitFromKnownOnesAreDamage(t *testing.T) {
	known := []string{"LUO", "memblock"}
	for _, k := range known {
		for i := range len(k) + 1 {
			for bit := range 8 {
				b := append([]byte(k), 0)
				b[i] ^= 1 << bit
				name, _, _ := strings.Cut(string(b), "\x00")
				if len(name) < i { // the flip ended it: what is behind stays
					continue
				}
				if err := nearName("x", phys.Addr(1), name, known...); err == nil {
					t.Errorf("%q passes", name)
				}
			}
		}
	}
	for _, name := range []string{"LUO", "memblock", "ferry", "luo", "", "LU", "LUO12", "kvm_vm_luo_v1"} {
		if err := nearName("x", phys.Addr(1), name, known...); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}
