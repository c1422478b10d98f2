package payload_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"ferry/boot/minisign"
	"ferry/boot/payload"
	"ferry/phys/phystest"
)

// signer signs as minisign does without hashing first; package minisign's own
// tests hold that against the program.
type signer struct {
	secret ed25519.PrivateKey
	key    minisign.Key
}

func newSigner(id byte) signer {
	s := signer{secret: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{id}, ed25519.SeedSize))}
	s.key.ID[0] = id
	copy(s.key.Public[:], s.secret.Public().(ed25519.PublicKey))
	return s
}

func (s signer) sign(message string) string {
	const comment = "a comment"
	first := ed25519.Sign(s.secret, []byte(message))
	second := ed25519.Sign(s.secret, append(bytes.Clone(first), comment...))
	line := func(b ...[]byte) string { return base64.StdEncoding.EncodeToString(bytes.Join(b, nil)) + "\n" }
	return "untrusted comment: x\n" + line([]byte("Ed"), s.key.ID[:], first) + "trusted comment: " + comment + "\n" + line(second)
}

// whole are the files of an archive that is all that it can be.
func whole() map[string]string {
	return map[string]string{"kernel": "KERNEL", "opened": "OPENED", "initrd": "INITRD", "rollback.kernel": "BACK", "rollback.initrd": "BACK INITRD"}
}

