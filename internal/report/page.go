// Package report writes what runs found into the pages under docs: a page consists
// of prose that people wrote and of sections that runs replace.
package report

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Page is a document that several runs write, each its own section: what stands
// between the comments `<!-- name -->` and `<!-- /name -->`.
type Page string

// Write replaces a section; a page or a section that is not there is an error.
func (p Page) Write(name, text string) error {
	b, err := os.ReadFile(string(p))
	if err != nil {
		return err
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, ok := strings.Cut(string(b), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return fmt.Errorf("%s: no section between %q and %q", p, strings.TrimSpace(begin), end)
	}
	f, err := os.CreateTemp(filepath.Dir(string(p)), ".page")
	if err != nil {
		return err
	}
	_, err = f.WriteString(before + begin + strings.TrimSpace(text) + "\n" + end + after)
	if bad := f.Close(); err == nil {
		err = bad
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), string(p))
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// Table is a table of a document: the first row is its head.
type Table [][]string

// String returns the table as Markdown.
func (t Table) String() string {
	var b strings.Builder
	for i, row := range t {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			b.WriteString("|" + strings.Repeat(" --- |", len(row)) + "\n")
		}
	}
	return b.String()
}
