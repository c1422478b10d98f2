package payload

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"ferry/boot/minisign"
	"ferry/linker/header"
	"ferry/phys"
)

// Reasons for which a payload is not trusted.
var (
	ErrUnsigned = errors.New("payload: not signed")
	ErrPart     = errors.New("payload: a file is not what the manifest says")
	ErrSerial   = errors.New("payload: older than this image takes")
	ErrTrust    = errors.New("payload: the image's own key cannot be read")
)

// Check compares the files of the archive with the parts of the manifest: each
// file that the stage uses has to be a part, with this size and SHA-256, and each
// part has to be there. It reads every byte of them.
func (p *Payload) Check() error {
	for _, name := range partNames {
		if err := p.CheckPart(name); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Manifest.Parts)) {
		if !slices.Contains(partNames, name) {
			return fmt.Errorf("%w: %s: this stage knows no such file", ErrPart, phys.Quote(name))
		}
	}
	return nil
}

// CheckPart is Check for the file of one name, whether it is in the archive or not.
func (p *Payload) CheckPart(name string) error {
	if !slices.Contains(partNames, name) {
		return fmt.Errorf("%w: %s is no part", ErrPart, name)
	}
	part, listed := p.Manifest.Parts[name]
	return p.files()[name].check(name, part, listed)
}

// partNames are the files that the manifest lists.
var partNames = []string{KernelName, OpenedName, InitrdName, RollbackKernelName, RollbackInitrdName}

// check compares one file with what the manifest says of it.
func (f *File) check(name string, part Part, listed bool) error {
	switch {
	case f.Offset == 0 && !listed:
		return nil
	case f.Offset == 0:
		return fmt.Errorf("%w: %s is missing", ErrPart, name)
	case !listed:
		return fmt.Errorf("%w: %s is not listed", ErrPart, name)
	case uint64(len(f.Data)) != part.Size:
		return fmt.Errorf("%w: %s has %d bytes, want %d", ErrPart, name, len(f.Data), part.Size)
	}
	if sum := sha256.Sum256(f.Data); hex.EncodeToString(sum[:]) != part.SHA256 {
		return fmt.Errorf("%w: %s has SHA-256 %x, want %.64s", ErrPart, name, sum, part.SHA256)
	}
	return nil
}

// NewPart describes a file.
func NewPart(data []byte) Part {
	sum := sha256.Sum256(data)
	return Part{Size: uint64(len(data)), SHA256: hex.EncodeToString(sum[:])}
}

// Trust is what an image demands of its payload. It was set by the one who built
// the image and is in its parameters, see [TrustSize].
type Trust struct {
	Key        minisign.Key
	MinSerial  uint64 // lowest serial
	MinRelease string // lowest release of the next kernel, such as "7.2.6"; empty: any. Release candidates come before their release
}

// Verify is VerifyManifest, and proves that every file is what the manifest says.
func (t *Trust) Verify(p *Payload) (comment string, err error) {
	if comment, err = t.VerifyManifest(p); err != nil {
		return "", err
	}
	return comment, p.Check()
}

// VerifyManifest proves that the manifest was signed by the owner of the key and
// that it is not older than the image takes. It returns the trusted comment of
// the signature. What the manifest leaves to the command line of the stage is not
// signed.
func (t *Trust) VerifyManifest(p *Payload) (comment string, err error) {
	if p.Raw.Offset == 0 || p.Signature.Offset == 0 {
		return "", fmt.Errorf("%w: no %s and %s, and this image takes only what key %v signed",
			ErrUnsigned, ManifestName, SignatureName, t.Key)
	}
	if comment, err = t.Key.Verify(p.Raw.Data, p.Signature.Data); err != nil {
		return "", fmt.Errorf("%s: %w", SignatureName, err)
	}
	if p.Manifest.Serial < t.MinSerial {
		return "", fmt.Errorf("%w: serial %d, want at least %d", ErrSerial, p.Manifest.Serial, t.MinSerial)
	}
	if t.MinRelease != "" {
		least, _ := releaseNumbers(t.MinRelease)
		got, ok := releaseNumbers(p.Manifest.Kernel.Release)
		if !ok || slices.Compare(got[:], least[:]) < 0 {
			return "", fmt.Errorf("%w: Linux %s, want at least %s", ErrSerial, phys.Quote(p.Manifest.Kernel.Release), t.MinRelease)
		}
	}
	return comment, nil
}

