package kho_test

import (
	"errors"
	"strings"
	"testing"

	"ferry/kho"
	"ferry/kho/khotest"
	"ferry/phys"
)

// TestOlderHandoversAreRefusedByName opens handovers that real kernels of other
// generations left: the error names their version and where it stands.
func TestOlderHandoversAreRefusedByName(t *testing.T) {
	for release, version := range map[string]string{"6.19.14": "kho-v1", "7.0.13": "kho-v1"} {
		t.Run(release, func(t *testing.T) {
			v := khotest.Linux(t, release)
			_, err := kho.Open(v.Memory, v.Data, nil)
			var e *phys.Error
			if !errors.Is(err, kho.ErrVersion) || !errors.As(err, &e) || !strings.Contains(err.Error(), version) {
				t.Fatalf("got %v, want %v that names %s", err, kho.ErrVersion, version)
			}
			if e.Addr.Page() != v.Data.FDT {
				t.Errorf("the error is about %v, want the device tree at %v", e.Addr, v.Data.FDT)
			}
		})
	}
}
