package report

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPageKeepsWhatIsNotItsSection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	text := "# Title\n<!-- one -->\nold\n<!-- /one -->\nbetween\n<!-- two -->\n<!-- /two -->\nend\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := Page(path)
	if err := p.Write("one", "new\n\n"+Table{{"a", "b"}, {"1", "2"}}.String()); err != nil {
		t.Fatal(err)
	}
	if err := p.Write("two", "more"); err != nil {
		t.Fatal(err)
	}
	want := "# Title\n<!-- one -->\nnew\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n<!-- /one -->\nbetween\n<!-- two -->\nmore\n<!-- /two -->\nend\n"
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%v:\n%s\nwant:\n%s", err, got, want)
	}
	if err := p.Write("three", "text"); err == nil {
		t.Error("a section that is not there was written")
	}
}
