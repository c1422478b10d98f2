package linux

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"ferry/linux/workload"
)

// A Run is what one machine does: its kernels, and what they carry from the first to the last.
type Run struct {
	Route
	Plan   workload.Plan
	Region bool // also a region of memory that reserve_mem= reserves
}

// Words returns the words of the command line that tell linux/init what to do.
func (r Run) Words() string {
	words := []string{r.Route.Words()}
	if r.Plan.Mixed {
		words = append(words, "crossing.plan=mixed")
	}
	if r.Plan.Shared {
		words = append(words, "crossing.plan=shared")
	}
	if r.Plan.Broken {
		words = append(words, "crossing.plan=broken")
	}
	if r.Plan.Sessions > 0 {
		words = append(words, fmt.Sprintf("crossing.sessions=%d crossing.files=%d crossing.big=%d crossing.wide=%d",
			r.Plan.Sessions, r.Plan.Files, r.Plan.Big, r.Plan.Wide))
	}
	if r.Region {
		words = append(words, "reserve_mem=1M:4096:ferry")
	}
	return strings.Join(words, " ")
}

// Initrd returns the tree of the first kernel's initrd, from what make built in a folder.
func (r Run) Initrd(build string) (Tree, error) {
	tree := Tree{}
	for _, name := range r.Files(0) {
		host := map[string]string{InitPath: "linux/init", StagePath: "ferry.bzimage", FerryPath: "ferry"}[name]
		if host == "" {
			host = Image(strings.TrimPrefix(name, kernelsPath))
		}
		if err := tree.AddFile(name, filepath.Join(build, host)); err != nil {
			return nil, err
		}
	}
	return tree, nil
}

// Judge returns all that is wrong in the log of the run: nothing if every kernel was the one that it should be, got all
// that the first one made, and did not complain.
func (r Run) Judge(log Log) (wrong []string) {
	kernels := log.Kernels()[1:]
	if len(kernels) != r.Rounds+1 {
		wrong = append(wrong, fmt.Sprintf("%d kernels booted, want %d", len(kernels), r.Rounds+1))
	}
	for i, kernel := range kernels[:min(len(kernels), r.Rounds+1)] {
		for _, err := range r.judge(i, kernels) {
			wrong = append(wrong, fmt.Sprintf("kernel %d, %s: %v", i, kernel.Release(), err))
		}
	}
	if want := fmt.Sprintf("%sDONE rounds=%d", ReportPrefix, r.Rounds); !log.Has(want) {
		wrong = append(wrong, "the last kernel does not report that everything arrived")
	}
	return wrong
}

func (r Run) judge(i int, kernels []Log) (wrong []error) {
	kernel := kernels[i]
	if got := kernel.Release(); !Calls(r.Release(i), got) {
		wrong = append(wrong, fmt.Errorf("want %s", r.Release(i)))
	}
	kernel = r.ownTest(i, kernel)
	for _, line := range r.known(i, kernel).Complaints() {
		wrong = append(wrong, errors.New(line))
	}
	if line, ok := kernel.Find(ReportPrefix + "FAIL"); ok {
		wrong = append(wrong, errors.New(line))
	}
	for _, text := range r.expected(i, kernels) {
		if !kernel.Has(text) {
			wrong = append(wrong, fmt.Errorf("does not say %q", text))
		}
	}
	if err := r.left(i, kernels); err != nil {
		wrong = append(wrong, err)
	}
	for _, text := range r.unexpected(i) {
		if line, ok := kernel.Find(text); ok {
			wrong = append(wrong, fmt.Errorf("says %q", line))
		}
	}
	return wrong
}

// What the stage says of a handover that it wrote again, and of one that it did not.
const (
	crossed   = " blocks added, "
	untouched = "ferry: PASSED ON to "
)

// expected returns what kernel i has to say, and the stage after it.
func (r Run) expected(i int, kernels []Log) (lines []string) {
	sessions, files, bytes := r.Plan.Totals()
	if !r.Direct && i < r.Rounds {
		lines = append(lines, crossed)
		if r.Plan.Shared {
			lines = append(lines, "that of a file before it too", "folios are not preserved")
		}
		if r.Plan.Broken {
			lines = append(lines, "it arrives as a file that cannot be retrieved (EINVAL)")
		}
		if files > 0 && (IsEPrime(r.Release(i)) || IsEPrime(r.Release(i+1))) {
			lines = append(lines, "(kho-v3, luo-v4-kho-block-v1, memfd-v2: generation E')") // the release does not tell
		}
	}
	if i == 0 {
		if sessions > 0 {
			lines = append(lines, fmt.Sprintf("%smade round=0 sessions=%d files=%d bytes=%d ", ReportPrefix, sessions, files, bytes))
		}
		return lines
	}
	lines = append(lines, "KHO: found kexec handover data.")
	sessions, files, bytes = r.Plan.Arrivals()
	if sessions > 0 {
		digest, huge := kernels[1].field(ReportPrefix+"kept ", "digest"), kernels[0].field(ReportPrefix+"made ", "huge")
		lines = append(lines, fmt.Sprintf("%skept round=%d sessions=%d files=%d bytes=%d digest=%s huge=%s",
			ReportPrefix, i, sessions, files, bytes, digest, huge))
	}
	// The root of this kernel is the initrd that the one before made.
	lines = append(lines, fmt.Sprintf("%sroot round=%d bytes=%s crc=%s", ReportPrefix, i,
		kernels[i-1].field(ReportPrefix+"initrd ", "bytes"), kernels[i-1].field(ReportPrefix+"initrd ", "crc")))
	if n := r.before(i, HasLUO); n > 0 {
		lines = append(lines, fmt.Sprintf("luo: Retrieved live update data, liveupdate number: %d", n))
	}
	if n := r.before(i, hasMetadata); n > 0 {
		lines = append(lines, fmt.Sprintf("KHO: exec from: %s (count %d)", kernels[i-1].Release(), n))
	}
	if r.Region {
		start, digest := kernels[0].field(ReportPrefix+"region ", "start"), kernels[0].field(ReportPrefix+"region ", "digest")
		seen := fmt.Sprintf("digest=%s kept=true", digest)
		if isDebugging(r.Release(i)) {
			seen = "digest=unseen" // it lets nobody look
		}
		lines = append(lines, "Revived memory reservation 'ferry' from KHO",
			fmt.Sprintf("%sregion round=%d start=%s size=1048576 %s", ReportPrefix, i, start, seen))
	}
	if files > 0 && r.testsFLB(i-1, kernels) && r.testsFLB(i, kernels) {
		lines = append(lines, "liveupdate-test-flb-v0: found flb data from the previous boot")
	}
	if savesTest(i-1, kernels) && hasTest(kernels[i]) && sameTest(r.Release(i-1), r.Release(i)) {
		lines = append(lines, "KHO restore succeeded")
	}
	return lines
}

