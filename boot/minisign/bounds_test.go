package minisign

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// TestParseKeyTakesOneKey: neither a second line nor any amount of empty ones.
func TestParseKeyTakesOneKey(t *testing.T) {
	alone := strings.Split(key, "\n")[1]
	if _, err := ParseKey([]byte(key + strings.Repeat("\n", 1000))); err != nil {
		t.Errorf("a key and empty lines: %v", err)
	}
	for name, text := range map[string]string{
		"two keys":                 alone + "\n" + alone,
		"a key and a comment":      alone + "\nuntrusted comment: x",
		"a key and 40 KiB of ends": key + strings.Repeat("\n", 40<<10),
	} {
		if _, err := ParseKey([]byte(text)); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v, want %v", name, err, ErrKey)
		}
	}
}

// TestVerifyTakesNoMoreThanTheProgramWrites: the owner of the key signed both.
func TestVerifyTakesNoMoreThanTheProgramWrites(t *testing.T) {
	secret := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	var k Key
	copy(k.Public[:], secret.Public().(ed25519.PublicKey))
	line := func(b ...[]byte) string { return base64.StdEncoding.EncodeToString(bytes.Join(b, nil)) + "\n" }
	for n, want := range map[int]error{8192: nil, 40 << 10: ErrFormat} {
		comment := strings.Repeat("c", n)
		first := ed25519.Sign(secret, []byte(message))
		second := ed25519.Sign(secret, append(bytes.Clone(first), comment...))
		text := "untrusted comment: x\n" + line([]byte("Ed"), k.ID[:], first) + "trusted comment: " + comment + "\n" + line(second)
		if _, err := k.Verify([]byte(message), []byte(text)); !errors.Is(err, want) {
			t.Errorf("a trusted comment of %d bytes: %v, want %v", n, err, want)
		}
	}
}
