package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ferry/boot"
	"ferry/boot/payload"
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

// check looks at everything that can be known before the load: both files, KHO, LUO, and the room in scratch.
func (c *loadCmd) check(h host) ([]placed, error) {
	stageFile, err := os.ReadFile(c.Stage)
	if err != nil {
		return nil, err
	}
	stage, err := boot.ParseKernel(stageFile)
	if err != nil {
		return nil, fmt.Errorf("stage %s: %w", c.Stage, err)
	}
	if !stage.Above4G || !stage.FiveLevel {
		return nil, fmt.Errorf("stage %s: starts above 4 GiB: %v, under five page table levels: %v: not a stage of Ferry's",
			c.Stage, stage.Above4G, stage.FiveLevel)
	}
	if uint64(len(c.Cmdline))+1+elfcorehdr > stage.CmdlineMax {
		return nil, &problem{fmt.Sprintf("command line of %d bytes, at most %d", len(c.Cmdline), int64(stage.CmdlineMax)-1-elfcorehdr),
			"give a shorter one with --cmdline", nil}
	}
	size, kernel, err := readPayload(c.Payload)
	if err != nil {
		return nil, fmt.Errorf("payload %s: %w", c.Payload, err)
	}
	if err := h.checkLUO(); err != nil {
		return nil, err
	}
	areas, err := h.scratch()
	if err != nil {
		return nil, err
	}
	needs := needs(stage, kernel, size)
	at, err := place(areas, needs)
	if err != nil {
		return nil, err
	}
	places := make([]placed, len(needs))
	for i := range needs {
		places[i] = placed{needs[i], at[i]}
	}
	return places, nil
}

// readPayload returns the size of a payload and its kernel.
func readPayload(name string) (uint64, *boot.Kernel, error) {
	archive, err := os.ReadFile(name)
	if err != nil {
		return 0, nil, err
	}
	parts, err := payload.Open(archive)
	if err != nil {
		return 0, nil, err
	}
	kernel, err := boot.ParseKernel(parts.Kernel.Data)
	return uint64(len(archive)), kernel, err
}

// elfcorehdr is what the kernel keeps free of a command line, for crash kernels, whatever it loads.
const elfcorehdr = 30

// explain turns an error of kexec_file_load into what to do about it.
func explain(err error, what string) error {
	var do string
	switch {
	case errors.Is(err, unix.EPERM):
		do = "run as root (CAP_SYS_BOOT); /proc/sys/kernel/kexec_load_disabled must be 0 and the kernel not locked down"
	case errors.Is(err, unix.EACCES):
		do = "a security module forbids it: its log says which rule"
	case errors.Is(err, unix.EBUSY):
		do = "another kexec operation is under way: try again"
	case errors.Is(err, unix.ENOSYS):
		do = "the running kernel has no kexec_file_load: it needs CONFIG_KEXEC_FILE"
	case errors.Is(err, unix.ENOEXEC):
		do = "the kernel does not take the stage for a bzImage: build it again"
	case errors.Is(err, unix.EADDRNOTAVAIL):
		do = "no room in scratch: boot with a larger kho_scratch="
	case errors.Is(err, unix.ENOMEM):
		do = "not enough free memory to hold stage and payload until the kexec: free some"
	case errors.Is(err, unix.EINVAL):
		do = "the kernel refuses the arguments; most likely the command line is too long"
	case errors.Is(err, unix.EFBIG):
		do = "stage or payload is larger than half of the memory"
	case errors.Is(err, unix.ETXTBSY):
		do = "somebody has the stage open for writing"
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
