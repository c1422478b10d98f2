//go:build linux

package main

import (
	"fmt"
	"hash/crc64"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"ferry/linux"
)

// load packs the kernel with an initrd that holds the same files as this one, and loads it behind the stage. The initrd
// is made from the running root, since an archive cannot contain itself: so every kernel of a chain gives the next one
// the same files.
func (c config) load() error {
	names := []string{linux.InitPath, linux.KernelPath}
	if !c.direct {
		names = append(names, linux.StagePath, linux.FerryPath)
	}
	tree := linux.Tree{}
	for _, name := range names {
		if err := tree.AddFile(name, name); err != nil {
			return err
		}
	}
	initrd, err := tree.Bytes()
	if err != nil {
		return err
	}
	const initrdPath, payloadPath = "/run/initrd", "/run/payload"
	if err := os.WriteFile(initrdPath, initrd, 0o600); err != nil {
		return err
	}
	report("initrd round=%d bytes=%d crc=%016x", c.round, len(initrd), crc64.Checksum(initrd, table))
	if c.direct {
		return kexec(linux.KernelPath, initrdPath, c.next())
	}
	if err := command(linux.FerryPath, "pack", "--kernel", linux.KernelPath, "--initrd", initrdPath, "--output", payloadPath); err != nil {
		return err
	}
	// Loaded, taken back, loaded again: so every run also shows that --unload works.
	load := []string{"load", "--stage", linux.StagePath, "--cmdline", c.next(), payloadPath}
	if err := command(linux.FerryPath, load...); err != nil {
		return err
	}
	if err := command(linux.FerryPath, "load", "--unload"); err != nil {
		return err
	}
	if b, err := os.ReadFile("/sys/kernel/kexec_loaded"); err != nil || string(b) != "0\n" {
		return fmt.Errorf("after ferry load --unload kexec_loaded is %q (%v)", b, err)
	}
	return command(linux.FerryPath, load...)
}

func command(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, args[0], err)
	}
	return nil
}

// kexec loads a kernel without the stage.
func kexec(kernel, initrd, cmdline string) error {
	k, err := os.Open(kernel)
	if err != nil {
		return err
	}
	defer k.Close()
	i, err := os.Open(initrd)
	if err != nil {
		return err
	}
	defer i.Close()
	return unix.KexecFileLoad(int(k.Fd()), int(i.Fd()), cmdline, 0)
}
