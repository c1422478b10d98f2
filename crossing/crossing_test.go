package crossing

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ferry/boot"
	"ferry/crossing/crossingtest"
	"ferry/internal/oracle/standin"
	"ferry/kho"
	"ferry/phys"
)

func TestEverythingArrives(t *testing.T) {
	for name, tt := range map[string]struct {
		shape  standin.Shape
		blocks uint64 // after the crossing, each as full as it can be
	}{
		"nothing":  {standin.Shape{}, 0},
		"one file": {standin.Shape{Sessions: 1, Files: 1}, 2},
		"chains":   {standin.Shape{Sessions: 52, Files: 64}, 2 + 52*2},
		"unfilled": {standin.Shape{Sessions: 60, Files: 9, Fill: 4}, 2 + 60},
		"regions":  {standin.Shape{Sessions: 2, Files: 5, Regions: 2, RegionOrder: 12}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, tt.shape, "console=ttyS0 ferry.mode=cross quiet")
			before := m.pages()
			jump, err := Run(&m.Machine)
			if err != nil {
				t.Fatalf("%v\n%s", err, m.log)
			}
			a := m.arrive(jump)
			if a.cmdline != "console=ttyS0 quiet" {
				t.Errorf("command line %q", a.cmdline)
			}
			if len(a.seed) != 32 || a.seed[0] != 0xa5 {
				t.Errorf("RNG seed %x is not the machine's", a.seed)
			}
			if a.kho == nil {
				t.Fatalf("no handover arrived\n%s", m.log)
			}
			got, left, err := a.receive(m.Memory)
			if err != nil {
				t.Fatalf("the next kernel: %v\n%s", err, m.log)
			}
			if left != m.left {
				t.Errorf("A's count arrived as %+v, want %+v", left, m.left)
			}
			if got.Blocks != tt.blocks {
				t.Errorf("%d blocks arrived, want %d", got.Blocks, tt.blocks)
			}
			got.Blocks, got.Preserved, got.Nodes = left.Blocks, left.Preserved, left.Nodes
			if got != left {
				t.Errorf("arrived %+v, left %+v", got, left)
			}
			m.unchanged(before)
		})
	}
}

// TestNothingIsWrittenButFreeMemory compares all of memory: the crossing may
// change scratch and pages that nobody owned.
func TestNothingIsWrittenButFreeMemory(t *testing.T) {
	m := newMachine(t, standin.Shape{Sessions: 20, Files: 20, Fill: 3, Regions: 3, RegionOrder: 4}, "quiet")
	before := m.pages()
	if _, err := Run(&m.Machine); err != nil {
		t.Fatal(err)
	}
	old, err := kho.Open(m.Memory, m.payload(), nil)
	if err != nil {
		t.Fatalf("the old handover: %v", err)
	}
	taken := 0
	for at, now := range m.pages() {
		page := phys.Block{Addr: at}.Range()
		if was, there := before[at]; there {
			if !bytes.Equal(was, now) {
				t.Errorf("page %v of what came in was written to", at)
			}
			continue
		}
		if b, hit := old.Map().Overlaps(page); hit {
			t.Errorf("page %v of the preserved block %v was written to", at, b)
		}
		if slices.Contains(old.Map().Nodes(), at.PFN()) {
			t.Errorf("page %v of the old map was written to", at)
		}
		if page.Overlaps(stage) {
			t.Errorf("page %v of the stage was written to", at)
		}
		if _, in := phys.NewRanges(scratch...).Overlaps(page); !in {
			taken++
		}
	}
	// A block a session, the one of the sessions, LUO root, report, tree, and nodes.
	if want := 20 + 1 + 1 + 1 + 1 + 6; taken > want {
		t.Errorf("%d pages of free memory were written, want at most %d", taken, want)
	}
}

// lossy is memory in which nothing stays that is written to the pool.
type lossy struct{ phys.Memory }

func (l lossy) Edit(a phys.Addr, n uint64) ([]byte, error) {
	if pool := (phys.Range{Start: scratch[2].Start + 4<<20, End: scratch[2].Start + 8<<20}); pool.Overlaps(phys.Range{Start: a, End: a + phys.Addr(n)}) {
		return make([]byte, n), nil
	}
	return l.Memory.Edit(a, n)
}

