package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"ferry/boot/vmlinux"
	"ferry/crossing"
)

type abiCmd struct {
	Images []string `arg:"" optional:"" type:"existingfile" help:"Kernels, bzImages. Default: print what can be crossed."`
	JSON   bool     `name:"json" help:"Print JSON."`
}

// Run prints what kernels read, or the table of generations.
func (c *abiCmd) Run() error { return c.print(os.Stdout) }

func (c *abiCmd) print(out io.Writer) error {
	if len(c.Images) == 0 {
		return printGenerations(out, c.JSON)
	}
	var answers []answer
	var bad []error
	for _, name := range c.Images {
		a, err := examine(name)
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", name, err))
			continue
		}
		answers = append(answers, a)
	}
	if len(answers) > 0 {
		if err := printAnswers(out, answers, c.JSON); err != nil {
			return err
		}
	}
	return errors.Join(bad...)
}

// An answer is what one image says.
type answer struct {
	Image       string   `json:"image"`
	Release     string   `json:"release"`
	Compression string   `json:"compression"`
	KHO         []string `json:"kho"`
	LUO         []string `json:"luo"`
	Sessions    []string `json:"sessions"`
	FLBs        []string `json:"flbs"`
	Memfd       []string `json:"memfd"`
	Generation  string   `json:"generation"`        // empty if it is none that can be crossed to
	Refused     string   `json:"refused,omitempty"` // why ferry pack does not take it
	Note        string   `json:"note,omitempty"`
}

func examine(name string) (answer, error) {
	image, err := readImage(name)
	if err != nil {
		return answer{}, err
	}
	k, err := vmlinux.Open(image)
	if err != nil {
		return answer{}, err
	}
	f := k.Formats
	a := answer{Image: name, Release: k.Release, Compression: k.Compression,
		KHO: list(f.KHO), LUO: list(f.LUO), Sessions: list(f.Sessions), FLBs: list(f.FLBs), Memfd: list(f.Memfd)}
	g, note, err := identify(crossing.Generations(), k)
	if g != nil {
		a.Generation = g.Name
	}
	if err != nil {
		a.Refused = err.Error()
	}
	a.Note = note
	return a, nil
}

// list makes JSON of no strings an empty list.
func list(s []string) []string { return append([]string{}, s...) }

func printAnswers(out io.Writer, answers []answer, asJSON bool) error {
	if asJSON {
		return printJSON(out, answers)
	}
	w := newTable(out, "image", "release", "compression", "kho", "luo", "memfd", "generation")
	for _, a := range answers {
		generation := a.Generation
		if generation == "" {
			generation, _, _ = strings.Cut(a.Refused, ":")
		}
		w.row(a.Image, a.Release, a.Compression, cell(a.KHO), cell(append(a.LUO, a.FLBs...)), cell(a.Memfd), generation)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, a := range answers {
		for _, s := range []string{a.Refused, a.Note} {
			if s != "" {
				fmt.Fprintf(out, "%s: %s\n", a.Image, s)
			}
		}
	}
	return nil
}

// cell is a list of strings in a table.
func cell(s []string) string {
	if len(s) == 0 {
		return "-"
	}
	return strings.Join(s, ",")
}

// table writes columns.
type table struct{ *tabwriter.Writer }

func newTable(out io.Writer, head ...string) table {
	t := table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.row(head...)
	return t
}

func (t table) row(cells ...string) { fmt.Fprintln(t, strings.Join(cells, "\t")) }

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
