package payload_test

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"ferry/boot/payload"
)

func TestManifestRefusesEscapesThatAreNone(t *testing.T) {
	for _, from := range []string{`\x0041`, `\ud83d\u0041`, `\ud83d\ud83d`, `\ud83dxude00`, `\ud83d/ude00`, `\ude00\ud83d`} {
		if m, err := payload.ParseManifest([]byte(`{"version": 2, "from": "` + from + `"}`)); !errors.Is(err, payload.ErrManifest) {
			t.Errorf("%s is read as %q, %v", from, m.From, err)
		}
	}
}

func TestOpenRefusesNamesLongerThanLinuxTakes(t *testing.T) {
	archive := func(n int) []byte {
		return newc(file{strings.Repeat("x", n), "", regular}, file{"kernel", "K", regular})
	}
	if _, err := payload.Open(archive(4095)); err != nil {
		t.Errorf("a name of 4095 bytes: %v", err)
	}
	if _, err := payload.Open(archive(4096)); !errors.Is(err, payload.ErrArchive) {
		t.Errorf("a name of 4096 bytes: %v, want %v", err, payload.ErrArchive)
	}
}

// TestCheckSaysWhatIsWrongWithAPart: each of these parts also has the wrong digest,
// or, if nothing is missing of an empty file, the right one.
func TestCheckSaysWhatIsWrongWithAPart(t *testing.T) {
	with := func(data string) map[string]string {
		files := whole()
		files["initrd"] = data
		return files
	}
	without := whole()
	delete(without, "initrd")
	for _, c := range []struct {
		name, want    string
		listed, files map[string]string
	}{
		{"an empty file that is missing", "initrd is missing", with(""), without},
		{"a file that is missing", "initrd is missing", whole(), without},
		{"an empty file that is not listed", "initrd is not listed", without, with("")},
		{"a file that is not listed", "initrd is not listed", without, whole()},
		{"a file cut short", "initrd has 5 bytes, want 6", whole(), with("INITR")},
		{"another file of this size", "initrd has SHA-256", whole(), with("INITRE")},
	} {
		p := open(t, archiveOf(manifestOf(t, c.listed, nil), "", c.files))
		if err := p.Check(); !errors.Is(err, payload.ErrPart) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestAReleaseThatIsNoNumberIsNotNewEnough: its first number alone would do.
func TestAReleaseThatIsNoNumberIsNotNewEnough(t *testing.T) {
	s := newSigner(1)
	trust := &payload.Trust{Key: s.key, MinRelease: "7.2.6"}
	for _, release := range []string{"9.99999999999", "9", "9.9.9.9", "9..9", ".9", "", "rc9.9"} {
		manifest := manifestOf(t, whole(), func(m *payload.Manifest) { m.Kernel.Release = release })
		p := open(t, archiveOf(manifest, s.sign(manifest), whole()))
		if _, err := trust.Verify(p); !errors.Is(err, payload.ErrSerial) {
			t.Errorf("release %q: %v, want %v", release, err, payload.ErrSerial)
		}
	}
}

// TestParseTrustRefusesWhatItsSumCannotShow: areas that somebody wrote like that.
func TestParseTrustRefusesWhatItsSumCannotShow(t *testing.T) {
	const sumAt, releaseAt = 88, 56
	whole, err := (&payload.Trust{Key: newSigner(1).key, MinRelease: "7.2.6"}).Area()
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(b []byte){
		"another magic number":     func(b []byte) { b[0]++ },
		"a release that is none":   func(b []byte) { copy(b[releaseAt:sumAt], "seven\x00") },
		"a release of one number":  func(b []byte) { copy(b[releaseAt:sumAt], "7\x00\x00\x00\x00") },
		"a release with four dots": func(b []byte) { copy(b[releaseAt:sumAt], "7.2.6.1") },
	} {
		b := whole
		edit(b[:sumAt])
		sum := sha256.Sum256(b[:sumAt])
		copy(b[sumAt:], sum[:8])
		if trust, err := payload.ParseTrust(b[:]); !errors.Is(err, payload.ErrTrust) {
			t.Errorf("%s: %+v, %v, want %v", name, trust, err, payload.ErrTrust)
		}
	}
}
