package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// capSysBoot is the number of the capability that kexec asks for (include/uapi/linux/capability.h).
const capSysBoot = 22

// permission wants this process to be one that may load.
func (h host) permission() (string, error) {
	b, _ := fs.ReadFile(h.root, "proc/self/status")
	for line := range strings.Lines(string(b)) {
		value, ok := strings.CutPrefix(line, "CapEff:")
		if !ok {
			continue
		}
		caps, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return "", fmt.Errorf("/proc/self/status: CapEff: %w", err)
		}
		if caps&(1<<capSysBoot) == 0 {
			return "", &problem{"this process has no CAP_SYS_BOOT, which a load takes", "run as root", nil}
		}
		return "CAP_SYS_BOOT", nil
	}
	return "", &skipped{"/proc/self/status names no capabilities", "mount -t proc proc /proc"}
}

// kexec wants loads to be allowed. Source: kexec_load_permitted in kernel/kexec_core.c of Linux 7.3.
func (h host) kexec() (string, error) {
	number := func(name string) (int64, error) {
		b, err := fs.ReadFile(h.root, name)
		if err != nil {
			return 0, err
		}
		return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	}
	disabled, err := number("proc/sys/kernel/kexec_load_disabled")
	if err != nil {
		return "", &skipped{fmt.Sprintf("kernel.kexec_load_disabled cannot be read: %v", err), "boot a kernel that has CONFIG_KEXEC_FILE, and mount /proc"}
	}
	if disabled != 0 {
		return "", &problem{"kernel.kexec_load_disabled is 1: nothing can be loaded any more", "reboot, and load before that is set", nil}
	}
	found := "kernel.kexec_load_disabled is 0"
	if left, err := number("proc/sys/kernel/kexec_load_limit_reboot"); err == nil && left == 0 {
		return "", &problem{"kernel.kexec_load_limit_reboot is 0: no load is left", "reboot, and load before the limit is used up", nil}
	} else if err == nil && left > 0 {
		found += fmt.Sprintf(", %d loads are left", left)
	}
	if loaded, _ := h.loaded(); loaded {
		found += "; an image is loaded already, which a load replaces"
	}
	return found, nil
}

// unsignedImages wants the kernel to take an image without a signature: the stage has no PE header that could hold one.
// Sources: security/lockdown/lockdown.c, and kimage_validate_signature in kernel/kexec_file.c of Linux 7.3.
func (h host) unsignedImages() (string, error) {
	b, err := fs.ReadFile(h.root, "sys/kernel/security/lockdown")
	if err == nil && !strings.Contains(string(b), "[none]") {
		return "", &problem{fmt.Sprintf("the kernel is locked down (%s), and takes no unsigned stage", strings.TrimSpace(string(b))),
			"boot without lockdown=, and turn Secure Boot off", nil}
	}
	config := h.config()
	switch {
	case hasWord(config, "CONFIG_KEXEC_SIG_FORCE=y"):
		return "", &problem{"the kernel takes signed PE images only (CONFIG_KEXEC_SIG_FORCE), and the stage is none", "boot a kernel without CONFIG_KEXEC_SIG_FORCE", nil}
	case err != nil:
		return "", &skipped{"nobody says whether the kernel is locked down", "mount -t securityfs securityfs /sys/kernel/security"}
	case config == "":
		return "", &skipped{"no lockdown; the kernel's configuration is not to be found, for CONFIG_KEXEC_SIG_FORCE", "look whether it has that"}
	}
	return "no lockdown, and no CONFIG_KEXEC_SIG_FORCE", nil
}

// maxConfig bounds the kernel's configuration that is read, in bytes: one has some 300 KiB.
const maxConfig = 4 << 20

// config returns the configuration of the running kernel, empty if nobody has it.
func (h host) config() string {
	if b, err := fs.ReadFile(h.root, "proc/config.gz"); err == nil {
		if z, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
			if b, err := io.ReadAll(io.LimitReader(z, maxConfig)); err == nil {
				return string(b)
			}
		}
	}
	b, _ := fs.ReadFile(h.root, "boot/config-"+h.release())
	return string(b)
}

// sessionLink is how the link of an open session begins, which goes on with its name (luo_session_getfile in
// kernel/liveupdate/luo_session.c of Linux 7.3).
const sessionLink = "anon_inode:[luo_session] "

// sessions returns the open sessions by their names, each with a process that holds it: "812 (vmm)". What other processes hold
// is root's to see.
func (h host) sessions() map[string]string {
	held := map[string]string{}
	links, _ := fs.Glob(h.root, "proc/[0-9]*/fd/*")
	for _, name := range links {
		to, err := fs.ReadLink(h.root, name)
		if err != nil {
			continue
		}
		if session, ok := strings.CutPrefix(to, sessionLink); ok {
			process := path.Dir(path.Dir(name))
			comm, _ := fs.ReadFile(h.root, process+"/comm")
			held[session] = fmt.Sprintf("%s (%s)", path.Base(process), strings.TrimSpace(string(comm)))
		}
	}
	return held
}

// describeSessions names some of the sessions and who holds them.
func describeSessions(held map[string]string) string {
	if len(held) == 0 {
		return "no open session is seen"
	}
	const most = 8
	var all []string
	for _, name := range slices.Sorted(maps.Keys(held)) {
		if len(all) == most {
			all = append(all, "...")
			break
		}
		all = append(all, fmt.Sprintf("%q of process %s", name, held[name]))
	}
	return fmt.Sprintf("%d: %s", len(held), strings.Join(all, ", "))
}
