//go:build linux

package qemu

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
)

// Script is qemu.sh: its path.
type Script string

// Boot boots an image with settings as qemu.sh documents them (MEM=1G), each of
// which replaces one of the environment, and with arguments for the image. It
// returns the console without carriage returns, and the exit code; an error is one
// of running the script at all.
func (s Script) Boot(image string, settings []string, args ...string) (console string, code int, err error) {
	cmd := exec.Command(string(s), append([]string{image}, args...)...)
	cmd.Env = append(os.Environ(), settings...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", 0, err
	}
	return strings.ReplaceAll(out.String(), "\r", ""), cmd.ProcessState.ExitCode(), nil
}
