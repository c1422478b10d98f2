package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/klauspost/cpuid/v2"
)

// plain is a processor that encrypts nothing.
func plain(...cpuid.FeatureID) bool { return false }

// checks runs ferry check and returns what it prints as JSON.
func checks(t *testing.T, c checkCmd, root fs.FS) (report, error) {
	t.Helper()
	var out bytes.Buffer
	c.JSON = true
	err := c.check(host{root}, &out, plain)
	var r report
	if jsonErr := json.Unmarshal(out.Bytes(), &r); jsonErr != nil {
		t.Fatalf("%v: %v: %s", err, jsonErr, out.String())
	}
	return r, err
}

// answers returns the answers of a check by its name, and what it found, missed and said.
func (r report) answers(name string) (is, text string) {
	for _, f := range r.Checks {
		if f.Check == name {
			is += " " + f.Is
			text += f.String() + "\n"
		}
	}
	return strings.TrimSpace(is), text
}

func file(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }

// ready is live with all that a host can say, and two sessions.
func ready() fstest.MapFS {
	root := live()
	link := func(to string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink | 0o777}
	}
	for name, f := range map[string]*fstest.MapFile{
		"proc/version":                            file("Linux version 7.2.12 (user@host) #1\n"),
		"proc/self/status":                        file("Name:\tferry\nCapEff:\t000001ffffffffff\n"),
		"proc/sys/kernel/kexec_load_disabled":     file("0\n"),
		"proc/sys/kernel/kexec_load_limit_reboot": file("-1\n"),
		"sys/kernel/security/lockdown":            file("[none] integrity confidentiality\n"),
		"boot/config-7.2.12":                      file("CONFIG_KEXEC_FILE=y\n# CONFIG_KEXEC_SIG_FORCE is not set\n"),
		"proc/812/comm":                           file("vmm\n"),
		"proc/812/fd/3":                           link("anon_inode:[luo_session] vm-1"),
		"proc/812/fd/4":                           link("anon_inode:[luo_session] vm-2"),
		"proc/812/fd/5":                           link("anon_inode:[eventfd]"),
	} {
		root[name] = f
	}
	return root
}

// packedFor returns a payload with a kernel to go back to, and a stage.
func packedFor(t *testing.T, c packCmd) (name, stage string) {
	t.Helper()
	c.Kernel, c.Output = put(t, "k", bzImage()), filepath.Join(t.TempDir(), "payload")
	c.Rollback = rollbackFlags{Kernel: put(t, "b", bzImage(banner("7.2.12 (user@host) #1"), formats(strings.Replace(formatsF, "7.3.4", "7.2.12", 1))))}
	must(t, c.pack(io.Discard))
	return c.Output, put(t, "s", stageImage())
}

func TestCheckSaysYesToAReadyHost(t *testing.T) {
	payload, stage := packedFor(t, packCmd{})
	r, err := checks(t, checkCmd{Payload: payload, Stage: stage}, ready())
	must(t, err)
	if !r.Ready || !strings.HasSuffix(r.Line, "ferry.from=7.2.12") {
		t.Errorf("ready %v, line %q", r.Ready, r.Line)
	}
	for i, f := range r.Checks {
		if f.Is != isFine || f.Check != steps()[i].name {
			t.Errorf("%v, want a yes to %q", f, steps()[i].name)
		}
	}
	if _, text := r.answers("sessions"); !strings.Contains(text, `2: "vm-1" of process 812 (vmm), "vm-2" of process 812 (vmm)`) {
		t.Error(text)
	}
}

