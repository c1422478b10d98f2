package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/klauspost/cpuid/v2"

	"ferry/boot/payload"
	"ferry/boot/payload/pack"
)

// kernel71 has the strings of Linux 7.1, generation E.
const kernel71 = "\x7fELF\x00Linux version 7.1.13 (user@host)\x00kho-v3\x00luo-v1\x00luo-session-v2\x00luo-flb-v1\x00memfd-v2\x00"

// banner gives an image the string of a build in its setup part.
func banner(text string) func([]byte) {
	return func(b []byte) {
		const at = 0x400
		binary.LittleEndian.PutUint16(b[0x20e:], at-0x200)
		copy(b[at:], text+"\x00")
	}
}

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
	return c.checkOpened(host{root})
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
	line := func(s string) *string { s = on + s; return &s }
	bare := "root=/dev/vda"
	iomem := map[string]string{"proc/iomem": "00001000-0009fbff : System RAM\n00100000-bffdffff : System RAM\n  01000000-02000000 : Kernel code\nfd000000-fdffffff : PCI Bus\n"}
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
		{"no kho", trip{load: loadCmd{Cmdline: given("liveupdate=on")}}, "next kernel has no kho=on"},
		{"no liveupdate", trip{load: loadCmd{Cmdline: given("kho=1 liveupdate=on liveupdate=off")}}, "next kernel has no liveupdate=on"},
		{"neither in the payload's own", trip{pack: packCmd{Cmdline: &bare}}, "next kernel has no liveupdate=on"},
		{"neither in that of the rollback kernel", trip{back: bzImage(), pack: packCmd{Rollback: rollbackFlags{Cmdline: &bare}}}, "rollback kernel has no kho=on"},
		{"nothing but words of Ferry's", trip{load: loadCmd{Cmdline: given("ferry.mode=cross")}}, "next kernel has no kho=on"},
		{"too long for it", trip{load: loadCmd{Cmdline: line(strings.Repeat("x", 2048))}}, "the kernel takes 2047"},
		{"mem= below scratch", trip{load: loadCmd{Append: "mem=512M"}}, "has mem=512M, and scratch lies at"},
		{"mem= below other memory", trip{load: loadCmd{Append: "mem=2G"}, host: iomem}, "has mem=2G, and the running kernel has memory up to 0xbffe0000"},
		{"a range less", trip{load: loadCmd{Append: "memmap=16M$0x7000000"}}, "memmap=16M$0x7000000, which the running kernel has not"},
		{"rollback to nothing", trip{load: loadCmd{Append: "ferry.on-error=rollback", AcceptHalt: true}}, "the payload has no rollback kernel"},
		{"on to what does not read it", trip{load: loadCmd{Append: "ferry.on-error=pass"}, host: version("7.1.13")}, "gets the handover of generation E as it is"},
		{"no time", trip{load: loadCmd{Append: "ferry.deadline=1s"}}, "ferry.deadline=1s"},
		{"sessions that nobody counts", trip{pack: packCmd{Expect: 3}, load: loadCmd{Append: "ferry.mode=pass"}}, "nobody counts the 3 sessions"},
		{"the same by the command line", trip{load: loadCmd{Append: "ferry.mode=pass ferry.expect-sessions=4"}}, "nobody counts the 4 sessions"},
		{"unread to what does not read it", trip{load: loadCmd{Append: "ferry.mode=pass ferry.on-error=cold"}, host: version("7.1.13")}, "does not read the handover of generation E as it is"},
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
	c.print(&b, host{live()})
	return b.String()
}

