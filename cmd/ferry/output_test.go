package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ferry/boot/payload"
)

// TestMain runs the command itself if a test starts this program as one.
func TestMain(m *testing.M) {
	if os.Getenv("FERRY_COMMAND_LINE") != "" {
		code := run(os.Args[1:], os.Stdout, os.Stderr)
		if name := os.Getenv("FERRY_MEMORY"); name != "" {
			status, err := os.ReadFile("/proc/self/status")
			if err == nil {
				err = os.WriteFile(name, status, 0o600)
			}
			if err != nil {
				panic(err)
			}
		}
		os.Exit(int(code))
	}
	os.Exit(m.Run())
}

// command is this program as the ferry command.
func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "FERRY_COMMAND_LINE=1")
	return cmd
}

// must fails the test for an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listing names what is in a folder, and what it is.
func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name()+" "+e.Type().String())
	}
	return strings.Join(all, ", ")
}

// A row is what stands where the output is to go, in a folder of its own. What is refused stays as it was.
func TestOnlyRegularFilesAreReplaced(t *testing.T) {
	old := func(dir, name string) { must(t, os.WriteFile(filepath.Join(dir, name), []byte("old"), 0o600)) }
	link := func(dir, target, name string) { must(t, os.Symlink(target, filepath.Join(dir, name))) }
	for _, tt := range []struct {
		name, output string
		lay          func(dir string)
		file         string // that has the data at the end; empty: it is refused
		want         string // in the error
	}{
		{"nothing", "out", func(string) {}, "out", ""},
		{"a file", "out", func(dir string) { old(dir, "out") }, "out", ""},
		{"a link to a file", "out", func(dir string) { old(dir, "real"); link(dir, "real", "out") }, "real", ""},
		{"a link to a link to a file", "out", func(dir string) { old(dir, "real"); link(dir, "real", "one"); link(dir, "one", "out") }, "real", ""},
		{"a file in a linked folder", "to/out", func(dir string) {
			must(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
			old(dir, "folder/out")
			link(dir, "folder", "to")
		}, "folder/out", ""},
		{"no folder", "folder/out", func(string) {}, "", "no such file"},
		{"a folder", "out", func(dir string) { must(t, os.Mkdir(filepath.Join(dir, "out"), 0o700)) }, "", "is a directory"},
		{"a FIFO", "out", func(dir string) { must(t, unix.Mkfifo(filepath.Join(dir, "out"), 0o600)) }, "", "is a FIFO"},
		{"a link to a FIFO", "out", func(dir string) { must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600)); link(dir, "fifo", "out") }, "", "is a FIFO"},
		{"a socket", "out", func(dir string) {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "out")})
			must(t, err)
			t.Cleanup(func() { l.Close() })
		}, "", "is a socket"},
		{"a device", "out", func(dir string) { must(t, unix.Mknod(filepath.Join(dir, "out"), unix.S_IFCHR|0o600, 0)) }, "", "is a device"},
		{"a link to nothing", "out", func(dir string) { link(dir, "gone", "out") }, "", "symbolic link to nothing"},
		{"an input", "in", func(string) {}, "", "the same file as --kernel"},
		{"an input by a hard link", "out", func(dir string) { must(t, os.Link(filepath.Join(dir, "in"), filepath.Join(dir, "out"))) }, "", "the same file as --kernel"},
		{"an input by a symbolic link", "out", func(dir string) { link(dir, "in", "out") }, "", "the same file as --kernel"},
		{"an input by another path", "to/in", func(dir string) { link(dir, ".", "to") }, "", "the same file as --kernel"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "ferry") // a socket's path must be short
			must(t, err)
			defer os.RemoveAll(dir)
			at := func(name string) string { return filepath.Join(dir, name) }
			must(t, os.WriteFile(at("in"), []byte("input"), 0o600))
			tt.lay(dir)
			before := listing(t, dir)
			o, err := newOutput("--output", at(tt.output), input{"--initrd", ""}, input{"--kernel", at("in")})
			if err == nil {
				o.data = []byte("new")
				err = replaced(io.Discard, o)
			}
			if string(read(t, at("in"))) != "input" {
				t.Error("the input was written to")
			}
			if tt.file == "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want one with %q", err, tt.want)
				}
				if after := listing(t, dir); after != before {
					t.Errorf("the folder holds %s, want %s", after, before)
				}
				return
			}
			must(t, err)
			if tt.name == "nothing" {
				before += ", out ----------"
			}
			if after := listing(t, dir); after != before || string(read(t, at(tt.file))) != "new" {
				t.Errorf("the folder holds %s, want %s; %s holds %q", after, before, tt.file, read(t, at(tt.file)))
			}
		})
	}
}

