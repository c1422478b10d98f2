package crossing

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ferry/boot/opened"
	"ferry/boot/opened/openedtest"
	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/internal/oracle/standin"
	"ferry/kho"
	"ferry/phys"
)

// withOpened gives the machine a payload with B opened, in place of its bzImage, and A to
// go back to, and a chance of its own.
func (m *machine) withOpened(seed byte, manifest payload.Manifest, edits ...func(*pack.Files)) {
	m.t.Helper()
	line := "rollback=1"
	manifest.Rollback = &payload.Rollback{Cmdline: &line}
	files := pack.Files{Opened: openedtest.Part(), Initrd: bytes.Repeat([]byte("initrd of B"), 1000),
		RollbackKernel: kernelNamed("A"), RollbackInitrd: bytes.Repeat([]byte("initrd of A"), 1000)}
	for _, edit := range edits {
		edit(&files)
	}
	m.setFiles(manifest, files)
	chance := rand.NewChaCha8([32]byte{seed})
	m.Random = func(b []byte) { chance.Read(b) }
}

// enters fails the test unless the jump enters the opened kernel, whole, and returns
// where it lies and by how much it was moved.
func (m *machine) enters(j Jump) (at phys.Range, slide uint64) {
	m.t.Helper()
	i := openedtest.Image()
	at = phys.Range{Start: j.Entry - openedtest.Entry, End: j.Entry - openedtest.Entry + openedtest.Memory}
	first := i.Wide[0]
	slide = le.Uint64(m.edit(at.Start+phys.Addr(first), 8)) - le.Uint64(i.Bytes[first:])
	for _, a := range i.Wide {
		le.PutUint64(i.Bytes[a:], le.Uint64(i.Bytes[a:])+slide)
	}
	for _, a := range i.Narrow {
		le.PutUint32(i.Bytes[a:], le.Uint32(i.Bytes[a:])+uint32(slide))
	}
	if !bytes.Equal(m.edit(at.Start, uint64(len(i.Bytes))), i.Bytes) {
		m.t.Errorf("at %v lies no opened kernel, moved by %#x\n%s", at, slide, m.log)
	}
	return at, slide
}

// TestOpenedKernelTakesTheHandover crosses often: with each chance the kernel is whole,
// takes all of the state, and lies in scratch, apart from everything else.
func TestOpenedKernelTakesTheHandover(t *testing.T) {
	places, slides := map[phys.Addr]bool{}, map[uint64]bool{}
	for seed := range byte(25) {
		m := newMachine(t, standin.Shape{Sessions: 5, Files: 6, Regions: 2}, "quiet")
		m.withOpened(seed, payload.Manifest{})
		before := m.pages()
		jump, err := Run(&m.Machine)
		if err != nil {
			t.Fatalf("%v\n%s", err, m.log)
		}
		m.unchanged(before)
		at, slide := m.enters(jump)
		places[at.Start], slides[slide] = true, true
		m.depart(jump)
		m.enters(jump) // still
		zp := m.edit(jump.ZeroPage, phys.PageSize)
		if zp[0x211] != 3 || !strings.Contains(m.log.String(), "ferry: next kernel: it is entered opened, at one of ") {
			t.Errorf("loadflags %#x\n%s", zp[0x211], m.log)
		}
		d := kho.Data{FDT: 0}
		for node := le.Uint64(zp[0x250:]); node != 0; node = le.Uint64(m.edit(phys.Addr(node), 8)) {
			if le.Uint32(m.edit(phys.Addr(node)+8, 4)) == 10 {
				if d, err = kho.ParseData(0, m.edit(phys.Addr(node)+16, kho.DataSize)); err != nil {
					t.Fatal(err)
				}
			}
		}
		got, left, err := standin.Receive(m.Memory, standin.F, d.FDT, d.Scratch, d.ScratchSize)
		if err != nil {
			t.Errorf("seed %d: %v\n%s", seed, err, m.log)
		}
		if got.Sessions != 5 || got.Files != 30 {
			t.Errorf("arrived: %+v, %+v", got, left)
		}
		h, err := kho.Open(m.Memory, d, nil)
		if err != nil {
			t.Fatal(err)
		}
		apart := phys.NewRanges(stage, phys.Block{Addr: tableAt}.Range(), phys.Block{Addr: zeroPageAt}.Range(), phys.Block{Addr: jump.ZeroPage}.Range())
		if hit, bad := apart.Add(h.Remembered()...).Overlaps(at); bad || !phys.NewRanges(scratch...).Contains(at) {
			t.Errorf("seed %d: kernel at %v, over %v", seed, at, hit)
		}
	}
	if len(places) < 5 || len(slides) < 20 {
		t.Errorf("%d places and %d offsets", len(places), len(slides))
	}
}