func TestWhatDoesNotReadBackIsNotHandedOver(t *testing.T) {
	m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, "")
	raw := bytes.Clone(m.edit(nodesAt+16, 32))
	m.Memory = lossy{m.Memory}
	jump, err := Run(&m.Machine)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(m.log.String(), "does not read back") {
		t.Errorf("the report does not say so:\n%s", m.log)
	}
	if a := m.arrive(jump); !bytes.Equal(a.kho, raw) {
		t.Errorf("payload %x, want the untouched %x", a.kho, raw)
	}
}

// bent is memory in which the name of the first session reads otherwise in pages
// that were written during the crossing.
type bent struct {
	phys.Memory
	before map[phys.Addr][]byte
}

func (b bent) View(a phys.Addr, n uint64) ([]byte, error) {
	page, err := b.Memory.View(a, n)
	at := bytes.Index(page, []byte("session-0"))
	if name := a + phys.Addr(at); err == nil && at >= 0 && name%phys.PageSize == 16 && b.before[name.Page()] == nil {
		page = bytes.Clone(page)
		page[at] = 'S'
	}
	return page, err
}

func TestAWrongNameIsNotHandedOver(t *testing.T) {
	m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, "")
	raw := bytes.Clone(m.edit(nodesAt+16, 32))
	m.Memory = bent{m.Memory, m.pages()}
	jump, err := Run(&m.Machine)
	if err != nil {
		t.Fatal(err)
	}
	if log := m.log.String(); !strings.Contains(log, "does not read back") || !strings.Contains(log, "Session-0") {
		t.Errorf("the report does not say so:\n%s", log)
	}
	if a := m.arrive(jump); !bytes.Equal(a.kho, raw) {
		t.Errorf("payload %x, want the untouched %x", a.kho, raw)
	}
}

// torn is memory in which the page at one address cannot be read.
type torn struct {
	phys.Memory
	at   phys.Addr
	hole []byte
}

func (m torn) View(a phys.Addr, n uint64) ([]byte, error) {
	if a == m.at {
		return m.hole[:n], nil
	}
	return m.Memory.View(a, n)
}

// TestFaultsEndAsThePolicySays cannot read the root device tree, before there is a
// way out, or the root of the sessions, in the middle of the translation.
func TestFaultsEndAsThePolicySays(t *testing.T) {
	for _, where := range []string{"findScratch", "receive"} {
		hole, err := syscall.Mmap(-1, 0, phys.PageSize, syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Munmap(hole) })
		m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, "")
		at := m.fdt
		if where == "receive" {
			h, err := kho.Open(m.Memory, m.payload(), nil)
			if err != nil {
				t.Fatal(err)
			}
			sessions, _ := h.Subtree("LUO")
			at = sessions.Data
		}
		raw := bytes.Clone(m.edit(nodesAt+16, 32))
		m.Memory = torn{m.Memory, at, hole}
		jump, err := Run(&m.Machine)
		if err != nil {
			t.Fatal(err)
		}
		if log := m.log.String(); !strings.Contains(log, "a defect in Ferry") || !strings.Contains(log, "ferry/crossing.(*WayOut)."+where) {
			t.Errorf("the report does not say that it was in %s:\n%s", where, log)
		}
		if a := m.arrive(jump); !bytes.Equal(a.kho, raw) {
			t.Errorf("payload %x, want the untouched %x", a.kho, raw)
		}
	}
}

func TestPassHandsOnWhatCame(t *testing.T) {
	m := newMachine(t, standin.Shape{Sessions: 3, Files: 4, Fill: 2}, "ferry.mode=pass")
	raw := bytes.Clone(m.edit(nodesAt+16, 32))
	jump, err := Run(&m.Machine)
	if err != nil {
		t.Fatal(err)
	}
	a := m.arrive(jump)
	if !bytes.Equal(a.kho, raw) {
		t.Fatalf("payload %x, want %x", a.kho, raw)
	}
	if got, left, err := a.receive(m.Memory); err != nil || got != left {
		t.Errorf("arrived %+v, left %+v: %v", got, left, err)
	}
}

func TestManifestSetsTheCommandLine(t *testing.T) {
	m := newMachine(t, standin.Shape{}, "console=ttyS0 ferry.on-error=cold")
	line := "root=/dev/vda"
	m.setPayload(nextKernel(), nil, &line)
	jump, err := Run(&m.Machine)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.arrive(jump).cmdline; got != line {
		t.Errorf("command line %q, want %q", got, line)
	}
}

