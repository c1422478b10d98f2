package linux

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// A kernel of the suite goes by the name of the folder that linux/kernels.sh puts it into: its release and, if it is a
// variant, what makes it one, such as 7.3.4 and 7.2.12-eprime.

// Image is where a kernel is in the folder in which make builds.
func Image(name string) string { return "linux/" + name + "/bzImage" }

// Matrix returns the series whose pairs the suite crosses, the oldest formats first. Each generation is that of a kernel.
func Matrix() []string {
	return []string{"6.16", "6.17", "6.18", "6.19", "7.0", "7.1", "7.2-eprime", "7.2", "7.3"}
}

// Kernels returns the names of the kernels that were built, the oldest formats first: those of the matrix, which are
// not the ones of hosts or for debugging.
func Kernels(build string) ([]string, error) {
	all, err := images(build)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(name string) bool {
		_, suffix := split(name)
		return suffix != "" && suffix != ePrime
	}), nil
}

// Kernel returns the name of the kernel of a series, such as 7.3 or 7.2-eprime, that was built.
func Kernel(build, series string) (string, error) {
	all, err := images(build)
	if err != nil {
		return "", err
	}
	all = slices.DeleteFunc(all, func(name string) bool { return Series(name) != series })
	if len(all) != 1 {
		return "", fmt.Errorf("%d kernels of series %s in %s/linux, want one: run make kernels", len(all), series, build)
	}
	return all[0], nil
}

// ePrime marks a kernel that has the formats of the series of patches that became 7.2 (linux/eprime.patch).
const ePrime = "-eprime"

// IsEPrime reports whether that is what a kernel has, whatever its release says.
func IsEPrime(name string) bool { return strings.HasSuffix(name, ePrime) }

// isDebugging reports whether the kernel has every check for misused memory (linux/debug.config).
func isDebugging(name string) bool { return strings.HasSuffix(name, "-debug") }

// Series is what stays of a name over the releases of a series: 7.3 and 7.2-eprime.
func Series(name string) string {
	release, suffix := split(name)
	if at := strings.LastIndex(release, "."); at > strings.Index(release, ".") {
		release = release[:at]
	}
	return release + suffix
}

// Calls reports whether the kernel of that name may call itself by the release. What was not built by linux/kernels.sh may
// lack the suffix.
func Calls(name, release string) bool {
	bare, _ := split(name)
	return release == name || release == bare
}

// Compare orders names by the age of their formats.
func Compare(a, b string) int {
	released := func(name string) int {
		if IsEPrime(name) {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(seriesNumber(a), seriesNumber(b)), cmp.Compare(released(a), released(b)), strings.Compare(a, b))
}

// HasLUO reports whether the kernel has live update sessions.
func HasLUO(name string) bool { return seriesNumber(name) >= 619 }

// sameTest reports whether the test_kho of one kernel reads what that of the other makes: since 6.18 it keeps its list in
// memory of vmalloc.
func sameTest(a, b string) bool { return (seriesNumber(a) < 618) == (seriesNumber(b) < 618) }

func hasFLB(name string) bool      { return seriesNumber(name) >= 700 }
func hasMetadata(name string) bool { return seriesNumber(name) >= 701 }

// seriesNumber is 100 times the first number of a release and the second, 0 if it is none.
func seriesNumber(release string) (n int) {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return 0
	}
	return 100*major + minor
}

// split returns the release of a name and the suffix of a variant.
func split(name string) (release, suffix string) {
	if at := strings.Index(name, "-"); at >= 0 {
		return name[:at], name[at:]
	}
	return name, ""
}

// images returns all names, the oldest formats first.
func images(build string) (names []string, err error) {
	found, err := filepath.Glob(filepath.Join(build, Image("[0-9]*")))
	for _, f := range found {
		names = append(names, filepath.Base(filepath.Dir(f)))
	}
	slices.SortFunc(names, Compare)
	return names, err
}
