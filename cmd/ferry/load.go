package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/cpuid/v2"
	"golang.org/x/sys/unix"

	"ferry/boot"
	"ferry/kho"
)

type loadCmd struct {
	Payload    string  `arg:"" optional:"" type:"existingfile" help:"Payload that ferry pack wrote."`
	Stage      string  `type:"existingfile" placeholder:"FILE" help:"The stage: ferry.bzimage."`
	Cmdline    *string `help:"Command line for the stage and the next kernel, in the place of the running kernel's; words that begin with ferry. are the stage's."`
	Append     string  `placeholder:"WORDS" help:"Words that are added to the command line."`
	AcceptHalt bool    `help:"Load a payload for which a failure can only end in a halted machine."`
	Force      bool    `help:"Load what is known to lose something: what that is will be printed."`
	Unload     bool    `help:"Take back what is loaded."`
}

// Run loads or unloads.
func (c *loadCmd) Run() error {
	h := host{root: os.DirFS("/")}
	if c.Unload {
		if c.Payload != "" || c.Stage != "" || c.Cmdline != nil || c.Append != "" {
			return usage("--unload takes nothing else")
		}
		if err := unix.KexecFileLoad(-1, -1, "", unix.KEXEC_FILE_UNLOAD); err != nil {
			return explain(err, "unload")
		}
		fmt.Println("nothing is loaded now")
		return nil
	}
	if c.Payload == "" || c.Stage == "" {
		return usage("want --stage and a payload, or --unload")
	}
	if err := c.load(h, os.Stdout, kexecFileLoad); err != nil {
		return fmt.Errorf("%w\nnow %s", err, h.now())
	}
	return nil
}

// files are what is loaded. Each is opened once: what is checked is what the kernel reads, whatever takes its name meanwhile.
type files struct{ stage, payload *os.File } // nil: not named

// open opens what is named.
func (c *loadCmd) open() (f files, err error) {
	for _, one := range []struct {
		name string
		file **os.File
	}{{c.Stage, &f.stage}, {c.Payload, &f.payload}} {
		if one.name == "" {
			continue
		}
		if *one.file, err = os.Open(one.name); err != nil {
			f.close()
			return files{}, err
		}
	}
	return f, nil
}

func (f files) close() {
	f.stage.Close() // a file that is not open does nothing
	f.payload.Close()
}

// kexecFileLoad gives both files to the kernel, which reads them from their beginning.
func kexecFileLoad(f files, line string) error {
	return unix.KexecFileLoad(int(f.stage.Fd()), int(f.payload.Fd()), line, 0)
}

func (c *loadCmd) load(h host, out io.Writer, kexec func(f files, line string) error) error {
	f, err := c.open()
	if err != nil {
		return err
	}
	defer f.close()
	ready, err := c.check(h, f, cpuid.CPU.Supports)
	if err != nil {
		return err
	}
	if err := kexec(f, ready.line); err != nil {
		return explain(err, "load")
	}
	if loaded, known := h.loaded(); known && !loaded {
		return &classed{classHost, errors.New("the kernel took the image but says that none is loaded")}
	}
	ready.print(out, h)
	return nil
}

// print says what one wants to read before the kexec.
func (c *checked) print(out io.Writer, h host) {
	say := linePrinter(out)
	pool := uint64(0)
	for _, p := range c.places {
		if p.What == poolName {
			pool += p.Size
			continue
		}
		where := "room at"
		if p.Chance {
			where = "anywhere, for example at"
		}
		say(p.What, fmt.Sprintf("%s, %s %s", size(p.Size), where, p.at))
	}
	say(poolName, fmt.Sprintf("%s, cut off scratch in pieces of %s", size(pool), size(kho.PieceSize)))
	c.review.print(say)
	c.briefing.print(say)
	fmt.Fprintln(out, "loaded: the next kexec goes through Ferry")
	fmt.Fprintln(out, "start it with: "+h.starter())
}

// openStage reads what the stage says of itself.
func openStage(name string) (*boot.Kernel, error) {
	file, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parseStage(name, file)
}

func parseStage(name string, file []byte) (*boot.Kernel, error) {
	stage, err := boot.ParseKernel(file)
	if err != nil {
		return nil, fmt.Errorf("stage %s: %w", name, err)
	}
	if !stage.Above4G || !stage.FiveLevel {
		return nil, &classed{classPayload, fmt.Errorf("stage %s: starts above 4 GiB: %v, under five page table levels: %v: not a stage of Ferry's",
			name, stage.Above4G, stage.FiveLevel)}
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
		do = "run as root (CAP_SYS_BOOT); if /proc/sys/kernel/kexec_load_disabled is 1 or kexec_load_limit_reboot is 0, " +
			"only a reboot helps; if /sys/kernel/security/lockdown is not [none], as under Secure Boot, " +
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
	return in(classHost, &problem{"kexec_file_load: " + what, do, err})
}
