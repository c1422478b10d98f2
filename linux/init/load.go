//go:build linux

package main

import (
	"fmt"
	"hash/crc64"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"ferry/linux"
)

// archive is the initrd of a kernel of the route, made from the running root: an archive cannot contain itself. Every
// kernel of a chain gives the next one what it got, less what is not needed any more.
func (c config) archive(round int) ([]byte, error) {
	tree := linux.Tree{}
	for _, name := range c.route.Files(round) {
		if err := tree.AddFile(name, name); err != nil {
			return nil, err
		}
	}
	return tree.Bytes()
}

// load packs the next kernel with its initrd, and loads it behind the stage.
func (c config) load() error {
	initrd, err := c.archive(c.round + 1)
	if err != nil {
		return err
	}
	const initrdPath, payloadPath = "/run/initrd", "/run/payload"
	if err := os.WriteFile(initrdPath, initrd, 0o600); err != nil {
		return err
	}
	report("initrd round=%d bytes=%d crc=%016x", c.round, len(initrd), crc64.Checksum(initrd, table))
	kernel := linux.KernelPath(c.route.Release(c.round + 1))
	if c.route.Direct {
		return kexec(kernel, initrdPath, c.next())
	}
	pack := []string{"pack", "--kernel", kernel, "--initrd", initrdPath, "--output", payloadPath}
	if c.from != "" {
		pack = append(pack, "--from", c.from)
	}
	// An opened kernel cannot be entered with these: ferry load wants its bzImage too.
	if strings.Contains(" "+c.next(), " mem=") || strings.Contains(" "+c.next(), " memmap=") {
		pack = append(pack, "--with-compressed")
	}
	if err := command(linux.FerryPath, pack...); err != nil {
		return err
	}
	if c.plain {
		return kexec(linux.StagePath, payloadPath, c.next())
	}
	// Loaded, taken back, loaded again: so every run also shows that --unload works. There is no kernel to go back to: a
	// crossing that fails has to be seen.
	load := []string{"load", "--accept-halt", "--stage", linux.StagePath, "--cmdline", c.next(), payloadPath}
	if c.force {
		load = append(load, "--force")
	}
	if err := command(linux.FerryPath, load...); err != nil {
		return err
	}
	if err := command(linux.FerryPath, "load", "--unload"); err != nil {
		return err
	}
	b, err := os.ReadFile("/sys/kernel/kexec_loaded")
	if err != nil {
		return err
	}
	if string(b) != "0\n" {
		return fmt.Errorf("after ferry load --unload kexec_loaded is %q", b)
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

// kexec loads a kernel, or the stage, as kexec-tools does.
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
