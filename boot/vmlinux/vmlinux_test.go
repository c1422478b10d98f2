package vmlinux

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/boot"
)

// compressors are the commands of Linux' build (scripts/Makefile.lib), by the
// name that we give the compression.
var compressors = []struct {
	name    string
	command string
}{
	{"gzip", "gzip -n -f -9"},
	{"zstd", "zstd -22 --ultra"},
	{"xz", "xz --check=crc32 --x86 --lzma2=dict=128MiB"},
	{"lz4", "lz4 -l -9 -q - -"},
	{"lzo", "lzop -9 -c"},
	{"bzip2", "bzip2 -9"},
	{"lzma", "lzma -9"},
}

// others are streams that the same tools write with other options.
var others = []struct {
	name    string
	command string
}{
	{"xz", "xz --check=crc64"},
	{"xz", "xz --check=sha256 --x86=start=4096 --lzma2"},
	{"xz", "xz --check=none --x86 --lzma2 --threads=2 --block-size=100KiB"},
	{"lzo", "lzop -1 -C -c"},
	{"zstd", "zstd -1 --no-check"},
}

// compress runs a command and appends the size, as the build does.
func compress(t testing.TB, command string, content []byte) []byte {
	t.Helper()
	args := strings.Fields(command)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = bytes.NewReader(content)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s (make test installs what is missing)", command, err, stderr.String())
	}
	if args[0] == "gzip" {
		return out
	}
	return binary.LittleEndian.AppendUint32(out, uint32(len(content)))
}

// bzImage puts a payload into the smallest image that boot.ParseKernel takes.
func bzImage(payload []byte) []byte {
	const setup, offset = 2 * 512, 0x300
	b := make([]byte, setup+offset, setup+offset+len(payload))
	le := binary.LittleEndian
	b[0x1f1] = 1
	le.PutUint16(b[0x1fe:], 0xaa55)
	b[0x201] = 0x6a
	copy(b[0x202:], "HdrS")
	le.PutUint16(b[0x206:], 0x20f)
	le.PutUint16(b[0x20e:], 0x100)
	copy(b[0x300:], "9.9.9-setup (user@host) #1\x00")
	b[0x211] = 1
	le.PutUint32(b[0x230:], 2<<20)
	b[0x234] = 1
	le.PutUint16(b[0x236:], 0x63)
	le.PutUint32(b[0x248:], offset)
	le.PutUint32(b[0x24c:], uint32(len(payload)))
	le.PutUint32(b[0x260:], 256<<20)
	return append(b, payload...)
}

// elf is a decompressed kernel that has the strings among machine code.
func elf(code []byte, strings ...string) []byte {
	b := append([]byte(elfMagic), code...)
	b = append(b, 0)
	for _, s := range strings {
		b = append(append(b, s...), 0)
	}
	return b
}

// code is machine code that exists: this test's own.
func code(t testing.TB, size int) []byte {
	t.Helper()
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b[0x1000:min(len(b), 0x1000+size)]
}

