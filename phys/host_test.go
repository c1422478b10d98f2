//go:build linux && !metal

package phys_test

import (
	"runtime/debug"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"ferry/phys"
	"ferry/phys/phystest"
)

func TestWritingThroughViewFaults(t *testing.T) {
	mem := phystest.New(t, phys.Range{Start: 0x1000_0000, End: 0x1000_1000})
	b, err := mem.View(0x1000_0000, 8)
	if err != nil {
		t.Fatal(err)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() == nil {
			t.Error("a write through View went unnoticed")
		}
	}()
	b[0] = 1
}

func TestDirectFindsMemoryAtBasePlusAddress(t *testing.T) {
	b, err := unix.Mmap(-1, 0, 0x3000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	const start = 0x5000_0000
	mem := phys.NewDirect(uintptr(unsafe.Pointer(&b[0]))-start, phys.Ranges{{Start: start, End: start + 0x3000}})
	w, err := mem.Edit(start+0x1ffe, 4)
	if err != nil {
		t.Fatal(err)
	}
	copy(w, "ABCD")
	if got := string(b[0x1ffe:0x2002]); got != "ABCD" {
		t.Errorf("memory holds %q", got)
	}
	if v, err := mem.View(start, 0x3000); err != nil || string(v[0x1ffe:0x2002]) != "ABCD" || cap(v) != 0x3000 {
		t.Errorf("the view holds %d bytes, %v", len(v), err)
	}
	if _, err := mem.View(start+0x2fff, 2); err == nil {
		t.Error("a view reaches beyond RAM")
	}
}
