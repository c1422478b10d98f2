//go:build qemu

package metal

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"ferry/crossing/crossingtest"
	"ferry/internal/oracle/standin"
	"ferry/internal/qemu"
	"ferry/kho"
	"ferry/phys"
)

var (
	perSource = flag.Int("words", 40, "damages by chance for each handover of TestWords")
	seed      = flag.Uint64("seed", 1, "seed of TestWords")
)

// source is a handover that was left on metal, by the probe or by a real kernel.
type source struct {
	name string
	gen  *standin.Generation // whose words the probe speaks
	real bool
	dump *Dump
	in   *Contents
}

// hint is the format of the list, where memory does not tell.
func (s source) hint() *kho.Format { return hint(s.gen) }

// sources are the handovers to break: the probe's of each generation, and those of
// the real kernels.
func sources(t *testing.T, dir string) (all []source) {
	for _, g := range standin.Generations {
		r, _, d := depart(t, filepath.Join(dir, g.Word()), g, g, inner(t, g, g), words(g, g))
		r.Kill()
		all = append(all, source{name: "probe " + g.Name, gen: g, dump: d})
	}
	for _, release := range releases(t) {
		r, _, d := departLinux(t, filepath.Join(dir, release), route(release, release), "")
		r.Kill()
		all = append(all, source{name: "Linux " + release, gen: generation(t, release), real: true, dump: d})
	}
	for i := range all {
		s := &all[i]
		var err error
		if s.in, err = Read(s.dump.RAM, s.dump.Data, s.hint()); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		s.dump = trimmed(t, filepath.Join(dir, "base-"+strconv.Itoa(i)), s.dump, s.in)
	}
	return all
}

// trimmed returns a dump with what Ferry has to find there alone, which is quicker
// to copy: the handover, the scratch table, what the zero page names, and what the
// firmware left.
func trimmed(t *testing.T, path string, d *Dump, in *Contents) *Dump {
	t.Helper()
	ram, err := qemu.NewRAM(path, uint64(len(d.Bytes())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ram.Close(); os.Remove(path) })
	firmware := phys.NewRanges(phys.Range{End: phys.Addr(uint64(len(d.Bytes())))}).Sub(d.RAM.RAM()...)
	keep := in.All().Add(firmware...).Add(phys.Range{End: phys.LowMemory}, phys.Block{Addr: d.ZeroPage}.Range(), phys.Block{Addr: d.Data.Scratch.Page()}.Range())
	for _, n := range d.Params.SetupData {
		keep = keep.Add(n.Range())
	}
	for _, r := range keep {
		copy(ram.Writable()[r.Start:r.End], d.Bytes()[r.Start:r.End])
	}
	c := *d
	ram.Limit(d.RAM.RAM())
	c.RAM, c.Tables = ram, nil
	return &c
}

// change is a damage by chance.
type change struct {
	at       phys.Addr
	was, now uint64
	kind     string
}

func (c change) String() string {
	return fmt.Sprintf("%s at %v: %#x, was %#x", c.kind, c.at, c.now, c.was)
}

// flip changes one word of the handover's records: a bit of it, or the whole word
// to what a kernel could have put there by mistake.
func flip(rng *rand.Rand, d *Dump, in *Contents) change {
	le := binary.LittleEndian
	pick := func() (phys.Addr, uint64) {
		n := phys.Addr(rng.Uint64N(in.Records.Size()))
		for _, r := range in.Records {
			if size := phys.Addr(r.Size()); n >= size {
				n -= size
				continue
			}
			at := (r.Start + n) &^ 7
			return at, le.Uint64(d.Bytes()[at:])
		}
		panic("beyond the records")
	}
	c := change{}
	// Most of a page of records is empty: three in four changes meet a word that is not.
	c.at, c.was = pick()
	for empty := rng.IntN(4) == 0; c.was == 0 && !empty; {
		c.at, c.was = pick()
	}
	switch rng.IntN(8) {
	case 0, 1, 2:
		c.kind, c.now = "bit", c.was^1<<rng.IntN(64)
	case 3:
		c.kind, c.now = "zero", 0
	case 4:
		_, c.now = pick()
		c.kind = "another word"
	case 5:
		c.kind, c.now = "neighbour", c.was+[]uint64{1, 1 << 64 >> 1, 8, 4096, ^uint64(0), ^uint64(4095)}[rng.IntN(6)]
	case 6:
		c.kind, c.now = "scratch", uint64(in.Scratch()[0].Start)+uint64(rng.IntN(256))*phys.PageSize
	case 7:
		c.kind, c.now = "any page", rng.Uint64N(uint64(len(d.Bytes())))&^(phys.PageSize-1)
	}
	if c.now == c.was {
		c.kind, c.now = "all bits", ^c.was
	}
	le.PutUint64(d.Writable()[c.at:], c.now)
	return c
}