// released is the fourth number of a release that is no release candidate.
const released = math.MaxUint64

// releaseNumbers returns the numbers that a release begins with, 7, 3 and 4 of
// "7.3.4-amd64", and behind them what orders release candidates before their
// release: the number of the candidate, or released. Numbers that are left out are 0.
func releaseNumbers(release string) (n [4]uint64, ok bool) {
	end := strings.IndexFunc(release, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		end = len(release)
	}
	fields := strings.SplitN(strings.TrimRight(release[:end], "."), ".", len(n))
	if len(fields) < 2 || len(fields) > 3 {
		return n, false
	}
	for i, field := range fields {
		var err error
		if n[i], err = strconv.ParseUint(field, 10, 32); err != nil {
			return n, false
		}
	}
	n[3] = candidate(release[end:])
	return n, true
}

// candidate returns the number of the release candidate that the rest of a release
// names, released if it names none: "-rc1" of Linux itself, "-0.rc1.git" of Fedora,
// "-070300rc1" of Ubuntu.
func candidate(rest string) uint64 {
	for at := 0; ; at += len("rc") {
		i := strings.Index(rest[at:], "rc")
		if i < 0 {
			return released
		}
		at += i
		if before := at - 1; before >= 0 && (rest[before]|0x20 >= 'a' && rest[before]|0x20 <= 'z') {
			continue // "-arch1" and the like
		}
		digits := rest[at+len("rc"):]
		digits = digits[:len(digits)-len(strings.TrimLeft(digits, "0123456789"))]
		if n, err := strconv.ParseUint(digits, 10, 32); err == nil {
			return n
		}
	}
}

// TrustSize is the size in bytes of the area for a Trust among the parameters of
// an image: 64-bit little endian numbers and bytes,
//
//	0   magic, "FERRYKEY"; all of the area is zero in an image without a key
//	8   lowest serial
//	16  number of the key, 8 bytes
//	24  key, 32 bytes
//	56  lowest release, text, zero padded
//	88  SHA-256 of the 88 bytes before, its first 8 bytes
const TrustSize = header.TrustSize

const (
	trustMagic   = "FERRYKEY"
	trustSerial  = 8
	trustID      = 16
	trustKey     = 24
	trustRelease = 56
	trustSum     = 88
)

// ParseTrust reads the area. nil is an image without a key. An area that is
// neither is an error: the image must not boot as if it had none.
func ParseTrust(b []byte) (*Trust, error) {
	if len(b) != TrustSize {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrTrust, len(b), TrustSize)
	}
	if !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) {
		return nil, nil
	}
	if sum := sha256.Sum256(b[:trustSum]); string(b[:trustSerial]) != trustMagic || [8]byte(b[trustSum:]) != [8]byte(sum[:]) {
		return nil, fmt.Errorf("%w: % x", ErrTrust, b)
	}
	t := &Trust{MinSerial: binary.LittleEndian.Uint64(b[trustSerial:])}
	copy(t.Key.ID[:], b[trustID:])
	copy(t.Key.Public[:], b[trustKey:])
	t.MinRelease = strings.TrimRight(string(b[trustRelease:trustSum]), "\x00")
	if _, ok := releaseNumbers(t.MinRelease); t.MinRelease != "" && !ok {
		return nil, fmt.Errorf("%w: lowest release %s", ErrTrust, phys.Quote(t.MinRelease))
	}
	return t, nil
}

// Area returns the area for t.
func (t *Trust) Area() ([TrustSize]byte, error) {
	var b [TrustSize]byte
	if _, ok := releaseNumbers(t.MinRelease); t.MinRelease != "" && !ok || len(t.MinRelease) > trustSum-trustRelease {
		return b, fmt.Errorf("%w: lowest release %s, want one such as 7.2.6", ErrTrust, phys.Quote(t.MinRelease))
	}
	copy(b[:], trustMagic)
	binary.LittleEndian.PutUint64(b[trustSerial:], t.MinSerial)
	copy(b[trustID:], t.Key.ID[:])
	copy(b[trustKey:], t.Key.Public[:])
	copy(b[trustRelease:], t.MinRelease)
	sum := sha256.Sum256(b[:trustSum])
	copy(b[trustSum:], sum[:8])
	return b, nil
}
