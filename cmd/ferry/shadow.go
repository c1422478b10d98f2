package main

import (
	"fmt"

	"ferry/boot"
	"ferry/boot/vmlinux"
)

// While a kernel with KASAN boots with a handover, all that it allocates comes out of scratch, up to mm_core_init: the shadow,
// an eighth of the memory; struct page and what debugging kernels keep beside it, 1/32; and bootSlack for the rest. Sources:
// arch/x86/mm/kasan_init_64.c, mm/sparse.c, mm/page_ext.c and kho_memory_init of Linux 7.3.
const (
	shadowPart = 8
	pagesPart  = 32
	bootSlack  = 64 * mib
)

// shadow wants scratch to hold the shadow of a kernel that has one, beside what the crossing leaves there: the kernel itself,
// its initrd, and the pieces that were cut off for new pages.
func (k *check) shadow(what string, kernel *boot.Kernel, found *vmlinux.Kernel, initrd uint64) {
	ram := k.host.ram()
	if found == nil || !found.KASAN || ram == 0 || k.scratch == nil {
		return
	}
	have := uint64(0)
	for _, area := range k.scratch {
		have += area.Size()
	}
	shadow := ram / shadowPart
	want := shadow + ram/pagesPart + bootSlack + kernel.InitSize + initrd + leastPool
	if have >= want {
		return
	}
	word := fmt.Sprintf("kho_scratch=64M,0,%dM", (want-64*mib+32*mib-1)/(32*mib)*32)
	k.review.doubt(fmt.Sprintf("the %s has KASAN, whose shadow of %s of memory takes %s out of scratch; all together it wants %s there, and scratch has %s",
		what, size(ram), size(shadow), size(want), size(have)), "the kernel dies without a word", "boot with "+word)
}

// ram returns how many bytes of memory the running kernel has, 0 if it does not say.
func (h host) ram() uint64 {
	if ram := h.systemRAM().Size(); ram > 0 {
		return ram
	}
	total, _ := h.memory()
	return total
}