func TestAFileThatIsReplacedKeepsItsMode(t *testing.T) {
	for _, mode := range []fs.FileMode{0o600, 0o644, 0o440, 0o755, 0} {
		name := put(t, "out", []byte("old"))
		if mode != 0 {
			must(t, os.Chmod(name, mode))
		} else { // a new one is its owner's alone: an initrd may hold secrets
			must(t, os.Remove(name))
			mode = 0o600
		}
		o, err := newOutput("--output", name)
		must(t, err)
		o.data = []byte("new")
		must(t, replaced(io.Discard, o))
		if info, err := os.Stat(name); err != nil || info.Mode() != mode {
			t.Errorf("mode %v, %v; want %v", info.Mode(), err, mode)
		}
	}
}

// All outputs of a command, or none of them.
func TestOutputsAreReplacedTogether(t *testing.T) {
	for _, tt := range []struct {
		name, first, second string
		canceled            bool
		want                string
	}{
		{"two files", "a", "b", false, ""},
		{"one file", "a", "a", false, "the same file as --output"},
		{"one new file", "new", "new", false, "the same file as --output"},
		{"standard output twice", "-", "-", false, "the same file as --output"},
		{"the second has no folder any more", "a", "folder/b", false, "no such file"},
		{"interrupted", "a", "b", true, "interrupted: nothing was written"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range []string{"a", "b"} {
				must(t, os.WriteFile(filepath.Join(dir, name), []byte("old"), 0o600))
			}
			must(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
			output := func(flag, name string) *output {
				if name != "-" {
					name = filepath.Join(dir, name)
				}
				o, err := newOutput(flag, name)
				must(t, err)
				o.data = []byte("new")
				return o
			}
			first, second := output("--output", tt.first), output("--manifest", tt.second)
			must(t, os.Remove(filepath.Join(dir, "folder")))
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			if tt.canceled {
				stop()
			}
			var std strings.Builder
			err := replace(ctx, &std, first, second)
			want := "new"
			if tt.want != "" {
				want = "old"
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want one with %q", err, tt.want)
				}
			} else {
				must(t, err)
			}
			for _, name := range []string{"a", "b"} {
				if got := string(read(t, filepath.Join(dir, name))); got != want {
					t.Errorf("%s holds %q, want %q", name, got, want)
				}
			}
			if got := listing(t, dir); got != "a ----------, b ----------" || std.Len() > 0 {
				t.Errorf("the folder holds %s; standard output has %q", got, std.String())
			}
		})
	}
}

