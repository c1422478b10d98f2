//go:build !metal

package amd64

import "testing"

func TestDepartureCodeFitsItsPlace(t *testing.T) {
	if n := addressOfDepartEnd() - addressOfDepart(); n < 100 || n > departCode {
		t.Errorf("%#x bytes of code, want at most %#x", n, departCode)
	}
}
