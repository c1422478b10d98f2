//go:build linux && !metal

package attack

import (
	"testing"
	"time"

	"ferry/internal/oracle/standin"
)

// arena is every machine that the fuzzer damages: real handovers of every
// generation, and those of the stand-ins, which have what real ones lack.
func arena(t testing.TB) (all []*Mutator) {
	shape := standin.Shape{Sessions: 3, Files: 5, Fill: 2, Regions: 2, RegionOrder: 2, Tests: 5}
	for _, r := range routes {
		all = append(all, NewMutator(Vector(t, r[0], r[1])), NewMutator(Standin(t, r[0], r[1], shape)))
	}
	return all
}

// FuzzCrossing leads a damaged handover through a whole crossing. The first byte
// says which, the others how it is damaged: see Mutator.
func FuzzCrossing(f *testing.F) {
	alone(f)
	all := arena(f)
	for i := range all {
		f.Add([]byte{byte(i)})
		for kind := range byte(12) {
			for n := range byte(3) {
				f.Add([]byte{byte(i), kind, 3 + 5*n, 17 * (n + 1), n, 29*n + 2, 0, 7, 0})
			}
		}
		f.Add([]byte{byte(i), 2, 0, 40, 0, 3, 0, 0, 0, 6, 0, 11, 0, 90, 0, 0, 0, 5, 1, 60, 0, 0, 0, 0, 0})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		m := all[int(data[0])%len(all)]
		if err := m.Run(data[1:]); err != nil {
			t.Fatal(err)
		}
		hang := time.AfterFunc(3*maxTime, func() { panic("a crossing hangs") })
		taken := heap()
		o := m.s.Cross()
		taken = heap() - taken
		hang.Stop()
		bad := m.Judge(o)
		if taken > maxAlloc && bad == "" {
			bad = unbounded
		}
		if bad != "" {
			t.Errorf("%s to %s, damaged at %v: %s\n%s", m.s.From.Name, m.s.To.Name, m.s.damaged, bad, o.Log)
		}
		if err := m.Undo(); err != nil {
			t.Fatal(err)
		}
	})
}
