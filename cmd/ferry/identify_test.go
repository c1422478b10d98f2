package main

import (
	"errors"
	"strings"
	"testing"

	"ferry/boot/vmlinux"
	"ferry/crossing"
)

// one is a list of one string, or of none.
func one(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// kernel is what is found in an image.
func kernel(release, kho, luo, flb, memfd string) *vmlinux.Kernel {
	k := &vmlinux.Kernel{Release: release, Formats: vmlinux.Formats{KHO: one(kho), LUO: one(luo), FLBs: one(flb), Memfd: one(memfd)}}
	if luo == "luo-v1" {
		k.Formats.Sessions = one("luo-session-v2")
	}
	return k
}

func TestSpeaksKnowsEveryGeneration(t *testing.T) {
	for _, c := range []struct {
		name   string
		kernel *vmlinux.Kernel
		want   string
		note   string
	}{
		{"6.16", kernel("6.16.12", "kho-v1", "", "", ""), "A", "release"},
		{"6.17", kernel("6.17.13-custom", "kho-v1", "", "", ""), "A", "release"},
		{"6.18", kernel("6.18.15", "kho-v1", "", "", ""), "B", "release"},
		{"6.19", kernel("6.19.14", "kho-v1", "luo-v1", "", "memfd-v1"), "C", ""},
		{"7.0", kernel("7.0.13", "kho-v1", "luo-v1", "luo-flb-v1", "memfd-v1"), "D", ""},
		{"7.1", kernel("7.1.13", "kho-v3", "luo-v1", "luo-flb-v1", "memfd-v2"), "E", ""},
		{"block series", kernel("7.1.0-rc6-next", "kho-v3", "luo-v4-kho-block-v1", "", "memfd-v2"), "E'", "never released"},
		{"7.2", kernel("7.2.12", "kho-v4", "luo-v5", "", "memfd-v2"), "F", ""},
		{"7.3", kernel("7.3.4", "kho-v4", "luo-v5", "", "memfd-v2"), "F", ""},
		{"a later one of the same strings", kernel("7.10.0", "kho-v4", "luo-v5", "", "memfd-v2"), "F", `release "7.10.0" is not of`},
		{"brought to an older release", kernel("6.12.8-vendor", "kho-v3", "luo-v1", "luo-flb-v1", "memfd-v2"), "E", "6.12.8-vendor"},
		{"6.19 with the node of 7.0", kernel("6.19.20", "kho-v1", "luo-v1", "luo-flb-v1", "memfd-v1"), "D", "6.19.20"},
		{"7.0 without it", kernel("7.0.1", "kho-v1", "luo-v1", "", "memfd-v1"), "C", "7.0.1"},
		{"no release", kernel("", "kho-v4", "luo-v5", "", "memfd-v2"), "F", `""`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, note, err := identify(crossing.Generations(), c.kernel)
			if err != nil {
				t.Fatal(err)
			}
			if got.Name != c.want || !strings.Contains(note, c.note) || (note == "") != (c.note == "") {
				t.Errorf("%s, note %q; want %s, note with %q", got.Name, note, c.want, c.note)
			}
		})
	}
}

func TestSpeaksRefusesByName(t *testing.T) {
	features := kernel("7.4.0", "", "", "", "")
	features.Formats.Features = true
	sessions := kernel("7.0.0", "kho-v1", "luo-v1", "luo-flb-v1", "memfd-v1")
	sessions.Formats.Sessions = one("luo-session-v3")
	for _, c := range []struct {
		name   string
		kernel *vmlinux.Kernel
		rule   error
		want   []string
	}{
		{"no KHO", kernel("6.1.0-44-amd64", "", "", "", ""), errNoKHO, []string{"CONFIG_KEXEC_HANDOVER"}},
		{"unknown KHO", kernel("7.9.0", "kho-v9", "luo-v5", "", "memfd-v2"), errUnknown, []string{"kho-v9", "nothing is known"}},
		{"components", kernel("7.2.0-rc1", "kho-v4;radix-v1;vmalloc-v1", "luo-v5;block-v1", "", ""), errUnknown, []string{"kho-v4;radix-v1;vmalloc-v1"}},
		{"unknown LUO", kernel("7.3.0", "kho-v4", "luo-v5;block-v1", "", "memfd-v2"), errUnknown, []string{"luo-v5;block-v1", "F"}},
		{"a pair that no kernel has", kernel("7.2.0", "kho-v4", "luo-v1", "", "memfd-v2"), errUnknown, []string{"luo-v1", "generation F"}},
		{"unknown memfd", kernel("7.3.0", "kho-v4", "luo-v5", "", "memfd-v3"), errUnknown, []string{"memfd-v3", "generation F"}},
		{"unknown sessions", sessions, errUnknown, []string{"luo-session-v3"}},
		{"unknown FLBs", kernel("7.0.0", "kho-v1", "luo-v1", "luo-flb-v2", "memfd-v1"), errUnknown, []string{"luo-flb-v2"}},
		{"two at once", kernel("7.3.0", "kho-v3,kho-v4", "luo-v5", "", "memfd-v2"), errUnknown, []string{"kho-v3 and kho-v4"}},
		{"feature bits", features, errUnknown, []string{"feature bits"}},
		{"a release that does not tell", kernel("6.12.3", "kho-v1", "", "", ""), errUnknown, []string{"A, B, C and D", "--generation"}},
		{"no LUO", kernel("7.3.4", "kho-v4", "", "", ""), errPart, []string{"generation F", "CONFIG_LIVEUPDATE"}},
		{"no memfd", kernel("7.3.4", "kho-v4", "luo-v5", "", ""), errPart, []string{"generation F", "memfds"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := identify(crossing.Generations(), c.kernel)
			if !errors.Is(err, c.rule) {
				t.Fatalf("error %v, want %v", err, c.rule)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}
