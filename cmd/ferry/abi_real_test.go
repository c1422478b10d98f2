//go:build abi

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ferry/boot/vmlinux"
	"ferry/crossing"
	"ferry/linux"
)

// ofSeries is the generation of each kernel that linux/kernels.sh builds, by its sources.
var ofSeries = map[string]string{"6.16": "A", "6.17": "A", "6.18": "B", "6.19": "C", "7.0": "D", "7.1": "E", "7.1-host": "E",
	"7.2-eprime": "E'", "7.2": "F", "7.3": "F", "7.3-host": "F", "7.3-debug": "F"}

// images returns the files of a pattern, relative to the module, of which there must be one.
func images(t *testing.T, pattern string) []string {
	t.Helper()
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join("../..", pattern)
	}
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no %s (%v): make test-abi fetches or builds them", pattern, err)
	}
	return names
}

func open(t *testing.T, name string) *vmlinux.Kernel {
	t.Helper()
	image, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	k, err := vmlinux.Open(image)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return k
}

// Every kernel that we build, by the name of its folder.
func TestGenerationOfBuiltKernels(t *testing.T) {
	folder := os.Getenv("FERRY_KERNELS")
	if folder == "" {
		folder = "build/linux"
	}
	for _, name := range images(t, filepath.Join(folder, "*/bzImage")) {
		kernel := filepath.Base(filepath.Dir(name))
		t.Run(kernel, func(t *testing.T) {
			k := open(t, name)
			g, note, err := identify(crossing.Generations(), k)
			if err != nil {
				t.Fatal(err)
			}
			if want := ofSeries[linux.Series(kernel)]; g.Name != want || !linux.Calls(kernel, k.Release) {
				t.Errorf("release %q, generation %s, want %s", k.Release, g.Name, want)
			}
			// What runs is known by its release, if its strings are not at hand.
			if by := crossing.ByRelease(k.Release); by != g && !linux.IsEPrime(kernel) {
				t.Errorf("by its release it is of generation %s", by.Name)
			}
			t.Logf("%s: %+v %s", k.Compression, k.Formats, note)
		})
	}
}

// Debian's kernels are built without CONFIG_KEXEC_HANDOVER.
func TestDebiansKernelsTakeNoHandover(t *testing.T) {
	folder := os.Getenv("FERRY_STOCK")
	if folder == "" {
		folder = "build/stock-kernels"
	}
	for _, name := range images(t, filepath.Join(folder, "*.vmlinuz")) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			k := open(t, name)
			_, _, err := identify(crossing.Generations(), k)
			if !errors.Is(err, errNoKHO) {
				t.Errorf("%+v: %v, want %v", k, err, errNoKHO)
			}
			if !strings.Contains(name, k.Release) || k.Release == "" {
				t.Errorf("release %q", k.Release)
			}
			t.Logf("%s, %s: %v", k.Release, k.Compression, err)
		})
	}
}
