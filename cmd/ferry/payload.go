package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cavaliergopher/cpio"

	"ferry/boot"
)

// Parts of a payload, in the order in which they stand in it.
const (
	manifestName = "manifest.json"
	kernelName   = "kernel"
	initrdName   = "initrd"
)

// A manifest tells the stage about the payload.
type manifest struct {
	// Cmdline is the next kernel's command line. Empty means what the stage was given, less its own words.
	Cmdline string `json:"cmdline,omitempty"`
}

// writePayload writes a newc archive. Equal parts give equal bytes.
func writePayload(w io.Writer, m manifest, kernel, initrd []byte) error {
	meta, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	archive := cpio.NewWriter(w)
	for i, part := range []struct {
		name string
		data []byte
	}{{manifestName, append(meta, '\n')}, {kernelName, kernel}, {initrdName, initrd}} {
		header := &cpio.Header{Name: part.name, Mode: cpio.TypeReg | 0o600, Size: int64(len(part.data)), Links: 1, Inode: int64(i + 1)}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(part.data); err != nil {
			return err
		}
	}
	return archive.Close()
}

// readPayload returns the size of a payload and what its kernel's header says.
func readPayload(name string) (size uint64, kernel *boot.Kernel, err error) {
	file, err := os.ReadFile(name)
	if err != nil {
		return 0, nil, err
	}
	r := cpio.NewReader(bytes.NewReader(file))
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return 0, nil, fmt.Errorf("no %q in the archive", kernelName)
		}
		if err != nil {
			return 0, nil, err
		}
		if header.Name != kernelName {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return 0, nil, err
		}
		kernel, err = boot.ParseKernel(data)
		if err != nil {
			return 0, nil, fmt.Errorf("kernel: %w", err)
		}
		return uint64(len(file)), kernel, nil
	}
}
