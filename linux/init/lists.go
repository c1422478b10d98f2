//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"slices"
	"strings"

	"ferry/fdt"
	"ferry/kho"
	"ferry/linux"
	"ferry/phys"
)

const khoOut = "/sys/kernel/debug/kho/out/"

// tellApart lets a kernel of kho-v1 make its handover again and again, with other objects of 512 bytes around its
// bitmaps each time, and reads each list as the stage would: without a claim of what it is, with the right one and with
// the wrong one. Nothing may be read as the kernel did not write it.
func (c config) tellApart() error {
	right, wrong, size := kho.V1, kho.V1Small, uint64(4096)
	if r := c.route.Release(0); strings.HasPrefix(r, "6.16.") || strings.HasPrefix(r, "6.17.") {
		right, wrong, size = kho.V1Small, kho.V1, 512
	}
	m, err := openMemory()
	if err != nil {
		return err
	}
	churn, err := newChurn(c.fragmented)
	if err != nil {
		return err
	}
	var n tally
	for i := range c.lists {
		if i > 0 {
			churn.run()
			if err := os.WriteFile(khoOut+"finalize", []byte("0"), 0); err != nil {
				return err
			}
		}
		if err := os.WriteFile(khoOut+"finalize", []byte("1"), 0); err != nil {
			return err
		}
		l, err := m.list(size)
		if err != nil {
			return fmt.Errorf("list %d: %w", i, err)
		}
		m.seen = map[phys.Addr][]byte{}
		for j, claim := range []*kho.Format{nil, right, wrong} {
			h, err := kho.Open(m, l.data, claim)
			switch {
			case errors.Is(err, kho.ErrAmbiguous):
				if n.refused[j]++; j < 2 && n.refused[j] == 1 {
					report("list %d, claim %v: %v", i, claim, err)
				}
			case err != nil:
				return fmt.Errorf("list %d, claim %v: %w", i, claim, err)
			case !slices.Contains(h.Formats(), right) || h.Map().Count() != uint64(len(l.blocks)):
				n.wrong++
				report("list %d, claim %v: read as %v with %d blocks, want %v with %d", i, claim, h.Format(), h.Map().Count(), right, len(l.blocks))
			case len(h.Formats()) > 1:
				n.alike[j]++
			default:
				n.read[j]++
			}
		}
		if i < c.dump || l.aligned && l.behind && n.behind < c.dump {
			if err := m.dump(l); err != nil {
				return err
			}
		}
		if l.aligned {
			n.aligned++
		}
		if l.aligned && l.behind {
			n.behind++
		}
	}
	report(linux.ListsLine+"%d %v", c.lists, n)
	return nil
}

// tally counts lists, and what became of them without a claim, with the right one and with the wrong one.
type tally struct {
	aligned, behind      int // large bitmaps could lie where these do, and would say something else
	read, alike, refused [3]int
	wrong                int
}

func (t tally) String() string {
	three := func(n [3]int) string { return fmt.Sprintf("%d,%d,%d", n[0], n[1], n[2]) }
	return fmt.Sprintf("aligned=%d behind=%d read=%s alike=%s refused=%s wrong=%d", t.aligned, t.behind, three(t.read), three(t.alike), three(t.refused), t.wrong)
}

// memory is this machine's, with a scratch table where the kernel might put one at a kexec.
type memory struct {
	file  *os.File
	ram   phys.Ranges
	at    phys.Addr
	table []byte
	fdt   phys.Addr // root device tree, the same in every handover of one boot

	seen map[phys.Addr][]byte // pages that were looked at
}

func openMemory() (*memory, error) {
	m := &memory{}
	var err error
	if m.file, err = os.Open("/dev/mem"); err != nil {
		return nil, err
	}
	iomem, err := os.ReadFile("/proc/iomem")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(iomem)) {
		var start, end uint64
		if n, _ := fmt.Sscanf(line, "%x-%x : System RAM", &start, &end); n == 2 && strings.HasSuffix(line, " : System RAM\n") {
			m.ram = m.ram.Add(phys.Range{Start: phys.Addr(start), End: phys.Addr(end) + 1})
		}
	}
	starts, err := os.ReadFile(khoOut + "scratch_phys")
	if err != nil {
		return nil, err
	}
	sizes, err := os.ReadFile(khoOut + "scratch_len")
	if err != nil {
		return nil, err
	}
	lengths := strings.Fields(string(sizes))
	for i, field := range strings.Fields(string(starts)) {
		var start, size uint64
		if _, err := fmt.Sscan(field+" "+lengths[i], &start, &size); err != nil {
			return nil, err
		}
		if m.at == 0 && size > 0 {
			m.at = phys.Addr(start)
		}
		m.table = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(m.table, start), size)
	}
	return m, nil
}

