//go:build qemu

package amd64_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"ferry/internal/pairwise"
	"ferry/internal/qemu"
	"ferry/linker/header"
)

// What `make test-boot` builds first, with the toolchain that TAMAGO names or the
// stock one.
const (
	script = qemu.Script("../../qemu.sh")
	trial  = "../../build/trial.bzimage"
)

// tamago says that the trial's Go runtime is TamaGo's.
var tamago = os.Getenv("TAMAGO") != ""

// run boots the trial and returns its output and exit code.
func run(t *testing.T, env []string, args ...string) (string, int) {
	t.Helper()
	return runImage(t, trial, env, args...)
}

func runImage(t *testing.T, image string, env []string, args ...string) (string, int) {
	t.Helper()
	if _, err := os.Stat(image); err != nil {
		t.Fatalf("%v: run make test-boot, which builds it", err)
	}
	out, code, err := script.Boot(image, append([]string{"TIMEOUT=90"}, env...), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out, code
}

// whole asks for every row of the boot matrix, as the nightly does.
var whole = flag.Bool("whole", false, "boot every row of the boot matrix, not one for each pair of settings")

// TestBootsEverywhere runs the trial to its end on every kind of machine: in rows
// that hold each pair of settings, or with -whole in all of them.
func TestBootsEverywhere(t *testing.T) {
	machines, sizes := []string{"pc", "q35", "microvm"}, []int{256, 512, 8192}
	models, processors := []string{"qemu64", "max"}, []string{"1", "4"}
	choose := pairwise.Rows
	if *whole {
		choose = pairwise.All
	}
	found := regexp.MustCompile(`RAM (\d+) MiB`)
	for _, row := range choose(len(machines), len(sizes), len(models), len(processors)) {
		machine, size, model, count := machines[row[0]], sizes[row[1]], models[row[2]], processors[row[3]]
		t.Run(fmt.Sprintf("%s/%dM/%s/%s", machine, size, model, count), func(t *testing.T) {
			t.Parallel()
			out, code := run(t, []string{"MACHINE=" + machine, fmt.Sprintf("MEM=%dM", size), "CPU=" + model, "SMP=" + count})
			if code != 0 || !strings.Contains(out, "trial: ok\n") {
				t.Fatalf("exit code %d, output:\n%s", code, out)
			}
			got := found.FindStringSubmatch(out)
			if got == nil {
				t.Fatalf("no size of RAM in the output:\n%s", out)
			}
			if n, _ := strconv.Atoi(got[1]); n > size || n < size-4 {
				t.Errorf("found %d MiB of RAM, want %d less some holes", n, size)
			}
		})
	}
}

// TestBootsOnUnusualProcessors covers what the matrix's models do not: 2 MiB pages
// only, no AVX, no random numbers, x2APIC, no interval timer.
func TestBootsOnUnusualProcessors(t *testing.T) {
	for _, c := range []struct {
		name string
		env  []string
		want string
	}{
		{"no 1 GiB pages", []string{"CPU=max,pdpe1gb=off", "MEM=8G"}, "trial: ok"},
		{"no XSAVE", []string{"CPU=max,xsave=off"}, "trial: ok"},
		{"no RDRAND", []string{"CPU=max,rdrand=off"}, "trial: ok"},
		{"no NX", []string{"CPU=max,nx=off"}, "trial: ok"},
		{"no PIT", []string{"MACHINE=q35,pit=off"}, "from acpi pm timer"},
		{"no clock at all", []string{"MACHINE=microvm,pit=off"}, "from none, 1 GHz assumed"},
		{"five levels offered", []string{"CPU=max,la57=on"}, "trial: ok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if out, code := run(t, c.env); code != 0 || !strings.Contains(out, c.want) {
				t.Errorf("exit code %d, want 0 and %q in the output:\n%s", code, c.want, out)
			}
		})
	}
}

