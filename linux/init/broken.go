//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"

	"ferry/linux"
	"ferry/linux/workload"
)

// breakFiles damages the structures of the preserved memfds that the plan wants broken, in physical memory: no kernel of
// the route has CONFIG_STRICT_DEVMEM. Each says one page more of its array of folios than there is.
//
// Source: struct memfd_luo_ser of include/linux/kho/abi/memfd.h, Linux 6.19 to 7.3, and total_pages of struct kho_vmalloc.
func breakFiles(sessions []workload.Session) error {
	mem, err := os.OpenFile("/dev/mem", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer mem.Close()
	for _, s := range sessions {
		for _, f := range s.Files {
			if f.Fails == 0 {
				continue
			}
			at, page, err := findStructure(mem, f)
			if err != nil {
				return fmt.Errorf("session %q: token %#x: %w", s.Name, f.Token, err)
			}
			total := int64(32) // behind pos, size, nr_folios, and the first chunk's address
			if binary.LittleEndian.Uint64(page[16:]) == 0 {
				total += 8 // there are seals and flags
			}
			pages := binary.LittleEndian.Uint32(page[total:])
			if pages != 1 {
				return fmt.Errorf("structure at %#x: an array of %d pages, want 1", at, pages)
			}
			if _, err := mem.WriteAt([]byte{2}, at+total); err != nil {
				return err
			}
			report("broken structure=%#x token=%#x", at, f.Token)
		}
	}
	return nil
}

// findStructure finds the page of RAM that begins with the position and the size of the file, and ends in zeros.
func findStructure(mem io.ReaderAt, f workload.File) (at int64, page []byte, err error) {
	want := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(f.Pos)), uint64(f.Size))
	iomem, err := os.ReadFile("/proc/iomem")
	if err != nil {
		return 0, nil, err
	}
	buffer := make([]byte, 1<<20)
	for line := range strings.Lines(string(iomem)) {
		var start, end int64
		if _, err := fmt.Sscanf(line, "%x-%x : System RAM", &start, &end); err != nil || strings.HasPrefix(line, " ") {
			continue
		}
		for at := max(start, int64(len(buffer))) &^ (workload.PageSize - 1); at < end; at += int64(len(buffer)) { // the first MiB is the firmware's
			n, err := mem.ReadAt(buffer[:min(int64(len(buffer)), end+1-at)], at)
			if err != nil {
				return 0, nil, fmt.Errorf("%#x: %w", at, err)
			}
			for i := 0; i+workload.PageSize <= n; i += workload.PageSize {
				page := buffer[i : i+workload.PageSize]
				if bytes.HasPrefix(page, want) && len(bytes.TrimRight(page, "\x00")) <= 48 {
					return at + int64(i), page, nil
				}
			}
		}
	}
	return 0, nil, fmt.Errorf("no page of memory begins with the structure (%s)", linux.InitPath)
}
