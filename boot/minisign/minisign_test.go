package minisign

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ferry/phys/phystest"
)

// The message of RFC 7693, appendix A, and lengths around a block; the digests are
// those of b2sum, "count" is the bytes 0, 1, 2 and so on.
func TestBLAKE2b(t *testing.T) {
	count := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i)
		}
		return b
	}
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"abc", []byte("abc"), "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"},
		{"nothing", nil, "786a02f742015903c6c6fd852552d272912f4740e15847618a86e217f71f5419d25e1031afee585313896444934eb04b903a685b1448b755d56f701afe9be2ce"},
		{"a block", count(128), "2319e3789c47e2daa5fe807f61bec2a1a6537fa03f19ff32e87eecbfd64b7e0e8ccff439ac333b040f19b0c4ddd11a61e24ac1fe0f10a039806c5dcc0da3d115"},
		{"a block and a byte", count(129), "f59711d44a031d5f97a9413c065d1e614c417ede998590325f49bad2fd444d3e4418be19aec4e11449ac1a57207898bc57d76a1bcf3566292c20c683a5c4648f"},
		{"255 bytes", count(255), "5b21c5fd8868367612474fa2e70e9cfa2201ffeee8fafab5797ad58fefa17c9b5b107da4a3db6320baaf2c8617d5a51df914ae88da3867c2d41f0cc14fa67928"},
	} {
		if got := blake2b(c.in); hex.EncodeToString(got[:]) != c.want {
			t.Errorf("%s: %x, want %s", c.name, got, c.want)
		}
	}
}

// Made by minisign 0.11: printf 'hello\n', once as it signs, once with -l. The
// secret key was thrown away.
const (
	key       = "untrusted comment: minisign public key EB573BF75A291FD\nRWT9kaJ1v3O1DlUPVk7lRQlEDMIm+ztdVmyWNkuVpaeo9dhDmgecTloe\n"
	message   = "hello\n"
	signature = "untrusted comment: signature from minisign secret key\n" +
		"RUT9kaJ1v3O1DlZpzqJasc4tFviv4zdqnPebXJTq2EfL+zM5GaZ9jyA7hjN9gzscnSjuvGbGlZRy+XjTvw0pTi4RWebW8qWB9AQ=\n" +
		"trusted comment: serial 7\n" +
		"fA09LLjuylJq9eqR288Q/pVza9BdlcL1x+T805+9p4Vy58OTiXHthks4qwLDpt0czz2dc+5eyEBSd0iIdX/VCQ==\n"
	legacy = "untrusted comment: signature from minisign secret key\n" +
		"RWT9kaJ1v3O1DgrAPGJHugBeBVbt+auB2j/bIoEIAq/oX3DzztHrx7vuwH8SUJ0vygpC8GPw8ldlHPgtbulwSiTnuq3wPif67wU=\n" +
		"trusted comment: timestamp:1795372322\tfile:m.json\n" +
		"ngIutPeVgLGqC2gCPiMNcoUIqtOHF19KBsKDWs6pk64qs8nwo+FraKewJb4zcALFKZu0D4q7z109Hp64F7wdCw==\n"
)

