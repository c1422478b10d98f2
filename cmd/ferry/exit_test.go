package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ferry/boot/payload"
)

// Each row is a command line and the class of its end. Usage errors are two lines on standard error.
func TestExitCodesTellWhatFailed(t *testing.T) {
	kernel, stage, text := put(t, "k", bzImage()), put(t, "s", stageImage()), put(t, "t", []byte("text"))
	out := filepath.Join(t.TempDir(), "payload")
	good := filepath.Join(t.TempDir(), "good")
	if _, class := ends(t, "pack", "--kernel", kernel, "-o", good); class != classDone {
		t.Fatalf("pack ends with %d", class)
	}
	damaged := put(t, "damaged", read(t, good))
	b := read(t, good)
	swapped("Linux version", "Linux versioN")(b)
	must(t, os.WriteFile(damaged, b, 0o600))
	for _, tt := range []struct {
		args []string
		want class
	}{
		{[]string{"abi"}, classDone},
		{[]string{"show", good}, classDone},
		{[]string{"version"}, classDone},
		{[]string{"show", good, "--json"}, classDone},
		{nil, classUsage},
		{[]string{"pakc"}, classUsage},
		{[]string{"pack"}, classUsage},
		{[]string{"pack", "--kernel", kernel}, classUsage},
		{[]string{"pack", "--kernel", kernel + ".none", "-o", out}, classUsage},
		{[]string{"pack", "--kernel", kernel, "-o", out, "--room", "much"}, classUsage},
		{[]string{"pack", "--kernel", kernel, "-o", out, "--from", "5.10"}, classUsage},
		{[]string{"pack", "--kernel", kernel, "-o", out, "--generation", "Z"}, classUsage},
		{[]string{"pack", "--kernel", kernel, "-o", out, "--rollback-initrd", text}, classUsage},
		{[]string{"pack", "--kernel", kernel, "-o", out, "--on-error", "rollback"}, classUsage},
		{[]string{"pack", "--kernel", kernel, "-o", kernel}, classUsage},
		{[]string{"pack", "--kernel", kernel, "-o", out + "/none/payload"}, classFailed},
		{[]string{"pack", "--kernel", text, "-o", out}, classPayload},
		{[]string{"pack", "--kernel", kernel, "-o", out, "--generation", "E"}, classPayload},
		{[]string{"pack", "--kernel", kernel, "-o", out, "--stage", text}, classPayload},
		{[]string{"pack", "--kernel", kernel, "-o", out, "--room", "64"}, classRoom},
		{[]string{"load", "--unload", good}, classUsage},
		{[]string{"load", good}, classUsage},
		{[]string{"abi", text}, classPayload},
		{[]string{"show", text}, classPayload},
		{[]string{"show", damaged}, classPayload},
		{[]string{"show", good, "--pubkey", text}, classTrust},
		{[]string{"show", good, "--stage", stage}, classTrust},
		{[]string{"version", "--stage", text}, classPayload},
		{[]string{"seal", good, "--signature", text}, classUsage},
		{[]string{"seal", good, "--signature", text, "--unverified"}, classTrust},
		{[]string{"image", "--stage", stage, "--min-serial", "1"}, classUsage},
		{[]string{"image", "--stage", text}, classPayload},
	} {
		said, got := ends(t, tt.args...)
		if got != tt.want {
			t.Errorf("ferry %s: %d, want %d: %s", strings.Join(tt.args, " "), got, tt.want, said)
		}
		if lines := strings.Count(said, "\n"); tt.want == classUsage && (lines == 0 || lines > 2) || tt.want == classDone && said != "" {
			t.Errorf("ferry %s says %d lines on standard error:\n%s", strings.Join(tt.args, " "), lines, said)
		}
	}
}

// ends runs a command, and returns what it says on standard error and its class.
func ends(t *testing.T, args ...string) (said string, c class) {
	t.Helper()
	cmd := command(args...)
	var b strings.Builder
	cmd.Stderr = &b
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return b.String(), class(cmd.ProcessState.ExitCode())
}

// The kernel's own answers have classes as well, and so has an error that wraps another class's.
func TestErrorsHaveTheClassOfTheirCause(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want class
	}{
		{nil, classDone},
		{explain(unix.EPERM, "load"), classHost},
		{explain(unix.EADDRNOTAVAIL, "load"), classRoom},
		{explain(unix.ENOKEY, "load"), classTrust},
		{fmt.Errorf("payload p: %w: %w", payload.ErrManifest, payload.ErrUnsigned), classTrust},
		{fmt.Errorf("wrapped: %w", &doubt{}), classPayload},
		{in(classHost, usage("both")), classUsage},
		{in(classHost, nil), classDone},
		{os.ErrNotExist, classFailed},
	} {
		if got := classOf(tt.err); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.want)
		}
	}
}

// The codes are in the help of every command.
func TestHelpListsTheExitCodes(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"pack", "--help"}, {"show", "--help"}} {
		out, err := command(args...).Output()
		must(t, err)
		for code, text := range classes {
			if want := fmt.Sprintf("  %d  %s\n", code, text); !strings.Contains(string(out), want) {
				t.Errorf("ferry %s does not say %q", args, want)
			}
		}
	}
}
