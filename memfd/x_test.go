package memfd_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"ferry/memfd"
	"ferry/phys"
)

// TestFeatureHeaderIsWrittenByteForByte compares a structure with what the header file
// of the development tree says, and reads it again.
func TestFeatureHeaderIsWrittenByteForByte(t *testing.T) {
	d := first(t)
	fs, pages := folios(t, d, 0, 0)
	meta := memfd.Meta{Pos: 0x1122, Size: pages * phys.PageSize, Seals: memfd.SealShrink}
	a, err := memfd.Write(d, memfd.X, meta, fs)
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Memory().View(a, phys.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	want := "0300000000000000 0300000000000000 0300000000000000" + strings.Repeat(" 0000000000000000", 13) +
		" 2211000000000000 0020000000000000 0200000000000000 0200000000000000"
	if got := hex.EncodeToString(b[:160]); got != strings.ReplaceAll(want, " ", "") {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if u64(b[160:]) == 0 || strings.Trim(string(b[176:]), "\x00") != "" {
		t.Errorf("the array is at %#x, and %x is behind the structure", u64(b[160:]), b[176:200])
	}
	_, c := commit(t, d)
	f, err := memfd.Open(c, memfd.Ref{Format: memfd.X, Addr: a})
	if err != nil || f.Meta != meta || f.Format() != memfd.X {
		t.Fatalf("read as %+v: %v", f, err)
	}
	checkContents(t, f, fs)
}

// TestFilesBehindFeatureHeadersAreRewrittenBothWays and are what they were.
func TestFilesBehindFeatureHeadersAreRewrittenBothWays(t *testing.T) {
	for _, format := range append(memfd.Formats(), memfd.X) {
		d := first(t)
		fs, pages := folios(t, d, 3, 0, 0)
		meta := memfd.Meta{Size: pages*phys.PageSize - 5, Seals: memfd.SealSeal}
		a, err := memfd.Write(d, format, meta, fs)
		if err != nil {
			t.Fatal(err)
		}
		h, c := commit(t, d)
		was, err := memfd.Open(c, memfd.Ref{Format: format, Addr: a})
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range []*memfd.Format{memfd.X, format} {
			if d, err = h.Draft(nil, nil); err != nil {
				t.Fatal(err)
			}
			if a, err = was.Rewrite(d, to); err != nil {
				t.Fatal(err)
			}
			h, c = commit(t, d)
			now, err := memfd.Open(c, memfd.Ref{Format: to, Addr: a})
			if err != nil {
				t.Fatal(err)
			}
			if err := now.Same(was); err != nil || now.Meta != meta {
				t.Errorf("%v to %v: %+v, %v", was.Format(), to, now.Meta, err)
			}
			was = now
		}
	}
}

// TestUnknownFeaturesOfAFileAreRefused, and what the table says of handlers.
func TestUnknownFeaturesOfAFileAreRefused(t *testing.T) {
	for _, tt := range []struct {
		at  int
		bit byte
		ok  bool
	}{{0, 8, true}, {8, 4, false}, {8, 1, true}, {16, 4, false}, {16, 2, false}, {24, 1, false}, {127, 1, false}} {
		d := first(t)
		fs, pages := folios(t, d, 0)
		a, err := memfd.Write(d, memfd.X, memfd.Meta{Size: pages * phys.PageSize}, fs)
		if err != nil {
			t.Fatal(err)
		}
		b, err := d.Memory().Edit(a, phys.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		b[tt.at] ^= tt.bit
		_, c := commit(t, d)
		_, err = memfd.Open(c, memfd.Ref{Format: memfd.X, Addr: a})
		var e *phys.Error
		if (err == nil) != tt.ok || err != nil && (!errors.Is(err, memfd.ErrStruct) || !errors.As(err, &e) || e.Addr != a+phys.Addr(tt.at&^7)) {
			t.Errorf("byte %d xor %d: %v", tt.at, tt.bit, err)
		}
	}
	all := append(memfd.Formats(), memfd.X)
	if all.ByHandler([]byte("memfd")) != memfd.X || all.Unknown([]byte("memfd")) != nil {
		t.Error("the handler of files with feature headers is not found")
	}
	if memfd.ByHandler([]byte("memfd")) != nil || memfd.Unknown([]byte("memfd")) == nil {
		t.Error("the handler of files with feature headers is known though nobody asked for it")
	}
}

// TestAnUnreadableFileHasAFeatureHeaderToo: the next kernel must come as far as its array.
func TestAnUnreadableFileHasAFeatureHeaderToo(t *testing.T) {
	d := first(t)
	a, err := memfd.WriteUnreadable(d, memfd.X)
	if err != nil {
		t.Fatal(err)
	}
	h, c := commit(t, d)
	f, err := memfd.Open(c, memfd.Ref{Format: memfd.X, Addr: a})
	if err != nil || !f.Unreadable() {
		t.Fatalf("%+v, %v", f, err)
	}
	if d, err = h.Draft(nil, nil); err != nil {
		t.Fatal(err)
	}
	if a, err = f.Rewrite(d, memfd.V2); err != nil {
		t.Fatal(err)
	}
	_, c = commit(t, d)
	if f, err = memfd.Open(c, memfd.Ref{Format: memfd.V2, Addr: a}); err != nil || !f.Unreadable() {
		t.Errorf("as memfd-v2: %+v, %v", f, err)
	}
}