// What looks like those rows and loses nothing.
func TestLoadTakesWhatLosesNothing(t *testing.T) {
	iomem := map[string]string{"proc/iomem": "00100000-bffdffff : System RAM\n"}
	own := "kho=1 liveupdate=yes root=/dev/vda"
	for name, trip := range map[string]trip{
		"the running line":                    {},
		"unread to what reads it":             {load: loadCmd{Append: "ferry.mode=pass"}, host: version("7.2.12")},
		"other words for the same":            {pack: packCmd{Cmdline: &own}},
		"a host that does not ask for it":     {host: map[string]string{"proc/cmdline": "quiet\n"}},
		"mem= above all memory":               {load: loadCmd{Append: "mem=3G"}, host: iomem},
		"mem= that is no size":                {load: loadCmd{Append: "mem=nopentium"}, host: iomem},
		"a range that the running kernel has": {host: map[string]string{"proc/cmdline": on + "memmap=16M$0x7000000\n"}},
		"time enough":                         {load: loadCmd{Append: "ferry.deadline=2s"}},
		"any time":                            {load: loadCmd{Append: "ferry.deadline=0"}},
		"a kernel that says nothing":          {kernel: bzImage(formats("")), manifest: &payload.Manifest{Kernel: payload.KernelInfo{Generation: "A"}}},
		"one that nobody says anything of":    {kernel: bzImage(formats("")), manifest: &payload.Manifest{}},
		"a rollback kernel":                   {back: bzImage(), host: version("7.2.12")},
		"what the next kernel reads natively": {kernel: bzImage(formats(kernel619)), host: version("7.0.13"), load: loadCmd{Append: "ferry.on-error=pass"}},
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
		{"other formats, to boot cold", trip{host: version("7.1.13"), load: loadCmd{Append: "ferry.on-error=cold"}}, ""},
		{"other formats by the manifest", trip{pack: packCmd{From: "6.19"}}, "the payload says so"},
		{"the payload says halt", trip{pack: packCmd{OnError: "halt"}}, "the payload says so"},
		{"the command line says halt", trip{load: loadCmd{Append: "ferry.on-error=halt"}}, "the command line says so"},
		{"the command line says otherwise", trip{pack: packCmd{OnError: "halt"}, load: loadCmd{Append: "ferry.on-error=pass"}, host: version("7.3.4")}, ""},
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
			if said := ready.said(); !strings.Contains(said, "halt: the machine halts, memory intact; ") || !strings.Contains(said, tt.want) {
				t.Errorf("it does not say %q:\n%s", tt.want, said)
			}
		})
	}
}

