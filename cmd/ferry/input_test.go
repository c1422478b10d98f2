package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ferry/boot/payload"
)

// peak runs a command and returns the most memory that it had, in bytes: as the process says itself, because what wait4 says
// includes what this one had when it started the other.
func peak(t *testing.T, args ...string) (said string, most int64) {
	t.Helper()
	cmd := command(args...)
	var b strings.Builder
	cmd.Stderr = &b
	name := filepath.Join(t.TempDir(), "status")
	cmd.Env = append(cmd.Env, "FERRY_MEMORY="+name)
	cmd.Run()
	_, rest, _ := strings.Cut(string(read(t, name)), "VmHWM:")
	if _, err := fmt.Sscan(rest, &most); err != nil {
		t.Fatal(err)
	}
	return b.String(), most << 10
}

// What has no end is no kernel, and takes no memory.
func TestWhatHasNoEndIsRefusedAtOnce(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	for _, args := range [][]string{{"abi", "/dev/zero"}, {"pack", "--kernel", "/dev/zero", "-o", out}, {"check", "--kernel", "/dev/zero"}} {
		said, most := peak(t, args...)
		if most > 64<<20 {
			t.Errorf("ferry %s: %s of memory", strings.Join(args, " "), size(uint64(most)))
		}
		if args[0] != "check" && !strings.Contains(said, "not a kernel that can be started") {
			t.Errorf("ferry %s: %s", strings.Join(args, " "), said)
		}
	}
}

// A large initrd is not kept in memory.
func TestPackHasBoundedMemory(t *testing.T) {
	const n = 256 << 20
	initrd, out := filepath.Join(t.TempDir(), "initrd"), filepath.Join(t.TempDir(), "out")
	must(t, os.WriteFile(initrd, []byte("070701"), 0o600))
	must(t, os.Truncate(initrd, n))
	said, most := peak(t, "pack", "--kernel", put(t, "k", bzImage()), "--initrd", initrd, "--rollback-kernel", put(t, "b", bzImage()), "--rollback-initrd", initrd, "-o", out)
	info, err := os.Stat(out)
	if err != nil || info.Size() < 2*n {
		t.Fatalf("%v: %s", err, said)
	}
	if most > 64<<20 {
		t.Errorf("%s of memory for two initrds of %s", size(uint64(most)), size(n))
	}
}

// An initrd from a pipe is packed like one from a file.
func TestPackTakesAnInitrdFromAPipe(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	want := "070701" + strings.Repeat("x", 100_000)
	cmd := command("pack", "--kernel", put(t, "k", bzImage()), "--initrd", "/dev/stdin", "-o", out)
	cmd.Stdin = struct{ io.Reader }{strings.NewReader(want)}
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	p, err := payload.Open(read(t, out))
	must(t, err)
	must(t, p.Check())
	if string(p.Initrd.Data) != want {
		t.Errorf("an initrd of %d bytes arrives as one of %d", len(want), len(p.Initrd.Data))
	}
}

// An initrd that changes between its digest and its copy leaves no payload.
func TestAnInitrdThatChangesIsNotPacked(t *testing.T) {
	i, err := openInitrd(put(t, "i", []byte("070701")))
	must(t, err)
	defer i.file.Close()
	must(t, i.unchanged())
	must(t, os.Chtimes(i.name, time.Time{}, time.Now().Add(time.Hour)))
	if err := i.unchanged(); err == nil || !strings.Contains(err.Error(), "changed while it was packed") {
		t.Error(err)
	}
}

// Nothing for two seconds, then a word at a time on one line, and nothing left of it.
func TestProgressIsShownAfterTwoSeconds(t *testing.T) {
	var out strings.Builder
	clock := time.Unix(0, 0)
	p := &progress{what: "reading initrd", total: 4 * mib, out: &out, now: func() time.Time { return clock }}
	p.begin()
	for range 4 {
		clock = clock.Add(900 * time.Millisecond)
		p.pass(mib)
	}
	want := "\r\x1b[Kferry: reading initrd: 3 MiB of 4 MiB\r\x1b[Kferry: reading initrd: 4 MiB of 4 MiB"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	p.end()
	if out.String() != want+"\r\x1b[K" {
		t.Errorf("at the end %q", out.String())
	}
	out.Reset()
	p.begin()
	p.pass(mib)
	if p.end(); out.Len() > 0 {
		t.Errorf("at once %q", out.String())
	}
}
