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
	image := imageCmd{Stage: stage, Pubkey: at("key.pub"), MinSerial: ptr[uint64](5), MinRelease: ptr("7.2.6"), Output: at("stage")}
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
		c := sealCmd{Payload: at(name), Signature: at(name + ".json.minisig"), Unverified: true}
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
			_, err := (&loadCmd{Stage: at("stage"), Payload: at(tt.name)}).checkOpened(host{live()})
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			damaged := tt.name == "altered"
			if _, err := (&loadCmd{Stage: stage, Payload: at(tt.name)}).checkOpened(host{live()}); (err != nil) != damaged {
				t.Errorf("an image without a key: %v", err)
			}
		})
	}
}

// Words that a signature makes void are refused or named.
func TestLoadKnowsWhatASignatureLeavesToTheCommandLine(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	runMinisign(t, dir, "-G", "-W", "-p", "key.pub", "-s", "key.sec")
	must(t, (&imageCmd{Stage: put(t, "stage", stageImage()), Pubkey: at("key.pub"), Output: at("stage")}).image(io.Discard))
	must(t, (&packCmd{Kernel: put(t, "k", bzImage()), Output: at("p"), Manifest: at("m.json"), OnError: "halt"}).pack(io.Discard))
	runMinisign(t, dir, "-S", "-s", "key.sec", "-m", "m.json", "-t", "for the test")
	must(t, (&sealCmd{Payload: at("p"), Signature: at("m.json.minisig"), Stage: at("stage")}).seal(io.Discard))
	c := loadCmd{Stage: at("stage"), Payload: at("p"), Append: "ferry.mode=pass", AcceptHalt: true}
	if _, err := c.checkOpened(host{live()}); err == nil || !strings.Contains(err.Error(), "nobody signed that") {
		t.Error(err)
	}
	c.Append = "ferry.on-error=cold ferry.expect-sessions=7"
	ready, err := c.checkOpened(host{live()})
	must(t, err)
	said := ready.said()
	for _, want := range []string{"change nothing", "after a failure                  halt: ", ": for the test\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	if strings.Contains(said, "expected sessions") {
		t.Errorf("it expects sessions:\n%s", said)
	}
}

// ptr is a flag that was given.
func ptr[T any](v T) *T { return &v }

// A row is a signature and who says that it belongs to the payload. What is refused leaves the payload as it was.
func TestSealTakesWhatBelongsToThePayload(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, key := range []string{"key", "other"} {
		runMinisign(t, dir, "-G", "-W", "-p", key+".pub", "-s", key+".sec")
	}
	c := packCmd{Kernel: put(t, "k", bzImage()), Output: at("p"), Manifest: at("m.json"), Serial: 4}
	if err := c.pack(io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("another.json"), []byte("another manifest"), 0o600); err != nil {
		t.Fatal(err)
	}
	sign := func(file, key, as string, form ...string) string {
		runMinisign(t, dir, append([]string{"-S", "-s", key + ".sec", "-m", file, "-x", as, "-t", "for the test"}, form...)...)
		return at(as)
	}
	good, legacy := sign("m.json", "key", "good"), sign("m.json", "key", "legacy", "-l")
	stranger, another := sign("m.json", "other", "stranger"), sign("another.json", "key", "another")
	stage := func(name string, serial uint64) string {
		c := imageCmd{Stage: put(t, "stage", stageImage()), Pubkey: at("key.pub"), MinSerial: &serial, Output: at(name)}
		if err := c.image(io.Discard); err != nil {
			t.Fatal(err)
		}
		return at(name)
	}
	takes, demands := stage("takes", 4), stage("demands", 5)
	text := string(read(t, good))
	before := read(t, at("p"))
	for _, tt := range []struct {
		name string
		c    sealCmd
		want string // in the error
	}{
		{"by the key", sealCmd{Signature: good, Pubkey: at("key.pub")}, ""},
		{"by the key, the older form", sealCmd{Signature: legacy, Pubkey: at("key.pub")}, ""},
		{"by an image", sealCmd{Signature: good, Stage: takes}, ""},
		{"by nobody", sealCmd{Signature: stranger, Unverified: true}, ""},
		{"nobody is named", sealCmd{Signature: good}, "--pubkey, or --stage"},
		{"another key", sealCmd{Signature: stranger, Pubkey: at("key.pub")}, "signed by another key"},
		{"another file", sealCmd{Signature: another, Pubkey: at("key.pub")}, "does not sign the manifest"},
		{"another file, by an image", sealCmd{Signature: another, Stage: takes}, "does not sign the manifest"},
		{"an image that demands more", sealCmd{Signature: good, Stage: demands}, "serial 4, want at least 5"},
		{"an image without a key", sealCmd{Signature: good, Stage: put(t, "s", stageImage())}, "the image has no key"},
		{"an empty file", sealCmd{Signature: put(t, "empty", nil), Unverified: true}, "the file is empty"},
		{"no signature", sealCmd{Signature: at("m.json"), Unverified: true}, "want four lines"},
		{"a key", sealCmd{Signature: at("key.pub"), Unverified: true}, "want four lines"},
		{"half a signature", sealCmd{Signature: put(t, "half", []byte(text[:len(text)/2])), Unverified: true}, "minisign: not a signature"},
		{"a form that nobody knows", sealCmd{Signature: put(t, "form", []byte(strings.Replace(text, "\nRU", "\nRV", 1))), Unverified: true}, "algorithm"},
		{"no key", sealCmd{Signature: good, Pubkey: at("key.sec")}, "not a public key"},
		{"no payload", sealCmd{Payload: put(t, "none", []byte("ELF")), Signature: good, Unverified: true}, "payload"},
		{"over its own signature", sealCmd{Signature: good, Pubkey: at("key.pub"), Output: good}, "the same file as --signature"},
		{"over its own key", sealCmd{Signature: good, Pubkey: at("key.pub"), Output: at("key.pub")}, "the same file as --pubkey"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.c.Payload == "" {
				tt.c.Payload = put(t, "p", before)
			}
			var said strings.Builder
			err := tt.c.seal(&said)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want one with %q", err, tt.want)
				}
				if tt.name != "no payload" && string(read(t, tt.c.Payload)) != string(before) {
					t.Error("the payload is another one now")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if verified := !strings.Contains(said.String(), "not verified"); verified == tt.c.Unverified || !strings.Contains(said.String(), "for the test") {
				t.Errorf("said %q", said.String())
			}
			if p, err := payload.Open(read(t, tt.c.Payload)); err != nil || string(p.Signature.Data) != string(read(t, tt.c.Signature)) {
				t.Errorf("sealed with %q, %v", p.Signature.Data, err)
			}
		})
	}
}

