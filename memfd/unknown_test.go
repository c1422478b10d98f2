package memfd_test

import (
	"errors"
	"strings"
	"testing"

	"ferry/memfd"
)

func TestMemfdsOfUnknownFormatsAreRefusedByName(t *testing.T) {
	for handler, text := range map[string]string{
		"memfd-v3":                     `handler`,
		"memfd-v0":                     `handler`,
		"memfd-v11":                    `handler`,
		"memfd-v2;vmalloc-v1":          "the layout of memfd-v2 with its component named, proposed in June 2026",
		"memfd-v2;vmalloc-v2":          "memfd-v2 made of vmalloc-v2, which no release wrote",
		"memfd-v3;folio-v1;vmalloc-v1": "memfd-v3 made of folio-v1 and vmalloc-v1",
		"memfd-v2-kho-vmalloc-v1":      "memfd-v2 made of kho-vmalloc-v1",
		"memfd-v1;":                    "memfd-v1",
		"memfd":                        "feature bits",
	} {
		err := memfd.Unknown([]byte(handler))
		if !errors.Is(err, memfd.ErrVersion) {
			t.Errorf("%q: %v, want a refusal", handler, err)
			continue
		}
		if s := err.Error(); !strings.Contains(s, `"`+handler+`"`) || !strings.Contains(s, text) || !strings.Contains(s, "want memfd-v1 or memfd-v2") {
			t.Errorf("%q: %v, want %q and the known ones in it", handler, err, text)
		}
	}
}

func TestWhatIsNoUnknownMemfdIsNotRefused(t *testing.T) {
	handlers := []string{"", "memfd-vx", "memfd-v", "memfd-hugetlb-v1", "memfds-v3", "guest_memfd_luo_v1", "guest-memfd-v3", "kvm_vm_luo_v1", "(others)"}
	for _, f := range memfd.Formats() {
		handlers = append(handlers, f.Handler())
	}
	for _, s := range handlers {
		if err := memfd.Unknown([]byte(s)); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}
