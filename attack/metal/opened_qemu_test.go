//go:build qemu

package metal

import (
	"bytes"
	"crypto/rand"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ferry/boot"
	"ferry/boot/opened"
	"ferry/boot/opened/extract"
	"ferry/boot/vmlinux"
	"ferry/internal/qemu"
	"ferry/internal/report"
	"ferry/phys"
)

var kernels = flag.String("kernels", "", "folder with <name>/bzImage of the kernels to open; linux in the build folder if empty")

// bzImages returns the kernels to open, by name.
func bzImages(t *testing.T) map[string][]byte {
	t.Helper()
	if *kernels == "" {
		*kernels = filepath.Join(*build, "linux")
	}
	found, err := filepath.Glob(filepath.Join(*kernels, "[67].*", "bzImage"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no kernels in %s (%v): run make kernels", *kernels, err)
	}
	all := map[string][]byte{}
	for _, f := range found {
		all[filepath.Base(filepath.Dir(f))] = read(t, f)
	}
	return all
}

// The machine on which kernels decompress themselves: what a kernel with KHO finds,
// but for a handover itself, which no decompressor looks at.
const (
	emptyMemory   = 1 << 30
	emptyZeroPage = phys.Addr(0x8000000)
	emptyNode     = phys.Addr(0x8001000) // setup_data of the handover
	emptyTable    = phys.Addr(0x18200000)
)

// emptyScratch has two areas with room for kernels. The table is in the second,
// where decompressors do not know of it.
var emptyScratch = []phys.Range{{Start: 0x10000000, End: 0x16000000}, {}, {Start: 0x18000000, End: 0x20000000}}

// empty returns the memory of such a machine, with nothing to start in it.
func empty(t *testing.T, path string) (*qemu.RAM, *boot.Params) {
	t.Helper()
	ram, err := qemu.NewRAM(path, emptyMemory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ram.Close(); os.Remove(path) })
	edit := func(a phys.Addr, n uint64) []byte {
		b, err := ram.Edit(a, n)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	le := binary.LittleEndian
	page := edit(emptyZeroPage, phys.PageSize)
	copy(page[0x202:], "HdrS")
	page[0x210] = 0xd0
	for i, r := range []phys.Range{{Start: 0x1000, End: 0x9f000}, {Start: 0x100000, End: emptyMemory}} {
		le.PutUint64(page[0x2d0+20*i:], uint64(r.Start))
		le.PutUint64(page[0x2d8+20*i:], r.Size())
		le.PutUint32(page[0x2e0+20*i:], boot.E820RAM)
		page[0x1e8]++
	}
	le.PutUint64(page[0x250:], uint64(emptyNode))
	node := edit(emptyNode, 16+boot.KHOSize)
	le.PutUint32(node[8:], boot.SetupKHO)
	le.PutUint32(node[12:], boot.KHOSize)
	le.PutUint64(node[32:], uint64(emptyTable))
	le.PutUint64(node[40:], uint64(16*len(emptyScratch)))
	table := edit(emptyTable, uint64(16*len(emptyScratch)))
	for i, r := range emptyScratch {
		le.PutUint64(table[16*i:], uint64(r.Start))
		le.PutUint64(table[16*i+8:], r.Size())
	}
	p, err := boot.Read(ram, emptyZeroPage)
	if err != nil {
		t.Fatal(err)
	}
	return ram, p
}

// decompressor is where the decompressor of a bzImage, after it has moved itself,
// jumps to the kernel. Source: the end of arch/x86/boot/compressed/head_64.S.
func decompressor(t *testing.T, image []byte, load phys.Addr) uint64 {
	t.Helper()
	code := image[(int(image[0x1f1])+1)*512:]
	// movl BP_init_size(%rsi), %ebx; subl $rva(_end), %ebx; addq %rbp, %rbx
	end := find(t, code, "8b9e60020000 81eb........ 4801eb")
	// movq %r15, %rdi; movq %rbp, %rsi; call extract_kernel; movq %r15, %rsi; jmp *%rax
	jump := find(t, code, "4c89ff 4889ee e8........ 4c89fe ffe0")
	le := binary.LittleEndian
	return uint64(load) + uint64(le.Uint32(image[0x260:])) - uint64(le.Uint32(code[end+8:])) + uint64(jump+14)
}

// find returns where in code instructions stand that stand there once: hexadecimal
// digits, or dots for any byte.
func find(t *testing.T, code []byte, pattern string) int {
	t.Helper()
	pattern = strings.ReplaceAll(pattern, " ", "")
	first, err := hex.DecodeString(pattern[:strings.IndexByte(pattern, '.')])
	if err != nil {
		t.Fatal(err)
	}
	found := -1
	for at := 0; ; at++ {
		i := bytes.Index(code[at:], first)
		if i < 0 {
			break
		}
		at += i
		same := len(code)-at >= len(pattern)/2
		for j := 0; same && j < len(pattern); j += 2 {
			same = pattern[j] == '.' || fmt.Sprintf("%02x", code[at+j/2]) == pattern[j:j+2]
		}
		if same && found >= 0 {
			t.Fatalf("%s stands at %#x and at %#x of the decompressor", pattern, found, at)
		}
		if same {
			found = at
		}
	}
	if found < 0 {
		t.Fatalf("%s stands nowhere in the decompressor", pattern)
	}
	return found
}

// decompressed is a kernel that its own decompressor has left in memory, stopped
// before its first instruction.
type decompressed struct {
	ram      *qemu.RAM
	at       phys.Addr // of the image
	slide    uint64
	zeroPage phys.Addr
}

// decompress lets a kernel decompress itself.
func decompress(t *testing.T, path string, image []byte, k *opened.Kernel, cmdline, cpu string) *decompressed {
	t.Helper()
	ram, params := empty(t, path)
	kho, err := params.KHO()
	if err != nil {
		t.Fatal(err)
	}
	plan, err := params.Place(boot.Next{Kernel: boot.Part{Bytes: image}, Cmdline: cmdline, KHO: kho, Seed: make([]byte, 32), Scratch: emptyScratch,
		Occupied: phys.NewRanges(phys.Block{Addr: emptyTable}.Range())})
	if err == nil {
		err = plan.Write(ram)
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := qemu.Machine{RAM: path, CPU: cpu, Firmware: qemu.Starter(plan.Entry, plan.ZeroPage), Debug: true}.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Kill()
	d, err := r.Attach()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.To(decompressor(t, image, plan.Kernel.Start)); err != nil {
		t.Fatalf("%v\n%s", err, r.Console())
	}
	entry, err := d.Register(qemu.RAX)
	if err != nil {
		t.Fatal(err)
	}
	zeroPage, err := d.Register(qemu.RSI)
	if err != nil {
		t.Fatal(err)
	}
	return &decompressed{ram: ram, at: phys.Addr(entry - k.Entry), zeroPage: phys.Addr(zeroPage)}
}

// openPart opens a bzImage as ferry pack does, and returns its ELF file and the part of
// a payload as well.
func openPart(t *testing.T, image []byte) (k *opened.Kernel, file, part []byte) {
	t.Helper()
	_, file, err := vmlinux.Decompress(image)
	if err != nil {
		t.Fatal(err)
	}
	i, err := extract.Open(image, file)
	if err != nil {
		t.Fatal(err)
	}
	if part, err = i.Part(); err != nil {
		t.Fatal(err)
	}
	if k, err = opened.Parse(part); err != nil {
		t.Fatal(err)
	}
	return k, file, part
}

// segments returns where in the image the bytes of an ELF file's loadable segments
// lie.
func segments(t *testing.T, file []byte) (all phys.Ranges) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	link := uint64(0)
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			if link == 0 {
				link = p.Paddr
			}
			all = append(all, phys.Range{Start: phys.Addr(p.Paddr - link), End: phys.Addr(p.Paddr - link + p.Filesz)})
		}
	}
	return phys.NewRanges(all...)
}

