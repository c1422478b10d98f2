package main

import (
	"strings"
	"testing"
)

// A kernel whose shadow finds no room dies without a word; only --force starts it.
func TestKASANWantsItsShadowInScratch(t *testing.T) {
	debug := func() []byte {
		return bzImage(formats(formatsF + "KernelAddressSanitizer initialized (generic)\n\x00"))
	}
	machine := func(scratch string) map[string]string {
		return map[string]string{"proc/iomem": "00100000-c00fffff : System RAM\n",
			"sys/kernel/debug/kho/out/scratch_phys": "0x10000000\n0x80000000\n", "sys/kernel/debug/kho/out/scratch_len": "0x4000000\n" + scratch + "\n"}
	}
	const less, enough = "0x18000000", "0x30000000" // 384 and 768 MiB
	for _, tt := range []struct {
		name string
		trip trip
		want string // empty: nothing
	}{
		{"no KASAN", trip{host: machine(less)}, ""},
		{"room for it", trip{kernel: debug(), host: machine(enough)}, ""},
		{"too little", trip{kernel: debug(), host: machine(less)}, "the next kernel has KASAN, whose shadow of 3072 MiB of memory takes 384 MiB out of scratch"},
		{"too little to go back", trip{back: debug(), host: machine(less)}, "the rollback kernel has KASAN"},
		{"nobody knows how much there is", trip{kernel: debug(), host: map[string]string{"proc/iomem": ""}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.trip.check(t)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "kho_scratch=") || !strings.Contains(err.Error(), "--force") {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			tt.trip.load.Force = true
			if _, err := tt.trip.check(t); err != nil {
				t.Errorf("forced: %v", err)
			}
		})
	}
}
