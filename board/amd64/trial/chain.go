//go:build metal

package main

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"ferry/board/amd64"
	"ferry/boot/protocol"
	"ferry/phys"
)

// chain starts the bzImage in the initrd at the first address, with
// the rest of the addresses to go on to. It returns only with an error.
func chain(addresses []string) error {
	line := ""
	if rest := addresses[1:]; len(rest) > 0 {
		line = " -- chain " + strings.Join(rest, " ")
	}
	entry, zp, err := place(addresses[0], line)
	if err != nil {
		return err
	}
	fmt.Printf("trial: from %v to %s\n", amd64.Boot().Stage, addresses[0])
	return amd64.Jump(entry, zp)
}

// fallback places the same bzImage at the address, to be started if the run
// fails.
func fallback(address string) error {
	entry, zp, err := place(address, " -- fallen")
	if err != nil {
		return err
	}
	return amd64.SetFallback("the fallback", entry, zp)
}

// place puts the bzImage in the initrd at the address, with its command
// line, and returns its entry and its zero page.
func place(address, words string) (entry, zp phys.Addr, err error) {
	at, err := strconv.ParseUint(address, 0, 64)
	if err != nil {
		return 0, 0, err
	}
	mem, le := amd64.Memory(), binary.LittleEndian
	old, err := mem.View(amd64.Boot().ZeroPage, phys.PageSize)
	if err != nil {
		return 0, 0, err
	}
	wide := func(low, high int) uint64 {
		return uint64(le.Uint32(old[low:])) | uint64(le.Uint32(old[high:]))<<32
	}
	image, err := mem.View(phys.Addr(wide(protocol.OffInitrd, protocol.OffExtInitrd)), wide(protocol.OffInitrdLen, protocol.OffExtInitrdLen))
	if err != nil {
		return 0, 0, err
	}
	flat := image[protocol.SetupSize(image[protocol.OffSetupSects]):]
	to, err := mem.Edit(phys.Addr(at), uint64(len(flat)))
	if err != nil {
		return 0, 0, err
	}
	copy(to, flat)

	// The zero page goes right below, the command line below that.
	zp, line := phys.Addr(at)-phys.PageSize, phys.Addr(at)-2*phys.PageSize
	page, err := mem.Edit(line, 2*phys.PageSize)
	if err != nil {
		return 0, 0, err
	}
	clear(page)
	copy(page, words)
	copy(page[phys.PageSize:], old)
	le.PutUint32(page[phys.PageSize+protocol.OffCmdline:], uint32(line))
	le.PutUint32(page[phys.PageSize+protocol.OffExtCmdline:], uint32(line>>32))
	return phys.Addr(at + protocol.Entry64), zp, nil
}
