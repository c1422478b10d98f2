package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"ferry/internal/oracle"
	"ferry/internal/oracle/standin"
	"ferry/phys"
	"ferry/phys/dump/dumptest"
)

func TestDiffSaysWhatIsPreservedDifferently(t *testing.T) {
	base := dumpFlags{Base: uint64(smallRAM.Start)}
	m := produce(t, standin.F, standin.Shape{Sessions: 2, Files: 3})
	one := m.dump(nil)
	differ := func(a, b string) string {
		var out bytes.Buffer
		err := (&diffCmd{Dump: a, Other: b, dumpFlags: base}).diff(&out)
		if lines := strings.Count(out.String(), "\n"); err == nil && out.String() != "both preserve the same\n" ||
			err != nil && !strings.Contains(err.Error(), fmt.Sprintf("%d differences", lines)) {
			t.Errorf("error %v with %q", err, out.String())
		}
		return out.String()
	}
	if s := differ(one, m.dump(dumptest.Forms[3].Make)); s != "both preserve the same\n" {
		t.Errorf("one machine in two forms: %s", s)
	}
	s := inspected(t, inspectCmd{Dump: one, dumpFlags: base}).Handovers[0].Sessions[1]
	at, err := strconv.ParseUint(s.Files[2].Data, 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	m.edit(phys.Addr(at), 8)[0] ^= 1 // position
	want, err := oracle.Decode(m.mem, m.data, oracle.FormOf("F"), oracle.FormOf("F"), nil)
	if err != nil {
		t.Fatal(err)
	}
	m.edit(phys.PFN(wordsOf(want, oracle.FolioPlace)[0]).Addr(), 1)[0] ^= 0xff // contents of the first file
	first := inspected(t, inspectCmd{Dump: one, dumpFlags: base}).Handovers[0].Sessions[0]
	got := differ(one, m.dump(nil))
	for _, w := range []string{
		fmt.Sprintf("~ session %q: token %s: position: ", s.Name, s.Files[2].Token),
		fmt.Sprintf("~ session %q: token %s: contents: sha256", first.Name, first.Files[0].Token),
	} {
		if !strings.Contains(got, w) {
			t.Errorf("no %q in:\n%s", w, got)
		}
	}
	if n := strings.Count(got, "\n"); n != 2 {
		t.Errorf("%d differences, want 2:\n%s", n, got)
	}
	more := produce(t, standin.F, standin.Shape{Sessions: 3, Files: 2})
	got = differ(one, more.dump(nil))
	for _, w := range []string{"+ session ", "with 2 files", "- session ", ": token "} {
		if !strings.Contains(got, w) {
			t.Errorf("no %q in:\n%s", w, got)
		}
	}
}
