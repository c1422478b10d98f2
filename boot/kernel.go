package boot

import (
	"bytes"
	"fmt"
	"math/bits"

	"ferry/boot/opened"
	"ferry/boot/protocol"
	"ferry/phys"
)

// Limits on what an image may demand.
const (
	minImage     = 1024    // two sectors, up to the end of the setup header
	maxAlignment = 1 << 30 // larger than any kernel's
	maxRelease   = 256     // bytes of the release string that are shown
)

// Kernel is a kernel that can be started: a bzImage at its 64-bit entry, or an opened
// one.
type Kernel struct {
	Protocol    uint16    // boot protocol, 0x20f is 2.15
	Release     string    // the release string of the setup part: "7.3.4 (user@host) #1 ..."
	InitSize    uint64    // bytes of memory the kernel uses from its load address before it knows any other
	Alignment   uint64    // of the load address, a power of two of at least a page
	PrefAddress phys.Addr // a relocatable kernel below this address moves itself there
	Relocatable bool      // if not, PrefAddress is the only place
	Above4G     bool      // the kernel and what it is handed may lie above 4 GiB
	FiveLevel   bool      // may be entered with five levels of page tables
	CmdlineMax  uint64    // bytes of the command line without terminator
	InitrdMax   phys.Addr // highest address of the initrd's last byte if Above4G is false

	header []byte         // setup header, from 0x1f1
	code   []byte         // protected-mode part of a bzImage
	opened *opened.Kernel // what an opened one has in its place
}

// refuse returns the error that the image is no kernel for us.
func refuse(found, want string, args ...any) error {
	return fmt.Errorf("%w: %s, want %s", ErrKernel, found, fmt.Sprintf(want, args...))
}

// ParseKernel checks a bzImage as kexec_file_load does and a little more. The
// Kernel keeps windows on image, which must not change while it is in use.
func ParseKernel(image []byte) (*Kernel, error) {
	if len(image) < minImage {
		return nil, refuse(fmt.Sprintf("%d bytes", len(image)), "a bzImage of at least %d", minImage)
	}
	k, err := parseHeader(image)
	if err != nil {
		return nil, err
	}
	setup := int(protocol.SetupSize(image[protocol.OffSetupSects]))
	if len(image) <= setup {
		return nil, refuse(fmt.Sprintf("%d bytes", len(image)), "more than the %d of the setup part", setup)
	}
	k.Release, k.code = release(image, setup), image[setup:]
	return k, k.check(uint64(u32(image, protocol.OffSyssize)) * 16)
}

// parseHeader checks the setup header, which is in b at the same offset as in
// an image.
func parseHeader(b []byte) (*Kernel, error) {
	headerEnd := protocol.OffMagic + int(b[protocol.OffHeaderLen])
	loadflags, xloadflags := b[protocol.OffLoadflags], u16(b, protocol.OffXloadflags)
	switch {
	case u16(b, protocol.OffBootFlag) != protocol.BootFlag:
		return nil, refuse(fmt.Sprintf("boot flag %#x at 0x1fe", u16(b, protocol.OffBootFlag)), "0xaa55, this is no bzImage")
	case string(b[protocol.OffMagic:protocol.OffMagic+4]) != protocol.Magic:
		return nil, refuse(fmt.Sprintf("signature %s at 0x202", phys.Quote(b[protocol.OffMagic:protocol.OffMagic+4])), `"HdrS", this is no bzImage`)
	case u16(b, protocol.OffVersion) < protocol.Version212:
		return nil, refuse(fmt.Sprintf("boot protocol %#x", u16(b, protocol.OffVersion)), "at least %#x", protocol.Version212)
	case loadflags&protocol.LoadedHigh == 0:
		return nil, refuse("a zImage, loaded low", "a bzImage")
	case xloadflags&protocol.XLFKernel64 == 0:
		return nil, refuse(fmt.Sprintf("xloadflags %#x without a 64-bit entry", xloadflags), "a 64-bit kernel")
	case headerEnd < protocol.HeaderEnd210 || headerEnd > protocol.OffHeaderMax:
		return nil, refuse(fmt.Sprintf("setup header up to %#x", headerEnd), "%#x to %#x", protocol.HeaderEnd210, protocol.OffHeaderMax)
	}
	return &Kernel{
		Protocol:    u16(b, protocol.OffVersion),
		InitSize:    pageUp(uint64(u32(b, protocol.OffInitSize))),
		Alignment:   uint64(u32(b, protocol.OffAlignment)),
		PrefAddress: phys.Addr(u64(b, protocol.OffPrefAddress)),
		Relocatable: b[protocol.OffRelocatable] != 0,
		Above4G:     xloadflags&protocol.XLFAbove4G != 0,
		FiveLevel:   xloadflags&protocol.XLF5Level != 0,
		CmdlineMax:  uint64(u32(b, protocol.OffCmdlineSize)),
		InitrdMax:   phys.Addr(u32(b, protocol.OffInitrdMax)),
		header:      b[protocol.OffHeader:headerEnd:headerEnd],
	}, nil
}

// check looks at the numbers that placing relies on.
func (k *Kernel) check(size uint64) error {
	switch {
	case k.Alignment < phys.PageSize || k.Alignment > maxAlignment || bits.OnesCount64(k.Alignment) != 1:
		return refuse(fmt.Sprintf("alignment %#x", k.Alignment), "a power of two from a page to 1 GiB")
	case k.PrefAddress >= maxPhys:
		return refuse(fmt.Sprintf("preferred address %v", k.PrefAddress), "one below %#x", uint64(maxPhys))
	case !k.Relocatable && !k.PrefAddress.Aligned(phys.PageSize):
		return refuse(fmt.Sprintf("fixed address %v", k.PrefAddress), "a page aligned one")
	case uint64(len(k.code))+15 < size:
		return refuse(fmt.Sprintf("%d bytes of code", len(k.code)), "%d as its header says, the image is cut short", size)
	case uint64(len(k.code)) > k.InitSize:
		return refuse(fmt.Sprintf("%d bytes of code", len(k.code)), "at most the init_size of %d", k.InitSize)
	}
	return nil
}

// Limit returns the end of the memory in which the kernel and what it is handed
// may lie.
func (k *Kernel) Limit() phys.Addr {
	if k.Above4G {
		return maxPhys
	}
	return fourGiB
}

// InitrdLimit returns the end of the memory in which the kernel finds an initrd.
func (k *Kernel) InitrdLimit() phys.Addr {
	if k.Above4G {
		return maxPhys
	}
	return k.InitrdMax + 1
}

// release reads the release string, which lies in the setup part.
func release(b []byte, setup int) string {
	at := int(u16(b, protocol.OffRelease)) + 0x200
	if at == 0x200 || at >= setup {
		return ""
	}
	s := b[at:min(setup, at+maxRelease)]
	if end := bytes.IndexByte(s, 0); end >= 0 {
		return string(s[:end])
	}
	return ""
}

// pageUp rounds up to whole pages; n is far below the end of the range.
func pageUp(n uint64) uint64 { return (n + phys.PageSize - 1) &^ (phys.PageSize - 1) }