// pack with each of its inputs as its output: nothing is written.
func TestPackReplacesNoneOfItsInputs(t *testing.T) {
	files := map[string]string{}
	for _, name := range []string{"kernel", "initrd", "rollback-kernel", "rollback-initrd", "stage"} {
		data := bzImage()
		if name == "stage" {
			data = stageImage()
		}
		files[name] = put(t, name, data)
	}
	c := packCmd{Kernel: files["kernel"], Initrd: files["initrd"], Stage: files["stage"],
		Rollback: rollbackFlags{Kernel: files["rollback-kernel"], Initrd: files["rollback-initrd"]}}
	for name, path := range files {
		before := string(read(t, path))
		for _, as := range []string{"output", "manifest"} {
			c := c
			c.Output, c.Manifest = filepath.Join(t.TempDir(), "out"), path
			if as == "output" {
				c.Output, c.Manifest = path, ""
			}
			if err := c.pack(io.Discard); err == nil || !strings.Contains(err.Error(), "the same file as --"+name) {
				t.Errorf("--%s for --%s: %v", name, as, err)
			}
			if string(read(t, path)) != before {
				t.Fatalf("--%s for --%s: it was written to", name, as)
			}
		}
	}
	c.Output = filepath.Join(t.TempDir(), "out")
	must(t, c.pack(io.Discard))
}

func TestPackToStandardOutputSaysNothingElseThere(t *testing.T) {
	kernel := put(t, "k", bzImage())
	payloadOut, err := command("pack", "--kernel", kernel, "-o", "-").Output()
	must(t, err)
	if _, err := payload.Open(payloadOut); err != nil {
		t.Error(err)
	}
	manifest, err := command("pack", "--kernel", kernel, "-o", filepath.Join(t.TempDir(), "p"), "--manifest", "-").Output()
	must(t, err)
	if _, err := payload.ParseManifest(manifest); err != nil {
		t.Errorf("%q: %v", manifest, err)
	}
}

// A program that writes to standard output by its name in /proc replaces whatever is there.
func TestStandardOutputByAnotherNameIsRefused(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "out")
	must(t, os.Symlink("/proc/self/fd/1", link))
	kernel := put(t, "k", bzImage())
	regular, err := os.Create(filepath.Join(dir, "file"))
	must(t, err)
	defer regular.Close()
	for what, std := range map[string]*os.File{"is a FIFO": nil, "is standard output already": regular} {
		cmd := command("pack", "--kernel", kernel, "-o", link)
		var said strings.Builder
		cmd.Stderr = &said
		if std == nil {
			pipe, err := cmd.StdoutPipe()
			must(t, err)
			defer pipe.Close()
		} else {
			cmd.Stdout = std
		}
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) || !strings.Contains(said.String(), what) || !strings.Contains(said.String(), "- for standard output") {
			t.Errorf("want %q: %v, said %q", what, err, said.String())
		}
	}
	if got := listing(t, dir); got != "file ----------, out L---------" {
		t.Error(got)
	}
}

// A signal in the middle of a large payload, or before or after it: the old file, or the new one, and nothing beside it.
func TestASignalLeavesNothingBehind(t *testing.T) {
	kernel, initrd := put(t, "k", bzImage()), filepath.Join(t.TempDir(), "initrd")
	const size = 128 << 20
	must(t, os.WriteFile(initrd, nil, 0o600))
	must(t, os.Truncate(initrd, size))
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		interrupted := false
		for try := 0; try < 10 && !interrupted; try++ {
			dir := t.TempDir()
			out := filepath.Join(dir, "out")
			must(t, os.WriteFile(out, []byte("old"), 0o600))
			cmd := command("pack", "--kernel", kernel, "--initrd", initrd, "-o", out)
			must(t, cmd.Start())
			for listing(t, dir) == "out ----------" {
				if info, err := os.Stat(out); err != nil || info.Size() > size {
					break // too late
				}
				time.Sleep(time.Millisecond)
			}
			must(t, cmd.Process.Signal(signal))
			err := cmd.Wait()
			interrupted = err != nil
			info, statErr := os.Stat(out)
			must(t, statErr)
			if whole := info.Size() > size; whole == interrupted || !whole && string(read(t, out)) != "old" {
				t.Errorf("%v: ended with %v, a file of %d bytes", signal, err, info.Size())
			}
			if got := listing(t, dir); got != "out ----------" {
				t.Errorf("%v: the folder holds %s", signal, got)
			}
		}
		if !interrupted {
			t.Errorf("%v never came in time", signal)
		}
	}
}
