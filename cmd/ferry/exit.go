package main

import (
	"errors"
	"slices"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"ferry/boot"
	"ferry/boot/minisign"
	"ferry/boot/opened"
	"ferry/boot/payload"
	"ferry/boot/vmlinux"
)

// A class says what kind of failure ended the command. It is the exit code, which scripts depend on: no number changes its
// meaning.
type class int

const (
	classDone    class = iota
	classFailed        // anything else: a file that cannot be read, a disk that is full, a signal
	classUsage         // what was asked for makes no sense
	classHost          // the running kernel or the machine
	classPayload       // a payload, a kernel or a stage
	classTrust         // a signature, a key, a serial number
	classRoom          // scratch
)

// classes are the exit codes in words, as --help has them.
var classes = []string{
	classDone:    "done",
	classFailed:  "failed: a file or a device, or the command was interrupted",
	classUsage:   "usage: what was asked for makes no sense",
	classHost:    "host: the running kernel or the machine is not ready",
	classPayload: "payload: a payload, a kernel or a stage cannot be used, or something would be lost",
	classTrust:   "trust: not signed as who starts it demands",
	classRoom:    "room: scratch is too small",
}

// A classed error has its class from who returned it.
type classed struct {
	class class
	err   error
}

func (c *classed) Error() string { return c.err.Error() }
func (c *classed) Unwrap() error { return c.err }

// in gives an error a class unless the error has one already. No error stays none.
func in(c class, err error) error {
	if err == nil || classOf(err) != classFailed {
		return err
	}
	return &classed{c, err}
}

// causes are the classes of errors that say enough by themselves. The first that fits counts: a payload that is refused for
// its signature may be wrapped in an error of the payload's.
var causes = []struct {
	class class
	errs  []error
}{
	{classTrust, []error{payload.ErrUnsigned, payload.ErrSerial, payload.ErrTrust, minisign.ErrKey, minisign.ErrFormat, minisign.ErrOtherKey, minisign.ErrSignature,
		unix.ELIBBAD, unix.EKEYREJECTED, unix.ENOKEY, unix.ENODATA, unix.EBADMSG, unix.ENOPKG}},
	{classRoom, []error{boot.ErrNoRoom, unix.EADDRNOTAVAIL}},
	{classPayload, []error{payload.ErrArchive, payload.ErrManifest, payload.ErrPart, boot.ErrKernel, boot.ErrCmdline, boot.ErrOpened, opened.ErrPart,
		vmlinux.ErrPayload, vmlinux.ErrCompression, vmlinux.ErrDamaged, vmlinux.ErrSize, errNoKHO, errUnknown, errPart}},
}

// classOf returns the class of an error, that of the first if it has several.
func classOf(err error) class {
	var by *classed
	var parse *kong.ParseError
	var d *doubt
	switch {
	case err == nil:
		return classDone
	case errors.As(err, &by):
		return by.class
	case errors.As(err, &parse):
		return classUsage
	}
	for _, c := range causes {
		if slices.ContainsFunc(c.errs, func(cause error) bool { return errors.Is(err, cause) }) {
			return c.class
		}
	}
	if errors.As(err, &d) {
		return classPayload
	}
	return classFailed
}

// usage returns the error that what was asked for makes no sense.
func usage(text string) error { return &classed{classUsage, errors.New(text)} }