// TestOpenedKernelIsNoSecret: clearing it would take longer than writing it did.
func TestOpenedKernelIsNoSecret(t *testing.T) {
	m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, "secret")
	m.withOpened(1, payload.Manifest{})
	jump, err := Run(&m.Machine)
	if err != nil {
		t.Fatalf("%v\n%s", err, m.log)
	}
	p, err := payload.Open(m.archive)
	if err != nil {
		t.Fatal(err)
	}
	part := phys.Range{Start: payloadAt + phys.Addr(p.Opened.Offset), End: payloadAt + phys.Addr(p.Opened.Offset) + phys.Addr(len(p.Opened.Data))}
	wiped := phys.NewRanges(jump.Wipe...)
	if hit, ok := wiped.Overlaps(part); ok {
		t.Errorf("%v is cleared, the opened kernel at %v", hit, part)
	}
	for what, f := range map[string]payload.File{"manifest": p.Raw, "rollback initrd": p.RollbackInitrd} {
		at := payloadAt + phys.Addr(f.Offset)
		if !wiped.Contains(phys.Range{Start: at, End: at + phys.Addr(len(f.Data))}) {
			t.Errorf("%s at %v is not cleared: %v", what, at, wiped)
		}
	}
}

// TestWhatComesOfAnOpenedKernel that is not to be entered, or damaged.
func TestWhatComesOfAnOpenedKernel(t *testing.T) {
	beside := func(f *pack.Files) { f.Kernel = kernelNamed("B") }
	damaged := func(m *machine) {
		p, err := payload.Open(m.archive)
		if err != nil {
			m.t.Fatal(err)
		}
		m.edit(payloadAt+phys.Addr(p.Opened.Offset)+4096+3, 1)[0] ^= 1
	}
	broken := func(m *machine) { // as it was packed, says the manifest
		p, err := payload.Open(m.archive)
		if err != nil {
			m.t.Fatal(err)
		}
		before := payload.NewPart(p.Opened.Data).SHA256
		p.Opened.Data[40+7] = 0xff
		m.place(bytes.Replace(m.archive, []byte(before), []byte(payload.NewPart(p.Opened.Data).SHA256), 1))
	}
	for name, tt := range map[string]struct {
		words   string
		files   func(*pack.Files)
		machine func(*machine)
		started string // opened, A, B, or nothing
		say     string
	}{
		"it is entered":                       {"", nil, nil, "opened", "it is entered opened"},
		"though there is a bzImage":           {"", beside, nil, "opened", "it is entered opened"},
		"it wants five levels":                {"", nil, func(m *machine) { m.HasFiveLevel = true }, "A", "would turn on 5"},
		"it wants five, and has a bzImage":    {"", beside, func(m *machine) { m.HasFiveLevel = true }, "B", "its bzImage is started: boot: the opened kernel is not to be entered here: the machine runs with 4 levels"},
		"it is told to want four":             {"no5lvl", nil, func(m *machine) { m.HasFiveLevel = true }, "opened", "it is entered opened"},
		"memory is limited":                   {"mem=4G", nil, nil, "A", "mem=4G on its command line"},
		"memory is limited, to halt":          {"mem=4G ferry.on-error=halt", nil, nil, "", "mem=4G on its command line"},
		"memory is limited, with the bzImage": {"mem=4G", beside, nil, "B", "its bzImage is started"},
		"memory is encrypted":                 {"", nil, func(m *machine) { m.Encrypted = true }, "A", "SEV or TDX"},
		"it is damaged":                       {"", nil, broken, "A", "opened: not an opened kernel: entry"},
		"it is damaged, with the bzImage":     {"", beside, broken, "A", "opened: not an opened kernel: entry"},
		"it was altered":                      {"", beside, damaged, "A", "opened has SHA-256"},
		"it was altered after it was signed":  {"", beside, func(m *machine) { m.signed(newSigner()); damaged(m) }, "A", "opened has SHA-256"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, tt.words)
			m.withOpened(1, payload.Manifest{}, func(f *pack.Files) {
				if tt.files != nil {
					tt.files(f)
				}
			})
			if tt.machine != nil {
				tt.machine(m)
			}
			jump, err := Run(&m.Machine)
			switch {
			case (err == nil) != (tt.started != ""):
				t.Errorf("%v, want kernel %q\n%s", err, tt.started, m.log)
			case tt.started == "opened":
				m.enters(jump)
			case err == nil:
				if got := m.started(jump); got != tt.started {
					t.Errorf("kernel %q was started, want %q\n%s", got, tt.started, m.log)
				}
			}
			if !strings.Contains(m.log.String(), tt.say) {
				t.Errorf("the report does not say %q:\n%s", tt.say, m.log)
			}
		})
	}
}

