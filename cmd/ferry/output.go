package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// standardOutput is the name of an output that goes there.
const standardOutput = "-"

// An input is a file that a command reads.
type input struct{ flag, name string }

// An output is a file that a command writes. Only a regular file is replaced, whole or not at all; what stands for another
// file, by a symbolic link, is followed and stays.
type output struct {
	input
	path string      // of the file that is replaced, without symbolic links; empty for standard output
	old  fs.FileInfo // of what is there, nil for nothing
	data []byte
	from io.WriterTo // in place of data, if it is not nil

	write func(context.Context, *os.File) error // in place of both: writes where it likes in the new file
}

// newOutput finds the file behind a name, and refuses one that is no regular file, or one that the command reads.
func newOutput(flag, name string, inputs ...input) (*output, error) {
	o := &output{input: input{flag, name}}
	if name == standardOutput {
		return o, nil
	}
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		dir, err := filepath.EvalSymlinks(filepath.Dir(name))
		o.path = filepath.Join(dir, filepath.Base(name))
		return o, err
	}
	var err error
	if o.old, err = os.Stat(name); err != nil {
		return nil, o.refuse("is a symbolic link to nothing: %v", err)
	}
	if kind := o.old.Mode().Type(); kind != 0 {
		return nil, o.refuse("is %s, no regular file", kindOf(kind))
	}
	if std, err := os.Stdout.Stat(); err == nil && os.SameFile(std, o.old) {
		return nil, o.refuse("is standard output already")
	}
	for _, in := range inputs {
		if info, err := os.Stat(in.name); in.name != "" && err == nil && os.SameFile(info, o.old) {
			return nil, o.refuse("is the same file as %s %s, and would take its place", in.flag, in.name)
		}
	}
	if o.path, err = filepath.EvalSymlinks(name); err != nil {
		return nil, o.refuse("has no path: %v", err)
	}
	return o, nil
}

func (o *output) refuse(format string, args ...any) error {
	return in(classUsage, &problem{fmt.Sprintf("%s %s %s", o.flag, o.name, fmt.Sprintf(format, args...)),
		"name a new file, one to be replaced, or " + standardOutput + " for standard output", nil})
}

// kindOf names what is no regular file.
func kindOf(m fs.FileMode) string {
	switch {
	case m&fs.ModeDir != 0:
		return "a directory"
	case m&fs.ModeDevice != 0:
		return "a device"
	case m&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case m&fs.ModeSocket != 0:
		return "a socket"
	}
	return "something else"
}

// text is where to print what a command says: not into an output that is standard output.
func text(std io.Writer, files ...*output) io.Writer {
	for _, o := range files {
		if o.path == "" {
			return os.Stderr
		}
	}
	return std
}

// is reports whether two outputs are one file.
func (o *output) is(p *output) bool {
	return o.path == p.path || o.old != nil && p.old != nil && os.SameFile(o.old, p.old)
}

// replaced writes the outputs. SIGINT, SIGTERM and SIGHUP end it with nothing written.
func replaced(std io.Writer, files ...*output) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return replace(ctx, std, files...)
}

// replace writes all of the outputs into new files, and when they are safe on the disk puts each in its place. An error, and
// the end of the context, leave nothing behind and everything as it was.
func replace(ctx context.Context, std io.Writer, files ...*output) error {
	fresh := make([]string, len(files))
	defer func() {
		for _, name := range fresh {
			if name != "" {
				os.Remove(name)
			}
		}
	}()
	for i, o := range files {
		for _, before := range files[:i] {
			if o.is(before) {
				return o.refuse("is the same file as %s %s", before.flag, before.name)
			}
		}
		if o.path == "" {
			continue
		}
		var err error
		if fresh[i], err = o.beside(ctx); err != nil {
			return fmt.Errorf("%s %s: %w", o.flag, o.name, err)
		}
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	for i, o := range files {
		var err error
		if o.path == "" {
			err = o.writeTo(ctx, std)
		} else if err = os.Rename(fresh[i], o.path); err == nil {
			fresh[i] = ""
			err = syncFolder(filepath.Dir(o.path))
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", o.flag, o.name, err)
		}
	}
	return nil
}

var errInterrupted = errors.New("interrupted: nothing was written")

// piece is how many bytes are written before the next look at the context.
const piece = 1 << 20

// beside writes the data into a new file in the output's folder, with the mode and the owner of what it will replace, and
// returns its name, which is not empty if there is something to be removed.
func (o *output) beside(ctx context.Context) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(o.path), "."+filepath.Base(o.path)+".*")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	write := o.write
	if write == nil {
		write = func(ctx context.Context, f *os.File) error { return o.writeTo(ctx, f) }
	}
	if err := write(ctx, f); err != nil {
		return f.Name(), err
	}
	if o.old != nil {
		if s, ok := o.old.Sys().(*syscall.Stat_t); ok {
			f.Chown(int(s.Uid), int(s.Gid)) // root may
		}
		if err := f.Chmod(o.old.Mode()); err != nil {
			return f.Name(), err
		}
	}
	return f.Name(), f.Sync()
}

// writeTo writes the data until the context ends.
func (o *output) writeTo(ctx context.Context, w io.Writer) error {
	from := o.from
	if from == nil {
		from = bytes.NewReader(o.data)
	}
	_, err := from.WriteTo(interruptible{ctx, w})
	return err
}

// interruptible is a writer until its context ends.
type interruptible struct {
	ctx context.Context
	w   io.Writer
}

// Write implements [io.Writer].
func (i interruptible) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		if i.ctx.Err() != nil {
			return n, errInterrupted
		}
		var m int
		m, err = i.w.Write(b[:min(piece, len(b))])
		n, b = n+m, b[m:]
	}
	return n, err
}

// syncFolder makes sure that a name outlives a loss of power, if the file system can do that.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}