// TestColdKernelStaysInScratch: the state is given up, but what firmware and the
// kernel before reserved is not Ferry's to overwrite, and e820 does not tell.
func TestColdKernelStaysInScratch(t *testing.T) {
	m := newMachine(t, standin.Shape{Sessions: 1, Files: 1}, "ferry.on-error=cold")
	k := nextKernel()
	le.PutUint32(k[0x260:], 96<<20) // more than any scratch area
	m.setPayload(k, nil, nil)
	before := m.pages()
	if _, err := Run(&m.Machine); !errors.Is(err, boot.ErrNoRoom) {
		t.Errorf("%v\n%s", err, m.log)
	}
	m.unchanged(before)
}

// TestHiddenHandoverIsNotTakenForNone breaks the list of setup_data before the
// handover's node: nobody knows what is preserved, so nothing is started unless
// the policy gives the state up.
func TestHiddenHandoverIsNotTakenForNone(t *testing.T) {
	for policy, boots := range map[string]bool{"": false, "ferry.on-error=cold": true} {
		m := newMachine(t, standin.Shape{Sessions: 1, Files: 1}, policy)
		node := m.edit(nodesAt+0x100, 16)
		le.PutUint64(node, 0x7f00000000)
		le.PutUint32(node[8:], 99)
		le.PutUint64(m.edit(zeroPageAt, phys.PageSize)[0x250:], uint64(nodesAt+0x100))
		_, err := Run(&m.Machine)
		if (err == nil) != boots || !strings.Contains(m.log.String(), "0x7f00000000") {
			t.Errorf("%q: got %v\n%s", policy, err, m.log)
		}
	}
}

func TestWithoutHandoverTheNextKernelBootsCold(t *testing.T) {
	m := newMachine(t, standin.Shape{}, "ferry.misspelled")
	le.PutUint64(m.edit(zeroPageAt, phys.PageSize)[0x250:], 0)
	jump, err := Run(&m.Machine)
	if err != nil {
		t.Fatal(err)
	}
	if a := m.arrive(jump); a.kho != nil {
		t.Errorf("a handover arrived: %x", a.kho)
	}
}

// damages are those of the stand-in, and one of the payload itself.
func damages() map[string]func(m *machine) string {
	all := map[string]func(m *machine) string{
		"payload-outside-ram": func(m *machine) string {
			le.PutUint64(m.edit(nodesAt+16, 8), 0x7f00000000)
			return "0x7f00000000"
		},
		"huge-scratch-table": func(m *machine) string {
			le.PutUint64(m.edit(nodesAt+40, 8), 48|1<<40)
			return "scratch table"
		},
		"preserved-under-the-payload": func(m *machine) string {
			// The table says less than the truth: what was loaded lies outside.
			for i := range uint64(len(scratch)) {
				le.PutUint64(m.edit(tableAt+phys.Addr(16*i)+8, 8), 0)
			}
			le.PutUint64(m.edit(tableAt, 8), uint64(stageAt-0xa00000))
			le.PutUint64(m.edit(tableAt+8, 8), 0xa00000)
			root := le.Uint64(m.edit(m.fdt+phys.Addr(bytes.Index(m.edit(m.fdt, phys.PageSize), []byte("kho-v4")))+20, 8))
			m.preserve(phys.Addr(root), payloadAt)
			return payloadAt.String()
		},
	}
	for _, d := range standin.DamagesOf(standin.F) {
		if d.Alone() {
			continue
		}
		all[d.Name] = func(m *machine) string {
			named, err := d.Do(m.made, scratch[0].Start)
			if err != nil {
				m.t.Fatal(err)
			}
			return named
		}
	}
	return all
}

