//go:build linux_e2e

package linux

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ferry/boot/payload"
	packer "ferry/boot/payload/pack"
	"ferry/internal/report"
)

// An attack is one on the way from the newest Linux to another, that Ferry has to
// lead back from.
type attack struct {
	name, test string
	make       func(t *testing.T, a *attacked)
	words      string // for the first kernel's command line
	says       string // why Ferry goes back
}

// attacked is what the first kernel loads: a stage, and its payload.
type attacked struct {
	dir, initrd    string // with what upstream's test takes
	stage, payload string
	inner          []string // for ferry pack: the next kernel and the one to go back to
}

var attacks = []attack{
	{"the next kernel reads formats that nobody knows", "luo_multi_session", unknownFormats, "", `generation "G"`},
	{"the next kernel has no live update", "luo_kexec_simple", olderKernel, "", "have no live update"},
	{"the next kernel cannot hold 2000 sessions", "luo_stress_sessions", olderKernelYet, "", "want at most 819"},
	{"a signed payload, its next kernel altered", "luo_multi_session", alteredKernel, "", "opened has SHA-256"},
	{"an unsigned payload, 400 bytes of its next kernel altered", "luo_multi_session", damagedKernel, "", "opened has SHA-256"},
	{"fewer sessions than somebody counts on", "luo_kexec_simple", missedSession, "", "want at least 100"},
	{"the next kernel cannot hold 500 files", "luo_stress_files", olderKernelStill, "", "want at most 128"},
}

// TestBackFromAttacks makes live state in the newest kernel, goes to Ferry with
// something that must not or cannot cross, and wants the kernel that made the state
// to run again and upstream's own test to find all of it there.
func TestBackFromAttacks(t *testing.T) {
	t.Parallel()
	table := report.Table{{"what is wrong", "upstream's test", "Ferry says", "then, in Linux " + same(t, 0).Release(0) + " again"}}
	rows := make([][]string, len(attacks))
	t.Run("all", func(t *testing.T) {
		for i, a := range attacks {
			t.Run(a.name, func(t *testing.T) {
				t.Parallel()
				rows[i] = a.run(t)
			})
		}
	})
	for _, row := range rows {
		table = append(table, row)
	}
	written(t, "attack 6", fmt.Sprintf(`%s, `+"`make attack-rollback`"+`: %d ways in which Linux %s does not get to its next kernel. Each time it made live state with upstream's selftest and
started Ferry by kexec; Ferry went back to the same kernel with the untouched handover, where the second stage of the selftest found every session and file, and no
kernel complained.`, time.Now().UTC().Format("2006-01-02"), len(attacks), same(t, 0).Release(0)), table)
}

func (a attack) run(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	at := &attacked{dir: dir, initrd: filepath.Join(dir, "initrd"), stage: built(t, "ferry.bzimage"), payload: filepath.Join(dir, "payload")}
	if err := os.WriteFile(at.initrd, archive(t, upstreamTree(t, a.test)), 0o600); err != nil {
		t.Fatal(err)
	}
	at.inner = []string{"--kernel", built(t, "linux/bzImage"), "--initrd", at.initrd,
		"--rollback-kernel", built(t, "linux/bzImage"), "--rollback-initrd", at.initrd, "--output", at.payload}
	a.make(t, at)
	tree := upstreamTree(t, a.test)
	add(t, tree, "/kernel", at.stage)
	add(t, tree, "/initrd.img", at.payload)
	log := run(t, VM{Memory: "1G"}, tree, a.words)
	if !log.Has("ferry: ROLLED BACK to ") {
		t.Error("Ferry does not say that it goes back")
	}
	reason := ""
	for _, line := range log.Lines {
		if text := refusal.ReplaceAllString(line, ""); text != line && strings.Contains(text, a.says) {
			reason = text
			break
		}
	}
	if reason == "" {
		t.Errorf("no error of Ferry's says %q", a.says)
	}
	passed := ""
	for _, u := range upstream {
		if u.name == a.test {
			passed = u.passed
		}
	}
	checkUpstream(t, log, passed)
	if kernels := log.Kernels(); kernels[len(kernels)-1].Release() != same(t, 0).Release(0) {
		t.Errorf("linux %s runs at the end, want the one that made the state", kernels[len(kernels)-1].Release())
	}
	return []string{a.name, "`" + a.test + "`", strings.ReplaceAll(reason, "|", "\\|"), strings.Trim(passed, "- ")}
}

// unknownFormats names a generation that no stage has heard of.
func unknownFormats(t *testing.T, at *attacked) {
	kernel, initrd := contents(t, built(t, "linux/bzImage")), contents(t, at.initrd)
	var b bytes.Buffer
	m := payload.Manifest{Kernel: payload.KernelInfo{Generation: "G"}, Rollback: &payload.Rollback{Kernel: payload.KernelInfo{Generation: "F"}}}
	if err := packer.WriteFiles(&b, m, packer.Files{Kernel: kernel, Initrd: initrd, RollbackKernel: kernel, RollbackInitrd: initrd}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at.payload, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func olderKernel(t *testing.T, at *attacked)      { at.older(t, "6.18") }
func olderKernelYet(t *testing.T, at *attacked)   { at.older(t, "7.1") }
func olderKernelStill(t *testing.T, at *attacked) { at.older(t, "7.0") }

func (at *attacked) older(t *testing.T, series string) {
	t.Helper()
	at.inner[1] = built(t, Image(route(t, series).Release(0)))
	pack(t, at.inner...)
}

// alteredKernel signs the payload for an image with a key, and changes a bit of the
// next kernel afterwards.
func alteredKernel(t *testing.T, at *attacked) {
	manifest, stage := filepath.Join(at.dir, "manifest.json"), filepath.Join(at.dir, "stage")
	pack(t, append(at.inner, "--manifest", manifest)...)
	tool(t, "minisign", "-G", "-W", "-p", at.dir+"/key.pub", "-s", at.dir+"/key.sec")
	tool(t, built(t, "ferry"), "image", "--stage", at.stage, "--pubkey", at.dir+"/key.pub", "--output", stage)
	tool(t, "minisign", "-S", "-s", at.dir+"/key.sec", "-m", manifest)
	tool(t, built(t, "ferry"), "seal", at.payload, "--signature", manifest+".minisig", "--stage", stage)
	b := contents(t, at.payload)
	p, err := payload.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	b[int(p.Opened.Offset)+len(p.Opened.Data)/2] ^= 1
	if err := os.WriteFile(at.payload, b, 0o600); err != nil {
		t.Fatal(err)
	}
	at.stage = stage
}

// damagedKernel changes bytes in the middle of the next kernel, as a bad disk does.
func damagedKernel(t *testing.T, at *attacked) {
	pack(t, at.inner...)
	b := contents(t, at.payload)
	p, err := payload.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		p.Opened.Data[len(p.Opened.Data)/2+i] ^= 0xff
	}
	if err := os.WriteFile(at.payload, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func missedSession(t *testing.T, at *attacked) {
	pack(t, append(at.inner, "--expect-sessions", "100")...)
}

func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}