// RAM returns what /proc/iomem says.
func (m *memory) RAM() phys.Ranges { return m.ram }

// View returns a copy.
func (m *memory) View(a phys.Addr, n uint64) ([]byte, error) {
	if err := phys.Check(m.ram, a, n); err != nil {
		return nil, err
	}
	if a == m.at && n == uint64(len(m.table)) {
		return m.table, nil
	}
	b := make([]byte, n)
	if _, err := m.file.ReadAt(b, int64(a)); err != nil {
		return nil, err
	}
	for page := a.Page(); page < a+phys.Addr(n); page += phys.PageSize {
		if m.seen == nil || m.seen[page] != nil {
			continue
		}
		m.seen[page] = make([]byte, phys.PageSize)
		if _, err := m.file.ReadAt(m.seen[page], int64(page)); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Edit fails.
func (m *memory) Edit(a phys.Addr, _ uint64) ([]byte, error) {
	return nil, &phys.Error{Object: "memory", Addr: a, Found: "that of a running kernel", Err: phys.ErrReadOnly}
}

// made is the list that the kernel has made, by the arithmetic of its own bitmaps.
type made struct {
	data    kho.Data
	blocks  []phys.Block
	aligned bool // so that large bitmaps could lie there
	behind  bool // and one has bits that are none of its own
}

// list reads what the kernel has made, whose bitmaps have size bytes.
func (m *memory) list(size uint64) (l made, err error) {
	blob, err := os.ReadFile(khoOut + "fdt")
	if err != nil {
		return l, err
	}
	tree, err := fdt.Parse(0, blob)
	if err != nil {
		return l, err
	}
	next, err := tree.Root().Uint64("preserved-memory-map")
	if err != nil {
		return l, err
	}
	l.aligned = true
	for next != 0 {
		chunk, err := m.View(phys.Addr(next), 4096)
		if err != nil {
			return l, err
		}
		next = binary.LittleEndian.Uint64(chunk)
		order := binary.LittleEndian.Uint32(chunk[8:])
		for i := range binary.LittleEndian.Uint32(chunk[12:]) {
			start, at := binary.LittleEndian.Uint64(chunk[16+16*i:]), binary.LittleEndian.Uint64(chunk[24+16*i:])
			page, err := m.View(phys.Addr(at).Page(), 4096)
			if err != nil {
				return l, err
			}
			l.aligned = l.aligned && start%(1<<(27+order)) == 0 && at%4096 == 0
			l.behind = l.behind || len(bytes.Trim(page[512:], "\x00")) > 0
			bitmap := page[at%4096:][:size]
			for b, v := range bitmap {
				for ; v != 0; v &= v - 1 {
					o := phys.Order(order)
					block := phys.Block{Addr: phys.Addr(start + uint64(8*b+bits.TrailingZeros8(v))<<(12+o)), Order: o}
					l.blocks = append(l.blocks, block)
					if o > 0 || m.fdt > 0 {
						continue
					}
					if page, err := m.View(block.Addr, uint64(len(blob))); err == nil && bytes.Equal(page, blob) {
						m.fdt = block.Addr
					}
				}
			}
		}
	}
	l.data = kho.Data{FDT: m.fdt, FDTSize: phys.PageSize, Scratch: m.at, ScratchSize: uint64(len(m.table))}
	return l, nil
}

// dump reports a list with all that was looked at to read it, as kho/khotest has it in testdata.
func (m *memory) dump(l made) error {
	out := struct {
		FDT     string            `json:"fdt"`
		Scratch string            `json:"scratch"`
		RAM     [][2]string       `json:"ram"`
		P       [][2]any          `json:"P"`
		Table   string            `json:"table"`
		Pages   map[string]string `json:"pages"`
	}{FDT: l.data.FDT.String(), Scratch: l.data.Scratch.String(), Table: hex.EncodeToString(m.table), Pages: map[string]string{}}
	for _, r := range m.ram {
		out.RAM = append(out.RAM, [2]string{r.Start.String(), r.End.String()})
	}
	for _, b := range l.blocks {
		out.P = append(out.P, [2]any{b.Addr.String(), b.Order})
	}
	for a, page := range m.seen {
		out.Pages[a.String()] = hex.EncodeToString(bytes.TrimRight(page, "\x00"))
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := errors.Join(json.NewEncoder(z).Encode(out), z.Close()); err != nil {
		return err
	}
	report(linux.DumpLine+"%s", base64.StdEncoding.EncodeToString(b.Bytes()))
	return nil
}