func TestDamagedHandoverEndsAsThePolicySays(t *testing.T) {
	shape := standin.Shape{Sessions: 3, Files: 3, Fill: 2, Regions: 1, RegionOrder: 2}
	for name, damage := range damages() {
		for _, policy := range []Outcome{"", OnErrorPass, OnErrorCold, OnErrorHalt} {
			t.Run(name+"/"+string(policy), func(t *testing.T) {
				cmdline := ""
				if policy != "" {
					cmdline = "ferry.on-error=" + string(policy)
				}
				m := newMachine(t, shape, cmdline)
				named := damage(m)
				raw := bytes.Clone(m.edit(nodesAt+16, 32))
				before := m.pages()
				jump, err := Run(&m.Machine)
				m.unchanged(before)
				if !crossingtest.Failed(m.log.String()) || !strings.Contains(m.log.String(), named) {
					t.Errorf("the report does not name %q:\n%s", named, m.log)
				}
				if strings.Contains(m.log.String(), "does not read back") {
					t.Errorf("the damage was noticed only in what was written:\n%s", m.log)
				}
				if policy == OnErrorHalt {
					if !errors.Is(err, ErrHalt) {
						t.Errorf("got %v, want a halt", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				a := m.arrive(jump)
				if policy == OnErrorCold {
					raw = nil
				}
				if !bytes.Equal(a.kho, raw) {
					t.Errorf("handover payload %x, want %x", a.kho, raw)
				}
				plan := phys.Range{Start: jump.Entry - 0x200, End: jump.Entry + 8<<20 - 0x200}
				if !scratch[0].Contains(plan) {
					t.Errorf("the next kernel at %v is not in scratch", plan)
				}
			})
		}
	}
}

func TestNoPlaceNoJump(t *testing.T) {
	for name, tt := range map[string]struct {
		breakIt func(m *machine)
		want    string
	}{
		"payload is no archive": {func(m *machine) { copy(m.edit(payloadAt, 6), "xxxxxx") }, "payload"},
		"no payload":            {func(m *machine) { le.PutUint32(m.edit(zeroPageAt, phys.PageSize)[0x21c:], 0) }, "no payload"},
		"kernel too large": {func(m *machine) {
			k := nextKernel()
			le.PutUint32(k[0x260:], 96<<20)
			m.setPayload(k, nil, nil)
		}, "no room"},
		"kernel cannot take five levels": {func(m *machine) {
			m.FiveLevel = true
			k := nextKernel()
			k[0x236] = 3
			m.setPayload(k, nil, nil)
		}, "five"},
		"no zero page": {func(m *machine) { m.ZeroPage = 0x7f00000000 }, "0x7f00000000"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, standin.Shape{Sessions: 1, Files: 1}, "")
			tt.breakIt(m)
			before := m.pages()
			_, err := Run(&m.Machine)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want an error about %q", err, tt.want)
			}
			m.unchanged(before)
		})
	}
}

func TestOptions(t *testing.T) {
	def := Options{Mode: Cross, Deadline: defaultDeadline}
	for line, change := range map[string]func(o *Options){
		"":                                       func(o *Options) {},
		"quiet ferry.mode=pass":                  func(o *Options) { o.Mode = Pass },
		"ferry.on-error=halt ferry.mode=cross":   func(o *Options) { o.OnError = OnErrorHalt },
		"ferry.on-error=cold -- ferry.mode=pass": func(o *Options) { o.OnError = OnErrorCold },
		"ferry.beyond-limits=1":                  func(o *Options) { o.BeyondLimits = true },
		"ferry.beyond-limits=1 ferry.beyond-limits=0":              func(o *Options) {},
		"ferry.expect-sessions=20":                                 func(o *Options) { o.ExpectSessions = 20 },
		"ferry.deadline=1500ms":                                    func(o *Options) { o.Deadline = 1500 * time.Millisecond },
		"ferry.from=6.18.15-amd64":                                 func(o *Options) { o.From = "6.18.15-amd64" },
		"ferry.from=6.18 ferry.from=E'":                            func(o *Options) { o.From = "E'" },
		"ferry.deadline=0":                                         func(o *Options) { o.Deadline = 0 },
		`dyndbg="file a ferry.mode=pass +p" "ferry.on-error=cold"`: func(o *Options) { o.OnError = OnErrorCold },
	} {
		want := def
		change(&want)
		if got, err := ParseOptions(line); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", line, got, err, want)
		}
	}
	for _, line := range []string{"ferry.mode=", "ferry.mode=cros", "ferry.on-error=back", "ferry.onerror=halt", "ferry.beyond-limits=yes",
		"ferry.expect-sessions=", "ferry.expect-sessions=-1", "ferry.expect-sessions=all", "ferry.expect-sessions=4294967296",
		"ferry.from=", "ferry.from=6.15", "ferry.from=G", "ferry.deadline=10", "ferry.deadline=-1s", "ferry.deadline=25h", "ferry.deadline=", "ferry.deadline=999ms"} {
		if _, err := ParseOptions(line); err == nil || !strings.Contains(err.Error(), line) {
			t.Errorf("%q: got error %v, want one that quotes it", line, err)
		}
	}
}