// slides returns the slide that relocated an image, by the first of the addresses in
// which two slides of the opened kernel differ.
func (d *decompressed) findSlide(t *testing.T, k *opened.Kernel, pages uint64) {
	t.Helper()
	still, moved := make([]byte, pages), make([]byte, pages)
	k.Write(still, 0)
	k.Write(moved, k.Alignment)
	for i := range still {
		if still[i] == moved[i] {
			continue
		}
		// The alignment is 2 MiB or more: the byte that differs is the third of an address.
		at := d.at + phys.Addr(i) - 2
		b, err := d.ram.View(at, 4)
		if err != nil {
			t.Fatal(err)
		}
		d.slide = uint64(binary.LittleEndian.Uint32(b) - binary.LittleEndian.Uint32(still[i-2:]))
		return
	}
}

// TestOpenedKernelIsWhatItsDecompressorLeaves lets each kernel decompress itself, as
// it chooses and with nokaslr, and compares what it leaves with what the stage
// writes for the same pair of addresses.
func TestOpenedKernelIsWhatItsDecompressorLeaves(t *testing.T) {
	dir := folder(t)
	all := bzImages(t)
	table := report.Table{{"kernel", "bzImage, KiB", "part, KiB", "memory, KiB", "64-bit and 32-bit relocations", "offsets", "pairs of place and offset", "bytes compared", "that differ"}}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			image := all[name]
			k, file, part := openPart(t, image)
			pages := (k.Image + phys.PageSize - 1) &^ (phys.PageSize - 1)
			seen := map[string]bool{}
			compared := uint64(0)
			for i, words := range []string{"nokaslr", "console=ttyS0", "", "kaslr nokaslrx xnokaslr"} {
				d := decompress(t, filepath.Join(dir, "ram"), image, k, words, fmt.Sprintf("max,la57=%s", []string{"off", "on"}[i%2]))
				d.findSlide(t, k, pages)
				if words == "nokaslr" && d.slide != 0 {
					t.Errorf("%q: relocated by %#x", words, d.slide)
				}
				want := make([]byte, pages)
				k.Write(want, d.slide)
				got, err := d.ram.View(d.at, k.Image)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range segments(t, file) {
					compared += s.Size()
					if !bytes.Equal(got[s.Start:s.End], want[s.Start:s.End]) {
						t.Errorf("%q, at %v, relocated by %#x: segment %v differs from byte %#x on", words, d.at, d.slide, s, differs(got[s.Start:s.End], want[s.Start:s.End]))
					}
				}
				d.compareZeroPage(t, filepath.Join(dir, "stage"), part, words)
				if d.slide%k.Alignment != 0 || d.slide/k.Alignment >= k.Slides() || k.Places([]phys.Range{{Start: d.at, End: d.at + phys.Addr(k.Memory)}}) != 1 {
					t.Errorf("%q: at %v, relocated by %#x: no choice of the stage's", words, d.at, d.slide)
				}
				t.Logf("%q: at %v, relocated by %#x", words, d.at, d.slide)
				seen[fmt.Sprint(d.at, d.slide)] = true
			}
			if len(seen) < 3 {
				t.Errorf("%d pairs of addresses", len(seen))
			}
			wide, narrow := le64(part, 64), le64(part, 72)
			table = append(table, []string{name, kib(image), kib(part), fmt.Sprint(k.Memory >> 10), fmt.Sprintf("%d + %d", wide, narrow), fmt.Sprint(k.Slides()),
				fmt.Sprint(len(seen)), fmt.Sprint(compared), "0"})
		})
	}
	result(t, "opened: kernels", fmt.Sprintf(`%s, `+"`make attack-opened`"+`: each kernel decompressed itself, with and without KASLR, on four and five levels of page tables, and was stopped at the last jump of
its decompressor. All segments were compared byte for byte with what the stage writes for the same place and offset; the holes between segments hold what is left of the ELF file, and nobody reads them.`, today()), table)
}