// What an image demands beside a signature stays when it gets another key.
func TestImageKeepsItsMinimums(t *testing.T) {
	dir := t.TempDir()
	runMinisign(t, dir, "-G", "-W", "-p", "key.pub", "-s", "key.sec")
	pub, stage := filepath.Join(dir, "key.pub"), filepath.Join(dir, "stage")
	for _, tt := range []struct {
		name    string
		serial  *uint64
		release *string
		want    payload.Trust
	}{
		{"nothing is said of a fresh one", nil, nil, payload.Trust{}},
		{"both are said", ptr[uint64](12), ptr("7.2.6"), payload.Trust{MinSerial: 12, MinRelease: "7.2.6"}},
		{"nothing is said", nil, nil, payload.Trust{MinSerial: 12, MinRelease: "7.2.6"}},
		{"one is raised", ptr[uint64](13), nil, payload.Trust{MinSerial: 13, MinRelease: "7.2.6"}},
		{"one is taken away", nil, ptr(""), payload.Trust{MinSerial: 13}},
		{"the other as well", ptr[uint64](0), nil, payload.Trust{}},
	} {
		before := stage
		if tt.name == "nothing is said of a fresh one" {
			before = put(t, "s", stageImage())
		}
		c := imageCmd{Stage: before, Pubkey: pub, MinSerial: tt.serial, MinRelease: tt.release, Output: stage}
		if err := c.image(io.Discard); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		got, err := trustOf(read(t, stage))
		if err != nil || got.MinSerial != tt.want.MinSerial || got.MinRelease != tt.want.MinRelease {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
	damaged := stageImage()
	area, err := linker.Trust(damaged)
	if err != nil {
		t.Fatal(err)
	}
	area[0] = 1
	c := imageCmd{Stage: put(t, "s", damaged), Pubkey: pub, Output: stage}
	if err := c.image(io.Discard); err == nil || !strings.Contains(err.Error(), "say both") {
		t.Errorf("an area that cannot be read: %v", err)
	}
	c.MinSerial, c.MinRelease = ptr[uint64](1), ptr("")
	if err := c.image(io.Discard); err != nil {
		t.Errorf("the same, and both are said: %v", err)
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
		{"a serial number without a key", "give --pubkey", imageCmd{Stage: stage, MinSerial: ptr[uint64](1), Output: filepath.Join(dir, "out")}},
		{"no release", "lowest release", imageCmd{Stage: stage, Pubkey: pub, MinRelease: ptr("newest"), Output: filepath.Join(dir, "out")}},
		{"over its own key", "the same file as --pubkey", imageCmd{Stage: stage, Pubkey: pub, Output: pub}},
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
