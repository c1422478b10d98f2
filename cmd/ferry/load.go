package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ferry/boot"
	"ferry/boot/payload"
	"ferry/crossing"
	"ferry/phys"
)

type loadCmd struct {
	Payload string `arg:"" optional:"" type:"existingfile" help:"Payload that ferry pack wrote."`
	Stage   string `type:"existingfile" help:"The stage: ferry.bzimage."`
	Cmdline string `help:"Command line for the stage and the next kernel; words that begin with ferry. are the stage's. Default: that of the running kernel."`
	Unload  bool   `help:"Take back what is loaded."`
}

// Run loads or unloads.
func (c *loadCmd) Run() error {
	h := host{root: os.DirFS("/")}
	if c.Unload {
		if c.Payload != "" || c.Stage != "" || c.Cmdline != "" {
			return errors.New("--unload takes nothing else")
		}
		if err := unix.KexecFileLoad(-1, -1, "", unix.KEXEC_FILE_UNLOAD); err != nil {
			return explain(err, "unload")
		}
		fmt.Println("nothing is loaded now")
		return nil
	}
	if c.Payload == "" || c.Stage == "" {
		return errors.New("want --stage and a payload, or --unload")
	}
	return c.load(h)
}

func (c *loadCmd) load(h host) error {
	stage, err := os.Open(c.Stage)
	if err != nil {
		return err
	}
	defer stage.Close()
	payload, err := os.Open(c.Payload)
	if err != nil {
		return err
	}
	defer payload.Close()

	if c.Cmdline == "" {
		if c.Cmdline, err = h.cmdline(); err != nil {
			return err
		}
	}
	places, err := c.check(h)
	if err != nil {
		return err
	}
	if err := unix.KexecFileLoad(int(stage.Fd()), int(payload.Fd()), c.Cmdline, 0); err != nil {
		return explain(err, "load")
	}
	if loaded, known := h.loaded(); known && !loaded {
		return errors.New("the kernel took the image but says that none is loaded")
	}
	for _, p := range places {
		fmt.Printf("%-32s %s, room at %s\n", p.need.name, size(p.need.size), p.at)
	}
	fmt.Println("loaded: the next kexec goes through Ferry")
	return nil
}

type placed struct {
	need need
	at   phys.Range
}

// check looks at everything that can be known before the load: Ferry's words of the command line, both files and what
// the next kernel asks for, KHO, LUO, and the room in scratch. After the kexec the stage could only halt or fall back.
func (c *loadCmd) check(h host) ([]placed, error) {
	if _, err := crossing.ParseOptions(c.Cmdline); err != nil {
		return nil, err
	}
	stage, err := openStage(c.Stage)
	if err != nil {
		return nil, err
	}
	if uint64(len(c.Cmdline))+1+elfcorehdr > stage.CmdlineMax {
		return nil, &problem{fmt.Sprintf("command line of %d bytes, at most %d", len(c.Cmdline), int64(stage.CmdlineMax)-1-elfcorehdr),
			"give a shorter one with --cmdline", nil}
	}
	archive, err := os.ReadFile(c.Payload)
	if err != nil {
		return nil, err
	}
	parts, err := payload.Open(archive)
	if err != nil {
		return nil, fmt.Errorf("payload %s: %w", c.Payload, err)
	}
	if err := c.checkTrust(parts); err != nil {
		return nil, err
	}
	m := parts.Manifest
	kernel, err := c.checkKernel(h, parts.Kernel, m.Cmdline)
	if err != nil {
		return nil, fmt.Errorf("payload %s: next kernel: %w", c.Payload, err)
	}
	var back *boot.Kernel
	if m.Rollback != nil {
		if back, err = c.checkKernel(h, parts.RollbackKernel, m.Rollback.Cmdline); err != nil {
			return nil, fmt.Errorf("payload %s: rollback kernel: %w", c.Payload, err)
		}
	}
	if err := h.checkLUO(); err != nil {
		return nil, err
	}
	areas, err := h.scratch()
	if err != nil {
		return nil, err
	}
	size := uint64(len(archive))
	if back != nil {
		// The rollback kernel is placed before the next one, which then may take its place.
		if _, err := placeAll(areas, needs(stage, back, size), back, parts.RollbackInitrd); err != nil {
			return nil, fmt.Errorf("rollback kernel: %w", err)
		}
	}
	return placeAll(areas, needs(stage, kernel, size), kernel, parts.Initrd)
}

