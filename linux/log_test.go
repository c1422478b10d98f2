package linux

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const twoKernels = "\x1bc\x1b[?7lSeaBIOS\r\n" +
	"[    0.000000] Linux version 7.3.4 (a)\r\n" +
	"[    0.000000] Command line: kho=on kho_scratch=64M,0,64M\r\n" +
	"[    1.700000] kexec_core: Starting new kernel\r\n" +
	"ferry: KHO restored\r\n" +
	"[    0.000000] Linux version 7.3.4 (b)\r\n" +
	"[    0.000000] KHO: found kexec handover data.\r\n"

func TestKernelsAreSplitAtTheirBanners(t *testing.T) {
	var sizes []int
	for _, part := range ParseLog([]byte(twoKernels)).Kernels() {
		sizes = append(sizes, len(part.Lines))
	}
	if diff := cmp.Diff([]int{1, 4, 2}, sizes); diff != "" {
		t.Errorf("lines of each part (-want +got):\n%s", diff)
	}
}

func TestLinesThatTheKernelBrokeArePutTogether(t *testing.T) {
	log := ParseLog([]byte("one\r\ntest PA[    0.863187] WARNING: in the middle\r\n[    0.863200] next\r\nSSED\r\n" +
		"end[    0.900000] luo: last\r\n\r\nlast"))
	want := []string{"one", "[    0.863187] WARNING: in the middle", "[    0.863200] next", "test PASSED",
		"[    0.900000] luo: last", "end", "last"}
	if diff := cmp.Diff(want, log.Lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if got := log.Complaints(); len(got) != 2 {
		t.Errorf("complaints %q, want both kernel lines", got)
	}
}

// FuzzParseLog wants no text lost, whatever the console says.
func FuzzParseLog(f *testing.F) {
	f.Add([]byte(twoKernels))
	f.Add([]byte("a[    0.863187] b\n\n[    1.000000] c\nd"))
	f.Fuzz(func(t *testing.T, console []byte) {
		plain := bytes.ReplaceAll(controls.ReplaceAll(console, nil), []byte("\r"), nil)
		count := func(b []byte) (n int) {
			for _, c := range b {
				if c != '\n' {
					n++
				}
			}
			return n
		}
		log := ParseLog(console)
		if got, want := count([]byte(log.String())), count(plain); got != want {
			t.Errorf("%d characters in, %d out", want, got)
		}
		lines := 0
		for _, part := range log.Kernels() {
			lines += len(part.Lines)
		}
		if lines != len(log.Lines) {
			t.Errorf("%d lines, %d of them with a kernel", len(log.Lines), lines)
		}
	})
}

func TestComplaints(t *testing.T) {
	tests := []struct {
		name, line string
		complaint  bool
	}{
		{"found handover", "[    0.000000] KHO: found kexec handover data.", false},
		{"metadata", "[    0.536601] KHO: exec from: 7.3.4 (count 1)", false},
		{"live update number", "[    0.295949] luo: Retrieved live update data, liveupdate number: 10", false},
		{"command line", "[    0.000000] Kernel command line: kho=on WARNING", false},
		{"the tests' own lines", "# [STAGE 2] BUG: KHO", false},
		{"device", "[    0.507241] pci_bus 0000:00: root bus resource", false},
		{"hugetlb is no luo", "[    0.437191] HugeTLB: registered 1.00 GiB page size", false},
		{"warning", "[    0.300000] WARNING: mm/page_alloc.c:100 at foo+0x1/0x2, CPU#0: swapper/0", true},
		{"bug", "[    0.300000] BUG: unable to handle page fault for address: 0", true},
		{"revival disabled", "[    0.000000] KHO: disabling KHO revival", true},
		{"other version", "[    0.000000] KHO: setup: handover FDT (0x1) is incompatible with 'kho-v4'", true},
		{"scratch", "[    0.000000] Failed to reserve scratch area, disabling kexec handover", true},
		{"session", "[    0.000000] luo: session: deserialization failed", true},
		{"panic", "[    0.000000] Kernel panic - not syncing: luo", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := Log{Lines: []string{"[    0.000000] fine", tt.line}}
			if got := slices.Contains(log.Complaints(), tt.line); got != tt.complaint {
				t.Errorf("complaint = %v, want %v: %s", got, tt.complaint, tt.line)
			}
		})
	}
}
