//go:build metal

package syscalls_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"ferry/board/amd64"
	"ferry/board/amd64/internal/kernel"
	"ferry/board/amd64/internal/syscalls"
)

func TestNilDereferenceIsAPanic(t *testing.T) {
	defer func() {
		err, ok := recover().(runtime.Error)
		if !ok || !strings.Contains(err.Error(), "nil pointer") {
			t.Fatalf("recovered %v, want a nil pointer error", err)
		}
	}()
	var p *struct{ n [8]int }
	p.n[3]++
	t.Fatal("went on after a store to nil")
}

func TestDivisionByZeroIsAPanic(t *testing.T) {
	defer func() {
		if err, ok := recover().(runtime.Error); !ok || !strings.Contains(err.Error(), "divide") {
			t.Fatalf("recovered %v, want a division error", err)
		}
	}()
	t.Fatal(1 / nothing)
}

func TestStrayAccessIsACatchableFault(t *testing.T) {
	const stackTop, stackSize = 0x7fff_ff00_0000, 256 << 10 // of the first thread
	for _, a := range []uintptr{stackTop - stackSize - 8, stackTop, 0x10_0000, 0x7000_0000_0000, uintptr(kernel.ImageBase()), kernel.DirectMap + 1<<44} {
		if !faults(a, false) {
			t.Errorf("reading %#x did not fault", a)
		}
	}
}

// TestImageIsMappedWithItsRights covers W^X: neither text nor read-only data can
// be written, at their own addresses.
func TestImageIsMappedWithItsRights(t *testing.T) {
	text := **(**uintptr)(unsafe.Pointer(&codeOf))
	if !faults(text, true) {
		t.Error("text is writable")
	}
	s := "a string in read-only data"
	if !faults(uintptr(unsafe.Pointer(unsafe.StringData(s))), true) {
		t.Error("read-only data is writable")
	}
	if faults(text, false) {
		t.Error("text is not readable")
	}
}

var codeOf = series

// faults reports whether an access to the byte at a faults.
func faults(a uintptr, write bool) (faulted bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { faulted = recover() != nil }()
	p := *(**byte)(unsafe.Pointer(&a))
	if write {
		*p += nothing
	} else {
		sink.Add(int64(*p))
	}
	return false
}

var (
	sink    atomic.Int64
	nothing byte // zero, which the compiler does not know
)

func TestSpinningGoroutineIsPreempted(t *testing.T) {
	var stop atomic.Bool
	done := make(chan int)
	go func() {
		n := 0
		for !stop.Load() {
			n++
		}
		done <- n
	}()
	go func() {
		x := 1
		for range 100_000_000 { // no call, no load: only a signal stops it
			x = x*3 + 1
		}
		sink.Add(int64(x))
	}()
	start := time.Now()
	time.Sleep(20 * time.Millisecond)
	stop.Store(true)
	select {
	case n := <-done:
		t.Logf("the spinner counted to %d in %v", n, time.Since(start))
	case <-time.After(10 * time.Second):
		t.Fatal("two spinning goroutines starve the rest")
	}
	runtime.GC() // needs every goroutine stopped
}

// TestPreemptionKeepsFloatingPoint runs sums in several threads at once, whose
// results show a register that leaked.
func TestPreemptionKeepsFloatingPoint(t *testing.T) {
	want := series(1, 300_000)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			runtime.LockOSThread()
			for range 5 {
				if got := series(1, 300_000); got != want {
					t.Errorf("sum is %v in a preempted thread, want %v", got, want)
				}
			}
		})
	}
	wg.Wait()
}

func series(x float64, n int) (sum float64) {
	for i := range n {
		sum += math.Sqrt(x+float64(i)) / 3
	}
	return sum
}

func TestGarbageCollectionUnderPressure(t *testing.T) {
	before := numGC()
	keep := make([][]byte, 64)
	for i := range 40_000 {
		b := make([]byte, 1+i*37%8000)
		b[len(b)-1] = byte(i)
		keep[i%len(keep)] = b
	}
	if n := numGC() - before; n < 3 {
		t.Errorf("%d collections while 160 MB were allocated in a small machine", n)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			m := map[int]string{}
			for i := range 5000 {
				m[i%500] = strings.Repeat(string(rune('a'+g)), i%50)
			}
			runtime.GC()
			for i, s := range m {
				if strings.Trim(s, string(rune('a'+g))) != "" {
					t.Errorf("goroutine %d: entry %d holds %q", g, i, s)
				}
			}
		})
	}
	wg.Wait()
}

func numGC() uint32 {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.NumGC
}

const page = amd64.PageSize