// TestOpenedKernelIsTheWayOut: it is written once, before the handover is read, and
// started with the old one or the new one.
func TestOpenedKernelIsTheWayOut(t *testing.T) {
	for _, damage := range []bool{false, true} {
		m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, "ferry.on-error=pass")
		m.withOpened(2, payload.Manifest{})
		raw := bytes.Clone(m.edit(nodesAt+16, kho.DataSize))
		if damage {
			m.edit(m.fdt, 1)[0] = 0
		}
		w := &wary{Memory: m.Memory}
		m.Memory, m.Watch = w, w
		jump, err := Run(&m.Machine)
		if err != nil {
			t.Fatalf("%v\n%s", err, m.log)
		}
		if want := []string{"armed false, deadline 10m0s"}; !slices.Equal(w.writes, want) {
			t.Errorf("while the kernel was written: %q, want %q", w.writes, want)
		}
		m.enters(jump)
		zp := m.edit(jump.ZeroPage, phys.PageSize)
		node := phys.Addr(le.Uint64(zp[0x250:]))
		node = phys.Addr(le.Uint64(m.edit(node, 8))) // behind the seed
		if old := bytes.Equal(m.edit(node+16, kho.DataSize), raw); old != damage {
			t.Errorf("damage %v: the handover is the old one: %v\n%s", damage, old, m.log)
		}
	}
}

// TestFaultBeforeTheJumpGoesBack stops the crossing at each step: until the new kernel
// is whole and has the handover, the machine by itself goes on in the one before.
func TestFaultBeforeTheJumpGoesBack(t *testing.T) {
	for _, room := range []bool{true, false} {
		m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, "")
		m.withOpened(3, payload.Manifest{}, func(f *pack.Files) {
			if !room {
				f.Opened = openedtest.Part(func(i *opened.Image) { i.Memory = 40 << 20 })
				le.PutUint32(f.RollbackKernel[0x260:], 40<<20)
			}
		})
		w := &wary{Memory: m.Memory}
		m.Memory, m.Watch = w, w
		var armed []string
		w.onStep = func(name string) {
			if w.to != nil {
				armed = append(armed, fmt.Sprintf("%s %s", name, m.started(*w.to)))
			}
		}
		jump, err := Run(&m.Machine)
		if err != nil {
			t.Fatalf("%v\n%s", err, m.log)
		}
		if want := []string{"kho A", "luo A", "files A", "serialize A", "commit A", "verify A", "place A"}; !slices.Equal(armed, want) {
			t.Errorf("room %v: armed at %q, want %q", room, armed, want)
		}
		second := map[bool]string{true: "armed true, deadline 5m0s", false: "armed false, deadline 0s"}[room]
		if want := []string{"armed false, deadline 10m0s", second}; !slices.Equal(w.writes, want) {
			t.Errorf("room %v: while the kernels were written: %q, want %q", room, w.writes, want)
		}
		if w.to == nil || w.to.Entry != jump.Entry {
			t.Errorf("room %v: at the end the machine goes on at %+v, want %+v", room, w.to, jump)
		}
		m.enters(jump)
	}
}

// TestPlacesLeaveRoomForNewPages: in scratch that holds the kernel and two pieces, it
// goes to where two are left, whatever chance says.
func TestPlacesLeaveRoomForNewPages(t *testing.T) {
	for seed := range byte(40) {
		m := newMachine(t, standin.Shape{Sessions: 3, Files: 4}, "")
		m.withOpened(seed, payload.Manifest{})
		r := newReport(&m.Machine)
		s, err := start(&m.Machine, r)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := s.handover(r)
		w := newWayOut(s, r, raw)
		w.findScratch()
		next := w.fill(s.next.Next)
		// 16 MiB are free behind the command line.
		next.KHO, next.Occupied = raw, next.Occupied.Add(scratch[0], phys.Range{Start: scratch[2].Start + 20<<20, End: scratch[2].End})
		plan, err := w.place(next)
		if err != nil {
			t.Fatal(err)
		}
		if left := kho.FirstPieces(next.Scratch, next.Occupied.Add(plan.Ranges()...).Add(s.held()...), 8); left.Size() != 8<<20 {
			t.Errorf("seed %d: kernel at %v leaves %v", seed, plan.Kernel, left)
		}
	}
}
