//go:build linux || metal

package khotest

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"ferry/kho"
	"ferry/phys"
	"ferry/phys/phystest"
)

// A List is a handover of a kernel of kho-v1 that has no live update.
type List struct {
	Vector
	Name  string
	Large bool // bitmaps have 4,096 bytes, not 512
}

// Lists calls visit with each of the lists in testdata/lists, which Linux 6.17.13 and
// 6.18.15 made, one at a time.
func Lists(t *testing.T, visit func(t *testing.T, l *List)) {
	t.Helper()
	names, err := fs.Glob(files, "testdata/lists/*.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Fatal("no lists in testdata/lists")
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(name[len("testdata/lists/"):], ".json.gz"), func(t *testing.T) {
			packed, err := files.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			l, err := parseList(t, packed)
			if err != nil {
				t.Fatal(err)
			}
			l.Name, l.Large = t.Name(), strings.Contains(name, "6.18")
			visit(t, l)
		})
	}
}

func parseList(t *testing.T, packed []byte) (*List, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	var file struct {
		FDT, Scratch, Table string
		RAM                 [][2]string
		P                   [][2]any
		Pages               map[string]string
	}
	if err := json.NewDecoder(z).Decode(&file); err != nil {
		return nil, err
	}
	l := &List{}
	var bad error
	at := func(text string) phys.Addr {
		a, err := address(text)
		if err != nil {
			bad = err
		}
		return a
	}
	var ram phys.Ranges
	for _, r := range file.RAM {
		if r := (phys.Range{Start: at(r[0]).Page(), End: at(r[1]).Page()}); !r.Empty() {
			ram = ram.Add(r)
		}
	}
	l.Memory = phystest.NewSparse(t, ram...)
	put := func(a phys.Addr, content string, n uint64) {
		b, err := l.Memory.Edit(a, n)
		if err == nil {
			_, err = hex.Decode(b, []byte(content))
		}
		if err != nil {
			bad = err
		}
	}
	for a, content := range file.Pages {
		put(at(a), content, phys.PageSize)
	}
	size := uint64(len(file.Table) / 2)
	l.Data = kho.Data{FDT: at(file.FDT), FDTSize: phys.PageSize, Scratch: at(file.Scratch), ScratchSize: size}
	put(l.Data.Scratch, file.Table, size)
	for _, p := range file.P {
		order, _ := p[1].(float64)
		l.Blocks = append(l.Blocks, Block{Block: phys.Block{Addr: at(fmt.Sprint(p[0])), Order: phys.Order(order)}})
	}
	return l, bad
}
