package payload

import (
	"encoding/json"
	"fmt"
)

// Version is the manifest version that this package writes and reads. Fields
// that it does not know are no error: a change that an older stage must not
// ignore raises the version.
const Version = 1

// maxManifest bounds the manifest's size in bytes.
const maxManifest = 64 << 10

// Manifest says how the kernel of a payload is started.
type Manifest struct {
	Version int        `json:"version"`
	Kernel  KernelInfo `json:"kernel"`

	// Cmdline is the next kernel's command line. Without it the kernel gets what
	// the stage was given, less the stage's own words.
	Cmdline *string `json:"cmdline,omitempty"`
}

// KernelInfo describes the kernel for people and for checks on the host.
type KernelInfo struct {
	Release string `json:"release,omitempty"` // release string of the bzImage
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
