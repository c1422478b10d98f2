package crossing

import (
	"bytes"
	"strings"
	"testing"

	"ferry/boot/payload"
	"ferry/internal/oracle/standin"
	"ferry/phys"
)

// TestAHaltSaysEachThingOnce ends crossings in every way that starts no kernel.
func TestAHaltSaysEachThingOnce(t *testing.T) {
	twoSessions := func(m *machine) { // of one name, and another that has lost a file
		for i, name := range []string{"session-1", "session-3"} {
			copy(m.edit(m.session(2*i), 9), name)
		}
		m.edit(m.session(4)+72, 1)[0]++
	}
	noHandover := func(m *machine) { le.PutUint64(m.edit(zeroPageAt+0x250, 8), 0) }
	flip := func(text string) func(*machine) { // a byte of the payload
		return func(m *machine) {
			at := bytes.LastIndex(m.archive, []byte(text))
			m.edit(payloadAt+phys.Addr(at), 1)[0] ^= 1
		}
	}
	for name, tt := range map[string]struct {
		words    string
		manifest payload.Manifest
		damage   []func(*machine)
		signed   bool
		say      []string
	}{
		"findings": {"ferry.on-error=halt", payload.Manifest{}, []func(*machine){twoSessions}, false,
			[]string{"count 5, but 4 files", "on-error=halt"}},
		"findings and a word that nobody knows": {"ferry.on-error=halt ferry.unknown=1", payload.Manifest{}, []func(*machine){twoSessions}, false,
			[]string{"ferry.unknown=1", "on-error=halt"}},
		"a handover that the next kernel does not read": {"", payload.Manifest{Kernel: payload.KernelInfo{Generation: "E"}}, []func(*machine){twoSessions}, false,
			[]string{"count 5, but 4 files", "generation E does not read kho-v4"}},
		"no payload": {"", payload.Manifest{}, []func(*machine){func(m *machine) { clear(m.edit(zeroPageAt+0x218, 8)) }}, false,
			[]string{"no payload"}},
		"no payload and a damaged list": {"", payload.Manifest{}, []func(*machine){func(m *machine) { clear(m.edit(zeroPageAt+0x218, 8)); le.PutUint64(m.edit(zeroPageAt+0x250, 8), 1) }}, false,
			[]string{"address not aligned"}},
		"a kernel that was altered":             {"", payload.Manifest{OnError: payload.OnErrorPass}, []func(*machine){flip("initrd of B")}, true, []string{"says: initrd has SHA-256"}},
		"both kernels altered, and no handover": {"", payload.Manifest{}, []func(*machine){flip("initrd of A"), flip("initrd of B"), noHandover}, true, []string{"says: initrd has SHA-256"}},
		"both kernels altered": {"", payload.Manifest{OnError: payload.OnErrorRollback}, []func(*machine){flip("initrd of A"), flip("initrd of B")}, true,
			[]string{"payload: a file is not what the manifest says: initrd has", "payload: a file is not what the manifest says: rollback.initrd has"}},
		"a kernel that was expected": {"", payload.Manifest{OnError: payload.OnErrorHalt, From: "7.3.4"}, []func(*machine){noHandover}, false,
			[]string{"expects that of \"7.3.4\""}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, standin.Shape{Sessions: 5, Files: 4}, tt.words)
			if tt.signed {
				m.both(tt.manifest)
				m.signed(newSigner())
			} else {
				m.setManifest(tt.manifest, nextKernel(), nil)
			}
			for _, damage := range tt.damage {
				damage(m)
			}
			jump, err := Run(&m.Machine)
			if err == nil || jump.Entry != 0 {
				t.Fatalf("kernel %s was started\n%s", m.started(jump), m.log)
			}
			log := m.log.String()
			lines := strings.Split(strings.TrimSuffix(log, "\n"), "\n")
			if last := lines[len(lines)-1]; !strings.HasPrefix(last, "ferry: HALTED: ") || !strings.Contains(last, "; memory intact; do: dump the memory") {
				t.Errorf("the verdict is another:\n%s", log)
			}
			for _, say := range tt.say {
				if strings.Count(log, say) != 1 || !strings.Contains(err.Error(), say) {
					t.Errorf("%q is not said once, or not in the error %q:\n%s", say, err, log)
				}
			}
			said := make(map[string]bool)
			for line := range strings.Lines(log) {
				text, ours := strings.CutPrefix(line, "ferry: ")
				text = strings.TrimPrefix(text, "error: ")
				if !ours || said[text] {
					t.Errorf("a line without a name, or said before: %s%s", line, log)
				}
				said[text] = true
			}
		})
	}
}
