package linux

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/cavaliergopher/cpio"
	"github.com/google/go-cmp/cmp"
)

func TestTreeIsWrittenParentsFirstAndSorted(t *testing.T) {
	tree := Tree{
		"/kernel":       {Data: []byte("bz"), Mode: 0o644},
		"/a/b/c":        {Data: []byte("deep"), Mode: 0o600},
		"/init":         {Data: []byte("#!"), Mode: 0o755},
		"/debugfs/file": {Mode: 0o400},
	}
	archive, err := tree.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	again, err := tree.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(archive, again) {
		t.Error("two archives of one tree differ")
	}

	type entry struct {
		Name, Data string
		Mode       cpio.FileMode
	}
	var got []entry
	r := cpio.NewReader(bytes.NewReader(archive))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, entry{h.Name, string(data), h.Mode})
	}
	dir := cpio.FileMode(cpio.TypeDir | 0o755)
	want := []entry{
		{"a", "", dir}, {"a/b", "", dir}, {"debugfs", "", dir}, {"dev", "", dir}, {"proc", "", dir},
		{"run", "", dir}, {"sys", "", dir}, {"tmp", "", dir},
		{"a/b/c", "deep", cpio.TypeReg | 0o600},
		{"debugfs/file", "", cpio.TypeReg | 0o400},
		{"init", "#!", cpio.TypeReg | 0o755},
		{"kernel", "bz", cpio.TypeReg | 0o644},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
}

func TestTreeRefusesPathsThatLeaveIt(t *testing.T) {
	for _, name := range []string{"", "/", "init", "/../init", "/a//b", "/a/"} {
		if _, err := (Tree{name: {}}).Bytes(); err == nil {
			t.Errorf("path %q was accepted", name)
		}
	}
}
