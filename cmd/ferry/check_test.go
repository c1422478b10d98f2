package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"ferry/boot/payload"
	"ferry/boot/payload/pack"
)

// kernel71 has the strings of Linux 7.1, generation E.
const kernel71 = "\x7fELF\x00Linux version 7.1.13 (user@host)\x00kho-v3\x00luo-v1\x00luo-session-v2\x00luo-flb-v1\x00memfd-v2\x00"

// trip is what is packed, on what host it is loaded, and how.
type trip struct {
	kernel, back []byte // images; no rollback kernel
	pack         packCmd
	manifest     *payload.Manifest // packed as it is, past ferry pack
	alter        func(archive []byte)
	host         map[string]string // files of the host, "" for none
	load         loadCmd
}

// check packs what the trip needs and checks the load.
func (tr trip) check(t *testing.T) (*checked, error) {
	t.Helper()
	if tr.kernel == nil {
		tr.kernel = bzImage()
	}
	var archive bytes.Buffer
	if tr.manifest != nil {
		must(t, pack.WriteFiles(&archive, *tr.manifest, pack.Files{Kernel: tr.kernel, RollbackKernel: tr.back}))
	} else {
		c := tr.pack
		c.Kernel, c.Output, c.Force = put(t, "k", tr.kernel), filepath.Join(t.TempDir(), "payload"), true
		if tr.back != nil {
			c.Rollback.Kernel = put(t, "back", tr.back)
		}
		must(t, c.pack(io.Discard))
		archive.Write(read(t, c.Output))
	}
	if tr.alter != nil {
		tr.alter(archive.Bytes())
	}
	root := live()
	for name, data := range tr.host {
		if root[name] = (&fstest.MapFile{Data: []byte(data)}); data == "" {
			delete(root, name)
		}
	}
	c := tr.load
	c.Stage, c.Payload = put(t, "s", stageImage(func(b []byte) { binary.LittleEndian.PutUint32(b[0x238:], 4095) })), put(t, "p", archive.Bytes())
	return c.check(host{root})
}

// swapped puts another word into an archive.
func swapped(old, new string) func([]byte) {
	return func(b []byte) { copy(b[bytes.Index(b, []byte(old)):], new) }
}

func version(release string) map[string]string {
	return map[string]string{"proc/version": "Linux version " + release + " (user@host) (gcc 14) #3 SMP Mon Nov 30 10:00:00 UTC 2026\n"}
}

// Each row loses something that can be known before. Only --force goes on, and says so.
func TestLoadRefusesWhatLosesSomething(t *testing.T) {
	for _, tt := range []struct {
		name string
		trip trip
		want string
	}{
		{"a manifest of another generation", trip{manifest: &payload.Manifest{Kernel: payload.KernelInfo{Generation: "C"}}}, "its image reads kho-v4"},
		{"a manifest of no generation", trip{manifest: &payload.Manifest{}}, "the manifest leaves open what it reads"},
		{"a manifest of another release", trip{manifest: &payload.Manifest{Kernel: payload.KernelInfo{Release: "7.9.9", Generation: "F"}}}, "says release 7.9.9, but its image is of Linux 7.3.4"},
		{"a rollback kernel of another generation", trip{back: bzImage(), manifest: &payload.Manifest{Kernel: payload.KernelInfo{Generation: "F"},
			Rollback: &payload.Rollback{Kernel: payload.KernelInfo{Generation: "E"}}}}, "rollback kernel: the manifest says generation E"},
		{"a rollback kernel that does not read what it is to get", trip{back: bzImage(formats(kernel71)), pack: packCmd{From: "7.3.4"}}, "the rollback kernel reads generation E"},
		{"no digests", trip{alter: swapped(`"parts"`, `"other"`)}, "names no digests"},
		{"rollback to nothing", trip{load: loadCmd{Cmdline: given(on + "ferry.on-error=rollback"), AcceptHalt: true}}, "the payload has no rollback kernel"},
		{"on to what does not read it", trip{load: loadCmd{Cmdline: given(on + "ferry.on-error=pass")}, host: version("7.1.13")}, "gets the handover of generation E as it is"},
		{"sessions that nobody counts", trip{pack: packCmd{Expect: 3}, load: loadCmd{Cmdline: given(on + "ferry.mode=pass")}}, "3 sessions have to come in that nobody counts"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := tt.trip.check(t); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "--force overrules it") {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			tt.trip.load.Force = true
			ready, err := tt.trip.check(t)
			if err != nil {
				t.Fatalf("forced: %v", err)
			}
			if said := ready.said(); !strings.Contains(said, "FORCED") || !strings.Contains(said, tt.want) {
				t.Errorf("forced, and it does not say %q:\n%s", tt.want, said)
			}
		})
	}
}

// said is what is printed after a load.
func (c *checked) said() string {
	var b strings.Builder
	c.print(&b)
	return b.String()
}

