package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ferry/boot/payload"
	"ferry/boot/vmlinux"
	"ferry/crossing"
)

// silent reports whether an image says nothing of what it reads, so that the operator has to: there is no Linux kernel in
// it, or one that nobody here can look into. An image that is damaged is not silent.
func silent(k *vmlinux.Kernel, err error) bool {
	switch {
	case err != nil:
		return !errors.Is(err, vmlinux.ErrDamaged)
	case k.Release != "" || k.Formats.Features:
		return false
	}
	return !slices.ContainsFunc(kinds, func(kind kind) bool { return len(kind.found(k.Formats)) > 0 })
}

// contradiction says how the image of a kernel differs from the generation that it is claimed to be of, and what that costs.
// Both are empty if it does not differ, and if the image is silent.
func contradiction(claimed *crossing.Generation, k *vmlinux.Kernel, openErr error) (says, lost string) {
	var f vmlinux.Formats
	switch {
	case silent(k, openErr):
		return "", ""
	case openErr != nil:
		return openErr.Error(), "it may not start, or " + lostAll
	}
	if f = k.Formats; f.Features {
		return "its image names its formats by a table of feature bits, as no release does", lostAll
	}
	if len(f.KHO) == 0 {
		return "its image takes no handover, it was built without CONFIG_KEXEC_HANDOVER", lostAll
	}
	for _, kind := range kinds {
		if found := kind.found(f); len(found) > 0 && !slices.ContainsFunc(found, func(s string) bool { return kind.of(claimed, s) }) {
			return fmt.Sprintf("its image reads %s, as kernels of generation %s do not", and(found), claimed.Name), kind.lost
		}
	}
	switch {
	case claimed.LUO != nil && len(f.LUO) == 0:
		return "its image has no sessions, it was built without CONFIG_LIVEUPDATE", "all sessions and files are lost"
	case claimed.Memfd != nil && len(f.Memfd) == 0:
		return "its image has no memfds, it was built without a handler for them", lostMemfds
	}
	is, _, err := identify(crossing.Generations(), k)
	switch {
	case err != nil || is == claimed:
		return "", ""
	case is.KHO != claimed.KHO:
		return fmt.Sprintf("its image is of Linux %s, generation %v", k.Release, is), "preserved memory is taken for free memory, without a word"
	}
	return fmt.Sprintf("its image is of generation %v", is), lostFLBs
}

// claims compares what is said of a kernel with its image. what names the kernel, by says who claims it.
func (r *review) claims(what string, info payload.KernelInfo, by string, k *vmlinux.Kernel, openErr error) {
	g := crossing.ByName(info.Generation)
	if g == nil {
		if !silent(k, openErr) {
			r.doubt(fmt.Sprintf("%s: %s leaves open what it reads, its image does not", what, by), lostAll+" if it reads another format than comes in",
				"pack it with ferry pack")
		}
		return
	}
	if says, lost := contradiction(g, k, openErr); says != "" {
		r.doubt(fmt.Sprintf("%s: %s says generation %s, but %s", what, by, g.Name, says), lost, "take what its image says, see ferry abi")
	}
	release, _, _ := strings.Cut(info.Release, " ")
	if openErr == nil && release != "" && k.Release != "" && release != k.Release {
		r.doubt(fmt.Sprintf("%s: %s says release %s, but its image is of Linux %s", what, by, release, k.Release),
			"an older kernel may pass for a newer one", "pack it with ferry pack")
	}
}
