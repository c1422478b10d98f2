package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"ferry/boot"
	"ferry/boot/protocol"
)

// maxImage is the largest bzImage that is read, in bytes. A distribution's has some 15 MiB.
const maxImage = 512 << 20

// readImage reads a bzImage, and no more of anything else than its first page: what has no end has no header of a kernel.
func readImage(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	if _, err := io.CopyN(&b, f, 4096); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if head := b.Bytes(); len(head) < protocol.OffMagic+4 || string(head[protocol.OffMagic:protocol.OffMagic+4]) != "HdrS" {
		_, err := boot.ParseKernel(head)
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.Size() <= maxImage {
		b.Grow(int(info.Size()) + bytes.MinRead)
	}
	p := watch(f, "reading "+name)
	defer p.end()
	if n, err := b.ReadFrom(io.LimitReader(p, maxImage)); err != nil {
		return nil, err
	} else if n == maxImage {
		return nil, &classed{classPayload, fmt.Errorf("%s: more than %s, which is no kernel", name, size(maxImage))}
	}
	return b.Bytes(), nil
}

// An initrd is a file that is packed as it is, and not kept in memory.
type initrd struct {
	name string
	file *os.File
	info os.FileInfo // when it was opened
	head []byte      // its first bytes
}

// headSize is how much of an initrd is looked at, in bytes.
const headSize = 64 << 10

func openInitrd(name string) (*initrd, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	i := &initrd{name: name, file: f}
	if i.info, err = f.Stat(); err == nil && !i.info.Mode().IsRegular() {
		err = i.spool()
	}
	if err == nil && i.info.Size() > maxPart {
		err = &classed{classPayload, fmt.Errorf("%s: %s, at most %s fit into a payload", name, size(uint64(i.info.Size())), size(maxPart))}
	}
	if err == nil {
		i.head = make([]byte, min(headSize, i.info.Size()))
		_, err = i.file.ReadAt(i.head, 0)
	}
	if err != nil {
		i.file.Close()
		return nil, err
	}
	return i, nil
}

// spool makes a file without a name of what can be read only once, such as a pipe.
func (i *initrd) spool() error {
	f, err := os.CreateTemp("", "ferry")
	if err != nil {
		return err
	}
	pipe := i.file
	defer pipe.Close()
	i.file = f
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	p := watch(pipe, "reading "+i.name)
	defer p.end()
	if _, err := io.Copy(f, io.LimitReader(p, maxPart+1)); err != nil {
		return err
	}
	i.info, err = f.Stat()
	return err
}

// begin returns the first bytes of an initrd, none of none.
func (i *initrd) begin() []byte {
	if i == nil {
		return nil
	}
	return i.head
}

// size returns the bytes of an initrd, 0 for none.
func (i *initrd) size() int64 {
	if i == nil {
		return 0
	}
	return i.info.Size()
}

// section returns the contents, nil for no initrd. Who reads them from the beginning shows how far that is.
func (i *initrd) section() *io.SectionReader {
	if i == nil {
		return nil
	}
	return io.NewSectionReader(&progressAt{file: i.file, what: "reading " + i.name, size: i.info.Size()}, 0, i.info.Size())
}

// unchanged wants the file to be what it was when it was opened.
func (i *initrd) unchanged() error {
	if i == nil {
		return nil
	}
	if now, err := i.file.Stat(); err != nil {
		return err
	} else if now.Size() != i.info.Size() || !now.ModTime().Equal(i.info.ModTime()) {
		return &problem{i.name + " changed while it was packed", "wait until it is whole", nil}
	}
	return nil
}
