package crossing

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/internal/oracle/standin"
	"ferry/kho"
)

// TestTheLastLineIsTheVerdict ends crossings in every way. A failure is also kept in
// the machine's record, as fields, and no table of what arrived stands above it.
func TestTheLastLineIsTheVerdict(t *testing.T) {
	damage := func(m *machine) { m.edit(m.fdt, 1)[0] = 0 }
	two := func(m *machine) {
		for i := range 2 {
			m.edit(m.session(i)+72, 1)[0] = 9
		}
	}
	none := func(m *machine) { le.PutUint64(m.edit(zeroPageAt+0x250, 8), 0) }
	const header = `kho: root: device tree header 0x[0-9a-f]+: [^;]*`
	for name, tt := range map[string]struct {
		words string
		alter func(*machine)
		want  string // a pattern
	}{
		"crossed":            {"", nil, `CROSSED 7\.3\.4[^ ]* -> 7\.1\.13: 3 sessions, 12 files, \d+ ms`},
		"rolled back":        {"", damage, `ROLLED BACK to 7\.3\.4: ` + header},
		"rolled back, twice": {"", two, `ROLLED BACK to 7\.3\.4: luo: session 0 "session-0": [^;]*; and 1 more, see above`},
		"passed on":          {"ferry.on-error=pass", damage, `PASSED ON to 7\.1\.13: ` + header},
		"passed on unread":   {"ferry.mode=pass", nil, `PASSED ON to 7\.1\.13: unread, as ferry.mode=pass says`},
		"cold":               {"ferry.on-error=cold", damage, `BOOTED 7\.1\.13 COLD: ` + header + `; its state is lost, as on-error=cold says`},
		"halted":             {"ferry.on-error=halt", damage, `HALTED: ` + header + "; on-error=halt; memory intact; do: dump the memory for `ferry inspect`, then restart the machine"},
		"no handover":        {"", none, `BOOTED 7\.1\.13 COLD: no handover came in`},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, standin.Shape{Sessions: 3, Files: 4, Plain: true}, tt.words)
			line := "rollback=1"
			m.setFiles(payload.Manifest{Kernel: payload.KernelInfo{Release: "7.1.13 (user@host) #1"},
				Rollback: &payload.Rollback{Cmdline: &line, Kernel: payload.KernelInfo{Release: "7.3.4"}}},
				pack.Files{Kernel: kernelNamed("B"), RollbackKernel: kernelNamed("A")})
			if tt.alter != nil {
				tt.alter(m)
			}
			w := &wary{Memory: m.Memory}
			m.Watch = w
			jump, err := Run(&m.Machine)
			lines := strings.Split(strings.TrimSuffix(m.log.String(), "\n"), "\n")
			if last := lines[len(lines)-1]; !regexp.MustCompile("^ferry: " + tt.want + "$").MatchString(last) {
				t.Errorf("the verdict is %q, want %q\n%s", last, tt.want, m.log)
			}
			if (err != nil) != (name == "halted") || err == nil && jump.Entry == 0 {
				t.Errorf("got %v", err)
			}
			crossed := name == "crossed"
			if table := slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, " blocks added, ") }); table != crossed {
				t.Errorf("a table of what arrived: %v, want %v\n%s", table, crossed, m.log)
			}
			failed := tt.alter != nil && !crossed && name != "no handover"
			if len(w.failed) > 1 || (len(w.failed) == 1) != failed {
				t.Fatalf("the machine keeps %+v", w.failed)
			}
			if failed {
				if f := w.failed[0]; f.Object == "" || f.Addr == 0 || f.Step == "" || !strings.Contains(lines[len(lines)-1], f.Found) {
					t.Errorf("the machine keeps %+v", f)
				}
			}
		})
	}
}

// TestAVerdictStaysOneLine: what the payload calls a kernel is untrusted.
func TestAVerdictStaysOneLine(t *testing.T) {
	for release, want := range map[string]string{
		"":                        "an unnamed kernel",
		"7.3.4-amd64 (x@y) #1":    "7.3.4-amd64",
		"7.3\nferry: CROSSED":     "7.3",
		"7.3\x1b[2J":              "7.3?[2J",
		strings.Repeat("7", 1000): strings.Repeat("7", 61) + "...",
	} {
		if got := shortRelease(release); got != want {
			t.Errorf("%q is named %q, want %q", release, got, want)
		}
	}
	r := Report{In: Census{Formats: kho.V1.String() + ", x: generation D"}}
	if got := r.source(); got != "generation D" {
		t.Errorf("the kernel before is %q", got)
	}
}
