package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// column is what the images of one toolchain take.
type column struct {
	version    string
	image      int64
	empty, one cost
	blocks     cost
}

// toolchains prints a table of what the images in two folders take, the stock
// toolchain's and TamaGo's, as a page of documentation.
func toolchains(stock, tamago string) error {
	var columns [2]column
	for i, build := range []string{stock, tamago} {
		if err := columns[i].measure(build); err != nil {
			return err
		}
	}
	fmt.Print(page(columns[0], columns[1]))
	return nil
}

func (c *column) measure(build string) error {
	info, err := buildinfo.ReadFile(filepath.Join(build, "stage.elf"))
	if err != nil {
		return err
	}
	c.version = info.GoVersion
	for _, s := range info.Settings {
		if s.Key == "GOOS" {
			c.version += ", GOOS=" + s.Value
		}
	}
	image, err := os.Stat(filepath.Join(build, "ferry.bzimage"))
	if err != nil {
		return err
	}
	c.image = image.Size()
	for words, into := range map[string]*cost{
		"probe.sessions=0 probe.files=0":      &c.empty,
		"probe.sessions=1 probe.files=1":      &c.one,
		"probe.sessions=510000 probe.files=0": &c.blocks,
	} {
		if *into, err = cross(build, words); err != nil {
			return err
		}
	}
	return nil
}

// page returns the documentation of both.
func page(stock, tamago column) string {
	var b strings.Builder
	fmt.Fprint(&b, `# One stage, two toolchains

The same `+"`cmd/stage`"+`, built by the stock Go toolchain and by TamaGo's. Written by
`+"`make toolchains TAMAGO=/path/to/tamago-go/bin/go`"+` and not by hand. Instructions are counted by QEMU (-icount), from the
stage's first to the next kernel's first, without the copy of that kernel.

| | stock | TamaGo |
| --- | ---: | ---: |
`)
	row := func(name string, of func(*column) string) {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, of(&stock), of(&tamago))
	}
	number := func(name string, u unit, of func(*column) float64) {
		row(name, func(c *column) string { return u.format(of(c)) })
	}
	row("toolchain", func(c *column) string { return c.version })
	number("image", megabytes, func(c *column) float64 { return float64(c.image) })
	number("entry to main", instructions, func(c *column) float64 { return float64(c.one.main) })
	number("memory in main", mebibytes, func(c *column) float64 { return float64(c.one.inMain << 10) })
	number("crossing, empty handover", instructions, func(c *column) float64 { return c.empty.crossing() })
	number("crossing, 1 session with 1 file", instructions, func(c *column) float64 { return c.one.crossing() })
	number("memory at its peak", mebibytes, func(c *column) float64 { return float64(c.one.memory << 10) })
	number("crossing, 510,000 sessions", instructions, func(c *column) float64 { return c.blocks.crossing() })
	number("memory at its peak", mebibytes, func(c *column) float64 { return float64(c.blocks.memory << 10) })
	fmt.Fprint(&b, `
Why they differ: the stock runtime sits on `+"`board/amd64/internal/syscalls`"+`, which gives it memory page by page when it is touched and takes back what
the collector frees. TamaGo's runtime owns one window of memory: it clears what it takes, 4 MiB of heap at a time, keeps it, and
all of it is mapped before the runtime starts. In return there is no kernel below it, and no thread but one.
`)
	return b.String()
}