// What is worth a word and no refusal.
func TestLoadWarns(t *testing.T) {
	own := on + "root=/dev/vda"
	initrd := func(data string) string { return put(t, "initrd", []byte(data)) }
	params := make([]byte, 4096)
	binary.LittleEndian.PutUint32(params[0x21c:], 1<<20)
	had := map[string]string{"sys/kernel/boot_params/data": string(params)}
	build := func(n string) []byte { return bzImage(banner("7.3.4 (user@host) " + n)) }
	for _, tt := range []struct {
		name string
		trip trip
		want string // empty: nothing
	}{
		{"nothing to say", trip{}, ""},
		{"words that the next kernel does not get", trip{pack: packCmd{Cmdline: &own}, load: loadCmd{Append: "quiet ferry.mode=cross"}}, `the next kernel does not get "quiet" of --append`},
		{"words for Ferry alone", trip{pack: packCmd{Cmdline: &own}, load: loadCmd{Append: "ferry.mode=cross"}}, ""},
		{"a line that the rollback kernel does not get", trip{back: bzImage(), pack: packCmd{Rollback: rollbackFlags{Cmdline: &own}}, load: loadCmd{Cmdline: given(on + "x=1")}}, `the rollback kernel does not get "` + on + `x=1" of --cmdline`},
		{"a label without an initrd", trip{load: loadCmd{Append: "root=LABEL=system"}}, "root=LABEL=system and no initrd"},
		{"a UUID without an initrd", trip{load: loadCmd{Append: "root=UUID=1-2"}}, "root=UUID=1-2 and no initrd"},
		{"a mapped device without an initrd", trip{load: loadCmd{Append: "root=/dev/mapper/vg-root"}}, "root=/dev/mapper/vg-root and no initrd"},
		{"a label with an initrd", trip{pack: packCmd{Initrd: initrd("070701")}, load: loadCmd{Append: "root=LABEL=system"}}, ""},
		{"what kernels find by themselves", trip{load: loadCmd{Append: "root=PARTUUID=1-2"}}, ""},
		{"no root", trip{host: map[string]string{"proc/cmdline": on + "root=/dev/vda\n"}, load: loadCmd{Cmdline: given(strings.TrimSpace(on))}}, "no root=, which the running kernel has"},
		{"no initrd", trip{host: had}, "next kernel has no initrd in the payload"},
		{"no initrd to go back with", trip{host: had, pack: packCmd{Initrd: initrd("\x28\xb5\x2f\xfd")}, back: bzImage()}, "rollback kernel has no initrd in the payload"},
		{"an initrd that is none", trip{pack: packCmd{Initrd: initrd("PK\x03\x04")}}, "begins with 50 4b 03 04, like nothing"},
		{"an initrd behind zeros", trip{pack: packCmd{Initrd: initrd("\x00\x00\x00\x00\x1f\x8b\x08")}}, ""},
		{"the running build", trip{host: version("7.3.4"), back: build("#3 SMP Mon Nov 30 10:00:00 UTC 2026")}, ""},
		{"an older build to go back to", trip{host: version("7.3.4"), back: build("#2 SMP Mon Nov  2 10:00:00 UTC 2026")}, "rollback kernel is an older build of Linux 7.3.4"},
		{"another build to go back to", trip{host: version("7.3.4"), back: build("#4 SMP Tue Dec  1 10:00:00 UTC 2026")}, "rollback kernel is another build of Linux 7.3.4"},
		{"an older build to go on to", trip{host: version("7.3.4"), kernel: build("#2 SMP Mon Nov 30 10:00:00 UTC 2026")}, "next kernel is an older build of Linux 7.3.4"},
		{"a newer build to go on to", trip{host: version("7.3.4"), kernel: build("#4 SMP Mon Nov 30 10:00:00 UTC 2026")}, ""},
		{"another release to go back to", trip{host: version("7.2.12"), back: build("#3")}, "rollback kernel is Linux 7.3.4, and Linux 7.2.12 runs"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ready, err := tt.trip.check(t)
			must(t, err)
			warnings := strings.Join(ready.review.warnings, "\n")
			if !strings.Contains(warnings, tt.want) || (warnings == "") != (tt.want == "") {
				t.Errorf("warnings %q, want %q", warnings, tt.want)
			}
		})
	}
}

// The last lines of a load are what one wants to read before the kexec.
func TestLoadEndsWithWhatFollows(t *testing.T) {
	backLine := on + "rollback=1"
	tr := trip{back: bzImage(formats(kernel71)), pack: packCmd{Serial: 12, Expect: 2, Rollback: rollbackFlags{Cmdline: &backLine}}, host: version("7.1.13"),
		load: loadCmd{Append: "quiet ferry.deadline=30s"}}
	ready, err := tr.check(t)
	must(t, err)
	if want := "console=ttyS0 kho=on liveupdate=on quiet ferry.deadline=30s ferry.from=7.1.13"; ready.line != want {
		t.Errorf("the stage gets %q, want %q", ready.line, want)
	}
	said := ready.said()
	at := 0
	for _, want := range []string{
		"from                             Linux 7.1.13, generation E (7.1: kho-v3, luo-v1 with FLBs, memfd-v2), which runs\n",
		"to                               Linux 7.3.4, generation F (7.2 to 7.3: kho-v4, luo-v5, memfd-v2)\n",
		"with the command line            \"console=ttyS0 kho=on liveupdate=on quiet\", that of the running kernel and --append\n",
		"back to                          Linux 7.1.13, generation E (7.1: kho-v3, luo-v1 with FLBs, memfd-v2)\n",
		"with the command line            \"kho=on liveupdate=on rollback=1\", in the payload\n",
		"on success                       the next kernel boots with everything that was preserved\n",
		"after a failure                  rollback: the rollback kernel boots with the untouched handover\n",
		"expected sessions                at least 2, fewer are a failure\n",
		"serial                           12\n",
		"signer                           none; the stage has no key and asks for no signature\n",
		"loaded: the next kexec goes through Ferry\nstart it with: ",
	} {
		i := strings.Index(said[at:], want)
		if i < 0 {
			t.Fatalf("it does not say %q then:\n%s", want, said)
		}
		at += i + len(want)
	}
	if rest := said[at:]; strings.Count(rest, "\n") != 1 {
		t.Errorf("more than a command follows: %q", rest)
	}
}