// unexpected returns what kernel i must not say, nor the stage after it.
func (r Run) unexpected(i int) (lines []string) {
	if i == 0 {
		lines = append(lines, "KHO: found kexec handover data.")
	}
	if i == 0 && r.Plan.Mixed {
		lines = append(lines, " huge=0")
	}
	if r.before(i, hasMetadata) == 0 {
		lines = append(lines, "KHO: exec from: ")
	}
	return append(lines, "KHO restore failed", ": ERROR - ", "ferry: error: ", "ferry: HALTED", "ferry: ROLLED BACK", "ferry: BOOTED ", untouched)
}

// before counts the kernels in a row before kernel i that have something, if that one has it too.
func (r Run) before(i int, has func(release string) bool) (n int) {
	for has(r.Release(i)) && n < i && has(r.Release(i-n-1)) {
		n++
	}
	return n
}

// known returns the log of kernel i without what is known and no fault of Ferry's: a kernel with CONFIG_LIVEUPDATE_TEST
// that gets files from one whose LUO has no FLBs warns once that a reference count underflows when a file is finished.
// A record for it could only be invented. And where memfds are preserved more than once, every kernel that gives back a
// second one warns of it, once for all, and names the folio, as it does without Ferry.
func (r Run) known(i int, kernel Log) Log {
	if i > 0 && r.Plan.Shared {
		kernel = kernel.withoutWarning("kho_restore_page", "memfd_luo_retrieve").without("memfd_luo: Unable to restore folio at physical address: ")
	}
	if i == 0 || hasFLB(r.Release(i-1)) {
		return kernel
	}
	return kernel.withoutWarning("refcount_t: underflow; use-after-free.", "luo_flb_file_finish")
}

// testsFLB reports whether kernel i has the test that hands over an FLB: not all kernels of hosts were built with tests.
func (r Run) testsFLB(i int, kernels []Log) bool {
	_, suffix := split(r.Release(i))
	return hasFLB(r.Release(i)) && (suffix != "-host" || kernels[i].Has("liveupdate test: Registered "))
}

// ownTest returns the log of kernel i without the words of a test_kho that does not read what that of the kernel before
// made.
func (r Run) ownTest(i int, kernel Log) Log {
	if i == 0 || sameTest(r.Release(i-1), r.Release(i)) {
		return kernel
	}
	return Log{Lines: slices.DeleteFunc(slices.Clone(kernel.Lines), func(line string) bool {
		return strings.HasSuffix(line, "test_kho: KHO restore failed")
	})}
}

// savesTest reports whether kernel i hands over what test_kho makes: each kernel that has the test does, but for one
// that got it.
func savesTest(i int, kernels []Log) bool {
	return hasTest(kernels[i]) && (i == 0 || !savesTest(i-1, kernels))
}

func hasTest(kernel Log) bool { return kernel.field(ReportPrefix+"machine ", "test_kho") == "true" }

var version = regexp.MustCompile(`Linux version (\S+)`)

// Release returns the release of the kernel whose log this is, as its banner names it.
func (l Log) Release() string {
	if line, ok := l.Find("Linux version "); ok {
		return version.FindStringSubmatch(line)[1]
	}
	return "unknown"
}

// field returns the value of key=value in the first line that contains the text.
func (l Log) field(text, key string) string {
	line, _ := l.Find(text)
	for _, word := range strings.Fields(line) {
		if value, ok := strings.CutPrefix(word, key+"="); ok {
			return value
		}
	}
	return "none"
}

// without returns the log without the lines that contain the text.
func (l Log) without(text string) Log {
	return Log{Lines: slices.DeleteFunc(slices.Clone(l.Lines), func(line string) bool { return strings.Contains(line, text) })}
}

// withoutWarning returns the log without the first warning, from its cut to its end, in which all the texts stand.
func (l Log) withoutWarning(texts ...string) Log {
	at := func(from int, text string) int {
		return from + slices.IndexFunc(l.Lines[from:], func(line string) bool { return strings.Contains(line, text) })
	}
	for begin := 0; begin < len(l.Lines); {
		cut := at(begin, "[ cut here ]")
		if cut < begin {
			break
		}
		end := at(cut, "[ end trace ")
		if end < cut {
			break
		}
		warning := Log{Lines: l.Lines[cut : end+1]}
		if !slices.ContainsFunc(texts, func(text string) bool { return !warning.Has(text) }) {
			return Log{Lines: slices.Concat(l.Lines[:cut], l.Lines[end+1:])}
		}
		begin = end + 1
	}
	return l
}
