package crossing

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"ferry/boot/minisign"
	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/internal/oracle/standin"
)

// kernelNamed is the smallest image, distinguished by a word behind its code.
func kernelNamed(name string) []byte {
	b := nextKernel()
	copy(b[1024+32:], name)
	return b
}

// started returns the word of the kernel that the jump starts.
func (m *machine) started(j Jump) string {
	m.t.Helper()
	name, _, _ := bytes.Cut(m.edit(j.Entry-0x200+32, 16), []byte{0})
	return string(name)
}

// both makes a payload of two kernels, A and B.
func (m *machine) both(manifest payload.Manifest) {
	m.t.Helper()
	line := "rollback=1"
	manifest.Rollback = &payload.Rollback{Cmdline: &line}
	m.setFiles(manifest, pack.Files{Kernel: kernelNamed("B"), Initrd: []byte("initrd of B"),
		RollbackKernel: kernelNamed("A"), RollbackInitrd: bytes.Repeat([]byte("initrd of A"), 1000)})
}

func TestRollBackToTheKernelBefore(t *testing.T) {
	for name, tt := range map[string]struct {
		words    string
		manifest payload.Manifest
		damage   bool
		want     string // kernel
		handover string
	}{
		"all is well":                     {"", payload.Manifest{}, false, "B", "new"},
		"by default":                      {"", payload.Manifest{}, true, "A", "old"},
		"as the manifest says":            {"", payload.Manifest{OnError: "rollback"}, true, "A", "old"},
		"as the command line says":        {"ferry.on-error=rollback", payload.Manifest{OnError: "cold"}, true, "A", "old"},
		"not if the command line says so": {"ferry.on-error=pass", payload.Manifest{OnError: "rollback"}, true, "B", "old"},
		"not if the manifest says so":     {"", payload.Manifest{OnError: "cold"}, true, "B", "none"},
		"from a kernel of another ABI":    {"", payload.Manifest{Kernel: payload.KernelInfo{Generation: "B"}}, false, "A", "old"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, tt.words)
			m.both(tt.manifest)
			if tt.damage {
				m.edit(m.fdt, 1)[0] = 0
			}
			raw := bytes.Clone(m.edit(nodesAt+16, 32))
			before := m.pages()
			jump, err := Run(&m.Machine)
			if err != nil {
				t.Fatal(err)
			}
			m.unchanged(before)
			a := m.arrive(jump)
			if got := m.started(jump); got != tt.want {
				t.Errorf("kernel %q was started, want %q\n%s", got, tt.want, m.log)
			}
			if back := a.cmdline == "rollback=1"; back != (tt.want == "A") {
				t.Errorf("command line %q of kernel %s", a.cmdline, tt.want)
			}
			handover := "new"
			if bytes.Equal(a.kho, raw) {
				handover = "old"
			} else if a.kho == nil {
				handover = "none"
			}
			if handover != tt.handover {
				t.Errorf("handover %s, want %s", handover, tt.handover)
			}
		})
	}
}

// signer signs as minisign -l does.
type signer struct {
	private ed25519.PrivateKey
	trust   payload.Trust
}

func newSigner() signer {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	s := signer{private: private}
	s.trust.Key = minisign.Key{ID: [8]byte{1, 2, 3}, Public: [32]byte(private.Public().(ed25519.PublicKey))}
	return s
}

func (s signer) sign(message []byte) []byte {
	sig := ed25519.Sign(s.private, message)
	line := append([]byte("Ed"), s.trust.Key.ID[:]...)
	line = append(line, sig...)
	comment := "a test"
	global := ed25519.Sign(s.private, append(bytes.Clone(sig), comment...))
	b64 := base64.StdEncoding.EncodeToString
	return []byte(fmt.Sprintf("untrusted comment: none\n%s\ntrusted comment: %s\n%s\n", b64(line), comment, b64(global)))
}