func TestHostSaysWhatTheNextKexecStarts(t *testing.T) {
	for _, tt := range []struct {
		host map[string]string
		want string
	}{
		{map[string]string{"sys/kernel/kexec_loaded": "1\n"}, "still loaded"},
		{map[string]string{"sys/firmware/efi/systab": "x"}, "default entry and starts that, without Ferry"},
		{nil, "the next kexec starts nothing"},
		{map[string]string{"sys/kernel/kexec_loaded": ""}, "is unknown"},
	} {
		root := live()
		for name, data := range tt.host {
			if root[name] = (&fstest.MapFile{Data: []byte(data)}); data == "" {
				delete(root, name)
			}
		}
		if got := (host{root}).now(); !strings.Contains(got, tt.want) {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// A payload that is cut short while it is mapped is an error, and no crash.
func TestAPayloadThatShrinksIsNamed(t *testing.T) {
	name := put(t, "p", make([]byte, 1<<20))
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, unmap, err := mapped(f)
	must(t, err)
	defer unmap()
	must(t, os.Truncate(name, 0))
	err = undisturbed(name, func() error { _ = payload.NewPart(b); return nil })
	if err == nil || !strings.Contains(err.Error(), "cut short while it was read") {
		t.Error(err)
	}
}

// checkOpened is check with files of its own.
func (c *loadCmd) checkOpened(h host) (*checked, error) {
	f, err := c.open()
	if err != nil {
		return nil, err
	}
	defer f.close()
	ready, err := c.check(h, f, func(...cpuid.FeatureID) bool { return false })
	if err != nil {
		return nil, err
	}
	return ready, nil
}

// A host on which something happens as soon as it is looked at.
type watched struct {
	fstest.MapFS
	then func()
}

func (w *watched) Open(name string) (fs.File, error) {
	if w.then != nil {
		w.then()
		w.then = nil
	}
	return w.MapFS.Open(name)
}

// TestLoadTakesTheFilesThatItChecked: others take their names while it looks at the host.
func TestLoadTakesTheFilesThatItChecked(t *testing.T) {
	if err := (host{live()}).checkEncrypted(cpuid.CPU.Supports); err != nil {
		t.Skip(err)
	}
	var archive bytes.Buffer
	must(t, pack.Write(&archive, payload.Manifest{Kernel: payload.KernelInfo{Generation: "F"}}, bzImage(), nil))
	good := map[string][]byte{"stage": stageImage(), "payload": archive.Bytes()}
	for name := range good {
		t.Run(name, func(t *testing.T) {
			c := loadCmd{Stage: put(t, "stage", good["stage"]), Payload: put(t, "payload", good["payload"]), AcceptHalt: true}
			path := map[string]string{"stage": c.Stage, "payload": c.Payload}[name]
			other := put(t, "other", []byte("another file"))
			h := host{&watched{live(), func() {
				if err := os.Rename(other, path); err != nil {
					t.Error(err)
				}
			}}}
			loaded := false
			err := c.load(h, io.Discard, func(f files, _ string) error {
				loaded = true
				for name, file := range map[string]*os.File{"stage": f.stage, "payload": f.payload} {
					b, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<30))
					if err != nil || !bytes.Equal(b, good[name]) {
						t.Errorf("the kernel reads another %s: %d bytes, %v", name, len(b), err)
					}
				}
				return nil
			})
			if err != nil && !strings.Contains(err.Error(), "none is loaded") || !loaded {
				t.Errorf("loaded %v: %v", loaded, err)
			}
		})
	}
}
