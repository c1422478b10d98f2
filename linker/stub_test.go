package linker

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// stubs are the listings by the mode the processor runs their parts in.
var stubs = []struct {
	name    string
	listing *string
	origin  int
	modes   []mode
}{
	{"real16", &real16, headerEnd, []mode{{0, "i8086"}, {0x355, "i386"}}},
	{"entry32", &entry32, 0, []mode{{0, "i386"}, {0xef, "i386:x86-64"}}},
	{"probe64", &probe64, 0, []mode{{0, "i386:x86-64"}}},
}

// mode is the instruction set from an offset on.
type mode struct {
	from int
	arch string
}

// TestListingTextIsWhatTheBytesMean disassembles the stubs.
func TestListingTextIsWhatTheBytesMean(t *testing.T) {
	if _, err := exec.LookPath("objdump"); err != nil {
		t.Fatal("objdump is missing: install binutils, as make test does")
	}
	for _, s := range stubs {
		t.Run(s.name, func(t *testing.T) {
			lines, err := parse(*s.listing, s.origin)
			if err != nil {
				t.Fatal(err)
			}
			code, err := assemble(*s.listing, s.origin)
			if err != nil {
				t.Fatal(err)
			}
			text := map[string]map[int]string{}
			for _, m := range s.modes {
				text[m.arch] = disassemble(t, append(make([]byte, s.origin), code...), max(m.from, s.origin), m.arch)
			}
			for _, l := range lines {
				arch := s.modes[0].arch
				for _, m := range s.modes {
					if l.offset >= m.from {
						arch = m.arch
					}
				}
				if got := text[arch][l.offset]; l.text != "db" && got != l.text {
					t.Errorf("%03x: bytes % x are %q, the listing says %q", l.offset, l.bytes, got, l.text)
				}
			}
		})
	}
}

var instruction = regexp.MustCompile(`(?m)^ *([0-9a-f]+):\t[0-9a-f ]+\t(.*)$`)

// disassemble returns the instructions of code from an offset on.
func disassemble(t *testing.T, code []byte, from int, arch string) map[int]string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "code")
	if err := os.WriteFile(name, code, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("objdump", "-D", "-w", "-b", "binary", "-m", arch, "-M", "intel",
		"--start-address", hexOf(from), name).CombinedOutput()
	if err != nil {
		t.Fatalf("objdump: %v\n%s", err, out)
	}
	m := map[int]string{}
	for _, f := range instruction.FindAllStringSubmatch(string(out), -1) {
		text, _, _ := strings.Cut(f[2], "#")
		m[number(t, f[1])] = strings.Join(strings.Fields(text), " ")
	}
	return m
}

func TestListingRefuses(t *testing.T) {
	const good = "000  fc                         cld\n"
	for _, c := range []struct{ name, listing string }{
		{"a short line", "000  fc\n"},
		{"a wrong offset", "001" + good[3:]},
		{"no offset", "xyz" + good[3:]},
		{"no bytes", "000  zz" + good[7:]},
		{"a gap", good + "002" + good[3:]},
	} {
		if _, err := parse(c.listing, 0); err == nil {
			t.Errorf("%s: accepted", c.name)
		}
	}
	if b, err := assemble(good, 0); err != nil || len(b) != 1 || b[0] != 0xfc {
		t.Errorf("cld: % x, %v", b, err)
	}
}

func hexOf(n int) string { return "0x" + strconv.FormatInt(int64(n), 16) }

func number(t *testing.T, hex string) int {
	t.Helper()
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}