// mmap asks for anonymous memory without the runtime's knowledge.
func mmap(a, n uintptr, prot, flags int) (uintptr, syscall.Errno) {
	a, _, errno := syscall.Syscall6(syscall.SYS_MMAP, a, n, uintptr(prot), uintptr(flags|syscall.MAP_ANON|syscall.MAP_PRIVATE), 0, 0)
	return a, errno
}

// TestOddAddressesAreRefused covers ends that wrap, and addresses whose page table
// slots are those of other ones.
func TestOddAddressesAreRefused(t *testing.T) {
	const end = 0x7fff_ffff_f000
	for _, c := range []struct{ a, n uintptr }{
		{end, page}, {end - page, 2 * page}, {1<<64 - page, page}, {1<<64 - page, 2 * page}, {1<<64 - 1<<30, 1<<30 + page},
		{kernel.DirectMap, page}, {1 << 47, page}, {page, page},
	} {
		if a, errno := mmap(c.a, c.n, syscall.PROT_READ, syscall.MAP_FIXED); errno == 0 {
			t.Errorf("mapped %#x bytes at %#x: %#x", c.n, c.a, a)
		}
		if a, errno := mmap(c.a, c.n, syscall.PROT_READ, 0); errno != 0 || a == c.a {
			t.Errorf("mapping %#x bytes with %#x as a hint: %#x, %v", c.n, c.a, a, errno)
		} else if _, _, errno := syscall.Syscall(syscall.SYS_MUNMAP, a, c.n, 0); errno != 0 {
			t.Error(errno)
		}
		for _, call := range []uintptr{syscall.SYS_MUNMAP, syscall.SYS_MPROTECT, syscall.SYS_MADVISE} {
			if _, _, errno := syscall.Syscall(call, c.a, c.n, 4); errno == 0 && c.a != page {
				t.Errorf("system call %d took %#x bytes at %#x", call, c.n, c.a)
			}
		}
	}
	var ts [2]uint64
	alias := uintptr(unsafe.Pointer(&ts)) | 1<<48
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 0, alias, 0); errno != syscall.EFAULT {
		t.Errorf("clock_gettime to %#x: %v, want %v", alias, errno, syscall.EFAULT)
	}
}

func TestNoMemoryIsWritableAndExecutable(t *testing.T) {
	const both, flags = syscall.PROT_WRITE | syscall.PROT_EXEC, 0
	if a, errno := mmap(0, page, both, flags); errno != syscall.EINVAL {
		t.Errorf("mmap: %#x, %v, want %v", a, errno, syscall.EINVAL)
	}
	a, errno := mmap(0, page, syscall.PROT_READ|syscall.PROT_WRITE, flags)
	if errno != 0 {
		t.Fatal(errno)
	}
	for _, c := range []struct {
		prot uintptr
		want syscall.Errno
	}{{both, syscall.EINVAL}, {both | syscall.PROT_READ, syscall.EINVAL}, {syscall.PROT_EXEC, 0}} {
		if _, _, errno := syscall.Syscall(syscall.SYS_MPROTECT, a, page, c.prot); errno != c.want {
			t.Errorf("mprotect to %#x: error %v, want %v", c.prot, errno, c.want)
		}
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_MUNMAP, a, page, 0); errno != 0 {
		t.Error(errno)
	}
}

