package payload

import (
	"encoding/json"
	"fmt"
)

// Version is the manifest version that this package writes and reads. Fields
// that it does not know are no error: a change that an older stage must not
// ignore raises the version. Version 2 names the generation.
const Version = 2

// maxManifest bounds the manifest's size in bytes.
const maxManifest = 64 << 10

// Manifest says how the kernel of a payload is started.
type Manifest struct {
	Version int        `json:"version"`
	Kernel  KernelInfo `json:"kernel"`

	// From names the kernel that the handover comes from: its release, or its
	// generation. It is a hint for what memory leaves open, and may be empty.
	From string `json:"from,omitempty"`

	// Cmdline is the next kernel's command line. Without it the kernel gets what
	// the stage was given, less the stage's own words.
	Cmdline *string `json:"cmdline,omitempty"`
}

// KernelInfo describes a kernel of the payload.
type KernelInfo struct {
	Release string `json:"release,omitempty"` // release string of the bzImage, for people

	// Generation names the formats that the kernel reads, as crossing's table
	// does. Empty where nobody knows.
	Generation string `json:"generation,omitempty"`
}

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
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if m.Version != Version {
		return m, fmt.Errorf("%w: version %d, this stage reads version %d", ErrManifest, m.Version, Version)
	}
	return m, nil
}
