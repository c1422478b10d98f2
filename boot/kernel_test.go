package boot_test

import (
	"errors"
	"strings"
	"testing"

	"ferry/boot"
	"ferry/phys/phystest"
)

func TestParseKernelReadsARealHeader(t *testing.T) {
	k, err := boot.ParseKernel(image())
	if err != nil {
		t.Fatal(err)
	}
	if k.Protocol != 0x20f || k.InitSize != 0xbbd000 || k.Alignment != 2<<20 || k.PrefAddress != 16<<20 ||
		!k.Relocatable || !k.Above4G || !k.FiveLevel || k.CmdlineMax != 2047 || k.InitrdMax != 0x7fffffff ||
		k.Release != "7.3.4 test" {
		t.Errorf("%+v", k)
	}
}

func TestParseKernelRefuses(t *testing.T) {
	for _, c := range []struct {
		name, want string
		image      []byte
	}{
		{"nothing", "0 bytes", nil},
		{"half a header", "1023 bytes", image()[:1023]},
		{"an ELF file", "no bzImage", append([]byte("\x7fELF"), make([]byte, 4096)...)},
		{"no boot sector", "boot flag 0xaa54", image(set16(0x1fe, 0xaa54))},
		{"another signature", "no bzImage", image(set8(0x202, 'h'))},
		{"an old protocol", "boot protocol 0x20b", image(set16(0x206, 0x20b))},
		{"a zImage", "zImage", image(set8(0x211, 0))},
		{"a 32-bit kernel", "64-bit entry", image(set16(0x236, 0x62))},
		{"a short header", "setup header up to 0x262", image(set8(0x201, 0x60))},
		{"a header over the tables", "setup header up to 0x301", image(set8(0x201, 0xff))},
		{"only the setup part", "16384 bytes", image()[:16384]},
		{"a cut image", "cut short", image()[:1<<20]},
		{"no alignment", "alignment", image(set32(0x230, 0))},
		{"an odd alignment", "alignment", image(set32(0x230, 3<<20))},
		{"a huge alignment", "alignment", image(set32(0x230, 2<<30))},
		{"a small alignment", "alignment", image(set32(0x230, 2048))},
		{"an address beyond all memory", "preferred address", image(set64(0x258, 1<<52))},
		{"an odd fixed address", "fixed address", image(set8(0x234, 0), set64(0x258, 16<<20|8))},
		{"init_size 0", "init_size", image(set32(0x260, 0))},
		{"init_size below the code", "init_size", image(set32(0x260, 1<<20))},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := boot.ParseKernel(c.image)
			if !errors.Is(err, boot.ErrKernel) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestParseKernelTakesFourSectorsForNone(t *testing.T) {
	if _, err := boot.ParseKernel(image(set8(0x1f1, 0), set32(0x1f4, 0))); err != nil {
		t.Error(err)
	}
}

func TestReleaseIsEmptyWhereItPointsNowhere(t *testing.T) {
	for _, at := range []uint16{0, 0x3e00, 0xffff} { // none, the end of the setup part, far beyond
		if k, err := boot.ParseKernel(image(set16(0x20e, at))); err != nil || k.Release != "" {
			t.Errorf("pointer %#x: %q, %v", at, k.Release, err)
		}
	}
}

// FuzzParseKernel: no image may panic; one that is accepted has numbers that
// placing can rely on.
func FuzzParseKernel(f *testing.F) {
	f.Add(head)
	f.Add(small())
	f.Fuzz(func(t *testing.T, b []byte) {
		phystest.Bounded(t, 8<<10, func() { boot.ParseKernel(b) })
		k, err := boot.ParseKernel(b)
		if err != nil {
			if !errors.Is(err, boot.ErrKernel) {
				t.Errorf("error without a rule: %v", err)
			}
			return
		}
		if k.InitSize == 0 || k.InitSize%4096 != 0 || k.InitSize > 1<<32 || k.Alignment&(k.Alignment-1) != 0 || k.PrefAddress >= 1<<52 {
			t.Errorf("%+v", k)
		}
	})
}