// TestEndsAreReported proves that each way to end gives its exit code and says
// where it happened.
func TestEndsAreReported(t *testing.T) {
	type end struct {
		args []string
		code int
		want []string
	}
	ends := []end{
		{[]string{"exit", "0"}, 0, nil},
		{[]string{"exit", "3"}, 3, nil},
		{[]string{"exit", "31"}, 31, nil},
		{[]string{"exit", "32"}, 32, nil},
		{[]string{"exit", "63"}, 63, nil},
		{[]string{"panic"}, 2, []string{"panic: the trial panics", "main.main()", "main.go:"}},
		{[]string{"nil"}, 2, []string{"nil pointer dereference", "main.main()"}},
		{[]string{"overflow"}, 2, []string{"stack overflow", "main.deeper"}},
		{[]string{"deadlock"}, 2, []string{"all goroutines are asleep"}},
		{[]string{"stack"}, 62, []string{"fatal: fault in the kernel", "address 0xffffc0000003fff8", "main.endless"}},
		{[]string{"double"}, 62, []string{"fatal: ", "double fault"}},
		{[]string{"environment", "two words", "three"}, 0, []string{`["two words" "three"]`, `"GODEBUG=madvdontneed=1"`}},
	}
	// The stock runtime knows faults as signals and asks for memory that is not
	// there before it is used; TamaGo's knows no signals, and where its memory ends.
	if tamago {
		ends = append(ends,
			end{[]string{"stray"}, 62, []string{"fatal: exception in the Go program: unexpected fault address", "address 0x123456789000", "main.main"}},
			end{[]string{"memory"}, 2, []string{"out of memory", "main.fill()"}},
			end{[]string{"tables"}, 62, []string{"unexpected fault address", "page fault, error code 0x", "main.main"}},
			end{[]string{"kernel"}, 62, []string{"fatal: fault in the kernel", "address 0x10", "runtime.beforeIdle"}},
			end{[]string{"unknown"}, 2, []string{"unexpected syscall", "main.main()"}})
	} else {
		ends = append(ends,
			end{[]string{"stray"}, 2, []string{"unexpected fault address 0x123456789000", "main.main()"}},
			end{[]string{"memory"}, 62, []string{"fatal: the stage's memory is used up", "page fault", "rip 0x4", "main.fill"}},
			end{[]string{"buffer"}, 62, []string{"mmap: errno 0", "fatal: the stage's memory is used up", "main.main"}},
			end{[]string{"tables"}, 62, []string{"fatal: page fault on memory that the program may access", "page fault, error code 0x", "main.main"}},
			end{[]string{"kernel"}, 62, []string{"fatal: fault in the kernel", "address 0x10", "main.main"}}, // by the print, or the timer before it
			end{[]string{"unknown"}, 60, []string{"unknown system call 450 set_mempolicy_home_node", "function not implemented"}})
	}
	for _, c := range ends {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			out, code := run(t, []string{"APPEND=quiet GODEBUG=madvdontneed=1 ferry.mode=pass"}, c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, w := range c.want {
				if !strings.Contains(out, w) {
					t.Errorf("output lacks %q", w)
				}
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}

// TestMemoryLimitIsTheBoards: the collector's limit follows from the stage's memory, and
// no word of the command line changes it or can end the program.
func TestMemoryLimitIsTheBoards(t *testing.T) {
	for _, words := range []string{"", "GOMEMLIMIT=1MiB", "GOMEMLIMIT=nonsense"} {
		out, code := run(t, []string{"APPEND=" + words}, "limit")
		var limit, total uint64
		for line := range strings.Lines(out) {
			if n, _ := fmt.Sscanf(line, "trial: memory limit %d of %d", &limit, &total); n == 2 {
				break
			}
		}
		if code != 0 || total != 64<<20 || limit < total/2 || limit > total/4*3 {
			t.Errorf("%q: exit code %d, limit %d of %d, want 0 and from a half to three quarters:\n%s", words, code, limit, total, out)
		}
	}
}

// TestEveryBootHasOtherRandomNumbers: with the processor's own generators, and with
// nothing but jitter, though QEMU counts instructions.
func TestEveryBootHasOtherRandomNumbers(t *testing.T) {
	seen := map[string]bool{}
	for _, cpu := range []string{"max", "max", "max,rdrand=off", "qemu64", "qemu64", "qemu64"} {
		out, code := run(t, []string{"CPU=" + cpu, "ICOUNT=1", "QEMU_ARGS=-rtc base=2020-01-01,clock=vm"}, "random")
		if code != 0 || !strings.Contains(out, "trial: random ") || seen[out] {
			t.Errorf("%s: exit code %d, want 0 and numbers that no boot before had:\n%s", cpu, code, out)
		}
		seen[out] = true
	}
}

// TestJumpStartsTheNextImage goes through images above and below 4 GiB, one of
// them where TamaGo images have their virtual addresses, each started from the
// state that the one before left, as after kexec.
func TestJumpStartsTheNextImage(t *testing.T) {
	for _, cpu := range []string{"max", "qemu64"} {
		t.Run(cpu, func(t *testing.T) {
			out, code := run(t, []string{"MEM=6G", "CPU=" + cpu, "INITRD=" + trial},
				"chain", "0x140000000", "0x41000000", "0x20000000", "0x158200000")
			if code != 0 || !strings.Contains(out, "trial: ok\n") {
				t.Fatalf("exit code %d, output:\n%s", code, out)
			}
			for _, w := range []string{"from [0x140000000-0x143ffffff] to 0x41000000",
				"from [0x41000000-0x44ffffff] to 0x20000000",
				"from [0x20000000-0x23ffffff] to 0x158200000", "stage [0x158200000-0x15c1fffff]"} {
				if !strings.Contains(out, w) {
					t.Errorf("output lacks %q:\n%s", w, out)
				}
			}
		})
	}
}

// TestJumpRefusesPlacesOutsideRAM proves that nothing is lost by a bad address.
func TestJumpRefusesPlacesOutsideRAM(t *testing.T) {
	out, code := run(t, []string{"MEM=1G", "INITRD=" + trial}, "chain", "0x140000000")
	if code != 1 || !strings.Contains(out, "not in RAM") {
		t.Errorf("exit code %d, want 1 and a refusal:\n%s", code, out)
	}
}

// TestDamagedImageSaysSo takes the mark away by which the entry knows its
// parameters: the machine must halt and say why.
func TestDamagedImageSaysSo(t *testing.T) {
	b, err := os.ReadFile(trial)
	if err != nil {
		t.Fatal(err)
	}
	const setup = 4096
	b[setup+header.Params] ^= 1
	damaged := filepath.Join(t.TempDir(), "damaged")
	if err := os.WriteFile(damaged, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := runImage(t, damaged, []string{"TIMEOUT=4"})
	if code != qemu.ExitTimeout || !strings.Contains(out, "ferry: damaged image, or init_size is too low") {
		t.Errorf("exit code %d, want %d and the reason:\n%s", code, qemu.ExitTimeout, out)
	}
}

// TestKilledQEMUIsNoExitCode puts a program that ends in other ways than the guest's
// in QEMU's place.
func TestKilledQEMUIsNoExitCode(t *testing.T) {
	program := filepath.Join(t.TempDir(), "qemu")
	for _, end := range []string{"kill -HUP $$", "kill -KILL $$", "kill -SEGV $$", "kill -ABRT $$", "kill -RTMAX $$",
		"exit 0", "exit 1", "exit 127"} {
		if err := os.WriteFile(program, []byte("#!/bin/bash\n"+end+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if out, code := run(t, []string{"QEMU=" + program}); code != qemu.ExitReset {
			t.Errorf("%s: exit code %d, want %d:\n%s", end, code, qemu.ExitReset, out)
		}
	}
}

// TestReset proves that the machine starts again: QEMU ends, told not to.
func TestReset(t *testing.T) {
	if out, code := run(t, []string{"TIMEOUT=20"}, "reset"); code != qemu.ExitReset {
		t.Errorf("exit code %d, want %d for a machine that resets:\n%s", code, qemu.ExitReset, out)
	}
}

// TestEntryToMainStaysInBudget counts instructions: with -icount shift=0 each is
// one tick. TamaGo's runtime clears the first MiB of its heap before it starts.
func TestEntryToMainStaysInBudget(t *testing.T) {
	budget := 1_200_000
	if tamago {
		budget = 2_000_000
	}
	out, code := run(t, []string{"ICOUNT=1", "MEM=512M"})
	var ticks int
	for line := range strings.Lines(out) {
		if n, _ := fmt.Sscanf(line, "trial: %d ticks from entry to main", &ticks); n == 1 {
			break
		}
	}
	if code != 0 || ticks == 0 || ticks > budget {
		t.Fatalf("%d instructions from entry to main, exit code %d, want at most %d and 0:\n%s", ticks, code, budget, out)
	}
	t.Logf("%d instructions from entry to main", ticks)
}