// signed signs the payload that is there, and sets the image's key.
func (m *machine) signed(s signer) {
	m.t.Helper()
	area, err := s.trust.Area()
	if err != nil {
		m.t.Fatal(err)
	}
	m.Trust = area[:]
	p, err := payload.Open(m.archive)
	if err != nil {
		m.t.Fatal(err)
	}
	var b bytes.Buffer
	if err := pack.Sign(&b, m.archive, s.sign(p.Raw.Data)); err != nil {
		m.t.Fatal(err)
	}
	m.place(b.Bytes())
}

// swap changes the first occurrence of a word in the payload that is there.
func (m *machine) swap(old, new string) {
	m.t.Helper()
	b := m.edit(payloadAt, uint64(len(m.archive)))
	i := bytes.Index(b, []byte(old))
	if i < 0 {
		m.t.Fatalf("no %q in the payload", old)
	}
	copy(b[i:], new)
}

func TestImageWithAKeyStartsNothingElse(t *testing.T) {
	old := newSigner()
	other := newSigner()
	other.private = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))
	demanding := newSigner()
	demanding.trust.MinSerial = 6
	for name, tt := range map[string]struct {
		signer signer
		alter  func(m *machine)
		want   string // kernel; empty: none is started
		say    string
	}{
		"signed":              {old, func(m *machine) {}, "B", "payload signed by key 30201: a test"},
		"manifest altered":    {old, func(m *machine) { m.swap(`"serial": 5`, `"serial": 9`) }, "", "signature"},
		"by another key":      {other, func(m *machine) {}, "", "signature"},
		"replayed":            {demanding, func(m *machine) {}, "", "serial 5, want at least 6"},
		"kernel altered":      {old, func(m *machine) { m.swap("B\x00\x00\x00\x00", "X\x00\x00\x00\x00") }, "A", "kernel has SHA-256"},
		"initrd altered":      {old, func(m *machine) { m.swap("initrd of B", "initrd of X") }, "A", "initrd has SHA-256"},
		"rollback altered":    {old, func(m *machine) { m.swap("initrd of A", "initrd of X") }, "B", ""},
		"both altered":        {old, func(m *machine) { m.swap("initrd of A", "initrd of X"); m.swap("initrd of B", "initrd of X") }, "", "rollback.initrd has SHA-256"},
		"key area damaged":    {old, func(m *machine) { m.Trust[30] ^= 1 }, "", "key"},
		"policy from outside": {old, func(m *machine) { m.swap("B\x00\x00\x00\x00", "X\x00\x00\x00\x00") }, "A", ""},
		"altered, nothing to hand over": {old, func(m *machine) {
			m.swap("B\x00\x00\x00\x00", "X\x00\x00\x00\x00")
			le.PutUint64(m.edit(zeroPageAt+0x250, 8), 0)
		}, "A", "kernel has SHA-256"},
		"altered, to go on": {old, func(m *machine) { m.swap("B\x00\x00\x00\x00", "X\x00\x00\x00\x00"); m.cmdline("ferry.on-error=pass") }, "A", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, standin.Shape{Sessions: 1, Files: 1}, "")
			m.both(payload.Manifest{Serial: 5, OnError: "rollback"})
			m.signed(tt.signer)
			tt.alter(m)
			jump, err := Run(&m.Machine)
			if (err == nil) != (tt.want != "") {
				t.Fatalf("got %v, want kernel %q\n%s", err, tt.want, m.log)
			}
			if !strings.Contains(m.log.String(), tt.say) {
				t.Errorf("the report does not say %q:\n%s", tt.say, m.log)
			}
			if err == nil && m.started(jump) != tt.want {
				t.Errorf("kernel %q was started, want %q\n%s", m.started(jump), tt.want, m.log)
			}
		})
	}
}