func le64(b []byte, off int) uint64 { return binary.LittleEndian.Uint64(b[off:]) }
func kib(b []byte) string           { return fmt.Sprint(len(b) >> 10) }

// compareZeroPage wants the zero page that the stage makes to be what the decompressor
// leaves, but for where things lie.
func (d *decompressed) compareZeroPage(t *testing.T, path string, part []byte, cmdline string) {
	t.Helper()
	ram, params := empty(t, path)
	kho, err := params.KHO()
	if err != nil {
		t.Fatal(err)
	}
	plan, err := params.Place(boot.Next{Opened: boot.Part{Bytes: part}, Cmdline: cmdline, KHO: kho, Seed: make([]byte, 32), Scratch: emptyScratch,
		Occupied: phys.NewRanges(phys.Block{Addr: emptyTable}.Range()), Random: func(b []byte) { rand.Read(b) }})
	if err == nil {
		err = plan.Write(ram)
	}
	if err != nil {
		t.Fatal(err)
	}
	left, err := d.ram.View(d.zeroPage, phys.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	made, err := ram.View(plan.ZeroPage, phys.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	for i := range made {
		switch at := i &^ 3; at {
		case 0x214, 0x228, 0x250: // code32_start, cmd_line_ptr, setup_data
		default:
			if made[i] != left[i] {
				t.Errorf("%q: byte %#x of the zero page is %#x, its decompressor leaves %#x", cmdline, i, made[i], left[i])
			}
		}
	}
}

// differs returns the first byte in which two slices differ.
func differs(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}
