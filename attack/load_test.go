//go:build linux && !metal

package attack

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"ferry/crossing"
	"ferry/internal/oracle"
	"ferry/internal/report"
	"ferry/kho"
	"ferry/luo"
	"ferry/memfd"
	"ferry/phys"
	"ferry/phys/phystest"
)

var heavy = flag.Bool("load", false, "cross the largest handovers that the formats have, too")

// The bounds of a crossing of any handover: memory that is taken from the heap,
// were none of it ever given back, and time on a host.
const (
	loadHeap = 64 << 20 // a stage has this much by default
	loadTime = 10 * time.Second
)

// cargo is a large handover.
type cargo struct {
	name     string
	from, to string
	ram      phys.Addr
	fill     func(t *testing.T, st *luo.State, d *kho.Draft, from *crossing.Generation)
	beyond   bool                                  // past what kernels write
	damage   func(t *testing.T, s *Subject) string // what the report has to say
	large    bool
}

const gib = phys.Addr(1 << 30)

func cargos() []cargo {
	sessions := func(n, files int) func(*testing.T, *luo.State, *kho.Draft, *crossing.Generation) {
		return func(t *testing.T, st *luo.State, d *kho.Draft, _ *crossing.Generation) {
			for i := range n {
				check(t, st.AddSession(fmt.Sprintf("session-%d", i)))
				for f := range files {
					check(t, st.AddFile("vm-v1", uint64(i)<<32|uint64(f), uint64(f)))
				}
			}
		}
	}
	return []cargo{
		{name: "510,000 sessions", from: "F", to: "F", ram: 2 * gib, fill: sessions(510_000, 0), large: true},
		{name: "510,000 sessions", from: "F", to: "E'", ram: 2 * gib, fill: sessions(510_000, 0), large: true},
		{name: "510,000 sessions", from: "E'", to: "F", ram: 2 * gib, fill: sessions(510_000, 0), large: true},
		{name: "630,000 files in one session", from: "F", to: "F", ram: 2 * gib, fill: sessions(1, 630_000), large: true},
		{name: "630,000 files in one session", from: "F", to: "E'", ram: 2 * gib, fill: sessions(1, 630_000), large: true},
		{name: "819 sessions of 128 files", from: "C", to: "F", ram: 2 * gib, fill: sessions(819, 128)},
		{name: "819 sessions of 128 files", from: "E", to: "D", ram: 2 * gib, fill: sessions(819, 128)},
		{name: "52,428 sessions", from: "E", to: "F", ram: 2 * gib, fill: sessions(52_428, 0), beyond: true},
		{name: "65,536 files in one session", from: "C", to: "F", ram: 2 * gib, fill: sessions(1, 65_536), beyond: true},
		{name: "10,001 blocks of sessions", from: "F", to: "F", ram: 2 * gib, fill: sessions(510_000, 0), damage: oneBlockMore, large: true},
		{name: "10,001 blocks of sessions", from: "E'", to: "F", ram: 2 * gib, fill: sessions(510_000, 0), damage: oneBlockMore, large: true},
		{name: "a million pages over 64 GiB", from: "F", to: "F", ram: 64 * gib, fill: spread(1 << 20), large: true},
		{name: "a million pages over 64 GiB", from: "C", to: "F", ram: 64 * gib, fill: spread(1 << 20), large: true},
		{name: "a million pages over 64 GiB", from: "F", to: "E", ram: 64 * gib, fill: spread(1 << 20), large: true},
		{name: "a million pages over 64 GiB", from: "B", to: "A", ram: 64 * gib, fill: nobodys(1 << 20), large: true},
		{name: "a million pages over 64 GiB", from: "A", to: "F", ram: 64 * gib, fill: nobodys(1 << 20), large: true},
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// place is where page i of n lies, apart from all others, in 64 GiB.
func place(i, n int) phys.Addr {
	return 4*gib + phys.Addr(i)*(56*gib/phys.Addr(n)).Page()
}

// spread is one memfd of n pages, none beside another.
func spread(n int) func(*testing.T, *luo.State, *kho.Draft, *crossing.Generation) {
	return func(t *testing.T, st *luo.State, d *kho.Draft, from *crossing.Generation) {
		folios := make([]memfd.Folio, n)
		for i := range folios {
			b := phys.Block{Addr: place(i, n)}
			check(t, d.Preserve(b))
			folios[i] = memfd.Folio{Block: b, Index: uint64(i), Flags: memfd.Dirty | memfd.UpToDate}
		}
		a, err := memfd.Write(d, from.Memfd, memfd.Meta{Size: uint64(n) << phys.PageShift, Seals: memfd.SealSeal}, folios)
		check(t, err)
		check(t, st.AddSession("vm"))
		check(t, st.AddFile(from.Memfd.Handler(), uint64(a), 1))
	}
}

// nobodys are n preserved pages of somebody unknown.
func nobodys(n int) func(*testing.T, *luo.State, *kho.Draft, *crossing.Generation) {
	return func(t *testing.T, _ *luo.State, d *kho.Draft, _ *crossing.Generation) {
		for i := range n {
			check(t, d.Preserve(phys.Block{Addr: place(i, n)}))
		}
	}
}

// oneBlockMore links one more block behind the last one of the sessions.
func oneBlockMore(t *testing.T, s *Subject) string {
	page, err := s.View(s.Data.FDT, phys.PageSize)
	check(t, err)
	root := oracle.Property(page, "LUO", "preserved-data")
	word := func(a phys.Addr) []byte {
		b, err := s.Poke(a, 8)
		check(t, err)
		return b
	}
	at := phys.Addr(le.Uint64(word(phys.Addr(root) + phys.Addr(s.From.Text) + 8)))
	for next := at; next != 0; next = phys.Addr(le.Uint64(word(at))) {
		at = next
	}
	for _, b := range s.Before.Blocks { // the one that is nobody's
		if i, ok := s.Before.Index(b.Addr); ok && s.Before.Owner(i) == 0 {
			le.PutUint64(word(at), uint64(b.Addr))
			le.PutUint64(word(b.Addr+8), 1)
			copy(word(b.Addr+16), "one more")
			return "10000"
		}
	}
	t.Fatal("no page for one more block")
	return ""
}

// subject builds the machine of a load.
func (l cargo) subject(t *testing.T) *Subject {
	from := crossing.ByName(l.from)
	ram := phys.Range{Start: 0x100000, End: l.ram}
	mem := phystest.NewSparse(t, ram)
	var areas []kho.ScratchArea
	for _, r := range standinScratch {
		areas = append(areas, kho.ScratchArea{Addr: r.Start, Size: r.Size()})
	}
	d, err := kho.New(mem, from.KHO, phys.NewRanges(ram), standinTable, areas, nil)
	check(t, err)
	st := luo.New(1)
	l.fill(t, st, d, from)
	if from.LUO != nil {
		_, _, err = d.Alloc() // nobody's: see oneBlockMore
		check(t, err)
		check(t, luo.Serialize(st, d, luo.Options{Format: from.LUO, BeyondLimits: l.beyond}))
	}
	data, err := d.Commit()
	check(t, err)
	s := &Subject{From: oracle.FormOf(l.from), To: oracle.FormOf(l.to), Words: "quiet ferry.on-error=pass ferry.beyond-limits=1"}
	s.lay(t, mem, data)
	return s
}

// TestLargeHandoversCross crosses handovers at the limits of their formats in
// bounded memory and time. `make attack-load` adds the largest and writes the page.
func TestLargeHandoversCross(t *testing.T) {
	alone(t)
	var b strings.Builder
	b.WriteString("| handover | route | outcome | preserved blocks | heap, MiB | time, ms |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, l := range cargos() {
		if l.large && !*heavy {
			continue
		}
		s := l.subject(t)
		want := ""
		if l.damage != nil {
			want = l.damage(t, s)
		}
		taken, begin := heap(), time.Now()
		o := s.Cross()
		taken, took := heap()-taken, time.Since(begin)
		name := fmt.Sprintf("%s, %s to %s", l.name, l.from, l.to)
		outcome := "crosses"
		switch {
		case o.Defect != "" || o.Refused != (l.damage != nil) || o.Cold || !strings.Contains(string(o.Log), want):
			t.Errorf("%s: %s\n%.4000s", name, o.Defect, o.Log)
			continue
		case l.damage != nil:
			outcome = "refused"
		default:
			if err := s.Carried(o, s.Before); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if taken > loadHeap || took > loadTime {
			t.Errorf("%s: %d bytes of heap, %v", name, taken, took)
		}
		fmt.Fprintf(&b, "| %s | %s to %s | %s | %d | %.1f | %.0f |\n", l.name, l.from, l.to, outcome, len(s.Before.Blocks), float64(taken)/(1<<20), float64(took)/1e6)
	}
	t.Log("\n" + b.String())
	if *page == "" || t.Failed() {
		return
	}
	text := fmt.Sprintf("%s, `make attack-load`: a whole crossing each, on a fake machine. The heap is all that was ever taken from it, as if nothing were\n"+
		"collected; it has to stay below %d MiB, and the time below %v, on a host that has other work too. What crossed is what came in.\n\n%s",
		time.Now().Format(time.DateOnly), loadHeap>>20, loadTime, b.String())
	if err := report.Page(*page).Write("attack 8", text); err != nil {
		t.Error(err)
	}
}
