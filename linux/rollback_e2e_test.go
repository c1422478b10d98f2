//go:build linux_e2e

package linux

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRollback makes live state in the newest kernel and starts a next one that cannot hold it. Ferry refuses, and goes
// back to the kernel that made the state, where upstream's own test finds all of it.
func TestRollback(t *testing.T) {
	tests := []struct{ name, test, next, refusal string }{
		{"kernel without live update", "luo_multi_session", "6.18", "have no live update"},
		{"too many sessions", "luo_stress_sessions", "7.1", "want at most 819"},
		{"too many files", "luo_stress_files", "7.0", "want at most 128"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			initrd, payload := filepath.Join(dir, "initrd"), filepath.Join(dir, "payload")
			if err := os.WriteFile(initrd, archive(t, upstreamTree(t, tt.test)), 0o600); err != nil {
				t.Fatal(err)
			}
			pack(t, "--kernel", built(t, Image(route(t, tt.next).Release(0))), "--initrd", initrd,
				"--rollback-kernel", built(t, "linux/bzImage"), "--rollback-initrd", initrd, "--output", payload)
			tree := upstreamTree(t, tt.test)
			add(t, tree, "/kernel", built(t, "ferry.bzimage"))
			add(t, tree, "/initrd.img", payload)
			vm := machines[0].vm
			log := run(t, vm, tree, "")
			for _, want := range []string{refusal, tt.refusal, "ferry: back to the kernel before"} {
				if !log.Has(want) {
					t.Errorf("no line says %q", want)
				}
			}
			passed := ""
			for _, u := range upstream {
				if u.name == tt.test {
					passed = u.passed
				}
			}
			checkUpstream(t, log, passed)
			if kernels := log.Kernels(); kernels[len(kernels)-1].Release() != same(t, 0).Release(0) {
				t.Errorf("linux %s runs at the end, want the one that made the state", kernels[len(kernels)-1].Release())
			}
		})
	}
}
