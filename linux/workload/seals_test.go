package workload

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestSealsAreForgottenByTheFirstKernelThatDoesNotHoldThem(t *testing.T) {
	const grow = unix.F_SEAL_GROW
	tests := []struct {
		name     string
		releases []string
		want     int
	}{
		{"made here", []string{"6.19.14"}, grow},
		{"made and kept", []string{"7.3.4", "7.1.13", "7.2.12"}, grow},
		{"made by one that forgets", []string{"6.19.14", "7.3.4"}, unix.F_SEAL_SEAL},
		{"restored by one that forgets", []string{"7.1.13", "7.0.13"}, unix.F_SEAL_SEAL},
		{"forgotten on the way", []string{"7.1.13", "7.0.13", "7.2.12", "7.3.4"}, unix.F_SEAL_SEAL},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Arrived(grow, tt.releases); got != tt.want {
				t.Errorf("seals %#x, want %#x", got, tt.want)
			}
		})
	}
}

func TestMixedPlanHasEveryKindOfSessionAndFile(t *testing.T) {
	counts := map[int]bool{}
	sizes := map[int64]bool{}
	sealed := map[int]bool{}
	sparse, huge := false, false
	for _, s := range (Plan{Mixed: true}).List() {
		counts[len(s.Files)] = true
		for _, f := range s.Files {
			sizes[f.Size] = true
			sealed[f.Seals] = true
			sparse = sparse || f.Sparse && f.Size > HugeSize
			huge = huge || f.Size >= HugeSize && !f.Sparse
			if f.Pos > f.Size {
				t.Errorf("position %d of %d bytes", f.Pos, f.Size)
			}
		}
	}
	for _, n := range []int{0, 1, FileLimit} {
		if !counts[n] {
			t.Errorf("no session with %d files", n)
		}
	}
	for _, n := range []int64{0, 1, 3 * PageSize} {
		if !sizes[n] {
			t.Errorf("no file of %d bytes", n)
		}
	}
	if !sparse || !huge || len(sealed) < 3 {
		t.Errorf("sparse %v, huge %v, %d kinds of seals", sparse, huge, len(sealed))
	}
}

func TestPlainPlanHasNoSealsThatOlderKernelsForget(t *testing.T) {
	seen := map[int]bool{}
	for _, s := range (Plan{Mixed: true, Plain: true}).List() {
		for _, f := range s.Files {
			seen[f.Seals] = true
		}
	}
	if len(seen) != 2 || !seen[0] || !seen[unix.F_SEAL_SEAL] {
		t.Errorf("seals %v, want 0 and 1", seen)
	}
}
