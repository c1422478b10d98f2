//go:build linux || metal

// Package khotest gives tests handovers that real kernels left. Nothing outside
// tests imports it.
package khotest

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"ferry/kho"
	"ferry/phys"
	"ferry/phys/phystest"
)

//go:embed testdata/*.json.gz testdata/lists/*.json.gz
var files embed.FS

// Vector is a handover with what an independent program found in it.
type Vector struct {
	Memory phys.Memory // the whole machine, a fake everywhere: its pages lie where a stage runs
	Data   kho.Data    // the payload
	Blocks []Block     // what is preserved, in ascending order of addresses
	Pages  []phys.Addr // pages of the handover's own structures, with contents
}

// Block is one preserved block and what it is: "kho fdt", "luo_ser", "block",
// "flb", "memfd", "memfd array chunk", "memfd array data", "folio", "memblock",
// "reserve_mem" or "kexec-metadata".
type Block struct {
	phys.Block
	Role string
}

// Linux734 returns the handover of Linux 7.3.4 described in testdata/README.md:
// two sessions of 130 memfds each.
func Linux734(t testing.TB) *Vector { t.Helper(); return Linux(t, "7.3.4") }

// Linux returns the handover of the release, one of those in testdata.
func Linux(t testing.TB, release string) *Vector {
	t.Helper()
	packed, err := files.ReadFile("testdata/linux-" + release + ".json.gz")
	if err != nil {
		t.Fatal(err)
	}
	v, err := parse(t, packed)
	if err != nil {
		t.Fatalf("handover of Linux %s: %v", release, err)
	}
	return v
}

func parse(t testing.TB, packed []byte) (*Vector, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	var file struct {
		Node  string `json:"kho_setup_data_node"`
		Size  uint64 `json:"ram_size"`
		P     [][3]any
		Pages map[string]string
	}
	if err := json.NewDecoder(z).Decode(&file); err != nil {
		return nil, err
	}
	v := &Vector{Memory: phystest.NewSparse(t, phys.Range{Start: phys.LowMemory, End: phys.Addr(file.Size - 0x20000)})}
	for _, p := range file.P {
		a, err := address(fmt.Sprint(p[0]))
		if err != nil {
			return nil, err
		}
		order, _ := p[1].(float64)
		role, _ := p[2].(string)
		v.Blocks = append(v.Blocks, Block{phys.Block{Addr: a, Order: phys.Order(order)}, role})
	}
	for text, content := range file.Pages {
		a, err := address(text)
		if err != nil {
			return nil, err
		}
		page, err := v.Memory.Edit(a, phys.PageSize)
		if err != nil {
			return nil, err
		}
		if _, err := hex.Decode(page, []byte(content)); err != nil {
			return nil, err
		}
		v.Pages = append(v.Pages, a)
	}
	slices.Sort(v.Pages)
	slices.SortFunc(v.Blocks, func(a, b Block) int { return cmp.Compare(a.Addr, b.Addr) })
	node, err := address(file.Node)
	if err != nil {
		return nil, err
	}
	payload, err := v.Memory.View(node+16, kho.DataSize)
	if err != nil {
		return nil, err
	}
	v.Data, err = kho.ParseData(node+16, payload)
	return v, err
}

func address(s string) (phys.Addr, error) {
	a, err := strconv.ParseUint(s, 0, 64)
	return phys.Addr(a), err
}
