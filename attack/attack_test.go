//go:build linux && !metal

package attack

import (
	"testing"

	"ferry/internal/oracle"
	"ferry/internal/oracle/standin"
)

// alone skips, with -short, a test that runs on one goroutine. The race detector
// makes these ten times as slow and finds nothing in them; `make test` runs them
// without it.
func alone(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("on one goroutine, runs without -short")
	}
}

// TestUndamagedHandoversArrive holds the machine and the decoder against Ferry:
// without damage everything arrives, from every generation to every other one
// that can hold it.
func TestUndamagedHandoversArrive(t *testing.T) {
	alone(t)
	shape := standin.Shape{Sessions: 3, Files: 9, Regions: 2, RegionOrder: 3, Tests: 3}
	for _, from := range oracle.Forms {
		for _, to := range oracle.Forms {
			subjects := map[string]*Subject{"stand-in": Standin(t, from.Name, to.Name, shape)}
			if Holds(from, to) {
				subjects["vector"] = Vector(t, from.Name, to.Name)
			}
			for name, s := range subjects {
				o := s.Cross()
				if o.Defect != "" || o.Refused || o.Cold {
					t.Errorf("%s %s to %s: %s\n%s", name, from.Name, to.Name, o.Defect, o.Log)
					continue
				}
				if err := s.Carried(o, s.Before); err != nil {
					t.Errorf("%s %s to %s: %v", name, from.Name, to.Name, err)
				}
			}
		}
	}
}

func BenchmarkCross(b *testing.B) {
	for _, f := range oracle.Forms {
		b.Run(f.Name, func(b *testing.B) {
			s := Vector(b, f.Name, f.Name)
			for b.Loop() {
				if o := s.Cross(); o.Defect != "" {
					b.Fatal(o.Defect)
				}
				if err := s.Reset(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