// TestRightsEndAtOnce uses memory, so that the processor remembers how it is mapped,
// before it takes rights away from it.
func TestRightsEndAtOnce(t *testing.T) {
	a, errno := mmap(0, page, syscall.PROT_READ|syscall.PROT_WRITE, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	if faults(a, true) {
		t.Fatal("fresh memory cannot be written")
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_MPROTECT, a, page, syscall.PROT_READ); errno != 0 {
		t.Fatal(errno)
	}
	if faults(a, false) || !faults(a, true) {
		t.Error("memory that was made read-only cannot be read, or can still be written")
	}
	if faults(a, false) { // and remembers it again
		t.Error("memory cannot be read after a fault")
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_MUNMAP, a, page, 0); errno != 0 {
		t.Fatal(errno)
	}
	if !faults(a, false) {
		t.Error("memory that was given back can still be read")
	}
}

func TestImageCannotBeUnmapped(t *testing.T) {
	for i := range kernel.SegmentCount() {
		a := uintptr(kernel.SegmentAt(i).Start)
		if _, _, errno := syscall.Syscall(syscall.SYS_MUNMAP, a, page, 0); errno == 0 {
			t.Errorf("unmapped the image at %#x", a)
		}
		if _, errno := mmap(a, page, syscall.PROT_READ, syscall.MAP_FIXED); errno == 0 {
			t.Errorf("mapped memory over the image at %#x", a)
		}
		if faults(a, false) {
			t.Errorf("the image at %#x is gone", a)
		}
	}
}

func TestMemoryIsGivenBack(t *testing.T) {
	const size, slack = 16 << 20, 5 << 20
	var after []uint64
	for range 4 {
		b := make([]byte, size)
		for i := range b {
			b[i] = 1
		}
		with := amd64.MemoryUse()
		runtime.KeepAlive(b)
		debug.FreeOSMemory()
		use := amd64.MemoryUse()
		if with.Now < use.Now+size-slack {
			t.Errorf("memory in use went from %d to %d bytes after 16 MiB were freed", with.Now, use.Now)
		}
		if use.Peak < with.Now || use.Total != amd64.Boot().Stage.Size() {
			t.Errorf("peak %d and total %d do not fit use %d", use.Peak, use.Total, with.Now)
		}
		after = append(after, use.Now)
	}
	if last := after[len(after)-1]; last > after[1]+1<<20 {
		t.Errorf("memory in use after each round: %d: it grows", after)
	}
}

func TestFreshMemoryIsZero(t *testing.T) {
	for range 3 {
		b := make([]byte, 4<<20)
		for i := range b {
			if b[i] != 0 {
				t.Fatalf("byte %d of fresh memory is %#x", i, b[i])
			}
			b[i] = 0xa5
		}
		debug.FreeOSMemory()
	}
	if i := slices.IndexFunc(bigZeroed[:], func(b byte) bool { return b != 0 }); i >= 0 {
		t.Errorf("zero-initialised variable: byte %d is %#x", i, bigZeroed[i])
	}
}

var bigZeroed [1 << 20]byte

func TestFilesDoNotExist(t *testing.T) {
	if _, err := os.ReadFile("/proc/self/maps"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading a file: %v, want %v", err, fs.ErrNotExist)
	}
	if _, err := os.Stat("testdata"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat: %v, want %v", err, fs.ErrNotExist)
	}
	if err := os.WriteFile("x", nil, 0o600); err == nil {
		t.Error("wrote a file")
	}
	if n, err := os.Stdin.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("reading the console: %d bytes, %v", n, err)
	}
}

func TestPipeCarriesMoreThanItHolds(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("0123456789abcde\n"), 2000)
	go func() {
		if _, err := w.Write(want); err != nil {
			t.Error(err)
		}
		w.Close()
	}()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, %v; want the %d written", len(got), err, len(want))
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestManyThreads(t *testing.T) {
	var wg sync.WaitGroup
	var n atomic.Int32
	start := make(chan bool)
	for range 30 {
		wg.Go(func() {
			runtime.LockOSThread() // and the thread ends with the goroutine
			<-start
			time.Sleep(time.Millisecond)
			n.Add(1)
		})
	}
	close(start)
	wg.Wait()
	if n.Load() != 30 {
		t.Errorf("%d of 30 threads ran", n.Load())
	}
}

// TestManyThreadsAgain proves that ended threads leave their places.
func TestManyThreadsAgain(t *testing.T) {
	for range 4 {
		TestManyThreads(t)
	}
}

func TestHashOfKnownText(t *testing.T) {
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got := sha256.Sum256([]byte("abc")); hex.EncodeToString(got[:]) != want {
		t.Errorf("sha256 is %x, want %s", got, want)
	}
}

func TestRandomDiffers(t *testing.T) {
	seen := map[[16]byte]bool{}
	for range 1000 {
		var b [16]byte
		amd64.Random(b[:])
		if seen[b] {
			t.Fatalf("%x came twice", b)
		}
		seen[b] = true
	}
}

func TestDirectMapShowsRAM(t *testing.T) {
	mem := amd64.Memory()
	for _, r := range mem.RAM() {
		b, err := mem.View(r.Start, r.Size())
		if err != nil {
			t.Fatalf("%v: %v", r, err)
		}
		sink.Add(int64(b[0]) + int64(b[len(b)-1]) + int64(b[len(b)/2]))
	}
	stage := amd64.Boot().Stage
	if !mem.RAM().Contains(stage) {
		t.Errorf("the stage %v is not RAM: %v", stage, mem.RAM())
	}
}

func TestArguments(t *testing.T) {
	if len(os.Args) < 2 || !strings.HasPrefix(os.Args[1], "-test.") {
		t.Errorf("arguments are %q", os.Args)
	}
}

// TestSystemCallsAreKnown runs after what came before it: every call so far has
// an answer.
func TestSystemCallsAreKnown(t *testing.T) {
	t.Logf("system calls seen: %d", syscalls.Syscalls())
	for _, n := range syscalls.UnknownSyscalls() {
		t.Errorf("system call %d has no answer", n)
	}
	for _, n := range []int{9, 13, 14, 56, 131, 158, 202, 228, 281} {
		if !slices.Contains(syscalls.Syscalls(), n) {
			t.Errorf("system call %d is not in the list of those seen", n)
		}
	}
}