func parseKey(t testing.TB, s string) Key {
	t.Helper()
	k, err := ParseKey([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestVerifyTakesBothForms(t *testing.T) {
	k := parseKey(t, key)
	if got := k.String(); got != "EB573BF75A291FD" {
		t.Errorf("key %s", got)
	}
	for _, c := range []struct{ name, signature, comment string }{
		{"prehashed", signature, "serial 7"},
		{"legacy", legacy, "timestamp:1795372322\tfile:m.json"},
		{"other line ends", strings.ReplaceAll(signature, "\n", "\r\n"), "serial 7"},
		{"no last line end", strings.TrimSuffix(signature, "\n"), "serial 7"},
		{"another untrusted comment", strings.Replace(signature, "signature from", "whatever", 1), "serial 7"},
	} {
		if comment, err := k.Verify([]byte(message), []byte(c.signature)); err != nil || comment != c.comment {
			t.Errorf("%s: %q, %v", c.name, comment, err)
		}
	}
	if got := parseKey(t, strings.Split(key, "\n")[1]); got != k {
		t.Errorf("the key without its comment is %+v, want %+v", got, k)
	}
}

func TestVerifyRefuses(t *testing.T) {
	k := parseKey(t, key)
	other := k
	other.ID[0]++
	stranger := k
	stranger.Public = parseKey(t, "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3").Public // minisign's own
	lines := strings.Split(signature, "\n")
	swap := func(i int, s string) string {
		l := append([]string{}, lines...)
		l[i] = s
		return strings.Join(l, "\n")
	}
	for _, c := range []struct {
		name, message, signature string
		key                      Key
		rule                     error
	}{
		{"another message", "hello", signature, k, ErrSignature},
		{"another message, legacy", "hallo\n", legacy, k, ErrSignature},
		{"another key's number", message, signature, other, ErrOtherKey},
		{"another key of this number", message, signature, stranger, ErrSignature},
		{"another trusted comment", message, strings.Replace(signature, "serial 7", "serial 8", 1), k, ErrSignature},
		{"the other form's signature", message, swap(1, "RW"+lines[1][2:]), k, ErrSignature},
		{"an unknown form", message, swap(1, "RV"+lines[1][2:]), k, ErrFormat},
		{"a bit flipped", message, swap(1, strings.Replace(lines[1], "ZpzqJ", "ZpzqI", 1)), k, ErrSignature},
		{"a bit flipped in the second", message, swap(3, "fB"+lines[3][2:]), k, ErrSignature},
		{"no base64", message, swap(1, "!"), k, ErrFormat},
		{"a short signature", message, swap(1, "RUT9"), k, ErrFormat},
		{"a short second", message, swap(3, "RUT9"), k, ErrFormat},
		{"a line too few", message, strings.Join(lines[:3], "\n"), k, ErrFormat},
		{"a line too many", message, signature + "more\n", k, ErrFormat},
		{"no comment", message, swap(0, "comment"), k, ErrFormat},
		{"no trusted comment", message, swap(2, "serial 7"), k, ErrFormat},
		{"nothing", message, "", k, ErrFormat},
		{"too much", message, strings.Repeat("x", 40000), k, ErrFormat},
	} {
		if _, err := c.key.Verify([]byte(c.message), []byte(c.signature)); !errors.Is(err, c.rule) {
			t.Errorf("%s: %v, want %v", c.name, err, c.rule)
		}
	}
}

// TestAnEmptyFileIsCalledEmpty: it is what a command leaves that failed to sign.
func TestAnEmptyFileIsCalledEmpty(t *testing.T) {
	for _, text := range []string{"", "\n", " \r\n\t"} {
		_, signature := parseKey(t, key).Verify([]byte(message), []byte(text))
		_, key := ParseKey([]byte(text))
		for _, err := range []error{signature, key} {
			if err == nil || !strings.HasSuffix(err.Error(), ": the file is empty") {
				t.Errorf("%q: %v", text, err)
			}
		}
	}
}

func TestParseSignatureSaysWhoseItSaysItIs(t *testing.T) {
	s, err := ParseSignature([]byte(signature))
	if err != nil || s.Key.String() != "EB573BF75A291FD" || s.Comment != "serial 7" {
		t.Errorf("%v: %q, %v", s.Key, s.Comment, err)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	for _, s := range []string{"", "x", key + "more", "comment\n" + strings.Split(key, "\n")[1], "RWT9", "RUT9" + strings.Split(key, "\n")[1][4:],
		strings.Repeat("x", 40000)} {
		if _, err := ParseKey([]byte(s)); !errors.Is(err, ErrKey) {
			t.Errorf("%.40q: %v", s, err)
		}
	}
}

// The program that Debian has, with a key of its own making.
func TestVerifyTakesWhatMinisignSigns(t *testing.T) {
	if _, err := exec.LookPath("minisign"); err != nil {
		t.Fatal("minisign is missing: make test installs it")
	}
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("minisign", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("minisign %v: %v\n%s", args, err, out)
		}
	}
	run("-G", "-W", "-p", "pub", "-s", "sec")
	text, err := os.ReadFile(filepath.Join(dir, "pub"))
	if err != nil {
		t.Fatal(err)
	}
	k := parseKey(t, string(text))
	for _, size := range []int{0, 1, 127, 128, 129, 5000} {
		m := []byte(strings.Repeat("m", size))
		if err := os.WriteFile(filepath.Join(dir, "m"), m, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, form := range [][]string{nil, {"-l"}} {
			run(append([]string{"-S", "-s", "sec", "-m", "m", "-t", "a comment"}, form...)...)
			sig, err := os.ReadFile(filepath.Join(dir, "m.minisig"))
			if err != nil {
				t.Fatal(err)
			}
			if comment, err := k.Verify(m, sig); err != nil || comment != "a comment" {
				t.Errorf("%d bytes %v: %q, %v", size, form, comment, err)
			}
			if _, err := k.Verify(append(m, 'x'), sig); !errors.Is(err, ErrSignature) {
				t.Errorf("%d bytes %v and one more: %v", size, form, err)
			}
		}
	}
}

// FuzzVerify: what is no signature never panics, and what is one was made by the
// key's owner.
func FuzzVerify(f *testing.F) {
	k := parseKey(f, key)
	f.Add([]byte(message), []byte(signature))
	f.Add([]byte(message), []byte(legacy))
	f.Add([]byte(message), bytes.Repeat([]byte("\n"), 32<<10))
	f.Add([]byte(message), []byte(strings.Replace(signature, "comment:", "comment:"+strings.Repeat("x", 20<<10), 1)))
	f.Fuzz(func(t *testing.T, m, sig []byte) {
		phystest.Bounded(t, 16<<10+4*uint64(len(sig)), func() { k.Verify(m, sig) })
		phystest.Bounded(t, 16<<10+4*uint64(len(sig)), func() { ParseKey(sig) })
		if _, err := k.Verify(m, sig); err == nil && string(m) != message {
			t.Errorf("%q was never signed", m)
		}
		_, _ = ParseKey(sig)
	})
}
