package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ferry/internal/oracle"
	"ferry/internal/oracle/standin"
	"ferry/phys"
	"ferry/phys/dump/dumptest"
)

// contents are those of a file as the independent decoder finds them.
func contents(t *testing.T, m *left, session, file int32) []byte {
	t.Helper()
	want, err := oracle.Decode(m.mem, m.data, oracle.FormOf("F"), oracle.FormOf("F"), nil)
	if err != nil {
		t.Fatal(err)
	}
	of := func(k oracle.Kind) (v []uint64) {
		for _, w := range want.Words {
			if w.Kind == k && w.Session == session && w.File == file {
				v = append(v, w.Value)
			}
		}
		return v
	}
	size := of(oracle.Size)[0]
	b := make([]byte, (size+phys.PageSize-1)/phys.PageSize*phys.PageSize+1<<22)
	places, orders, indexes := of(oracle.FolioPlace), of(oracle.FolioOrder), of(oracle.FolioIndex)
	for i, pfn := range places {
		if pfn == 0 {
			continue
		}
		page, err := m.mem.View(phys.PFN(pfn).Addr(), phys.Order(orders[i]).Bytes())
		if err != nil {
			t.Fatal(err)
		}
		copy(b[indexes[i]<<phys.PageShift:], page)
	}
	return b[:size]
}

func TestExtractWritesWhatWasPreserved(t *testing.T) {
	m := produce(t, standin.F, standin.Shape{Sessions: 2, Files: 4})
	f := inspected(t, inspectCmd{Dump: m.dump(nil), dumpFlags: dumpFlags{Base: uint64(smallRAM.Start)}})
	for _, form := range dumptest.Forms {
		name := m.dump(form.Make)
		for i, s := range f.Handovers[0].Sessions {
			for j, file := range s.Files {
				to := filepath.Join(t.TempDir(), "out")
				if err := (&extractCmd{Dump: name, What: s.Name + "/" + file.Token, File: to}).extract(io.Discard); err != nil {
					t.Fatalf("%s: %v", form.Name, err)
				}
				got, err := os.ReadFile(to)
				if err != nil {
					t.Fatal(err)
				}
				if want := contents(t, m, int32(i), int32(j)); !bytes.Equal(got, want) {
					t.Errorf("%s: session %d file %d: %d bytes that differ from the %d that were preserved", form.Name, i, j, len(got), len(want))
				}
			}
			if form.Name != "ELF core" {
				break // one session is enough for each of the others
			}
		}
	}
}

// TestExtractLeavesHolesForZeros makes all of a file's memory zero.
func TestExtractLeavesHolesForZeros(t *testing.T) {
	m := produce(t, standin.F, standin.Shape{Sessions: 1, Files: 1})
	want, err := oracle.Decode(m.mem, m.data, oracle.FormOf("F"), oracle.FormOf("F"), nil)
	if err != nil {
		t.Fatal(err)
	}
	orders := wordsOf(want, oracle.FolioOrder)
	for i, pfn := range wordsOf(want, oracle.FolioPlace) {
		clear(m.edit(phys.PFN(pfn).Addr(), phys.Order(orders[i]).Bytes()))
	}
	dump := m.dump(nil)
	f := inspected(t, inspectCmd{Dump: dump, dumpFlags: dumpFlags{Base: uint64(smallRAM.Start)}})
	s := f.Handovers[0].Sessions[0]
	to := filepath.Join(t.TempDir(), "out")
	if err := (&extractCmd{Dump: dump, What: s.Name + "/" + s.Files[0].Token, File: to, dumpFlags: dumpFlags{Base: uint64(smallRAM.Start)}}).extract(io.Discard); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(to, &st); err != nil || st.Blocks != 0 || uint64(st.Size) != s.Files[0].Size {
		t.Errorf("%d bytes in %d blocks, %v; want %d in none", st.Size, st.Blocks, err, s.Files[0].Size)
	}
}

func TestExtractRefuses(t *testing.T) {
	m := produce(t, standin.F, standin.Shape{Sessions: 1, Files: 2})
	dump := m.dump(nil)
	base := dumpFlags{Base: uint64(smallRAM.Start)}
	s := inspected(t, inspectCmd{Dump: dump, dumpFlags: base}).Handovers[0].Sessions[0]
	good := s.Name + "/" + s.Files[0].Token
	dir := t.TempDir()
	old := filepath.Join(dir, "old")
	if err := os.WriteFile(old, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, file, handover, want string
	}{
		{"vm-7", old, "", "names no file"},
		{s.Name + "/x", old, "", "names no file"},
		{"nobody/1", old, "", "no file of a session \"nobody\""},
		{s.Name + "/0xdeadbeef", old, "", "no token 0xdeadbeef"},
		{good, "-", "", "standard output"},
		{good, dir, "", "a directory"},
		{good, "/dev/null", "", "a device"},
		{good, dump, "", "same file as DUMP"},
		{good, old, "0x123", "no handover with a device tree at 0x123"},
	} {
		err := (&extractCmd{Dump: dump, What: c.what, File: c.file, dumpFlags: base, Handover: c.handover}).extract(io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s into %s: error %v, want one with %q", c.what, c.file, err, c.want)
		}
	}
	if b, err := os.ReadFile(old); err != nil || string(b) != "old" {
		t.Errorf("%q, %v", b, err)
	}
	at, err := strconv.ParseUint(s.Files[0].Data, 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint64(m.edit(phys.Addr(at)+8, 8), 1<<50)
	err = (&extractCmd{Dump: m.dump(nil), What: good, File: old, dumpFlags: base}).extract(io.Discard)
	if err == nil || !strings.Contains(err.Error(), "the file is damaged") {
		t.Errorf("a damaged file: %v", err)
	}
	if names, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(names) != 1 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}
