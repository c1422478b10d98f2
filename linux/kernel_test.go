package linux

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKernelsOfTheMatrixAreThoseOfNoHost(t *testing.T) {
	build := t.TempDir()
	if err := os.Rename(folder(t, everyKind...), filepath.Join(build, "linux")); err != nil {
		t.Fatal(err)
	}
	got, err := Kernels(build)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"6.18.15", "6.19.14", "7.1.13", "7.2.12-eprime", "7.2.12", "7.3.4"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for series, want := range map[string]string{"7.2": "7.2.12", "7.2-eprime": "7.2.12-eprime", "7.3": "7.3.4", "7.3-host": "7.3.5-host",
		"7.3-debug": "7.3.4-debug", "7": "", "7.4": "", "7.1-eprime": ""} {
		if got, err := Kernel(build, series); got != want || (err == nil) != (want != "") {
			t.Errorf("series %s: %q, %v, want %q", series, got, err, want)
		}
	}
	put(t, filepath.Join(build, "linux/7.2.13/bzImage"), "")
	if got, err := Kernel(build, "7.2"); err == nil {
		t.Errorf("of two kernels of a series %q is taken", got)
	}
}

func TestPrebuiltVariantMayLackItsSuffix(t *testing.T) {
	for _, tt := range []struct {
		name, release string
		want          bool
	}{
		{"7.2.12", "7.2.12", true}, {"7.2.12-eprime", "7.2.12-eprime", true}, {"7.2.12-eprime", "7.2.12", true},
		{"7.2.12", "7.2.12-eprime", false}, {"7.2.12", "7.2.1", false}, {"7.3.4-host", "7.3.4-debug", false},
	} {
		if Calls(tt.name, tt.release) != tt.want {
			t.Errorf("kernel %s may call itself %s: %v", tt.name, tt.release, !tt.want)
		}
	}
}
