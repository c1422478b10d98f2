//go:build !metal

package syscalls_test

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// kernelEntries are the functions through which the processor enters the kernel,
// and those that start it.
var kernelEntries = []string{
	"ferry_entry",
	"ferry/board/amd64/internal/syscalls.started.abi0",
	"ferry/board/amd64/internal/syscalls.trapped.abi0",
	"ferry/board/amd64/internal/kernel.flat.abi0",
	"ferry/board/amd64/internal/kernel.vectors.abi0",
	"ferry/board/amd64/internal/kernel.syscall.abi0",
	"ferry/board/amd64/internal/kernel.leave.abi0",
	"ferry/board/amd64/internal/kernel.readyJump.abi0",
	"ferry/board/amd64/internal/kernel.finishFromGo.abi0",
	"ferry/board/amd64/internal/kernel.unlockPages.abi0",
}

// stackCheck is what a function calls whose stack does not suffice: the one call
// into the runtime that kernel code contains. The kernel's stack limit is that
// of its fixed stack, so that it runs on overflow only, and faults there: a
// report, not a growing stack.
const stackCheck = "runtime.morestack_noctxt.abi0"

// indirect are the functions that may call through a register: the trap entry
// calls the handler that the kernel set.
var indirect = []string{"trap"}

// function is one function of the binary.
type function struct {
	calls    []string // names of functions called or jumped to
	indirect []string // instructions that call through a register
	data     []uint64 // addresses of constants and variables used
	frame    int      // bytes of stack, with the return address and what is pushed
}

// TestKernelCodeKeepsOutOfTheRuntime disassembles a binary and follows every call
// from the kernel's entries: nothing there may allocate, write with a barrier,
// panic, or call any other part of the runtime, and no variable may be one that
// is paged in on demand.
func TestKernelCodeKeepsOutOfTheRuntime(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "trial.elf")
	tool(t, "build", "-tags", "metal", "-trimpath", "-buildvcs=false",
		"-ldflags", "-E ferry_entry -T 0x400000001000 -funcalign=1", "-o", binary, "ferry/board/amd64/trial")
	functions := disassemble(tool(t, "tool", "objdump", "-s", "^ferry|^trap$|^fakeg$|tamago", binary))
	zeroed := zeroInitialised(t, binary)

	from := map[string]string{} // function: who calls it
	queue := slices.Clone(kernelEntries)
	variables := 0
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		f := functions[name]
		if f == nil {
			t.Errorf("kernel code reaches %s, called by %s", name, path(from, from[name]))
			continue
		}
		if !slices.Contains(indirect, name) {
			for _, i := range f.indirect {
				t.Errorf("%s calls through a register: %s", path(from, name), i)
			}
		}
		for _, d := range f.data {
			for _, z := range zeroed {
				if d >= z.Addr && d < z.Addr+z.Size {
					t.Errorf("%s uses address %#x in %s, which is paged in on demand", path(from, name), d, z.Name)
				}
			}
			variables++
		}
		for _, callee := range f.calls {
			if _, seen := from[callee]; !seen && callee != stackCheck && !slices.Contains(kernelEntries, callee) {
				from[callee] = name
				queue = append(queue, callee)
			}
		}
	}
	for _, name := range []string{"ferry/board/amd64/internal/syscalls.trap", "ferry/board/amd64/internal/syscalls.fault", "ferry/board/amd64/internal/syscalls.serve",
		"ferry/board/amd64/internal/kernel.(*machine).calibrate", "github.com/usbarmory/tamago/soc/intel/uart.(*UART).Tx"} {
		if _, ok := from[name]; !ok {
			t.Errorf("%s was not reached: the call graph is not as expected", name)
		}
	}
	const kernelStack = 32 << 10
	depth := deepest(functions, "ferry/board/amd64/internal/syscalls.trapped.abi0", map[string]int{})
	if depth < 500 || depth > kernelStack/2 {
		t.Errorf("a trap uses up to %d bytes of the kernel stack, want at most half of its %d", depth, kernelStack)
	}
	if variables < 10 {
		t.Errorf("found %d uses of data: the disassembly is not as expected", variables)
	}
	t.Logf("%d functions of the kernel inspected, %d bytes of stack used at most", len(from), depth)
}

// path tells how name is reached.
func path(from map[string]string, name string) string {
	s := name
	for caller := from[name]; caller != "" && len(s) < 500; caller = from[caller] {
		s = caller + " > " + s
	}
	return s
}

// deepest returns the bytes of stack that a call of the function takes at most. A
// function that calls itself does so once for each level of the page tables.
func deepest(functions map[string]*function, name string, known map[string]int) int {
	const levels = 5
	f := functions[name]
	if f == nil {
		return 0
	}
	if n, ok := known[name]; ok {
		return n
	}
	known[name] = 0 // while it is being found
	frame, below := f.frame, 0
	for _, callee := range f.calls {
		if callee == name {
			frame = f.frame * levels
			continue
		}
		below = max(below, deepest(functions, callee, known))
	}
	known[name] = frame + below
	return known[name]
}

var (
	grow         = regexp.MustCompile(`^(SUBQ|ADDQ) \$(-?0x[0-9a-f]+), SP$`)
	symbolCall   = regexp.MustCompile(`^(?:CALL|J[A-Z]+) ([^ ]+)\(SB\)`)
	registerCall = regexp.MustCompile(`^CALL [^ ]*$`)
	relative     = regexp.MustCompile(`(-?0x[0-9a-f]+)\(IP\)`)
)

// disassemble reads the output of go tool objdump.
func disassemble(text []byte) map[string]*function {
	functions := map[string]*function{}
	var f *function
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "TEXT "); ok {
			f = &function{frame: 8}
			functions[name[:strings.Index(name, "(SB)")]] = f
			continue
		}
		columns := strings.Split(strings.TrimSpace(line), "\t")
		if f == nil || len(columns) < 4 {
			continue
		}
		i := strings.TrimSpace(columns[len(columns)-1])
		if strings.HasPrefix(i, "PUSH") {
			f.frame += 8
		} else if m := grow.FindStringSubmatch(i); m != nil {
			// ADDQ $-0x80 is a shorter SUBQ $0x80; other ADDQ end a function.
			if n, err := strconv.ParseInt(m[2], 0, 64); err == nil && (m[1] == "SUBQ") == (n > 0) {
				f.frame += int(max(n, -n))
			}
		}
		switch m := symbolCall.FindStringSubmatch(i); {
		case m != nil:
			f.calls = append(f.calls, m[1])
		case registerCall.MatchString(i):
			f.indirect = append(f.indirect, i)
		default:
			if m := relative.FindStringSubmatch(i); m != nil {
				address, err1 := strconv.ParseUint(columns[1], 0, 64)
				distance, err2 := strconv.ParseInt(m[1], 0, 64)
				if err1 == nil && err2 == nil {
					f.data = append(f.data, address+uint64(len(columns[2])/2)+uint64(distance))
				}
			}
		}
	}
	return functions
}

// zeroInitialised returns the sections that the file has no bytes of.
func zeroInitialised(t *testing.T, path string) (sections []*elf.Section) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, s := range f.Sections {
		if s.Type == elf.SHT_NOBITS && s.Flags&elf.SHF_TLS == 0 && s.Size > 0 {
			sections = append(sections, s)
		}
	}
	if len(sections) != 2 {
		t.Fatalf("%d zero-initialised sections, want .bss and .noptrbss", len(sections))
	}
	return sections
}

// tool runs the go command for the target and returns what it prints.
func tool(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	if args[0] == "build" {
		cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "CGO_ENABLED=0")
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, errs.Bytes())
	}
	return out
}