// checkTrust wants the payload to be one that the stage takes.
func (c *loadCmd) checkTrust(parts *payload.Payload) error {
	stage, err := os.ReadFile(c.Stage)
	if err != nil {
		return err
	}
	trust, err := trustOf(stage)
	if err != nil || trust == nil {
		return err
	}
	if _, err := trust.Verify(parts); err != nil {
		return &problem{fmt.Sprintf("stage %s does not take payload %s", c.Stage, c.Payload), "sign it: minisign, then ferry seal", err}
	}
	return nil
}

// checkKernel wants a kernel of the payload to take what the crossing gives it on this machine.
func (c *loadCmd) checkKernel(h host, image payload.File, cmdline *string) (*boot.Kernel, error) {
	kernel, err := boot.ParseKernel(image.Data)
	if err != nil {
		return nil, err
	}
	fiveLevel, err := h.fiveLevel()
	if err != nil {
		return nil, err
	}
	next := boot.Without(c.Cmdline, "ferry.") // as the crossing does
	if cmdline != nil {
		next = *cmdline
	}
	err = kernel.Accepts(next, fiveLevel)
	if errors.Is(err, boot.ErrCmdline) {
		return nil, &problem{"it does not take the command line that it would get", "give a shorter one with --cmdline, or ferry pack --cmdline", err}
	}
	return kernel, err
}

// openStage reads what the stage says of itself.
func openStage(name string) (*boot.Kernel, error) {
	file, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	stage, err := boot.ParseKernel(file)
	if err != nil {
		return nil, fmt.Errorf("stage %s: %w", name, err)
	}
	if !stage.Above4G || !stage.FiveLevel {
		return nil, fmt.Errorf("stage %s: starts above 4 GiB: %v, under five page table levels: %v: not a stage of Ferry's",
			name, stage.Above4G, stage.FiveLevel)
	}
	return stage, nil
}

// elfcorehdr is what the kernel keeps free of a command line, for crash kernels, whatever it loads.
const elfcorehdr = 30

// explain turns an error of kexec_file_load into what to do about it. Who returns what: kernel/kexec_file.c and
// kexec_core.c (kexec_load_permitted, sanity_check_segment_list), fs/kernel_read_file.c,
// arch/x86/kernel/kexec-bzimage64.c and crypto/asymmetric_keys/verify_pefile.c of Linux 7.3.
func explain(err error, what string) error {
	var do string
	switch {
	case errors.Is(err, unix.EPERM):
		do = "run as root (CAP_SYS_BOOT); where /proc/sys/kernel/kexec_load_disabled is 1 or kexec_load_limit_reboot is 0, " +
			"only a reboot helps; where /sys/kernel/security/lockdown is not [none], as under Secure Boot, " +
			"the kernel takes no unsigned stage: turn that off"
	case errors.Is(err, unix.EACCES):
		do = "a security module or IMA forbids it: the audit log says which rule"
	case errors.Is(err, unix.EBUSY):
		do = "another kexec operation is under way: try again"
	case errors.Is(err, unix.ENOSYS):
		do = "the running kernel has no kexec_file_load: it needs CONFIG_KEXEC_FILE"
	case errors.Is(err, unix.ENOEXEC):
		do = "the kernel does not start the stage: it changed since it was read, or the firmware is 32-bit EFI; the kernel's log says"
	case errors.Is(err, unix.EADDRNOTAVAIL):
		do = "no room in scratch: boot with a larger kho_scratch="
	case errors.Is(err, unix.ENOMEM):
		do = "not enough free memory to hold stage and payload until the kexec: free some"
	case errors.Is(err, unix.EINVAL):
		do = "stage and payload must be regular files, not empty, and take at most half of the memory together"
	case errors.Is(err, unix.EFBIG):
		do = "stage or payload is larger than the kernel reads: make the initrd smaller"
	case errors.Is(err, unix.ETXTBSY):
		do = "somebody has the stage or the payload open for writing: close it"
	case errors.Is(err, unix.ELIBBAD):
		do = "the kernel takes signed PE images only, and the stage is none: " +
			"boot a kernel without CONFIG_KEXEC_SIG_FORCE, and without Secure Boot"
	case errors.Is(err, unix.EKEYREJECTED), errors.Is(err, unix.ENOKEY), errors.Is(err, unix.ENODATA),
		errors.Is(err, unix.EBADMSG), errors.Is(err, unix.ENOPKG):
		do = "the kernel takes signed images only: sign the stage with a key that it trusts"
	case errors.Is(err, unix.EIO), errors.Is(err, unix.EINTR):
		do = "reading stage or payload failed: try again"
	default:
		do = "the kernel's log may say more"
	}
	return &problem{"kexec_file_load: " + what, do, err}
}