// What looks like those rows and loses nothing.
func TestLoadTakesWhatLosesNothing(t *testing.T) {
	for name, trip := range map[string]trip{
		"the running line":                    {},
		"a kernel that says nothing":          {kernel: bzImage(formats("")), manifest: &payload.Manifest{Kernel: payload.KernelInfo{Generation: "A"}}},
		"one that nobody says anything of":    {kernel: bzImage(formats("")), manifest: &payload.Manifest{}},
		"a rollback kernel":                   {back: bzImage(), host: version("7.2.12")},
		"what the next kernel reads natively": {kernel: bzImage(formats(kernel619)), host: version("7.0.13"), load: loadCmd{Cmdline: given(on + "ferry.on-error=pass")}},
	} {
		t.Run(name, func(t *testing.T) {
			ready, err := trip.check(t)
			if err != nil {
				t.Fatal(err)
			}
			if len(ready.review.doubts) > 0 {
				t.Error(ready.said())
			}
		})
	}
}

// A damaged payload is not for --force to start.
func TestLoadRefusesADamagedPayload(t *testing.T) {
	for _, part := range []string{"7.3.4 (user", "6.19.14 (user"} {
		for _, force := range []bool{false, true} {
			tr := trip{back: bzImage(formats(kernel619)), alter: swapped("Linux version "+part, "Linux versioN"), load: loadCmd{Force: force, AcceptHalt: true}}
			if _, err := tr.check(t); err == nil || !strings.Contains(err.Error(), "is damaged: payload: a file is not what the manifest says") {
				t.Errorf("%s, forced: %v: %v", part, force, err)
			}
		}
	}
}

// A payload for which a failure can only halt is loaded by whoever accepts that.
func TestLoadWantsAWayOut(t *testing.T) {
	for _, tt := range []struct {
		name string
		trip trip
		want string // why it can only halt; empty: it need not
	}{
		{"the same formats", trip{host: version("7.2.12")}, ""},
		{"other formats", trip{host: version("7.1.13")}, "does not read what one of generation E hands over"},
		{"other formats, and a kernel to go back to", trip{back: bzImage(formats(kernel71)), host: version("7.1.13")}, ""},
		{"other formats, to boot cold", trip{host: version("7.1.13"), load: loadCmd{Cmdline: given(on + "ferry.on-error=cold")}}, ""},
		{"other formats by the manifest", trip{pack: packCmd{From: "6.19"}}, "the payload says so"},
		{"the payload says halt", trip{pack: packCmd{OnError: "halt"}}, "the payload says so"},
		{"the command line says halt", trip{load: loadCmd{Cmdline: given(on + "ferry.on-error=halt")}}, "the command line says so"},
		{"the command line says otherwise", trip{pack: packCmd{OnError: "halt"}, load: loadCmd{Cmdline: given(on + "ferry.on-error=pass")}, host: version("7.3.4")}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.trip.check(t)
			if tt.want == "" {
				must(t, err)
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "--accept-halt") {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			tt.trip.load.AcceptHalt = true
			ready, err := tt.trip.check(t)
			must(t, err)
			if said := ready.said(); !strings.Contains(said, "halt: the machine stands still, memory intact; ") || !strings.Contains(said, tt.want) {
				t.Errorf("it does not say %q:\n%s", tt.want, said)
			}
		})
	}
}

// The last lines of a load are what one wants to read before the kexec.
func TestLoadEndsWithWhatFollows(t *testing.T) {
	backLine := on + "rollback=1"
	tr := trip{back: bzImage(formats(kernel71)), pack: packCmd{Serial: 12, Expect: 2, Rollback: rollbackFlags{Cmdline: &backLine}}, host: version("7.1.13"),
		load: loadCmd{Cmdline: given(on + "quiet ferry.deadline=30s")}}
	ready, err := tr.check(t)
	must(t, err)
	if want := on + "quiet ferry.deadline=30s"; ready.line != want {
		t.Errorf("the stage gets %q, want %q", ready.line, want)
	}
	said := ready.said()
	at := 0
	for _, want := range []string{
		"from                             Linux 7.1.13, generation E (7.1: kho-v3, luo-v1 with FLBs, memfd-v2), which runs\n",
		"to                               Linux 7.3.4, generation F (7.2 to 7.3: kho-v4, luo-v5, memfd-v2)\n",
		"with the command line            \"kho=on liveupdate=on quiet\", from --cmdline\n",
		"back to                          Linux 7.1.13, generation E (7.1: kho-v3, luo-v1 with FLBs, memfd-v2)\n",
		"with the command line            \"kho=on liveupdate=on rollback=1\", in the payload\n",
		"on success                       the next kernel boots with everything that was preserved\n",
		"after a failure                  rollback: the rollback kernel boots with the untouched handover\n",
		"expected sessions                at least 2, fewer are a failure\n",
		"serial                           12\n",
		"signer                           nobody, and the stage has no key that would ask for one\n",
		"loaded: the next kexec goes through Ferry\n",
	} {
		i := strings.Index(said[at:], want)
		if i < 0 {
			t.Fatalf("it does not say %q then:\n%s", want, said)
		}
		at += i + len(want)
	}
	if rest := said[at:]; rest != "" {
		t.Errorf("more follows: %q", rest)
	}
}

// A payload that is cut short while it is mapped is an error, and no crash.
func TestAPayloadThatShrinksIsNamed(t *testing.T) {
	name := put(t, "p", make([]byte, 1<<20))
	b, unmap, err := mapped(name)
	must(t, err)
	defer unmap()
	must(t, os.Truncate(name, 0))
	err = undisturbed(name, func() error { _ = payload.NewPart(b); return nil })
	if err == nil || !strings.Contains(err.Error(), "cut short while it was read") {
		t.Error(err)
	}
}
