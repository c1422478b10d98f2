//go:build qemu

package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ferry/boot/payload"
	"ferry/internal/qemu"
)

// machine is what the boot tests of trust need: the images, keys, and a folder.
type machine struct {
	t          *testing.T
	dir        string
	probe      string // stands in for both Linux kernels
	stage, own string // the stage without a key, and with the operator's
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, dir: t.TempDir(), probe: "../../build/probe.bzimage", stage: "../../build/ferry.bzimage"}
	for _, image := range []string{m.probe, m.stage} {
		if _, err := os.Stat(image); err != nil {
			t.Fatalf("%v: make test-run builds it", err)
		}
	}
	runMinisign(t, m.dir, "-G", "-W", "-p", "own.pub", "-s", "own.sec")
	runMinisign(t, m.dir, "-G", "-W", "-p", "other.pub", "-s", "other.sec")
	m.own = m.at("stage")
	if err := (&imageCmd{Stage: m.stage, Pubkey: m.at("own.pub"), MinSerial: ptr[uint64](5), Output: m.own}).image(io.Discard); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) at(name string) string { return filepath.Join(m.dir, name) }

// payload packs the probe as the next kernel and as the one to go back to, and seals the payload with a key's signature
// unless that is empty.
func (m *machine) payload(name, key string, serial uint64, rollback bool) string {
	m.t.Helper()
	c := packCmd{Kernel: m.probe, Generation: "F", Serial: serial, Output: m.at(name), Manifest: m.at(name + ".json")}
	if rollback {
		c.Rollback = rollbackFlags{Kernel: m.probe, Generation: "F", Initrd: m.stage}
	}
	if err := c.pack(io.Discard); err != nil {
		m.t.Fatal(err)
	}
	if key != "" {
		runMinisign(m.t, m.dir, "-S", "-s", key+".sec", "-m", name+".json", "-t", "made for the test")
		if err := (&sealCmd{Payload: m.at(name), Signature: m.at(name + ".json.minisig"), Pubkey: m.at(key + ".pub")}).seal(io.Discard); err != nil {
			m.t.Fatal(err)
		}
	}
	return m.at(name)
}

// alter changes a byte in the middle of a file of a payload.
func (m *machine) alter(name string, file func(*payload.Payload) payload.File) string {
	m.t.Helper()
	b := read(m.t, name)
	p, err := payload.Open(b)
	if err != nil {
		m.t.Fatal(err)
	}
	f := file(p)
	b[int(f.Offset)+len(f.Data)/2] ^= 0x40
	if err := os.WriteFile(name, b, 0o600); err != nil {
		m.t.Fatal(err)
	}
	return name
}

// cross starts a stage with a payload as the probe's next kernel, and returns the console.
func (m *machine) cross(t *testing.T, stage, payload, words string, settings ...string) (log string, code int) {
	t.Helper()
	outer := packCmd{Kernel: stage, Generation: "F", Initrd: payload, Output: payload + ".outer"}
	if err := outer.pack(io.Discard); err != nil {
		t.Fatal(err)
	}
	settings = append([]string{"INITRD=" + outer.Output, "APPEND=probe.sessions=3 probe.files=5 " + words, "TIMEOUT=100"}, settings...)
	log, code, err := qemu.Script("../../qemu.sh").Boot(m.probe, settings)
	if err != nil {
		t.Fatal(err)
	}
	return log, code
}

// An image with a key starts what its owner signed, and nothing else; what it says names the reason.
func TestImageOnMetalStartsNothingUnsignedOrAltered(t *testing.T) {
	m := newMachine(t)
	kernel := func(p *payload.Payload) payload.File { return p.Kernel }
	back := func(p *payload.Payload) payload.File { return p.RollbackKernel }
	backInitrd := func(p *payload.Payload) payload.File { return p.RollbackInitrd }
	manifest := func(p *payload.Payload) payload.File { return p.Raw }
	signature := func(p *payload.Payload) payload.File { return p.Signature }
	const passed = "probe B: PASSED"
	for _, tt := range []struct {
		name, stage, payload, words string
		want, never                 []string
	}{
		{"signed", m.own, m.payload("good", "own", 5, false), "", []string{"payload signed by key", "made for the test", passed}, nil},
		{"signed, but no key in the image", m.stage, m.payload("free", "own", 5, false), "", []string{"this image has no key", passed}, nil},
		{"unsigned, and no key in the image", m.stage, m.payload("plain", "", 0, false), "", []string{"this image has no key", passed}, nil},
		{"unsigned", m.own, m.payload("unsigned", "", 5, true), "", []string{"not signed"}, []string{"probe B"}},
		{"signed by another", m.own, m.payload("stranger", "other", 5, true), "", []string{"signed by another key"}, []string{"probe B"}},
		{"an old one again", m.own, m.payload("old", "own", 4, true), "", []string{"serial 4, want at least 5"}, []string{"probe B"}},
		{"manifest altered", m.own, m.alter(m.payload("manifest", "own", 5, true), manifest), "", []string{"ferry: HALTED: payload"}, []string{"probe B"}},
		{"signature altered", m.own, m.alter(m.payload("signature", "own", 5, true), signature), "", []string{"ferry: HALTED: payload"}, []string{"probe B"}},
		{"kernel altered", m.own, m.alter(m.payload("kernel", "own", 5, false), kernel), "", []string{"kernel has SHA-256"}, []string{"probe B"}},
		{"kernel altered, another to go back to", m.own, m.alter(m.payload("kernel-back", "own", 5, true), kernel), "probe.expect=untouched",
			[]string{"kernel has SHA-256", "ferry: ROLLED BACK to ", passed}, nil},
		{"kernel to go back to altered, not needed", m.own, m.alter(m.payload("back", "own", 5, true), back), "", []string{passed}, nil},
		{"kernel to go back to altered, needed", m.own, m.alter(m.payload("back-bad", "own", 5, true), back), "probe.break=sessions-outside-ram",
			[]string{"rollback.kernel has SHA-256"}, []string{"probe B"}},
		{"its initrd altered, needed", m.own, m.alter(m.payload("back-initrd", "own", 5, true), backInitrd), "probe.break=sessions-outside-ram",
			[]string{"rollback.initrd has SHA-256"}, []string{"probe B"}},
		{"unsigned, kernel altered", m.stage, m.alter(m.payload("plain-kernel", "", 0, false), kernel), "", []string{"kernel has SHA-256"}, []string{"probe B"}},
		{"unsigned, kernel altered, another to go back to", m.stage, m.alter(m.payload("plain-back", "", 0, true), kernel), "probe.expect=untouched",
			[]string{"kernel has SHA-256", "ferry: ROLLED BACK to ", passed}, nil},
		{"unsigned, kernel to go back to altered, not needed", m.stage, m.alter(m.payload("plain-bad", "", 0, true), back), "",
			[]string{"THERE IS NO WAY BACK", "rollback.kernel has SHA-256", passed}, nil},
		{"damaged handover, back", m.own, m.payload("damaged", "own", 5, true), "probe.break=sessions-outside-ram probe.expect=untouched",
			[]string{"ferry: ROLLED BACK to ", passed}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			log, code := m.cross(t, tt.stage, tt.payload, tt.words)
			for _, want := range tt.want {
				if !strings.Contains(log, want) {
					t.Errorf("the log does not say %q", want)
				}
			}
			for _, never := range tt.never {
				if strings.Contains(log, never) {
					t.Errorf("the log says %q", never)
				}
			}
			if (code == 0) != (len(tt.never) == 0) {
				t.Errorf("exit code %d", code)
			}
			if t.Failed() {
				t.Log(log)
			}
		})
	}
}