// Each row takes something from a ready host, or adds it: one check says so, and what to do; all others stay as they were.
func TestEachCheckFindsItsOwnProblem(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprint(z, "CONFIG_KEXEC_SIG_FORCE=y\n")
	must(t, z.Close())
	for _, tt := range []struct {
		name       string
		host       map[string]string // "" for no such file
		check      checkCmd
		pack       packCmd
		by, is     string
		found, fix string
		class      class
	}{
		{name: "no capability", host: map[string]string{"proc/self/status": "CapEff:\t0\n"}, by: "permission", is: "no", found: "CAP_SYS_BOOT", fix: "run as root", class: classHost},
		{name: "nobody says the capabilities", host: map[string]string{"proc/self/status": ""}, by: "permission", is: "unknown", fix: "mount"},
		{name: "kexec turned off", host: map[string]string{"proc/sys/kernel/kexec_load_disabled": "1\n"}, by: "kexec", is: "no", found: "kexec_load_disabled is 1", fix: "reboot", class: classHost},
		{name: "no load left", host: map[string]string{"proc/sys/kernel/kexec_load_limit_reboot": "0\n"}, by: "kexec", is: "no", found: "limit_reboot is 0", fix: "reboot", class: classHost},
		{name: "no kexec", host: map[string]string{"proc/sys/kernel/kexec_load_disabled": ""}, by: "kexec", is: "unknown", fix: "CONFIG_KEXEC_FILE"},
		{name: "locked down", host: map[string]string{"sys/kernel/security/lockdown": "none [integrity] confidentiality\n"}, by: "unsigned images", is: "no", found: "[integrity]", fix: "Secure Boot", class: classHost},
		{name: "signatures forced", host: map[string]string{"proc/config.gz": packed.String()}, by: "unsigned images", is: "no", found: "CONFIG_KEXEC_SIG_FORCE", fix: "boot a kernel without", class: classHost},
		{name: "nobody knows of a lockdown", host: map[string]string{"sys/kernel/security/lockdown": ""}, by: "unsigned images", is: "unknown", fix: "mount -t securityfs"},
		{name: "no configuration", host: map[string]string{"boot/config-7.2.12": ""}, by: "unsigned images", is: "unknown", found: "configuration"},
		{name: "encrypted", host: map[string]string{"proc/cpuinfo": "flags\t\t: fpu sme lm\n"}, by: "plain memory", is: "no", found: "AMD SME", fix: "plain kexec", class: classHost},
		{name: "no LUO", host: map[string]string{"dev/liveupdate": "", "proc/cmdline": "kho=on\n"}, by: "live update", is: "no", fix: "boot with liveupdate=on", class: classHost},
		{name: "no debugfs", host: map[string]string{"proc/mounts": "proc /proc proc rw 0 0\n"}, by: "handover", is: "unknown", found: "debugfs is not mounted", fix: "mount -t debugfs", class: classHost},
		{name: "nobody knows the kernel", host: map[string]string{"proc/version": "Linux version 7.9.1 (user@host) #1\n", "boot/config-7.9.1": "x"}, check: checkCmd{AcceptHalt: true}, by: "running kernel", is: "unknown", fix: "ferry.from="},
		{name: "sessions to be made", pack: packCmd{Expect: 3}, by: "sessions", is: "unknown", found: "at least 3", fix: "before the kexec"},
		{name: "a word of Ferry's", check: checkCmd{Append: "ferry.deadline=1s"}, by: "words", is: "no", found: "ferry.deadline=1s", fix: "more time", class: classUsage},
		{name: "no time, overruled", check: checkCmd{Append: "ferry.deadline=1s", Force: true}, by: "words", is: "no", found: "overruled by --force"},
		{name: "a range less", check: checkCmd{Append: "memmap=16M$0x7000000"}, by: "next kernel: memory", is: "no", found: "memmap=16M", fix: "leave it out", class: classRoom},
		{name: "a payload for another kernel", pack: packCmd{From: "6.17.13", Force: true}, by: "producer", is: "no", found: "6.17.13", fix: "leave it out", class: classPayload},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := ready()
			for name, data := range tt.host {
				if root[name] = file(data); data == "" {
					delete(root, name)
				}
			}
			c := tt.check
			c.Payload, c.Stage = packedFor(t, tt.pack)
			r, err := checks(t, c, root)
			if classOf(err) != tt.class || r.Ready != (tt.class == classDone) {
				t.Errorf("class %d, ready %v: %v", classOf(err), r.Ready, err)
			}
			is, text := r.answers(tt.by)
			if is != tt.is || !strings.Contains(text, tt.found) || !strings.Contains(text, tt.fix) {
				t.Errorf("%q, want %q with %q and %q:\n%s", is, tt.is, tt.found, tt.fix, text)
			}
		})
	}
}

