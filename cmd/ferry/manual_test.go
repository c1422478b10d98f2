package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"ferry/linker"
)

var update = flag.Bool("update", false, "write the parts of the manual and the completion that come from the flags")

const (
	manual     = "../../docs/man/ferry.8"
	completion = "../../share/ferry.bash"
)

// model returns the commands and flags.
func model(t *testing.T) []*kong.Node {
	t.Helper()
	k, err := newParser(io.Discard, io.Discard)
	must(t, err)
	return k.Model.Children
}

// flags returns the flags of a command that are its own.
func flags(n *kong.Node) (all []*kong.Flag) {
	for _, f := range n.Flags {
		if f.Name != "help" {
			all = append(all, f)
		}
	}
	return all
}

// roff makes a text one that troff prints as it is.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

// commands is the part of the manual that says what there is to say on a command line, and with what it ends.
func commands(t *testing.T) string {
	var b strings.Builder
	b.WriteString(".SH COMMANDS\n")
	for _, n := range model(t) {
		synopsis := `\fBferry ` + roff(n.Name) + `\fR`
		for _, f := range flags(n) {
			if f.Required {
				synopsis += fmt.Sprintf(` \fB\-\-%s\fR \fI%s\fR`, roff(f.Name), roff(f.FormatPlaceHolder()))
			}
		}
		if len(flags(n)) > 0 {
			synopsis += ` [\fIflags\fR]`
		}
		for _, p := range n.Positional {
			synopsis += ` \fI` + roff(p.Summary()) + `\fR`
		}
		fmt.Fprintf(&b, ".SS %s\n%s\n.PP\n%s\n", roff(n.Name), synopsis, roff(n.Help))
		for _, p := range n.Positional {
			fmt.Fprintf(&b, ".TP\n\\fI%s\\fR\n%s\n", roff(p.Summary()), roff(p.Help))
		}
		for _, f := range flags(n) {
			name := `\fB\-\-` + roff(f.Name) + `\fR`
			if f.Short != 0 {
				name = fmt.Sprintf(`\fB\-%c\fR, `, f.Short) + name
			}
			if !f.IsBool() {
				name += `=\fI` + roff(f.FormatPlaceHolder()) + `\fR`
			}
			fmt.Fprintf(&b, ".TP\n%s\n%s\n", name, roff(f.Help))
		}
	}
	b.WriteString(".SH EXIT STATUS\n")
	for code, text := range classes {
		fmt.Fprintf(&b, ".TP\n%d\n%s\n", code, roff(text))
	}
	b.WriteString("If there are several errors, that of the first.\n")
	return b.String()
}

// bash is the completion for that shell: commands, then flags, then files.
func bash(t *testing.T) string {
	var b strings.Builder
	b.WriteString("# bash completion for ferry; written by go test ./cmd/ferry -run Completion -update\n_ferry() {\n" +
		"    local word=${COMP_WORDS[COMP_CWORD]} words=--help\n" +
		"    if [ \"$COMP_CWORD\" -gt 1 ]; then\n        case ${COMP_WORDS[1]} in\n")
	names := []string{}
	for _, n := range model(t) {
		names = append(names, n.Name)
		fmt.Fprintf(&b, "        %s) words=\"--help", n.Name)
		for _, f := range flags(n) {
			b.WriteString(" --" + f.Name)
		}
		b.WriteString("\" ;;\n")
	}
	fmt.Fprintf(&b, "        esac\n        case $word in -*) ;; *) COMPREPLY=(); return ;; esac\n    else\n        words=\"--help %s\"\n    fi\n", strings.Join(names, " "))
	b.WriteString("    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\ncomplete -o default -F _ferry ferry\n")
	return b.String()
}

// The manual has every command, flag and exit code as they are.
func TestTheManualIsThatOfThisCommand(t *testing.T) {
	const begin, end = ".\\\" From the flags: go test ./cmd/ferry -run Manual -update\n", ".\\\" By hand again.\n"
	text := string(read(t, manual))
	i, j := strings.Index(text, begin), strings.Index(text, end)
	if i < 0 || j < i {
		t.Fatalf("%s does not say where the commands stand", manual)
	}
	want := text[:i] + begin + commands(t) + text[j:]
	if text != want && *update {
		must(t, os.WriteFile(manual, []byte(want), 0o644))
	} else if text != want {
		t.Errorf("%s is not of this command: go test ./cmd/ferry -run Manual -update", manual)
	}
	for _, name := range []string{manual, "../../docs/man/ferry-payload.5"} {
		if !strings.Contains(string(read(t, name)), `"ferry `+linker.Version+`"`) {
			t.Errorf("%s is not of version %s", name, linker.Version)
		}
	}
	if log := string(read(t, "../../CHANGELOG.md")); !strings.Contains(log, "## "+linker.Version) {
		t.Errorf("CHANGELOG.md does not have version %s", linker.Version)
	}
}

// Completion is of this command, and works in a shell.
func TestTheCompletionIsThatOfThisCommand(t *testing.T) {
	want := bash(t)
	if *update {
		must(t, os.WriteFile(completion, []byte(want), 0o644))
	}
	if string(read(t, completion)) != want {
		t.Errorf("%s is not of this command: go test ./cmd/ferry -run Completion -update", completion)
	}
	shell, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	for line, want := range map[string]string{
		"ferry sh":           "show",
		"ferry pack --roll":  "--rollback-kernel --rollback-initrd --rollback-cmdline --rollback-generation",
		"ferry check --js":   "--json",
		"ferry load payload": "",
		"ferry unknown --h":  "--help",
	} {
		words := strings.Fields(line)
		out, err := exec.Command(shell, "-c", fmt.Sprintf("source %s; COMP_WORDS=(%s); COMP_CWORD=%d; _ferry; echo -n ${COMPREPLY[@]}", completion, line, len(words)-1)).CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%q is completed by %q, want %q: %v", line, out, want, err)
		}
	}
}

// make install puts everything where DESTDIR and PREFIX say, and nothing anywhere else.
func TestMakeInstall(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip(err)
	}
	build, dest := t.TempDir(), t.TempDir()
	for _, name := range []string{"ferry", "ferry.bzimage"} {
		must(t, os.WriteFile(filepath.Join(build, name), []byte(name), 0o644))
	}
	out, err := exec.Command("make", "-C", "../..", "-o", build+"/ferry", "-o", build+"/ferry.bzimage", "BUILD="+build, "DESTDIR="+dest, "PREFIX=/usr", "install").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got []string
	must(t, filepath.WalkDir(dest, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			info, _ := d.Info()
			got = append(got, strings.TrimPrefix(name, dest)+" "+info.Mode().String())
		}
		return err
	}))
	want := `/usr/lib/ferry/ferry.bzimage -rw-r--r--
/usr/sbin/ferry -rwxr-xr-x
/usr/share/bash-completion/completions/ferry -rw-r--r--
/usr/share/man/man5/ferry-payload.5 -rw-r--r--
/usr/share/man/man8/ferry.8 -rw-r--r--`
	if strings.Join(got, "\n") != want {
		t.Errorf("installed:\n%s\nwant:\n%s", strings.Join(got, "\n"), want)
	}
}
