package main

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"ferry/boot"
	"ferry/boot/protocol"
	"ferry/phys"
)

// systemRAM returns the memory that the running kernel takes for RAM, empty if nobody says: addresses are root's to see.
// Memory that only a driver uses (dax, virtio-mem) has another name, and is no RAM to a kernel that is started with kexec.
func (h host) systemRAM() phys.Ranges {
	var all []phys.Range
	b, _ := fs.ReadFile(h.root, "proc/iomem")
	for l := range strings.Lines(string(b)) {
		at, name, _ := strings.Cut(strings.TrimSpace(l), " : ")
		first, last, _ := strings.Cut(at, "-")
		start, err := strconv.ParseUint(first, 16, 64)
		end, err2 := strconv.ParseUint(last, 16, 64)
		if err == nil && err2 == nil && end > start && end+1 > end && name == "System RAM" {
			all = append(all, phys.Range{Start: phys.Addr(start), End: phys.Addr(end) + 1})
		}
	}
	return phys.NewRanges(all...)
}

// hadInitrd reports whether the running kernel was started with an initrd, as its zero page says (ramdisk_size of the boot
// protocol, and ext_ramdisk_size).
func (h host) hadInitrd() bool {
	b, err := fs.ReadFile(h.root, "sys/kernel/boot_params/data")
	if err != nil || len(b) < protocol.OffInitrdLen+4 {
		return false
	}
	return binary.LittleEndian.Uint32(b[protocol.OffInitrdLen:]) != 0 || binary.LittleEndian.Uint32(b[protocol.OffExtInitrdLen:]) != 0
}

// version returns what tells builds of one release of the running kernel apart, "#1 SMP ...", empty if nobody says.
func (h host) version() string {
	b, _ := fs.ReadFile(h.root, "proc/version")
	if i := strings.LastIndex(string(b), " #"); i >= 0 {
		return strings.TrimSpace(string(b[i+1:]))
	}
	return ""
}

// initrd warns of an initrd that is missing, or that no kernel unpacks.
func (r *review) initrd(what string, initrd []byte, had bool) {
	switch {
	case len(initrd) == 0 && had:
		r.warn("the %s has no initrd in the payload, and the running kernel was started with one", what)
	case len(initrd) > 0 && !unpacks(initrd):
		r.warn("the initrd of the %s begins with % x, like nothing that kernels unpack", what, initrd[:min(4, len(initrd))])
	}
}

// unpacks reports whether an initrd begins like something that kernels unpack: a cpio archive, or one of the compressions
// of lib/decompress.c. Zeros before it are passed over.
func unpacks(initrd []byte) bool {
	begin := strings.TrimLeft(string(initrd[:min(64<<10, len(initrd))]), "\x00")
	for _, magic := range []string{"070701", "070702", "\x1f\x8b", "\x1f\x9e", "BZ", "\x5d\x00", "\xfd7", "\x89L", "\x02\x21", "\x28\xb5"} {
		if strings.HasPrefix(begin, magic) {
			return true
		}
	}
	return begin == "" // nothing but zeros so far: nobody knows
}

// builds warns of a kernel of the payload that is another build of the running release, if it is the one to go back to, and
// of an older one in any case.
func (r *review) builds(what string, back bool, k *boot.Kernel, h host) {
	release, _, _ := strings.Cut(k.Release, " ")
	is, running := "", h.version()
	if i := strings.LastIndex(k.Release, " #"); i >= 0 {
		is = strings.TrimSpace(k.Release[i+1:])
	}
	switch {
	case release == "" || h.release() == "":
	case release != h.release():
		if back {
			r.warn("the %s is Linux %s, and Linux %s runs", what, release, h.release())
		}
	case is == "" || running == "" || is == running:
	case older(is, running):
		r.warn("the %s is an older build of Linux %s than the one that runs: %s, and %s runs", what, release, is, running)
	case back:
		r.warn("the %s is another build of Linux %s than the one that runs: %s, and %s runs", what, release, is, running)
	}
}

// older compares two builds by their dates, or else by their numbers: "#2 SMP PREEMPT_DYNAMIC Mon Nov 30 10:00:00 UTC 2026",
// or with Debian's "(2026-11-30)" at the end.
func older(a, b string) bool {
	ta, oka := built(a)
	tb, okb := built(b)
	if oka && okb && !ta.Equal(tb) {
		return ta.Before(tb)
	}
	var na, nb int
	fmt.Sscanf(a, "#%d", &na)
	fmt.Sscanf(b, "#%d", &nb)
	return na < nb
}

// built returns when a build says that it was made.
func built(version string) (time.Time, bool) {
	words := strings.Fields(version)
	if n := len(words); n >= 6 {
		if t, err := time.Parse("Mon Jan 2 15:04:05 MST 2006", strings.Join(words[n-6:], " ")); err == nil {
			return t, true
		}
	}
	if n := len(words); n > 0 {
		if t, err := time.Parse("(2006-01-02)", words[n-1]); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