// A host with many things wrong: ferry check names each, and ferry load the same.
func TestAllProblemsAreNamedAtOnce(t *testing.T) {
	root := ready()
	root["proc/sys/kernel/kexec_load_disabled"] = file("1\n")
	root["proc/cmdline"] = file("kho=on\n")
	root["sys/kernel/security/lockdown"] = file("none integrity [confidentiality]\n")
	root["sys/kernel/debug/kho/out/scratch_len"] = file("0x400000\n0x0\n0x400000\n")
	delete(root, "dev/liveupdate")
	c := checkCmd{Append: "ferry.deadline=1s mem=1M"}
	c.Payload, c.Stage = packedFor(t, packCmd{})
	r, err := checks(t, c, root)
	if classOf(err) != classHost {
		t.Errorf("class %d: %v", classOf(err), err)
	}
	var wrong []string
	for _, f := range r.Checks {
		if f.Is == isWrong {
			wrong = append(wrong, f.Check)
		}
	}
	want := "kexec, unsigned images, live update, next kernel: memory, rollback kernel: memory, room to go back, room, words"
	if got := strings.Join(wrong, ", "); got != want {
		t.Errorf("wrong: %s\nwant:  %s", got, want)
	}
	load := loadCmd{Payload: c.Payload, Stage: c.Stage, Append: c.Append}
	_, err = load.checkOpened(host{root})
	for _, want := range []string{"kexec_load_disabled is 1", "locked down", "no /dev/liveupdate", "the next kernel has mem=1M", "rollback kernel: no room in scratch", "ferry.deadline=1s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ferry load does not say %q: %v", want, err)
		}
	}
}

// Before there is a payload: the host alone, and with the kernel that is to come.
func TestCheckNeedsNoPayload(t *testing.T) {
	r, err := checks(t, checkCmd{}, ready())
	must(t, err)
	if is, text := r.answers("handover"); is != "yes" || !strings.Contains(text, "scratch: 72 MiB at 0x3a000000, 216 MiB at 0x2c800000") {
		t.Error(text)
	}
	for _, name := range []string{"payload", "signature", "digests", "next kernel", "room", "after a failure"} {
		if is, text := r.answers(name); is != "unknown" {
			t.Error(text)
		}
	}
	r, err = checks(t, checkCmd{Kernel: put(t, "k", bzImage())}, ready())
	must(t, err)
	for name, want := range map[string]string{"payload": "as ferry pack would make of", "next kernel: formats": "generation F", "room": "kho_scratch="} {
		if is, text := r.answers(name); is != "yes" || !strings.Contains(text, want) {
			t.Errorf("no %q: %s", want, text)
		}
	}
	r, err = checks(t, checkCmd{Kernel: put(t, "k", bzImage(formats(noKHO)))}, ready())
	if is, text := r.answers("payload"); classOf(err) != classPayload || is != "no" || !strings.Contains(text, "no KHO") {
		t.Errorf("%v: %s", err, text)
	}
}

// Forward through Ferry, and back without it.
func TestCheckSaysWhatCrosses(t *testing.T) {
	for release, want := range map[string]string{
		"7.2.12":  "generation F to F, which reads that by itself: everything crosses",
		"6.19.14": "generation C to F, which does not read that by itself: everything crosses",
	} {
		root := ready()
		root["proc/version"] = file("Linux version " + release + " (user@host) #1\n")
		r, _ := checks(t, checkCmd{Kernel: put(t, "k", bzImage())}, root)
		if is, text := r.answers("crossing"); is != "yes" || !strings.Contains(text, want) {
			t.Errorf("from %s: %s", release, text)
		}
	}
	r, _ := checks(t, checkCmd{Kernel: put(t, "k", bzImage(formats(kernel618)))}, ready())
	if is, text := r.answers("crossing"); is != "yes" || !strings.Contains(text, "any session is a failure") {
		t.Error(text)
	}
	if _, text := r.answers("sessions"); !strings.Contains(text, "warning: 2 sessions are open, and the next kernel has none") {
		t.Error(text)
	}
}

func TestCheckPrintsALineForEachCheck(t *testing.T) {
	root := ready()
	root["sys/kernel/security/lockdown"] = file("none [integrity]\n")
	c := checkCmd{}
	c.Payload, c.Stage = packedFor(t, packCmd{})
	var out strings.Builder
	err := c.check(host{root}, &out, plain)
	if classOf(err) != classHost {
		t.Error(err)
	}
	for _, want := range []string{
		"yes      live update                    built in, on the command line, and on\n",
		"no       unsigned images                the kernel is locked down (none [integrity]), and takes no unsigned stage; do: boot without lockdown=",
		"after a failure                  rollback: the rollback kernel boots with the untouched handover\n",
		" 1 no, 0 unknown\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}

// Linux 7.4 has other names for scratch.
func TestScratchHasItsNewNamesToo(t *testing.T) {
	root := ready()
	want, err := host{root}.scratch()
	must(t, err)
	for _, name := range []string{"phys", "len"} {
		const dir = "sys/kernel/debug/kho/out/"
		root[dir+"bootmem_"+name] = root[dir+"scratch_"+name]
		delete(root, dir+"scratch_"+name)
	}
	if got, err := (host{root}).scratch(); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}
