//go:build !metal

package boot_test

import (
	"testing"

	"ferry/boot"
	"ferry/phys"
)

// high is a machine with all of its scratch above 4 GiB.
func high(t *testing.T) (*machine, boot.Next) {
	m := newMachine(t, phys.Range{Start: ramStart, End: ramEnd}, phys.Range{Start: 0x1_0000_0000, End: 0x1_8000_0000})
	n := m.next(t)
	n.Scratch = []phys.Range{{Start: 0x1_4000_0000, End: 0x1_4800_0000}}
	return m, n
}

func TestEverythingMayLieAbove4GiB(t *testing.T) {
	m, n := high(t)
	m.cmdline(0x1_7fff_f000, "above")
	m.initrd(0x1_7000_0000, 5000)
	m.free = 0x1_7100_0000
	m.node(7, []byte("above"))
	p := m.read()
	if p.Cmdline != "above" || p.Initrd.Start != 0x1_7000_0000 || string(p.SetupData[0].Data) != "above" {
		t.Errorf("%q, %v, %v", p.Cmdline, p.Initrd, p.SetupData)
	}
	plan, p := m.start(t, n)
	if plan.Kernel.Start < 1<<32 || plan.Block.Start < 1<<32 || plan.Initrd.Start < 1<<32 {
		t.Errorf("%v %v %v", plan.Kernel, plan.Block, plan.Initrd)
	}
	if p.Cmdline != n.Cmdline || p.Initrd != plan.Initrd || string(p.SetupData[2].Data) != "above" {
		t.Errorf("%q, %v, %v", p.Cmdline, p.Initrd, p.SetupData)
	}
}

func TestKernelWithoutTheFlagStaysBelow4GiB(t *testing.T) {
	m, n := high(t)
	n.Kernel = m.part(payloadAt, image(set16(0x236, 1)))
	if _, err := m.read().Place(n); err == nil {
		t.Fatal("placed above 4 GiB")
	}
	n.Scratch = append(n.Scratch, phys.Range{Start: 0x28000000, End: 0x2c000000})
	plan, _ := m.start(t, n)
	if r := plan.Ranges(); r[len(r)-1].End > 1<<32 {
		t.Errorf("%v", r)
	}
}

// BenchmarkWrite shows that placing is a plain copy: compare with copy.
func BenchmarkWrite(b *testing.B) {
	m := newMachine(b)
	kernel := image()
	p, err := boot.Read(m, zeroPage)
	if err != nil {
		b.Fatal(err)
	}
	plan, err := p.Place(boot.Next{Kernel: boot.Part{Bytes: kernel}, Scratch: scratch()})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(kernel)))
		for b.Loop() {
			if err := plan.Write(m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("copy", func(b *testing.B) {
		to := make([]byte, len(kernel))
		b.SetBytes(int64(len(kernel)))
		for b.Loop() {
			copy(to, kernel)
		}
	})
}
