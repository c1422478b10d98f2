package linux

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// folder is a folder with a kernel of each name, whose contents are its name.
func folder(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		put(t, filepath.Join(dir, name, "bzImage"), name)
	}
	return dir
}

func put(t *testing.T, path, contents string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(contents), 0o644)); err != nil {
		t.Fatal(err)
	}
}

var everyKind = []string{"6.18.15", "6.19.14", "7.1.13", "7.1.13-host", "7.2.12", "7.2.12-eprime", "7.3.4", "7.3.4-debug", "7.3.5-host"}

// prepare runs kernels.sh on prebuilt kernels, with a cache that holds the selftests already.
func prepare(t *testing.T, kernels, out string, args ...string) (said string, cache string, err error) {
	t.Helper()
	cache = filepath.Join(t.TempDir(), "cache")
	cmd := exec.Command("./kernels.sh", append([]string{out}, args...)...)
	cmd.Env = append(os.Environ(), "FERRY_KERNELS="+kernels, "FERRY_CACHE="+cache)
	for _, name := range []string{"init", "luo_kexec_simple", "done"} {
		put(t, filepath.Join(cache, "selftests/7.3.4", name), "")
	}
	b, err := cmd.CombinedOutput()
	return string(b), cache, err
}

// placed is what the output folder holds: the kernel of each folder, and the newest.
func placed(t *testing.T, out string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "bzImage" {
			return err
		}
		b, err := os.ReadFile(path)
		at, _ := filepath.Rel(out, filepath.Dir(path))
		all = append(all, at+": "+string(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPrebuiltKernelsAreTakenByTheirNames(t *testing.T) {
	out := folder(t, "7.2.11", "7.2.11-eprime", "7.3.3-host")
	all := append(slices.Clone(everyKind), "7.2.9", "7.2.12-other")
	said, _, err := prepare(t, folder(t, all...), out)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	want := []string{"6.18.15: 6.18.15", "6.19.14: 6.19.14", "7.1.13: 7.1.13", "7.2.12: 7.2.12", "7.2.12-eprime: 7.2.12-eprime", "7.3.3-host: 7.3.3-host", "7.3.4: 7.3.4", ".: 7.3.4"}
	if diff := cmp.Diff(want, placed(t, out)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := "does not hold 6.16 6.17 7.0: "; !strings.Contains(said, want) {
		t.Errorf("no %q in\n%s", want, said)
	}

	out = t.TempDir()
	said, _, err = prepare(t, folder(t, all...), out, "host", "debug", "7.0")
	if err == nil || !strings.HasSuffix(said, " does not hold 7.0\n") {
		t.Errorf("what was asked for by name is not missed: %v\n%s", err, said)
	}
	want = []string{"7.1.13-host: 7.1.13-host", "7.3.4: 7.3.4", "7.3.4-debug: 7.3.4-debug", "7.3.5-host: 7.3.5-host", ".: 7.3.4"}
	if diff := cmp.Diff(want, placed(t, out)); diff != "" {
		t.Errorf("asked for by name (-want +got):\n%s", diff)
	}
}

// TestNothingIsFetchedWhereNoKernelIs wants a mistake in FERRY_KERNELS to end at once.
func TestNothingIsFetchedWhereNoKernelIs(t *testing.T) {
	for name, dir := range map[string]string{
		"no such folder":         filepath.Join(t.TempDir(), "other"),
		"holds no 7.3.*/bzImage": folder(t, "7.2.12", "7.3.4-host", "17.3.4", "7.3"),
	} {
		out := t.TempDir()
		said, cache, err := prepare(t, dir, out)
		if err == nil || strings.Count(said, "\n") != 1 || !strings.Contains(said, name) || !strings.Contains(said, dir) {
			t.Errorf("%v, want one line that says %q:\n%s", err, name, said)
		}
		if _, err := os.Stat(filepath.Join(cache, "lock")); err == nil || len(placed(t, out)) > 0 {
			t.Error("went on")
		}
	}
	said, _, err := prepare(t, folder(t, "7.3.4"), t.TempDir(), "7.3-hots")
	if err == nil || !strings.Contains(said, "no variant 7.3-hots") {
		t.Errorf("%v, want the variant refused:\n%s", err, said)
	}
}
