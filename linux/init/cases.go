//go:build linux

package main

import (
	"errors"
	"os"
	"os/exec"

	"ferry/linux"
)

// tryCases does each of linux.Cases and reports how it ended. What its commands print goes to the console as well.
func (c config) tryCases() error {
	if err := os.MkdirAll(linux.CasesPath, 0o755); err != nil {
		return err
	}
	kernel, err := os.ReadFile(linux.KernelPath(c.route.Release(0)))
	if err != nil {
		return err
	}
	clear(kernel[len(kernel)/2:][:4096])
	for name, data := range map[string][]byte{"damaged": kernel, "text": []byte("no archive\n"), "empty": nil} {
		if err := os.WriteFile(linux.CasesPath+name, data, 0o600); err != nil {
			return err
		}
	}
	for _, each := range linux.Cases(c.route.Release(0), c.route.Release(1)) {
		report(linux.CaseLine + each.Name)
		status := 0
		for i, args := range each.Shell {
			if status, err = try(args); err != nil {
				return err
			}
			if status != 0 && i+1 < len(each.Shell) {
				break
			}
			if i+1 < len(each.Shell) {
				report(linux.CaseLine + each.Name) // what was said so far was said by another command
			}
		}
		report("%s%s status=%d", linux.CaseLine, each.Name, status)
	}
	return nil
}

// try runs a command and returns its exit status.
func try(args []string) (int, error) {
	if args[0] == linux.CasesPath+"damage" {
		return 0, damagePayload()
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// damagePayload changes 400 bytes in the midst of the payload, where its kernel is.
func damagePayload() error {
	f, err := os.OpenFile(linux.CasesPath+"payload", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(make([]byte, 400), info.Size()/2)
	}
	return errors.Join(err, f.Close())
}
