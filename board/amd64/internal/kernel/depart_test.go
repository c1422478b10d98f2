//go:build !metal

package kernel

import "testing"

func TestDepartureCodeFitsItsPlace(t *testing.T) {
	if n := addressOfDepartEnd() - addressOfDepart(); n < 100 || n > departCode {
		t.Errorf("%#x bytes of code, want at most %#x", n, departCode)
	}
}