// manifestOf describes the files.
func manifestOf(t testing.TB, files map[string]string, edit func(*payload.Manifest)) string {
	t.Helper()
	m := payload.Manifest{Version: payload.Version, Serial: 7, Kernel: payload.KernelInfo{Release: "7.3.4-amd64", Generation: "F"},
		OnError: payload.OnErrorRollback, Rollback: &payload.Rollback{}, Parts: map[string]payload.Part{}}
	for name, data := range files {
		m.Parts[name] = payload.NewPart([]byte(data))
	}
	if edit != nil {
		edit(&m)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// archiveOf packs the files.
func archiveOf(manifest, signature string, files map[string]string) []byte {
	all := []file{{"manifest.json", manifest, regular}}
	if signature != "" {
		all = append(all, file{"manifest.json.minisig", signature, regular})
	}
	for _, name := range []string{"kernel", "opened", "initrd", "rollback.kernel", "rollback.initrd"} {
		if data, ok := files[name]; ok {
			all = append(all, file{name, data, regular})
		}
	}
	return newc(all...)
}

func open(t *testing.T, archive []byte) *payload.Payload {
	t.Helper()
	p, err := payload.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestVerifyTakesWhatTheKeySigned(t *testing.T) {
	s := newSigner(1)
	manifest := manifestOf(t, whole(), nil)
	p := open(t, archiveOf(manifest, s.sign(manifest), whole()))
	if string(p.Raw.Data) != manifest || string(p.RollbackKernel.Data) != "BACK" || string(p.RollbackInitrd.Data) != "BACK INITRD" {
		t.Errorf("%+v", p)
	}
	for _, trust := range []payload.Trust{
		{Key: s.key}, {Key: s.key, MinSerial: 7}, {Key: s.key, MinRelease: "7.3.4"}, {Key: s.key, MinRelease: "7.2"}, {Key: s.key, MinRelease: "6.19.14"},
	} {
		if comment, err := trust.Verify(p); err != nil || comment != "a comment" {
			t.Errorf("%+v: %q, %v", trust, comment, err)
		}
	}
}

// Each row alters one thing behind the back of the one who signed.
func TestVerifyRefusesWhatWasAltered(t *testing.T) {
	s, stranger := newSigner(1), newSigner(2)
	stranger.key.ID = s.key.ID
	good := manifestOf(t, whole(), nil)
	signature := s.sign(good)
	with := func(name, data string) map[string]string {
		files := whole()
		files[name] = data
		return files
	}
	without := func(name string) map[string]string {
		files := whole()
		delete(files, name)
		return files
	}
	signed := func(edit func(*payload.Manifest)) (string, string) {
		m := manifestOf(t, whole(), edit)
		return m, s.sign(m)
	}
	unlisted, unlistedSig := signed(func(m *payload.Manifest) { delete(m.Parts, "initrd") })
	none, noneSig := signed(func(m *payload.Manifest) { m.Parts = nil })
	later, laterSig := signed(func(m *payload.Manifest) { m.Parts["microcode"] = payload.Part{} })
	upper, upperSig := signed(func(m *payload.Manifest) {
		p := m.Parts["kernel"]
		p.SHA256 = strings.ToUpper(p.SHA256)
		m.Parts["kernel"] = p
	})
	old := &payload.Trust{Key: s.key, MinSerial: 8}
	downgrade := &payload.Trust{Key: s.key, MinRelease: "7.3.5"}
	nameless, namelessSig := signed(func(m *payload.Manifest) { m.Kernel.Release = "" })
	plain := &payload.Trust{Key: s.key}
	for _, c := range []struct {
		name                string
		trust               *payload.Trust
		manifest, signature string
		files               map[string]string
		rule                error
	}{
		{"no signature", plain, good, "", whole(), payload.ErrUnsigned},
		{"the manifest", plain, strings.Replace(good, `"serial":7`, `"serial":8`, 1), signature, whole(), minisign.ErrSignature},
		{"a space more", plain, good + " ", signature, whole(), minisign.ErrSignature},
		{"signed by another", plain, good, stranger.sign(good), whole(), minisign.ErrSignature},
		{"signed by another key", plain, good, newSigner(3).sign(good), whole(), minisign.ErrOtherKey},
		{"no signature's text", plain, good, "x", whole(), minisign.ErrFormat},
		{"the kernel", plain, good, signature, with("kernel", "KERNEl"), payload.ErrPart},
		{"a longer kernel", plain, good, signature, with("kernel", "KERNELx"), payload.ErrPart},
		{"the opened kernel", plain, good, signature, with("opened", "OPENEd"), payload.ErrPart},
		{"no opened kernel", plain, good, signature, without("opened"), payload.ErrPart},
		{"the opened kernel alone", plain, good, signature, without("kernel"), payload.ErrPart},
		{"the initrd", plain, good, signature, with("initrd", "INITRd"), payload.ErrPart},
		{"no initrd", plain, good, signature, without("initrd"), payload.ErrPart},
		{"an empty initrd", plain, good, signature, with("initrd", ""), payload.ErrPart},
		{"the rollback kernel", plain, good, signature, with("rollback.kernel", "EVIL"), payload.ErrPart},
		{"the rollback initrd", plain, good, signature, with("rollback.initrd", "EVIL"), payload.ErrPart},
		{"no rollback initrd", plain, good, signature, without("rollback.initrd"), payload.ErrPart},
		{"an initrd that is not listed", plain, unlisted, unlistedSig, whole(), payload.ErrPart},
		{"no list", plain, none, noneSig, whole(), payload.ErrPart},
		{"a part that the stage does not know", plain, later, laterSig, whole(), payload.ErrPart},
		{"a digest in capitals", plain, upper, upperSig, whole(), payload.ErrPart},
		{"an older payload", old, good, signature, whole(), payload.ErrSerial},
		{"an older kernel", downgrade, good, signature, whole(), payload.ErrSerial},
		{"a kernel without release", &payload.Trust{Key: s.key, MinRelease: "6.1"}, nameless, namelessSig, whole(), payload.ErrSerial},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := open(t, archiveOf(c.manifest, c.signature, c.files))
			if _, err := c.trust.Verify(p); !errors.Is(err, c.rule) {
				t.Errorf("%v, want %v", err, c.rule)
			}
		})
	}
	t.Run("an empty signature", func(t *testing.T) {
		p := open(t, newc(file{"kernel", "KERNEL", regular}, file{"rollback.kernel", "ROLLBACK", regular}, file{"manifest.json", good, regular},
			file{"manifest.json.minisig", "", regular}))
		if _, err := plain.Verify(p); !errors.Is(err, minisign.ErrFormat) || err.Error() != "manifest.json.minisig: minisign: not a signature: the file is empty" {
			t.Errorf("%v", err)
		}
	})
	t.Run("no manifest", func(t *testing.T) {
		p := open(t, newc(file{"kernel", "KERNEL", regular}, file{"manifest.json.minisig", signature, regular}))
		if _, err := plain.Verify(p); !errors.Is(err, payload.ErrUnsigned) {
			t.Errorf("%v", err)
		}
	})
}

// A kernel that was damaged leaves the other one of the payload proved.
func TestCheckPartLooksAtOneFile(t *testing.T) {
	s := newSigner(1)
	manifest := manifestOf(t, whole(), nil)
	files := whole()
	files["kernel"] = "KERNEl"
	p := open(t, archiveOf(manifest, s.sign(manifest), files))
	if _, err := (&payload.Trust{Key: s.key}).VerifyManifest(p); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"kernel", "opened", "initrd", "rollback.kernel", "rollback.initrd", "manifest.json", "other"} {
		bad := name == "kernel" || name == "manifest.json" || name == "other"
		if err := p.CheckPart(name); errors.Is(err, payload.ErrPart) != bad || (err != nil) != bad {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTrustArea(t *testing.T) {
	want := payload.Trust{Key: newSigner(1).key, MinSerial: 1 << 40, MinRelease: "7.2.6"}
	area, err := want.Area()
	if err != nil {
		t.Fatal(err)
	}
	got, err := payload.ParseTrust(area[:])
	if err != nil || *got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if got, err := payload.ParseTrust(make([]byte, payload.TrustSize)); got != nil || err != nil {
		t.Errorf("an empty area: %+v, %v", got, err)
	}
	for i := range area {
		b := area
		b[i] ^= 1
		if _, err := payload.ParseTrust(b[:]); !errors.Is(err, payload.ErrTrust) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	if _, err := payload.ParseTrust(area[:90]); !errors.Is(err, payload.ErrTrust) {
		t.Errorf("a short area: %v", err)
	}
	for _, release := range []string{"seven", "7", "7..2", "7.2.6.1", strings.Repeat("7", 20) + ".2", "7.2.6-" + strings.Repeat("x", 30)} {
		if _, err := (&payload.Trust{MinRelease: release}).Area(); !errors.Is(err, payload.ErrTrust) {
			t.Errorf("lowest release %q: %v", release, err)
		}
	}
}

// FuzzTrust: what passes has the files that were signed.
func FuzzTrust(f *testing.F) {
	s := newSigner(1)
	manifest := manifestOf(f, whole(), nil)
	f.Add(archiveOf(manifest, s.sign(manifest), whole()))
	trust := &payload.Trust{Key: s.key, MinSerial: 7}
	f.Fuzz(func(t *testing.T, archive []byte) {
		p, err := payload.Open(archive)
		if err != nil {
			return
		}
		phystest.Bounded(t, 64<<10+4*uint64(len(p.Signature.Data)), func() { trust.Verify(p) })
		if _, err := trust.Verify(p); err == nil && (string(p.Raw.Data) != manifest || string(p.Kernel.Data) != "KERNEL" ||
			string(p.Initrd.Data) != "INITRD" || string(p.RollbackKernel.Data) != "BACK" || string(p.RollbackInitrd.Data) != "BACK INITRD") {
			t.Errorf("%+v was never signed", p)
		}
	})
}

// A release candidate is older than its release, whoever writes it.
func TestReleaseCandidatesComeBeforeTheirRelease(t *testing.T) {
	s := newSigner(1)
	for _, c := range []struct {
		least, release string
		takes          bool
	}{
		{"7.3", "7.3.0-rc1", false},
		{"7.3", "7.3-rc7-amd64", false},
		{"7.3", "7.3.0-0.rc1.20261101git1a2b3c.18.fc44.x86_64", false},
		{"7.3", "7.3.0-070300rc1-generic", false},
		{"7.3", "7.3.0-rc1-next-20261101", false},
		{"7.3", "7.3.0", true},
		{"7.3", "7.3.0-amd64", true},
		{"7.3", "7.3.0-arch1-1", true},
		{"7.3", "7.3.0-src2", true},
		{"7.3", "7.3.1-rc1", true},
		{"7.3", "7.4.0-rc1", true},
		{"7.3.0-rc2", "7.3.0-rc1", false},
		{"7.3.0-rc2", "7.3.0-rc2", true},
		{"7.3.0-rc2", "7.3.0-rc10", true},
		{"7.3.0-rc2", "7.3.0", true},
		{"7.3.0-rc2", "7.2.9", false},
	} {
		m := manifestOf(t, whole(), func(m *payload.Manifest) { m.Kernel.Release = c.release })
		trust := &payload.Trust{Key: s.key, MinRelease: c.least}
		_, err := trust.Verify(open(t, archiveOf(m, s.sign(m), whole())))
		if (err == nil) != c.takes || err != nil && !errors.Is(err, payload.ErrSerial) {
			t.Errorf("at least %s: %s: %v", c.least, c.release, err)
		}
	}
}
