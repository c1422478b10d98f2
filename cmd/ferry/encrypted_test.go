package main

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/klauspost/cpuid/v2"
)

func TestLoadRefusesEncryptedMemory(t *testing.T) {
	const node = "sys/kernel/boot_params/setup_data/1/type"
	for _, tt := range []struct {
		name  string
		cpu   []cpuid.FeatureID
		flags string
		nodes map[string]string
		want  string // in the error, empty for none
	}{
		{"none", nil, "fpu lm hypervisor", nil, ""},
		{"a host that runs SEV guests", []cpuid.FeatureID{cpuid.SME, cpuid.SEV, cpuid.SEV_ES, cpuid.SEV_SNP}, "fpu lm sev sev_es sev_snp", nil, ""},
		{"a SEV guest", []cpuid.FeatureID{cpuid.HYPERVISOR, cpuid.SEV}, "fpu lm hypervisor", nil, "AMD SEV"},
		{"a SEV guest, by its flags", nil, "fpu sev_snp lm hypervisor", nil, "AMD SEV"},
		{"a TDX guest", []cpuid.FeatureID{cpuid.HYPERVISOR, cpuid.TDX_GUEST}, "fpu lm hypervisor", nil, "Intel TDX"},
		{"a TDX guest, by its flags", nil, "fpu lm hypervisor tdx_guest", nil, "Intel TDX"},
		{"a kernel that uses SME", []cpuid.FeatureID{cpuid.SME}, "fpu lm sme", nil, "mem_encrypt=on"},
		{"a confidential guest, by its loader", nil, "fpu lm", map[string]string{node: "0x7\n"}, "SETUP_CC_BLOB"},
		{"another node", nil, "fpu lm", map[string]string{node: "0x9\n", "sys/kernel/boot_params/setup_data/2/type": "0xa\n"}, ""},
		{"a node that is no number", nil, "fpu lm", map[string]string{node: "seven\n"}, "setup_data/1/type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := live()
			root["proc/cpuinfo"].Data = []byte("processor\t: 0\nflags\t\t: " + tt.flags + "\n")
			for name, text := range tt.nodes {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			has := func(ids ...cpuid.FeatureID) bool {
				return !slices.ContainsFunc(ids, func(id cpuid.FeatureID) bool { return !slices.Contains(tt.cpu, id) })
			}
			err := host{root}.checkEncrypted(has)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	if err := (host{fstest.MapFS{}}).checkEncrypted(cpuid.CPU.Supports); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v without /proc/cpuinfo", err)
	}
}
