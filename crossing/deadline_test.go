package crossing

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/crossing/crossingtest"
	"ferry/internal/oracle/standin"
	"ferry/kho"
)

// timekeeper is a watch that remembers each deadline, and whether there was
// a way out by then.
type timekeeper struct {
	wary
	set []string
}

func (k *timekeeper) Deadline(d time.Duration) {
	k.set = append(k.set, fmt.Sprintf("%v, way out %v", d.Round(time.Second), k.to != nil))
}

// TestTheDeadlineBeginsWithTheWayOut: before there is one, a deadline could end in
// nothing but a halt.
func TestTheDeadlineBeginsWithTheWayOut(t *testing.T) {
	for name, tt := range map[string]struct {
		words   string
		elapsed time.Duration // before the fallback is ready
		set     []string
		started string
	}{
		"by default":                       {"", 0, []string{"10m0s, way out false", "5m0s, way out true"}, "B"},
		"some time is over":                {"ferry.deadline=10s", 3 * time.Second, []string{"10m0s, way out false", "7s, way out true"}, "B"},
		"all of it is over":                {"ferry.deadline=10s", 12 * time.Second, []string{"10m0s, way out false"}, "A"},
		"any time":                         {"ferry.deadline=0", time.Hour, []string{"0s, way out false", "0s, way out true"}, "B"},
		"more than preparation ever takes": {"ferry.deadline=24h", time.Hour, []string{"24h0m0s, way out false", "23h0m0s, way out true"}, "B"},
		"the shortest":                     {"ferry.deadline=1s", 0, []string{"10m0s, way out false", "1s, way out true"}, "B"},
		"a slip in the unit":               {"ferry.deadline=30ms", 0, []string{"10m0s, way out false", "5m0s, way out true"}, "A"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, tt.words)
			line := "rollback=1"
			m.setFiles(payload.Manifest{Rollback: &payload.Rollback{Cmdline: &line}}, pack.Files{Kernel: kernelNamed("B"), RollbackKernel: kernelNamed("A")})
			raw := bytes.Clone(m.edit(nodesAt+16, kho.DataSize))
			k := &timekeeper{}
			k.onStep = func(name string) {
				if name == "scratch" {
					m.ticks += int64(tt.elapsed)
				}
			}
			m.Watch = k
			jump, err := Run(&m.Machine)
			if err != nil || m.started(jump) != tt.started {
				t.Fatalf("%v, want kernel %s\n%s", err, tt.started, m.log)
			}
			if !slices.Equal(k.set, tt.set) {
				t.Errorf("deadlines %q, want %q", k.set, tt.set)
			}
			if a := m.arrive(jump); tt.started == "A" && !bytes.Equal(a.kho, raw) {
				t.Errorf("the kernel before got %x, want %x", a.kho, raw)
			}
			if expired := crossingtest.Names(m.log.String(), "the time is up: ferry.deadline="+tt.words[max(0, len(tt.words)-3):]); expired != (tt.elapsed == 12*time.Second) {
				t.Errorf("says that the time is up: %v\n%s", expired, m.log)
			}
		})
	}
}

// TestTheMachineSaysWhatFollows: a deadline, or a fault, ends without this code.
func TestTheMachineSaysWhatFollows(t *testing.T) {
	for policy, want := range map[string]string{
		payload.OnErrorRollback: "the rollback kernel with the untouched handover",
		payload.OnErrorPass:     "the next kernel with the untouched handover",
		payload.OnErrorCold:     "the next kernel without the handover",
	} {
		m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, "ferry.on-error="+policy)
		m.both(payload.Manifest{})
		w := &wary{Memory: m.Memory}
		steps := 0
		w.onStep = func(step string) {
			if step == "luo" {
				if steps++; w.to == nil || w.to.Name != want {
					t.Errorf("on-error=%s: on the way the machine goes on at %+v, want %q", policy, w.to, want)
				}
			}
		}
		m.Watch = w
		if _, err := Run(&m.Machine); err != nil || steps != 1 {
			t.Fatalf("%v, %d steps\n%s", err, steps, m.log)
		}
		if w.to == nil || w.to.Name != "the next kernel with the new handover" {
			t.Errorf("on-error=%s: at the end the machine goes on at %+v", policy, w.to)
		}
	}
}
