//go:build abi

package extract_test

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ferry/boot/opened/extract"
	"ferry/boot/vmlinux"
)

// packers compress as Linux' build does (scripts/Makefile.lib).
var packers = []string{"gzip -n -f -9", "zstd -3", "xz --check=crc32 --x86 --lzma2=preset=1", "lz4 -l -1 -q - -", "lzop -1 -c", "bzip2 -1", "lzma -1"}

// TestRealKernelsAreOpenedWhateverCompressesThem opens every kernel at hand, and one
// of them in each compression: the part is the same.
func TestRealKernelsAreOpenedWhateverCompressesThem(t *testing.T) {
	folder := os.Getenv("FERRY_KERNELS")
	if folder == "" {
		folder = "../../../build/linux"
	}
	names, err := filepath.Glob(filepath.Join(folder, "[67].*", "bzImage"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no kernels in %s (%v): make test-abi builds them", folder, err)
	}
	for i, name := range names {
		t.Run(filepath.Base(filepath.Dir(name)), func(t *testing.T) {
			image, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			_, file, err := vmlinux.Decompress(image)
			if err != nil {
				t.Fatal(err)
			}
			want := open(t, image)
			checkELF(t, image, file)
			if i > 0 {
				return
			}
			for _, packer := range packers {
				if !bytes.Equal(open(t, repacked(t, image, file, packer))[4096:], want[4096:]) {
					t.Errorf("%s: another part", packer)
				}
			}
		})
	}
}

func open(t *testing.T, image []byte) []byte {
	t.Helper()
	_, file, err := vmlinux.Decompress(image)
	if err != nil {
		t.Fatal(err)
	}
	i, err := extract.Open(image, file)
	if err != nil {
		t.Fatal(err)
	}
	part, err := i.Part()
	if err != nil {
		t.Fatal(err)
	}
	return part
}

// repacked returns the image with its kernel compressed by a command, behind all
// that it had.
func repacked(t *testing.T, image, file []byte, command string) []byte {
	t.Helper()
	args := strings.Fields(command)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = bytes.NewReader(file)
	payload, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	if args[0] != "gzip" {
		payload = le.AppendUint32(payload, uint32(len(file)))
	}
	b := bytes.Clone(image)
	le.PutUint32(b[0x248:], uint32(len(image)-(int(image[0x1f1])+1)*512))
	le.PutUint32(b[0x24c:], uint32(len(payload)))
	le.PutUint32(b[0x260:], 1<<30)
	return append(b, payload...)
}

// checkELF compares what was opened with what the standard library reads, and the
// relocations with the table read forward.
func checkELF(t *testing.T, image, file []byte) {
	t.Helper()
	i, err := extract.Open(image, file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	end := uint64(0)
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD {
			continue
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		if at := p.Paddr - uint64(i.Link); !bytes.Equal(i.Bytes[at:at+p.Filesz], b) {
			t.Errorf("segment at %#x differs", p.Paddr)
		}
		end = p.Paddr + p.Memsz
	}
	if least := end - uint64(i.Link); i.Memory < least || i.Memory >= least+2<<20 || i.Entry != f.Entry-uint64(i.Link) {
		t.Errorf("memory of %#x bytes, want %#x; entry %#x", i.Memory, least, i.Entry)
	}
	table := file[len(file)-4*(len(i.Wide)+len(i.Narrow)+2):]
	seen := map[uint32]int{}
	for _, at := range append(append([]uint32{}, i.Wide...), i.Narrow...) {
		seen[at+uint32(i.Link)|0x80000000]++
	}
	zeros := 0
	for ; len(table) > 0; table = table[4:] {
		if v := le.Uint32(table); v == 0 {
			zeros++
		} else {
			seen[v]--
		}
	}
	for v, n := range seen {
		if n != 0 {
			t.Errorf("address %#x is %d times too often among the relocations", v, n)
		}
	}
	if zeros != 2 || len(i.Wide) < 10_000 || len(i.Narrow) < 10_000 {
		t.Errorf("%d lists, relocations %d and %d", zeros, len(i.Wide), len(i.Narrow))
	}
	t.Logf("%d KiB of image, %d of memory, entry %#x, relocations %d and %d", len(i.Bytes)>>10, i.Memory>>10, i.Entry, len(i.Wide), len(i.Narrow))
}
