//go:build linux_e2e

package linux

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ferry/linux/workload"
)

// What the stage says of the form in which a kernel is started.
const (
	openedForm     = "ferry: next kernel: it is entered opened, at one of "
	unmovedForm    = "ferry: next kernel: it is entered opened, where it was linked to be"
	compressedForm = "ferry: next kernel: its bzImage is started: "
)

// link is the virtual address of a kernel that was not moved.
const link = 0xffffffff81000000

// kernelAt returns where kernel i of a log lies, and whether it was told that it is randomised.
func kernelAt(t *testing.T, log Log, i int) (text, code uint64, kaslr bool) {
	t.Helper()
	kernel := log.Kernels()[i+1]
	number := func(key string) uint64 {
		n, err := strconv.ParseUint(kernel.field(ReportPrefix+"kernel ", key), 0, 64)
		if err != nil {
			t.Fatalf("kernel %d does not say where it lies: %v", i, err)
		}
		return n
	}
	return number("text"), number("code"), kernel.field(ReportPrefix+"kernel ", "kaslr") == "true"
}

// TestOpenedKernelIsMovedByChance crosses to an opened kernel, on machines with four and five levels of page tables, and
// below and above 4 GiB. The kernel says where it lies; all of the state arrives.
func TestOpenedKernelIsMovedByChance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, memory, words string
		kaslr, high         bool
	}{
		{"below 4 GiB", "1G", "", true, false},
		{"above 4 GiB alone", "6G", "kho_scratch=8M,256M,0", true, true},
		{"nokaslr", "1G", "nokaslr", false, false},
	} {
		for _, la57 := range []string{"off", "on"} {
			if !*whole && tt.high != (la57 == "on") {
				continue
			}
			t.Run(tt.name+"/la57="+la57, func(t *testing.T) {
				t.Parallel()
				r := Run{Route: same(t, 2), Plan: workload.Plan{Sessions: 3, Files: 3}, Region: true}
				log := travel(t, VM{CPUs: 2, Memory: tt.memory, CPU: "max,la57=" + la57, Timeout: 15 * time.Minute}, r, tt.words)
				judge(t, r, log)
				form := map[bool]string{true: openedForm, false: unmovedForm}[tt.kaslr]
				seen := map[string]bool{}
				for i := 1; i < 3; i++ {
					text, code, kaslr := kernelAt(t, log, i)
					if !log.Kernels()[i].Has(form) {
						t.Errorf("after kernel %d the stage does not say %q", i-1, form)
					}
					if kaslr != tt.kaslr || !kaslr && text != link || (text-link)%(2<<20) != 0 || code%(2<<20) != 0 {
						t.Errorf("kernel %d at %#x, for %#x, randomised: %v", i, code, text, kaslr)
					}
					if high := code >= 1<<32; high != tt.high {
						t.Errorf("kernel %d at %#x", i, code)
					}
					seen[fmt.Sprint(text, code)] = true
				}
				if tt.kaslr && len(seen) != 2 {
					t.Errorf("both kernels at %v", seen)
				}
			})
		}
	}
}

// TestKeptCompressed crosses with --keep-compressed and --with-compressed, and from a machine that runs with four levels
// of page tables to a kernel that would turn on five: then its bzImage is started, and without one it goes back.
func TestKeptCompressed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, words, line string
		pack              []string
		says, not         string
	}{
		{"as it is", "", "", []string{"--keep-compressed"}, crossed, "ferry: next kernel: "},
		{"both, entered opened", "", "", []string{"--with-compressed"}, openedForm, compressedForm},
		{"both, not to be entered", "no5lvl", "", []string{"--with-compressed"}, compressedForm, openedForm},
		{"four levels for good", "no5lvl", " no5lvl", nil, openedForm, compressedForm},
		{"not to be entered", "no5lvl", "", nil, "its decompressor would turn on 5", crossed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			initrd, payload := filepath.Join(dir, "initrd"), filepath.Join(dir, "payload")
			if err := os.WriteFile(initrd, archive(t, upstreamTree(t, "luo_kexec_simple")), 0o600); err != nil {
				t.Fatal(err)
			}
			kernel, line := built(t, "linux/bzImage"), Cmdline+" luo_stage=2"
			pack(t, append(tt.pack, "--kernel", kernel, "--initrd", initrd, "--cmdline", line+tt.line,
				"--rollback-kernel", kernel, "--rollback-initrd", initrd, "--rollback-cmdline", line+" back", "--output", payload)...)
			tree := upstreamTree(t, "luo_kexec_simple")
			add(t, tree, "/kernel", built(t, "ferry.bzimage"))
			add(t, tree, "/initrd.img", payload)
			log := run(t, VM{CPUs: 1, Memory: "1G", CPU: "max,la57=on", Timeout: 10 * time.Minute}, tree, tt.words)
			checkUpstream(t, log, upstream[0].passed)
			if !log.Has(tt.says) || log.Has(tt.not) {
				t.Errorf("the stage says %q: %v, and %q: %v", tt.says, log.Has(tt.says), tt.not, log.Has(tt.not))
			}
			last, _ := log.Kernels()[2].Find("Kernel command line:")
			if back := strings.Contains(last, " back"); back != (tt.not == crossed) {
				t.Errorf("kernel B: %s", last)
			}
		})
	}
}

// TestEveryKernelIsEnteredOpened goes from the newest kernel to each that can be had, with upstream's simplest test. One
// that has no sessions boots without the state, as the policy says.
func TestEveryKernelIsEnteredOpened(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("FERRY_KERNELS")
	if folder == "" {
		folder = filepath.Join(*build, "linux")
	}
	found, err := filepath.Glob(filepath.Join(folder, "[67].*", "bzImage"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no kernels in %s (%v): run make kernels", folder, err)
	}
	if !*whole && len(found) > 2 { // the crossings of TestCompatibility enter the others
		found = []string{found[0], found[len(found)-1]}
	}
	for _, name := range found {
		release := filepath.Base(filepath.Dir(name))
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			initrd, payload := filepath.Join(dir, "initrd"), filepath.Join(dir, "payload")
			if err := os.WriteFile(initrd, archive(t, upstreamTree(t, "luo_kexec_simple")), 0o600); err != nil {
				t.Fatal(err)
			}
			pack(t, "--kernel", name, "--initrd", initrd, "--output", payload)
			tree := upstreamTree(t, "luo_kexec_simple")
			add(t, tree, "/kernel", built(t, "ferry.bzimage"))
			add(t, tree, "/initrd.img", payload)
			log := run(t, VM{CPUs: 1, Memory: "2G", CPU: "max,la57=off", Timeout: 10 * time.Minute}, tree, "kho_scratch=64M,0,384M ferry.on-error=cold")
			if !log.Has(openedForm) {
				t.Error("it was not entered opened")
			}
			if HasLUO(release) {
				checkUpstream(t, log, upstream[0].passed)
				checkStage(t, log, crossed)
				return
			}
			kernels := log.Kernels()[1:]
			if len(kernels) != 2 || kernels[1].Release() != release || !kernels[1].Has("INIT: Starting Stage 2") {
				t.Errorf("%d kernels booted, want 2, the last one to user space", len(kernels))
			}
		})
	}
}