// TestNothingDamagedIsStarted: digests say that a payload is whole, whoever made it.
func TestNothingDamagedIsStarted(t *testing.T) {
	kernel := func(m *machine) { m.swap("B\x00\x00\x00\x00", "X\x00\x00\x00\x00") }
	initrd := func(m *machine) { m.swap("initrd of B", "initrd of X") }
	back := func(m *machine) { m.swap("A\x00\x00\x00\x00", "X\x00\x00\x00\x00") }
	backInitrd := func(m *machine) { m.swap("initrd of A", "initrd of X") }
	broken := func(m *machine) { m.edit(m.fdt, 1)[0] = 0 }
	for name, tt := range map[string]struct {
		words string
		alter []func(m *machine)
		want  string // kernel; empty: none is started
		say   string
	}{
		"whole":                          {"", nil, "B", "this image has no key"},
		"kernel":                         {"", []func(*machine){kernel}, "A", "ferry: ROLLED BACK to an unnamed kernel: payload: a file is not what the manifest says: kernel has SHA-256"},
		"initrd":                         {"", []func(*machine){initrd}, "A", "initrd has SHA-256"},
		"both of them":                   {"", []func(*machine){kernel, initrd}, "A", "ferry: error: payload: a file is not what the manifest says: initrd has SHA-256"},
		"kernel, to go on":               {"ferry.on-error=pass", []func(*machine){kernel}, "", "kernel has SHA-256"},
		"kernel, to go on unread":        {"ferry.mode=pass", []func(*machine){kernel}, "A", "kernel has SHA-256"},
		"kernel, to boot cold":           {"ferry.on-error=cold", []func(*machine){kernel}, "", "kernel has SHA-256"},
		"rollback kernel":                {"", []func(*machine){back}, "B", "THERE IS NO WAY BACK: payload: a file is not what the manifest says: rollback.kernel has SHA-256"},
		"rollback initrd":                {"", []func(*machine){backInitrd}, "B", "rollback.initrd has SHA-256"},
		"rollback kernel that is used":   {"", []func(*machine){back, broken}, "", "rollback.kernel has SHA-256"},
		"every kernel":                   {"", []func(*machine){kernel, back}, "", "rollback.kernel has SHA-256"},
		"kernel that nobody vouches for": {"", []func(*machine){kernel, func(m *machine) { m.swap(`"parts"`, `"other"`) }}, "X", "THE PAYLOAD NAMES NO DIGESTS"},
		"list that leaves one out":       {"", []func(*machine){func(m *machine) { m.swap(`"initrd": {`, `"nobody": {`) }}, "A", "initrd is not listed"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, standin.Shape{Sessions: 1, Files: 1}, tt.words)
			m.both(payload.Manifest{})
			for _, alter := range tt.alter {
				alter(m)
			}
			before := m.pages()
			jump, err := Run(&m.Machine)
			if (err == nil) != (tt.want != "") {
				t.Fatalf("got %v, want kernel %q\n%s", err, tt.want, m.log)
			}
			m.unchanged(before)
			if !strings.Contains(m.log.String(), tt.say) {
				t.Errorf("the report does not say %q:\n%s", tt.say, m.log)
			}
			if err == nil && m.started(jump) != tt.want {
				t.Errorf("kernel %q was started, want %q\n%s", m.started(jump), tt.want, m.log)
			}
		})
	}
}

func TestUnsignedPayloadNeedsAnImageWithoutKey(t *testing.T) {
	m := newMachine(t, standin.Shape{}, "")
	area, err := (&payload.Trust{}).Area()
	if err != nil {
		t.Fatal(err)
	}
	if m.Trust = area[:]; true {
		if _, err := Run(&m.Machine); err == nil || !strings.Contains(err.Error(), "not signed") {
			t.Errorf("with a key: %v", err)
		}
	}
	for _, area := range [][]byte{nil, make([]byte, payload.TrustSize)} {
		m.Trust = area
		m.log.Reset()
		if _, err := Run(&m.Machine); err != nil || !strings.Contains(m.log.String(), "this image has no key") {
			t.Errorf("without: %v\n%s", err, m.log)
		}
	}
}
