//go:build linux && !metal

package luo_test

import (
	"fmt"
	"os"

	"ferry/kho"
	"ferry/luo"
	"ferry/memfd"
	"ferry/phys"
	"ferry/phys/dump"
)

// list prints what a machine had preserved, from a raw dump of its memory that begins
// at address base, and from nothing else.
func list(name string, base phys.Addr) error {
	mem, err := dump.Open(name, base)
	if err != nil {
		return err
	}
	defer mem.Close()
	for _, data := range kho.Find(mem) {
		h, err := kho.Open(mem, data, nil)
		if err != nil {
			return err
		}
		ledger := h.Ledger()
		state, err := luo.Restore(h, ledger)
		if state == nil {
			return err
		}
		for s := range state.Sessions() {
			fmt.Printf("session %q\n", s.Name)
			for f, err := range s.Files() {
				var file *memfd.File
				if err == nil {
					file, err = memfd.Open(ledger, memfd.Ref{Format: memfd.ByHandler(f.Handler), Addr: phys.Addr(f.Data)})
				}
				if err != nil {
					fmt.Println("  damaged:", err)
					continue
				}
				fmt.Printf("  file %d: %d bytes\n", f.Token, file.Size)
			}
		}
		fmt.Println("in all:", err)
	}
	return nil
}

// Example_dump lists the sessions and files of a machine from a dump of its memory, and
// from one in which a session is damaged.
func Example_dump() {
	for _, damage := range []func(kho.Data, phys.Memory){nil, breakSession} {
		name := rawDump(damage)
		if err := list(name, dumpBase); err != nil {
			fmt.Println(err)
		}
		os.Remove(name)
	}
	// Output:
	// session "vm-0"
	//   file 0: 16384 bytes
	//   file 1: 16284 bytes
	// session "vm-1"
	//   file 0: 16384 bytes
	//   file 1: 16284 bytes
	// session "vm-2"
	//   file 0: 16384 bytes
	//   file 1: 16284 bytes
	// in all: <nil>
	// session "vm-0"
	//   file 0: 16384 bytes
	//   file 1: 16284 bytes
	// session "vm-1"
	//   file 0: 16384 bytes
	//   file 1: 16284 bytes
	//   damaged: session 1 "vm-1": record 0x11c2d060: count 5, but 2 files in the chain at 0x11c30000, want the number of files (Linux would give back no session at all: its reader stops here)
	// session "vm-2"
	//   file 0: 16384 bytes
	//   file 1: 16284 bytes
	// in all: luo: session 1 "vm-1": record 0x11c2d060: count 5, but 2 files in the chain at 0x11c30000, want the number of files (Linux would give back no session at all: its reader stops here)
}
