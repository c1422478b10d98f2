package vmlinux

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What stands in the kernels of each series, found by looking at built ones, and
// in those that were never released (their patches).
func TestFormatsOfEverySeries(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes string
		want  Formats
	}{
		{"6.18", "kernel\x00finalize\x00kho-v1\x00kho-test-v1\x00", Formats{KHO: []string{"kho-v1"}}},
		{"6.19", "fdt\x00kho-v1\x00LUO\x00luo-v1\x00session\x00luo-session-v2\x00a\x81\xff\xff\xff\xffmemfd-v1\x00",
			Formats{KHO: []string{"kho-v1"}, LUO: []string{"luo-v1"}, Sessions: []string{"luo-session-v2"}, Memfd: []string{"memfd-v1"}}},
		{"7.0", "\x00kho-v1\x00luo-v1\x00luo-flb\x00luo-flb-v1\x00luo-session\x00luo-session-v2\x00\xffmemfd-v1\x00",
			Formats{KHO: []string{"kho-v1"}, LUO: []string{"luo-v1"}, Sessions: []string{"luo-session-v2"},
				FLBs: []string{"luo-flb-v1"}, Memfd: []string{"memfd-v1"}}},
		{"block series", "\x00kho-v3\x00luo-v4-kho-block-v1\x00",
			Formats{KHO: []string{"kho-v3"}, LUO: []string{"luo-v4-kho-block-v1"}}},
		{"components", "\x00kho-v4;radix-v1;vmalloc-v1\x00luo-v5;block-v1\x00memfd-v2;vmalloc-v1\x00",
			Formats{KHO: []string{"kho-v4;radix-v1;vmalloc-v1"}, LUO: []string{"luo-v5;block-v1"}, Memfd: []string{"memfd-v2;vmalloc-v1"}}},
		{"features", "\x00.liveupdate_features\x00memfd\x00", Formats{Features: true}},
		{"two of a kind", "\x00kho-v4\x00kho-v10\x00kho-v4\x00", Formats{KHO: []string{"kho-v10", "kho-v4"}}},
		{"at the start", "kho-v4\x00", Formats{KHO: []string{"kho-v4"}}},
		{"ends of words, sentences, and what has no end",
			"xkho-v1\x00/kho-v1\x00kho-v1 is\x00kho-v1%s\x00kho-v\x00kho-v1;\x00kho-test-v1\x00kho-version\x00luo-flb-v1x\x00kho-v1", Formats{}},
		{"too long", "\x00kho-v1-" + string(make([]byte, 0)) + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x00", Formats{}},
		{"nothing", "", Formats{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, FindFormats([]byte(c.bytes))); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestBannerGivesTheRelease(t *testing.T) {
	for _, c := range []struct{ name, bytes, want string }{
		{"a built kernel", "\x00Linux version 7.3.4 (root@vm) (gcc) #1\n\x00", "7.3.4"},
		{"a distribution's", "Linux version 6.12.48+deb13-amd64 (debian-kernel@lists.debian.org)", "6.12.48+deb13-amd64"},
		{"a candidate", "Linux version 7.4.0-rc1 (x)", "7.4.0-rc1"},
		{"after the format string", "Linux version %s (%s)\x00Linux version 7.2.12 (x)", "7.2.12"},
		{"none", "Linux version \x00", ""},
		{"nothing", "", ""},
	} {
		if got := banner([]byte(c.bytes)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
