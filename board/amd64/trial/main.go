//go:build metal

// Command trial is what the boot tests boot: it tries the machine, or does what
// its first argument says.
package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"ferry/board/amd64"
	"ferry/board/amd64/internal/kernel"
	_ "ferry/board/amd64/start"
	"ferry/phys"
)

func main() {
	start := amd64.TSC() - amd64.EntryTSC()
	if len(os.Args) < 2 {
		try(start)
		return
	}
	if os.Args[1] == "fallback" { // address, what to end by
		if err := fallback(os.Args[2]); err != nil {
			fmt.Println("trial:", err)
			os.Exit(1)
		}
		os.Args = append(os.Args[:1], os.Args[2:]...)
		os.Args[1] = "step"
	}
	if os.Args[1] == "step" { // what to end by
		amd64.SetStep("trial of " + os.Args[2])
		os.Args = append(os.Args[:1], os.Args[2:]...)
	}
	switch what := os.Args[1]; what {
	case "fallen":
		fmt.Println("trial: fallen back")
		try(start)
	case "return":
	case "spin": // for how long at most; making calls
		d := 50 * time.Millisecond
		if len(os.Args) > 2 {
			d, _ = time.ParseDuration(os.Args[2])
		}
		fmt.Println("trial: deadline is watched:", amd64.SetDeadline(d))
		for spins := len(os.Args); spins != 0; {
			if spins > 3 {
				syscall.Getppid()
			}
		}
	case "exit":
		code, _ := strconv.Atoi(os.Args[2])
		os.Exit(code)
	case "panic":
		panic("the trial panics")
	case "nil":
		var p *int
		*p = 1
	case "overflow":
		fmt.Println(deeper(1))
	case "stray":
		a := uintptr(0x123456789000)
		fmt.Println(**(**int)(unsafe.Pointer(&a)))
	case "deadlock":
		<-make(chan int)
	case "memory":
		fill()
	case "kernel":
		trapInto(0x10) // nothing is there
	case "stack":
		trapInto(addressOfEndless()) // which fills the kernel stack
	case "double":
		const trapStack = 0xffff_c000_0006_0000
		kernel.UnmapPage(trapStack)
		kernel.UnmapPage(trapStack + amd64.PageSize)
		time.Sleep(20 * time.Millisecond) // the timer has no stack to come on
		var p *int
		*p = 1
	case "twice":
		p := new([1 << 20]byte)
		frame = uint64(uintptr(unsafe.Pointer(&p[1<<19])))
		p[1<<19] = 1
		*kernel.Entry(frame, false) |= 1 << 51 // mapped, but a read of it faults
		kernel.FlushAll()
		kernel.SetHandler(addressOfStumble())
		fmt.Println("unreachable if this is a system call")
		time.Sleep(50 * time.Millisecond)
		fmt.Println("unreachable", p[0])
	case "buffer":
		buffer()
	case "tables":
		p := new([1 << 20]byte)
		p[1<<19] = 1
		*kernel.Entry(uint64(uintptr(unsafe.Pointer(&p[1<<19]))), false) |= 1 << 51
		kernel.FlushAll()
		fmt.Println("unreachable", p[1<<19])
	case "unknown":
		_, _, err := syscall.Syscall(450, 0, 0, 0)
		fmt.Println("unknown system call:", err)
	case "environment":
		fmt.Printf("%q %q\n", os.Args[2:], os.Environ())
	case "limit":
		fmt.Println("trial: memory limit", debug.SetMemoryLimit(-1), "of", amd64.MemoryUse().Total)
	case "calls":
		fmt.Println("trial: calls")
		for start := time.Now(); time.Since(start) < 3*time.Second; {
			syscall.Getppid()
		}
		fmt.Println("trial: ok")
	case "chain":
		fmt.Println("trial:", chain(os.Args[2:]))
		os.Exit(1)
	case "random":
		var b [32]byte
		amd64.Random(b[:])
		fmt.Printf("trial: random %x\n", b)
	case "hide", "hide-fail":
		fmt.Println("trial:", hide(os.Args[2], what == "hide-fail"))
		os.Exit(1)
	case "seek":
		if err := seek(os.Args[2]); err != nil {
			fmt.Println("trial:", err)
			os.Exit(1)
		}
	case "reset":
		amd64.Reset()
	default:
		fmt.Printf("no such trial: %q\n", what)
		os.Exit(1)
	}
}

func endless()
func addressOfEndless() uint64
func stumble()
func addressOfStumble() uint64

var _, _ = endless, stumble // by their addresses

// frame is the frame pointer of stumble: not 0, so that it is no page that comes
// on demand.
var frame uint64 = 1

//go:noinline
func deeper(n int) int {
	if n < 0 {
		return n
	}
	return deeper(n+1) + 1
}

// trapInto makes the next trap go to an address. The trap may be the timer's, at the
// start of a function that has no frame yet: then the trace leaves out its caller. That
// is never main, which is why this is a function of its own.
//
//go:noinline
func trapInto(address uint64) {
	kernel.SetHandler(address)
	fmt.Println("unreachable if this is a system call")
	time.Sleep(50 * time.Millisecond)
	fmt.Println("unreachable")
}

// fill uses memory until there is none.
//
//go:noinline
func fill() {
	var all [][]byte
	for {
		b := make([]byte, 1<<20)
		for i := range b {
			b[i] = byte(i)
		}
		all = append(all, b)
		runtime.KeepAlive(all)
	}
}

// try uses every service of the board once.
func try(start uint64) {
	info, ram := amd64.Boot(), amd64.RAM()
	fmt.Printf("trial: %d ticks from entry to main\n", start)
	fmt.Printf("trial: stage %v, zero page %v, RAM %d MiB in %v\n", info.Stage, info.ZeroPage, ram.Size()>>20, ram)
	hz, source := amd64.Clock()
	fmt.Printf("trial: clock %d MHz from %v, %v\n", hz/1e6, source, time.Now().UTC().Format(time.DateOnly))

	var spin sync.WaitGroup
	var stop atomic.Bool
	spin.Go(func() {
		for amd64.Preemptive && !stop.Load() { // no call: only the timer interrupts it
		}
	})
	began := time.Now()
	time.Sleep(15 * time.Millisecond)
	stop.Store(true)
	spin.Wait()
	keep := make([][]byte, 32)
	for i := range 4000 {
		keep[i%32] = make([]byte, i%9000)
	}
	runtime.GC()

	mem := amd64.Memory()
	sum := sha256.New()
	for _, r := range ram {
		for _, a := range []phys.Addr{0, phys.Addr(r.Size() / 2), phys.Addr(r.Size() - 64)} {
			b, err := mem.View(r.Start+a, 64)
			if err != nil {
				fmt.Println("trial:", err)
				os.Exit(1)
			}
			sum.Write(b)
		}
	}
	hz, source = amd64.Clock()
	fmt.Printf("trial: refined %d MHz from %v\n", hz/1e6, source)
	use := amd64.MemoryUse()
	fmt.Printf("trial: %d KiB used, %d KiB at most, of %d MiB; %v\n", use.Now>>10, use.Peak>>10, use.Total>>20,
		time.Since(began).Round(time.Millisecond))
	fmt.Println("trial: ok")
}
