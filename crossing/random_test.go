package crossing

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"ferry/crossing/crossingtest"
	"ferry/internal/oracle/standin"
	"ferry/phys"
)

var randomDamages = flag.Int("damages", 500, "random damages of TestRandomDamageEndsInOneOfTheOutcomes")

// TestRandomDamageEndsInOneOfTheOutcomes changes one word of a handover's
// metadata, at random. Whatever it was, Ferry finds no defect of its own, writes
// nothing that came in, and what it hands over is the old handover or a new one
// that reads back.
func TestRandomDamageEndsInOneOfTheOutcomes(t *testing.T) {
	shape := standin.Shape{Sessions: 3, Files: 4, Fill: 2, Regions: 2, RegionOrder: 3, Tests: 3}
	refused, crossed := 0, 0
	for seed := range *randomDamages {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 1))
			from := standin.Generations[r.IntN(len(standin.Generations))]
			to := standin.Generations[r.IntN(len(standin.Generations))]
			m := newMachineOf(t, from, standin.Carried(from, to, shape), "")
			m.next(to.Name, from.Name)

			var pages []phys.Addr // of metadata: content has no zeros
			for _, used := range m.made.Used {
				for a := used.Start; a < used.End; a += phys.PageSize {
					if b := m.edit(a, phys.PageSize); b[4088] == 0 && b[8] != 0 || b[0] == 0xd0 {
						pages = append(pages, a)
					}
				}
			}
			page := pages[r.IntN(len(pages))]
			var places []int // words that hold something, and the one behind each
			b := m.edit(page, phys.PageSize)
			for at := 0; at < phys.PageSize; at += 8 {
				if le.Uint64(b[at:]) != 0 || at > 0 && le.Uint64(b[at-8:]) != 0 {
					places = append(places, at)
				}
			}
			at := places[r.IntN(len(places))]
			old := le.Uint64(b[at:])
			other := m.made.Used[0].Start + phys.Addr(r.IntN(200))*phys.PageSize
			le.PutUint64(b[at:], [...]uint64{old ^ 1<<r.IntN(64), 0, ^uint64(0), old + 1, uint64(other), uint64(scratch[0].Start), r.Uint64(), old << 8}[r.IntN(8)])

			sum, err := standin.Sum(m.Memory, m.made.Used)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Run(&m.Machine)
			log := m.log.String()
			if strings.Contains(log, "defect") || strings.Contains(log, "does not read back") {
				t.Errorf("%s to %s, page %v offset %#x, %#x became %#x:\n%s", from.Name, to.Name, page, at, old, le.Uint64(b[at:]), log)
			}
			if now, err := standin.Sum(m.Memory, m.made.Used); err != nil || now != sum {
				t.Errorf("the handover that came in was written to: %v", err)
			}
			if crossingtest.Failed(log) || err != nil {
				refused++
			} else {
				crossed++
			}
		})
	}
	t.Logf("%d refused, %d of no consequence", refused, crossed)
	if refused == 0 || crossed == 0 {
		t.Errorf("%d refused and %d crossed: the damage is none, or always the same", refused, crossed)
	}
}
