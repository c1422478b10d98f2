//go:build metal

package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"unsafe"

	"ferry/board/amd64"
	"ferry/phys"
)

// Memory outside the stage that holds secrets too: the range to wipe starts and ends
// at odd addresses, and a copy on either side of it is to stay.
const (
	vault      = phys.Addr(0x0c00_0000)
	vaultBytes = 0x40000
	wipeStart  = vault + 0x103
	wipeEnd    = vault + 0x3f00d
)

// data and blank are written to: the image's data, and what is zero in it.
var (
	data  = [1 << 12]byte{0: 1}
	blank [1 << 12]byte
)

// hide fills memory of every kind with a secret, and starts the image in
// the initrd at the address, to seek the secret: by a jump, or as the fallback.
func hide(address string, fail bool) error {
	secret := make([]byte, 32)
	amd64.Random(secret)
	heap := make([]byte, 1<<20)
	fill32(heap, secret)
	fill32(data[:], secret)
	fill32(blank[:], secret)
	// Memory that is taken once the tables for the jump are there is wiped as well.
	entry, zp, err := place(address, "")
	if err != nil {
		return err
	}
	if err := amd64.SetFallback("the fallback", entry, zp); err != nil {
		return err
	}
	amd64.ClearFallback()
	more := make([]byte, 1<<20)
	fill32(more, secret)
	const kernelStack = 0xffff_c000_0004_0000 // its far end, which nobody uses
	own := uintptr(kernelStack)
	fill32(unsafe.Slice(*(**byte)(unsafe.Pointer(&own)), 1<<10), secret)
	ready, stay := make(chan bool), make(chan bool)
	go func() {
		var stack [1 << 12]byte
		fill32(stack[:], secret)
		ready <- true
		<-stay
		fmt.Println(stack[17])
	}()
	<-ready
	fill32(make([]byte, 8<<20), secret) // and what the collector frees

	mem := amd64.Memory()
	outside, err := mem.Edit(vault, vaultBytes)
	if err != nil {
		return err
	}
	clear(outside)
	fill32(outside[wipeStart-vault:wipeEnd-vault], secret)
	copy(outside[wipeStart-vault-32:], secret)
	copy(outside[wipeEnd-vault:], secret)

	n, err := count(mem, mem.RAM(), secret)
	if err != nil {
		return err
	}
	fmt.Printf("trial: %d copies of the secret\n", n)
	if n < (10<<20+3<<12+1<<10)/32 {
		return errors.New("copies are missing")
	}
	cover := make([]byte, len(secret))
	for i, b := range secret {
		cover[i] = ^b
	}
	if entry, zp, err = place(address, " -- seek "+hex.EncodeToString(cover)); err != nil {
		return err
	}
	wipe := phys.Range{Start: wipeStart, End: wipeEnd}
	if fail {
		if err := amd64.SetFallback("the fallback", entry, zp, wipe); err != nil {
			return err
		}
		panic("the trial panics")
	}
	return amd64.Jump(entry, zp, wipe)
}

func fill32(b, secret []byte) {
	for len(b) > 0 {
		b = b[copy(b, secret):]
	}
}

// seek counts what is left of the secret.
func seek(cover string) error {
	secret, err := hex.DecodeString(cover)
	if err != nil {
		return err
	}
	for i := range secret {
		secret[i] = ^secret[i]
	}
	mem := amd64.Memory()
	n, err := count(mem, mem.RAM().Sub(amd64.Boot().Stage), secret)
	if err != nil {
		return err
	}
	outside, err := mem.View(wipeStart, uint64(wipeEnd-wipeStart))
	if err != nil {
		return err
	}
	fmt.Printf("trial: %d copies are left, %d bytes of the range\n", n, len(outside)-bytes.Count(outside, []byte{0}))
	return nil
}

// count returns the number of copies of the secret in memory.
func count(mem phys.Memory, ram phys.Ranges, secret []byte) (n int, err error) {
	for _, r := range ram {
		b, err := mem.View(r.Start, r.Size())
		if err != nil {
			return 0, err
		}
		n += bytes.Count(b, secret)
	}
	return n, nil
}