// TestWords breaks handovers by chance, in memory that a machine left, and lets
// Ferry run in it.
func TestWords(t *testing.T) {
	dir := folder(t)
	all := sources(t, dir)
	columns := append(policyNames[:len(policyNames):len(policyNames)], nothingLost, asDecoded)
	var ends tally
	var rows []string
	t.Run("all", func(t *testing.T) {
		for i, s := range all {
			rows = append(rows, s.name)
			for n := range *perSource {
				p := policies[n%len(policies)]
				own := filepath.Join(dir, fmt.Sprintf("%d-%d", i, n))
				rng := rand.New(rand.NewPCG(*seed, uint64(i)<<32|uint64(n)))
				t.Run(fmt.Sprintf("%s/%d/%s", s.name, n, p.name), func(t *testing.T) {
					t.Parallel()
					end := breakOne(t, own, s, p, rng)
					if !t.Failed() {
						ends.add(s.name, end)
					}
				})
			}
		}
	})
	table, n := ends.table("handover of", rows, columns)
	result(t, "attack 3: words", fmt.Sprintf(`%s, `+"`make attack-words`"+` (seed %d): %d handovers that the probe or a real kernel left on metal, one word of whose records was changed by chance
in the memory of the stopped machine: a bit, or all of it to zero, another word of the records, a neighbouring number, a page of scratch, any page. A fresh machine
starts Ferry in that memory. Where Ferry refuses, the run ends as ferry.on-error= says. Where it crosses, a decoder that shares nothing with Ferry reads what was left
before the change, what came in with it, and what arrived: scratch table, sessions, files, the place, order and flags of every folio, sub-trees, and all that is preserved
beside those. What arrived has to be what came in, word for word; "nothing lost" is that the changed word says nothing to that decoder, any other crossing that it carries
a value that nothing else contradicts, such as a file's position. No byte of what came in and none outside scratch differed afterwards that was not a new page of a new
handover. The probe's next kernel then ran with what had arrived, and found every session, file and byte, or missed something that it would have missed in what came
in, too, and was then not counted as "nothing lost". With what real kernels had left, no next kernel ran here.`, today(), *seed, n), table)
}

// Ends of a crossing with a changed word.
const (
	nothingLost = "crossed, nothing lost"
	asDecoded   = "crossed, as an independent decoder reads it"
)

// breakOne changes a word and returns how the run ended.
func breakOne(t *testing.T, path string, s source, p policy, rng *rand.Rand) string {
	t.Helper()
	run, err := s.dump.Copy(path)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	defer run.Close()
	c := flip(rng, run, s.in)
	sum, used := summed(t, run, s.in)
	start, err := run.Load(read(t, stage().Path), p.payload(t, s.gen, s.gen), fmt.Sprintf("probe.role=b probe.from=%[1]s probe.to=%[1]s probe.fdt=%[2]v probe.used=%[3]s probe.sum=%#[4]x %[5]s",
		s.gen.Word(), run.Data.FDT, used, sum, p.words()))
	if err != nil {
		t.Fatal(err)
	}
	before, err := run.Copy(path + ".before")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(before.Path)
	defer before.Close()
	log, code, err := run.Resume(start, 40*time.Second).Run()
	if err != nil {
		t.Fatal(err)
	}
	end, err := judge(s, p, before, run, log, code)
	if err != nil {
		t.Errorf("%v\n%v, exit code %d:\n%s", c, err, code, log)
	}
	return end
}

var newHandover = regexp.MustCompile(`probe B: handover 0x([0-9a-f]+), scratch table 0x([0-9a-f]+) of ([0-9]+) bytes`)

