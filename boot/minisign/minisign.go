// Package minisign verifies signatures of the minisign format: ed25519 over a
// file, or over the BLAKE2b digest of one, by the keys and with the program of
// https://jedisct1.github.io/minisign/, which Debian has.
//
// Signatures come along with what they sign and are untrusted; keys were set by
// the one who built the image or runs the host tool. Nothing here knows a secret
// key. The package runs in the stage and needs only the standard library.
package minisign

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Reasons for which something is refused.
var (
	ErrKey       = errors.New("minisign: not a public key")
	ErrFormat    = errors.New("minisign: not a signature")
	ErrOtherKey  = errors.New("minisign: signed by another key")
	ErrSignature = errors.New("minisign: the signature is wrong")
)

// A Key is a public key.
type Key struct {
	ID     [8]byte // says which key it is, for people: it is not proved by anything
	Public [ed25519.PublicKeySize]byte
}

// String names the key as minisign does: the ID as one number in hexadecimal.
func (k Key) String() string {
	return fmt.Sprintf("%X", binary.LittleEndian.Uint64(k.ID[:]))
}

// Algorithms, the first two bytes of keys and signatures.
const (
	algorithm = "Ed" // of keys, and of signatures of a file itself ("legacy")
	prehashed = "ED" // of signatures of a file's digest
)

const (
	keySize       = 2 + 8 + ed25519.PublicKeySize
	signatureSize = 2 + 8 + ed25519.SignatureSize

	untrusted = "untrusted comment:"
	trusted   = "trusted comment: "
)

// maxText bounds the size of a signature file in bytes. The program writes
// comments of at most 8192.
const maxText = 32 << 10

// ParseKey reads a public key: a file with a comment and the key, as `minisign
// -G` writes it, or the key alone.
func ParseKey(b []byte) (k Key, err error) {
	switch {
	case len(b) > maxText:
		return k, fmt.Errorf("%w: %d bytes", ErrKey, len(b))
	case len(bytes.TrimSpace(b)) == 0:
		return k, fmt.Errorf("%w: the file is empty", ErrKey)
	}
	text := strings.TrimRight(string(b), "\r\n")
	lines := strings.SplitN(text, "\n", 3)
	if len(lines) == 2 && strings.HasPrefix(lines[0], untrusted) {
		lines = lines[1:]
	}
	if len(lines) != 1 {
		return k, fmt.Errorf("%w: %d lines, want a comment and a key", ErrKey, strings.Count(text, "\n")+1)
	}
	raw, err := decode(lines[0], keySize)
	if err != nil || string(raw[:2]) != algorithm {
		return k, fmt.Errorf("%w: want %d bytes in base64 that begin with %q (secret keys are no good here)", ErrKey, keySize, algorithm)
	}
	copy(k.ID[:], raw[2:])
	copy(k.Public[:], raw[10:])
	return k, nil
}

// A Signature is what a file has that looks like one. It proves nothing until a key
// verifies it; even the key's number is only what it says.
type Signature struct {
	Key     Key    // its ID alone
	Comment string // the trusted one

	prehashed     bool
	first, second []byte // of the message, and of the first with the comment
}

// ParseSignature reads the file that `minisign -S` writes: comment, signature,
// trusted comment, and a second signature over the first and that comment.
func ParseSignature(b []byte) (s Signature, err error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return s, fmt.Errorf("%w: the file is empty", ErrFormat)
	}
	if len(b) > maxText {
		return s, fmt.Errorf("%w: %d bytes", ErrFormat, len(b))
	}
	lines := strings.SplitN(strings.TrimSuffix(string(b), "\n"), "\n", 5)
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
	}
	if len(lines) != 4 || !strings.HasPrefix(lines[0], untrusted) || !strings.HasPrefix(lines[2], trusted) {
		return s, fmt.Errorf("%w: want four lines: comment, signature, trusted comment, signature", ErrFormat)
	}
	first, err := decode(lines[1], signatureSize)
	if err != nil {
		return s, fmt.Errorf("%w: line 2: %w", ErrFormat, err)
	}
	if s.second, err = decode(lines[3], ed25519.SignatureSize); err != nil {
		return s, fmt.Errorf("%w: line 4: %w", ErrFormat, err)
	}
	switch string(first[:2]) {
	case prehashed:
		s.prehashed = true
	case algorithm:
	default:
		return s, fmt.Errorf("%w: algorithm %q, want %q or %q", ErrFormat, first[:2], prehashed, algorithm)
	}
	s.Key.ID = [8]byte(first[2:10])
	s.first, s.Comment = first[10:], strings.TrimPrefix(lines[2], trusted)
	return s, nil
}

// Verify proves that the key's owner signed message, and returns the trusted comment
// of the signature.
func (k Key) Verify(message, signature []byte) (comment string, err error) {
	s, err := ParseSignature(signature)
	if err != nil {
		return "", err
	}
	if s.prehashed {
		digest := blake2b(message)
		message = digest[:]
	}
	if s.Key.ID != k.ID {
		return "", fmt.Errorf("%w: %v, want %v", ErrOtherKey, s.Key, k)
	}
	if !ed25519.Verify(k.Public[:], message, s.first) {
		return "", fmt.Errorf("%w: of the message, by key %v", ErrSignature, k)
	}
	if !ed25519.Verify(k.Public[:], append(slices.Clone(s.first), s.Comment...), s.second) {
		return "", fmt.Errorf("%w: of the trusted comment, by key %v", ErrSignature, k)
	}
	return s.Comment, nil
}

// decode reads base64 of an exact number of bytes.
func decode(s string, size int) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err == nil && len(b) != size {
		err = fmt.Errorf("%d bytes, want %d", len(b), size)
	}
	return b, err
}
