//go:build linux

// Package liveupdate speaks to Linux's Live Update Orchestrator: sessions and the files preserved in them, through
// /dev/liveupdate. Source: include/uapi/linux/liveupdate.h of Linux 7.3, all structures native byte order.
//
// The kernel on the other side is trusted. A session lives as long as a descriptor of it is open: closing the last one
// before the live update gives up what it preserves.
package liveupdate

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Path is the device. One process at a time can have it open; others get EBUSY.
const Path = "/dev/liveupdate"

// NameLen is the longest name of a session in bytes.
const NameLen = 63

// Ioctl numbers are _IO(0xBA, n): the size is in the first field of the structure.
const (
	ioctlType            = 0xBA << 8
	ioctlCreateSession   = ioctlType + 0x00
	ioctlRetrieveSession = ioctlType + 0x01
	ioctlPreserve        = ioctlType + 0x40
	ioctlRetrieve        = ioctlType + 0x41
	ioctlFinish          = ioctlType + 0x42
)

// A Device is an open /dev/liveupdate.
type Device struct{ f *os.File }

// A Session is a named set of preserved files, each known by its token.
type Session struct {
	Name string
	f    *os.File
}

// sessionArg is struct liveupdate_ioctl_create_session and ..._retrieve_session.
type sessionArg struct {
	size uint32
	fd   int32
	name [NameLen + 1]byte
}

// fileArg is struct liveupdate_session_preserve_fd and ..._retrieve_fd.
type fileArg struct {
	size  uint32
	fd    int32
	token uint64
}

// finishArg is struct liveupdate_session_finish.
type finishArg struct {
	size     uint32
	reserved uint32
}

// Open opens the device.
func Open() (*Device, error) {
	f, err := os.OpenFile(Path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &Device{f}, nil
}

// Close closes the device. Sessions stay.
func (d *Device) Close() error { return d.f.Close() }

// Create makes a new, empty session.
func (d *Device) Create(name string) (*Session, error) {
	return d.session(ioctlCreateSession, "create", name)
}

// Retrieve gets a session that came through the last live update. The error wraps unix.ENOENT if there is none of
// that name.
func (d *Device) Retrieve(name string) (*Session, error) {
	return d.session(ioctlRetrieveSession, "retrieve", name)
}

func (d *Device) session(cmd uintptr, what, name string) (*Session, error) {
	arg := sessionArg{fd: -1}
	arg.size = uint32(unsafe.Sizeof(arg))
	if len(name) > NameLen {
		return nil, fmt.Errorf("%s session %q: name of %d bytes, at most %d", what, name, len(name), NameLen)
	}
	copy(arg.name[:], name)
	if err := ioctl(d.f, cmd, unsafe.Pointer(&arg)); err != nil {
		return nil, fmt.Errorf("%s session %q: %w", what, name, err)
	}
	return &Session{Name: name, f: os.NewFile(uintptr(arg.fd), "session "+name)}, nil
}

// Preserve enters a file in the session. The token is the file's name after the update, unique in the session. The
// caller may close the file: the session holds it.
func (s *Session) Preserve(f *os.File, token uint64) error {
	arg := fileArg{fd: int32(f.Fd()), token: token}
	arg.size = uint32(unsafe.Sizeof(arg))
	if err := ioctl(s.f, ioctlPreserve, unsafe.Pointer(&arg)); err != nil {
		return fmt.Errorf("session %q: preserve token %#x: %w", s.Name, token, err)
	}
	return nil
}

// RetrieveFile gets a file back. The caller owns it.
func (s *Session) RetrieveFile(token uint64) (*os.File, error) {
	arg := fileArg{fd: -1, token: token}
	arg.size = uint32(unsafe.Sizeof(arg))
	if err := ioctl(s.f, ioctlRetrieve, unsafe.Pointer(&arg)); err != nil {
		return nil, fmt.Errorf("session %q: retrieve token %#x: %w", s.Name, token, err)
	}
	return os.NewFile(uintptr(arg.fd), fmt.Sprintf("%s %#x", s.Name, token)), nil
}

// Finish says that every file of a retrieved session has been taken out. The kernel lets go of what is left.
func (s *Session) Finish() error {
	arg := finishArg{}
	arg.size = uint32(unsafe.Sizeof(arg))
	if err := ioctl(s.f, ioctlFinish, unsafe.Pointer(&arg)); err != nil {
		return fmt.Errorf("session %q: finish: %w", s.Name, err)
	}
	return nil
}

// Close closes the session's descriptor.
func (s *Session) Close() error { return s.f.Close() }

func ioctl(f *os.File, cmd uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), cmd, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