// judge returns how a run ended, and what is wrong with that.
func judge(s source, p policy, before, after *Dump, log string, code int) (string, error) {
	if !strings.Contains(log, " blocks added, ") {
		if !crossingtest.Failed(log) {
			return "", fmt.Errorf("Ferry neither crossed nor said why")
		}
		if err := p.ended(log, code); err != nil {
			return "", err
		}
		if n, err := strays(before, after.RAM); err != nil || n > 0 {
			return "", fmt.Errorf("%d pages outside scratch were written to, %w", n, err)
		}
		return p.name, nil
	}
	if err := inTime(log); err != nil {
		return "", err
	}
	match := newHandover.FindStringSubmatch(log)
	if match == nil {
		return "", fmt.Errorf("the next kernel does not say what arrived")
	}
	fdt, bad := strconv.ParseUint(match[1], 16, 64)
	table, worse := strconv.ParseUint(match[2], 16, 64)
	size, worst := strconv.ParseUint(match[3], 10, 64)
	if err := errors.Join(bad, worse, worst); err != nil {
		return "", err
	}
	after.Data.FDT, after.Data.Scratch, after.Data.ScratchSize = phys.Addr(fdt), phys.Addr(table), size
	w, err := account(before, after, s.gen, s.gen)
	if err != nil {
		return "", fmt.Errorf("what arrived is not what came: %w", err)
	}
	_, _, changed := carried(s.dump, after, s.gen, s.gen)
	if w.givenUp > 0 {
		if !strings.Contains(log, "ferry: warning: ") || w.givenUp > 2 {
			return "", fmt.Errorf("%d files are given up", w.givenUp)
		}
		changed = errors.New("files that cannot be retrieved")
	}
	if s.real {
		if changed == nil {
			return nothingLost, nil
		}
		return asDecoded, nil
	}
	return s.received(before, after, changed)
}

// received starts the next kernel of a probe's handover again, told to expect all
// that was left before a word was changed. What it misses it has to miss in what came
// in as well. changed is in what the decoder finds what arrived to differ from what
// was left.
func (s source) received(before, after *Dump, changed error) (string, error) {
	after.Raw = (*[kho.DataSize]byte)(after.Data.Append(nil))
	kernel, err := os.ReadFile(probe().Path)
	if err != nil {
		return "", err
	}
	start, err := after.Load(kernel, nil, fmt.Sprintf("probe.role=b probe.from=%[1]s probe.to=%[1]s", s.gen.Word()))
	if err != nil {
		return "", err
	}
	log, code, err := after.Resume(start, 40*time.Second).Run()
	if err != nil {
		return "", err
	}
	whole := code == 0 && strings.Contains(log, "probe B: PASSED: every session, file and byte arrived")
	switch {
	case !whole && (code != 1 || !strings.Contains(log, "probe: FAILED: ")):
		return "", fmt.Errorf("the next kernel ended with exit code %d:\n%s", code, log)
	case whole && changed == nil:
		return nothingLost, nil
	case !whole && s.whole(before):
		return "", fmt.Errorf("the next kernel would have found all in what came, and does not in what arrived:\n%s", log)
	}
	return asDecoded, nil
}

// whole reports whether the next kernel of a probe would find all in a dump.
func (s source) whole(d *Dump) bool {
	got, left, err := standin.Receive(d.RAM, s.gen, d.Data.FDT, d.Data.Scratch, d.Data.ScratchSize)
	// How it is stored may differ.
	got.Blocks, got.Preserved, got.Nodes = left.Blocks, left.Preserved, left.Nodes
	return err == nil && got == left
}

// summed returns the checksum that the next kernel has to find over the handover,
// as much of it as a command line can name.
func summed(t *testing.T, d *Dump, in *Contents) (sum uint64, list string) {
	t.Helper()
	const most = 40
	used := in.Records
	if used = used.Add(in.All()...); len(used) > most {
		used = in.Records[:min(most, len(in.Records))]
	}
	var words []string
	for _, r := range used {
		words = append(words, fmt.Sprintf("%v-%v", r.Start, r.End))
	}
	sum, err := standin.Sum(d.RAM, used)
	if err != nil {
		t.Fatal(err)
	}
	return sum, strings.Join(words, ",")
}
