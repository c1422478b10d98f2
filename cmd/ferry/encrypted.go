package main

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/klauspost/cpuid/v2"

	"ferry/boot"
)

// checkEncrypted refuses a machine whose processor encrypts memory for its kernel: the stage, which maps all memory plain,
// would read what Linux left there as noise. has reports whether the processor has all of some features.
func (h host) checkEncrypted(has func(...cpuid.FeatureID) bool) error {
	by, err := h.encrypted(has)
	if err != nil || by == "" {
		return err
	}
	return &problem{"the memory of this machine is encrypted, " + by + ": the stage cannot read what the kernel hands over",
		"update with a plain kexec, between kernels of one generation", nil}
}

// encrypted says what encrypts memory, nothing if nothing does. A machine has the bits of SEV also if it is none of its
// guests but can run them; and in a guest Linux may take the flag away that stands for them. The flag of SME is there only
// if the running kernel uses it. Source: early_detect_mem_encrypt in arch/x86/kernel/cpu/amd.c of Linux 7.3.
func (h host) encrypted(has func(...cpuid.FeatureID) bool) (by string, err error) {
	flags, err := h.cpuFlags()
	switch {
	case err != nil:
		return "", err
	case has(cpuid.TDX_GUEST) || hasWord(flags, "tdx_guest"):
		return "by Intel TDX", nil
	case has(cpuid.HYPERVISOR, cpuid.SEV) || hasWord(flags, "hypervisor") && hasWord(flags, "sev", "sev_es", "sev_snp"):
		return "by AMD SEV", nil
	case hasWord(flags, "sme"):
		return "by AMD SME (mem_encrypt=on)", nil
	}
	// What firmware or a loader said of a confidential guest.
	types, err := fs.Glob(h.root, "sys/kernel/boot_params/setup_data/*/type")
	for _, name := range types {
		b, err := fs.ReadFile(h.root, name)
		if err != nil {
			return "", &problem{"cannot read what the kernel was started with", "run as root", err}
		}
		n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 0, 32)
		if err != nil {
			return "", fmt.Errorf("/%s: %w", name, err)
		}
		if n == boot.SetupCCBlob {
			return fmt.Sprintf("as setup_data of type %d says (SETUP_CC_BLOB)", n), nil
		}
	}
	return "", err
}
