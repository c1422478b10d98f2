package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ferry/boot/payload"
	"ferry/linker"
)

// The image has as much room as an area takes.
var _ [payload.TrustSize]byte = [linker.TrustSize]byte{}

// runMinisign runs Debian's program in a folder.
func runMinisign(t *testing.T, dir string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("minisign"); err != nil {
		t.Fatal("minisign is missing: make test installs it")
	}
	cmd := exec.Command("minisign", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("minisign %v: %v\n%s", args, err, out)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// From the operator's keys to a load: pack, sign with the ordinary program, seal, set the key in an image, and load, for
// which that image takes this payload and no other.
func TestImageTakesWhatWasSignedForItAlone(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	runMinisign(t, dir, "-G", "-W", "-p", "key.pub", "-s", "key.sec")
	runMinisign(t, dir, "-G", "-W", "-p", "other.pub", "-s", "other.sec")

	stage := put(t, "stage", stageImage())
	image := imageCmd{Stage: stage, Pubkey: at("key.pub"), MinSerial: 5, MinRelease: "7.2.6", Output: at("stage")}
	if err := image.image(io.Discard); err != nil {
		t.Fatal(err)
	}
	var demands strings.Builder
	if err := (&imageCmd{Stage: at("stage")}).image(&demands); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"only payloads that key", "at least 5", "Linux 7.2.6 or later"} {
		if !strings.Contains(demands.String(), want) {
			t.Errorf("%q does not say %q", demands.String(), want)
		}
	}

	// pack writes a payload and signs its manifest.
	pack := func(name, key string, c packCmd) {
		t.Helper()
		c.Kernel, c.Output, c.Manifest = put(t, "k", bzImage()), at(name), at(name+".json")
		if err := c.pack(io.Discard); err != nil {
			t.Fatal(err)
		}
		runMinisign(t, dir, "-S", "-s", key+".sec", "-m", name+".json", "-t", "serial of "+name)
	}
	seal := func(name string) {
		t.Helper()
		c := sealCmd{Payload: at(name), Signature: at(name + ".json.minisig")}
		if err := c.seal(io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	pack("good", "key", packCmd{Serial: 5})
	pack("unsigned", "key", packCmd{Serial: 5})
	pack("stranger", "other", packCmd{Serial: 5})
	pack("old", "key", packCmd{Serial: 4})
	pack("altered", "key", packCmd{Serial: 6})
	for _, name := range []string{"good", "stranger", "old", "altered"} {
		seal(name)
	}
	b := read(t, at("altered"))
	b[strings.LastIndex(string(b), "kho-v4")] ^= 1
	if err := os.WriteFile(at("altered"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, want string }{
		{"good", ""}, {"unsigned", "not signed"}, {"stranger", "signed by another key"}, {"old", "serial 4, want at least 5"},
		{"altered", "kernel has SHA-256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := (&loadCmd{Stage: at("stage"), Payload: at(tt.name)}).check(host{live()})
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if _, err := (&loadCmd{Stage: stage, Payload: at(tt.name)}).check(host{live()}); err != nil {
				t.Errorf("an image without a key: %v", err)
			}
		})
	}
}

func TestSealVerifiesWhereItIsGivenTheKey(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	runMinisign(t, dir, "-G", "-W", "-p", "key.pub", "-s", "key.sec")
	c := packCmd{Kernel: put(t, "k", bzImage()), Output: at("p"), Manifest: at("m.json")}
	if err := c.pack(io.Discard); err != nil {
		t.Fatal(err)
	}
	runMinisign(t, dir, "-S", "-s", "key.sec", "-m", "m.json", "-t", "for the test")
	before := read(t, at("p"))

	other := put(t, "other.json", []byte("another manifest"))
	runMinisign(t, dir, "-S", "-s", "key.sec", "-m", other)
	err := (&sealCmd{Payload: at("p"), Signature: other + ".minisig", Pubkey: at("key.pub")}).seal(io.Discard)
	if err == nil || !strings.Contains(err.Error(), "does not sign the manifest") || string(read(t, at("p"))) != string(before) {
		t.Errorf("another file's signature: %v", err)
	}
	var said strings.Builder
	if err := (&sealCmd{Payload: at("p"), Signature: at("m.json.minisig"), Pubkey: at("key.pub"), Output: at("sealed")}).seal(&said); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "for the test") || string(read(t, at("p"))) != string(before) {
		t.Errorf("said %q", said.String())
	}
	for _, bad := range []sealCmd{
		{Payload: put(t, "none", []byte("ELF")), Signature: at("m.json.minisig")},
		{Payload: at("p"), Signature: at("m.json.minisig"), Pubkey: at("key.sec")},
	} {
		if err := bad.seal(io.Discard); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

func TestImageRefuses(t *testing.T) {
	dir := t.TempDir()
	runMinisign(t, dir, "-G", "-W", "-p", "key.pub", "-s", "key.sec")
	stage, pub := put(t, "stage", stageImage()), filepath.Join(dir, "key.pub")
	for _, tt := range []struct {
		name, want string
		c          imageCmd
	}{
		{"no stage", "not a stage", imageCmd{Stage: put(t, "k", bzImage()), Pubkey: pub, Output: filepath.Join(dir, "out")}},
		{"no key", "not a public key", imageCmd{Stage: stage, Pubkey: stage, Output: filepath.Join(dir, "out")}},
		{"a secret key", "not a public key", imageCmd{Stage: stage, Pubkey: filepath.Join(dir, "key.sec"), Output: filepath.Join(dir, "out")}},
		{"nowhere to write", "--output", imageCmd{Stage: stage, Pubkey: pub}},
		{"a serial number without a key", "give --pubkey", imageCmd{Stage: stage, MinSerial: 1, Output: filepath.Join(dir, "out")}},
		{"no release", "lowest release", imageCmd{Stage: stage, Pubkey: pub, MinRelease: "newest", Output: filepath.Join(dir, "out")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.c.image(io.Discard); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if _, err := os.Stat(filepath.Join(dir, "out")); err == nil {
				t.Error("an image is left behind")
			}
		})
	}
	var said strings.Builder
	if err := (&imageCmd{Stage: stage}).image(&said); err != nil || !strings.Contains(said.String(), "no key") {
		t.Errorf("%q, %v", said.String(), err)
	}
}