func TestEveryCompressionOfLinuxIsUndone(t *testing.T) {
	content := elf(code(t, 256<<10), "Linux version 7.3.4 (user@host) (gcc) #1", "kho-v4", "luo-v5", "memfd-v2")
	for _, c := range append(compressors, others...) {
		t.Run(c.command, func(t *testing.T) {
			t.Parallel()
			payload := compress(t, c.command, content)
			name, got, err := decompress(payload, MaxSize)
			if err != nil {
				t.Fatal(err)
			}
			if name != c.name || !bytes.Equal(got, content) {
				t.Errorf("%q, %d bytes, want %q and the %d bytes that were compressed", name, len(got), c.name, len(content))
			}
			k, err := Open(bzImage(payload))
			if err != nil {
				t.Fatal(err)
			}
			want := &Kernel{Release: "7.3.4", Compression: c.name, Formats: Formats{
				KHO: []string{"kho-v4"}, LUO: []string{"luo-v5"}, Memfd: []string{"memfd-v2"}}}
			if d := cmp.Diff(want, k); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestOpenReadsAnUncompressedKernel(t *testing.T) {
	k, err := Open(bzImage(elf(nil, "kho-v1")))
	if err != nil {
		t.Fatal(err)
	}
	want := &Kernel{Release: "9.9.9-setup", Compression: "none", Formats: Formats{KHO: []string{"kho-v1"}}}
	if d := cmp.Diff(want, k); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Whatever is cut off or changed in a stream with checksums is noticed.
func TestDamageIsNoticed(t *testing.T) {
	content := elf(code(t, 100_000))
	for _, c := range compressors {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			good := compress(t, c.command, content)
			cut := bytes.Clone(good[:len(good)/2])
			if _, _, err := decompress(cut, MaxSize); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrSize) {
				t.Errorf("half of it: %v", err)
			}
			longer := bytes.Clone(good)
			longer[len(longer)-4]++
			if _, _, err := decompress(longer, MaxSize); !errors.Is(err, ErrDamaged) {
				t.Errorf("the size is one more: %v", err)
			}
			if c.name == "lz4" || c.name == "lzma" {
				return // no checksum
			}
			flipped := bytes.Clone(good)
			flipped[len(flipped)/2] ^= 0x10
			if _, _, err := decompress(flipped, MaxSize); !errors.Is(err, ErrDamaged) {
				t.Errorf("a bit flipped: %v", err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	good := bzImage(elf(nil, "x"))
	edit := func(off int, v uint32) []byte {
		b := bytes.Clone(good)
		binary.LittleEndian.PutUint32(b[off:], v)
		return b
	}
	large := compress(t, "gzip -n -f -9", make([]byte, 1000))
	binary.LittleEndian.PutUint32(large[len(large)-4:], MaxSize+1)
	for _, c := range []struct {
		name, want string
		rule       error
		image      []byte
	}{
		{"no bzImage", "1024", boot.ErrKernel, []byte("ELF")},
		{"a stage", "no Linux kernel", ErrPayload, edit(0x248, 0)},
		{"an empty payload", "no Linux kernel", ErrPayload, edit(0x24c, 0)},
		{"a payload beyond the end", "cut short", ErrDamaged, edit(0x24c, uint32(len(good)))},
		{"a payload that starts beyond the end", "cut short", ErrDamaged, edit(0x248, 1<<32-1)},
		{"a length that wraps", "cut short", ErrDamaged, edit(0x24c, 1<<32-1)},
		{"another compression", "starts with 28 b5 2f fc", ErrCompression, bzImage([]byte("\x28\xb5\x2f\xfc and more"))},
		{"a magic and nothing else", "3 bytes", ErrDamaged, bzImage([]byte("\x1f\x8b\x08"))},
		{"more than we take", "536870913 bytes", ErrSize, bzImage(large)},
		{"no ELF file within", "want an ELF file", ErrDamaged, bzImage(compress(t, "gzip -n -f -9", []byte("hello")))},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(c.image)
			if !errors.Is(err, c.rule) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// A stream of some bytes that promises half a gigabyte costs the history that its
// decompressor keeps, and no more.
func TestMemoryGrowsWithWhatIsThere(t *testing.T) {
	for _, c := range compressors {
		payload := compress(t, c.command, []byte("hello"))
		binary.LittleEndian.PutUint32(payload[len(payload)-4:], MaxSize)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := decompress(payload, MaxSize)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; err == nil || n > maxWindow+32<<20 {
			t.Errorf("%s: %d bytes allocated, error %v", c.name, n, err)
		}
	}
}

// FuzzDecompress: no payload panics, or gives more than the limit.
func FuzzDecompress(f *testing.F) {
	content := elf([]byte("\xe8\x10\x00\x00\x00\xe9\x00\xe8\xff\xff\xff\x00"), "kho-v4")
	for _, c := range append(compressors, others...) {
		f.Add(compress(f, c.command, content))
	}
	const limit = 64 << 10
	f.Fuzz(func(t *testing.T, payload []byte) {
		_, vmlinux, err := decompress(payload, limit)
		switch {
		case err == nil:
			if len(vmlinux) > max(limit, len(payload)) {
				t.Errorf("%d bytes", len(vmlinux))
			}
			FindFormats(vmlinux)
			banner(vmlinux)
		case !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrSize) && !errors.Is(err, ErrCompression):
			t.Errorf("error without a rule: %v", err)
		}
	})
}

// What runs between the kernels links the standard library, TamaGo's drivers and
// this module, and of this module not the decompressors.
func TestTheStageLinksNoDecompressor(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-tags", "metal", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "ferry/cmd/stage")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range strings.FieldsSeq(string(out)) {
		ours := strings.HasPrefix(pkg, "ferry/") && pkg != "ferry/boot/vmlinux" && pkg != "ferry/boot/payload/pack"
		if !ours && !strings.HasPrefix(pkg, "github.com/usbarmory/tamago/") {
			t.Errorf("the stage links %s", pkg)
		}
	}
}
