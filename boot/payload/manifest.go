package payload

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"ferry/phys"
)

// Version is the manifest version that this package writes if nothing needs
// a later one. Fields that a reader does not know are no error: a field that an
// older stage must not ignore needs a later version. Version 2 names the
// generation, version 3 the sessions that have to come in, version 4 a kernel that was
// opened.
const (
	Version         = 2
	VersionSessions = 3
	VersionOpened   = 4
)

// maxManifest bounds the manifest's size in bytes.
const maxManifest = 64 << 10

// Manifest says how the kernel of a payload is started, and what the payload is
// made of. It is what a signature covers.
type Manifest struct {
	Version int `json:"version"`

	// Serial counts the payloads of an operator, who raises it with each. An image
	// may demand a least one, so that an old payload is not replayed.
	Serial uint64 `json:"serial,omitempty"`

	Kernel KernelInfo `json:"kernel"`

	// From names the kernel that the handover comes from: its release, or its
	// generation. It is a hint for what memory leaves open, and may be empty.
	From string `json:"from,omitempty"`

	// Cmdline is the next kernel's command line. Without it the kernel gets what
	// the stage was given, less the stage's own words.
	Cmdline *string `json:"cmdline,omitempty"`

	// OnError says what follows a failure: one of Outcomes, or empty if the
	// stage's command line decides.
	OnError string `json:"on_error,omitempty"`

	// ExpectSessions is how many sessions have to come in at least: fewer are a
	// failure. Zero is any number. It needs VersionSessions.
	ExpectSessions uint64 `json:"expect_sessions,omitempty"`

	// Rollback describes the files rollback.kernel and rollback.initrd, the kernel
	// that hands over; nil if there are none.
	Rollback *Rollback `json:"rollback,omitempty"`

	// Parts are the files of the archive by their names, see [Payload.Check]. Under a
	// signature each has to be there. A manifest without any, as an archive that was
	// packed by hand has it, leaves open whether they are whole.
	Parts map[string]Part `json:"parts,omitempty"`
}

// KernelInfo describes a kernel of the payload.
type KernelInfo struct {
	Release string `json:"release,omitempty"` // release string of the bzImage

	// Generation names the formats that the kernel reads, as crossing's table
	// does. Empty if it is unknown.
	Generation string `json:"generation,omitempty"`
}

// Rollback says how the kernel is started that gets the untouched handover after
// a failure.
type Rollback struct {
	Kernel  KernelInfo `json:"kernel"`
	Cmdline *string    `json:"cmdline,omitempty"` // as the manifest's own
}

// Part is what a file of the archive must be.
type Part struct {
	Size   uint64 `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // in hexadecimal, lower case
}

// What may follow a failure.
const (
	OnErrorRollback = "rollback" // the rollback kernel boots with the untouched handover
	OnErrorPass     = "pass"     // the next kernel boots with the untouched handover
	OnErrorCold     = "cold"     // the next kernel boots without a handover: its state is lost
	OnErrorHalt     = "halt"     // the machine halts, memory intact
)

// Outcomes are the values that [Manifest.OnError] may have.
func Outcomes() []string { return []string{OnErrorRollback, OnErrorPass, OnErrorCold, OnErrorHalt} }

// ParseManifest reads a manifest. No bytes at all are the manifest that leaves
// everything open.
func ParseManifest(b []byte) (Manifest, error) {
	m := Manifest{Version: Version}
	if len(b) == 0 {
		return m, nil
	}
	if len(b) > maxManifest {
		return m, fmt.Errorf("%w: %d bytes, want at most %d", ErrManifest, len(b), maxManifest)
	}
	m.Version = 0
	d := &decoder{b: b}
	err := d.object(func(key string) error { return m.field(d, key) })
	if err == nil {
		err = d.end()
	}
	if err != nil {
		return m, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if m.Version < Version || m.Version > VersionOpened {
		return m, fmt.Errorf("%w: version %d, this stage reads versions %d to %d", ErrManifest, m.Version, Version, VersionOpened)
	}
	if m.OnError != "" && !slices.Contains(Outcomes(), m.OnError) {
		return m, fmt.Errorf("%w: on_error %s, want %s", ErrManifest, phys.Quote(m.OnError), strings.Join(Outcomes(), ", "))
	}
	if m.OnError == OnErrorRollback && m.Rollback == nil {
		return m, fmt.Errorf("%w: on_error %s without a rollback kernel", ErrManifest, phys.Quote(m.OnError))
	}
	return m, nil
}

// field reads the value of a key, as the tags of the structures name them.
func (m *Manifest) field(d *decoder, key string) (err error) {
	switch key {
	case "version":
		var n uint64
		n, err = d.count()
		m.Version = int(min(n, math.MaxInt32))
	case "serial":
		m.Serial, err = d.count()
	case "kernel":
		err = m.Kernel.read(d)
	case "from":
		m.From, err = d.text()
	case "cmdline":
		m.Cmdline, err = d.optional()
	case "on_error":
		m.OnError, err = d.text()
	case "expect_sessions":
		m.ExpectSessions, err = d.count()
	case "rollback":
		m.Rollback = &Rollback{}
		err = m.Rollback.read(d)
	case "parts":
		m.Parts = map[string]Part{}
		err = d.object(func(name string) error {
			p, err := readPart(d)
			m.Parts[name] = p
			return err
		})
	default:
		err = d.skip(0)
	}
	return err
}

// optional reads a string to which there is a pointer.
func (d *decoder) optional() (*string, error) {
	s, err := d.text()
	return &s, err
}

func (k *KernelInfo) read(d *decoder) error {
	return d.object(func(key string) (err error) {
		switch key {
		case "release":
			k.Release, err = d.text()
		case "generation":
			k.Generation, err = d.text()
		default:
			err = d.skip(0)
		}
		return err
	})
}

func (r *Rollback) read(d *decoder) error {
	return d.object(func(key string) (err error) {
		switch key {
		case "kernel":
			err = r.Kernel.read(d)
		case "cmdline":
			r.Cmdline, err = d.optional()
		default:
			err = d.skip(0)
		}
		return err
	})
}

func readPart(d *decoder) (p Part, err error) {
	err = d.object(func(key string) (err error) {
		switch key {
		case "size":
			p.Size, err = d.count()
		case "sha256":
			p.SHA256, err = d.text()
		default:
			err = d.skip(0)
		}
		return err
	})
	return p, err
}
