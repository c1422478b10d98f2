package payload_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/boot/payload"
	"ferry/phys/phystest"
)

func TestManifestIsReadAsItIsWritten(t *testing.T) {
	cmdline := "console=ttyS0 x=\"\u00e4 \U0001f6a2\" <&>\\ \t\u2028"
	want := payload.Manifest{Version: payload.Version, Serial: 1<<64 - 1, Kernel: payload.KernelInfo{Release: "7.3.4", Generation: "E'"},
		From: "6.19", Cmdline: &cmdline, OnError: payload.OnErrorRollback, ExpectSessions: 510000,
		Rollback: &payload.Rollback{Kernel: payload.KernelInfo{Release: "6.19.14"}, Cmdline: new(string)},
		Parts:    map[string]payload.Part{"kernel": payload.NewPart([]byte("K")), "initrd": {}}}
	for _, indent := range []string{"", "\t"} {
		b, err := json.MarshalIndent(want, "", indent)
		if err != nil {
			t.Fatal(err)
		}
		got, err := payload.ParseManifest(b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
}

func TestManifestPassesOverWhatItDoesNotKnow(t *testing.T) {
	const text = ` { "a": [ ], "b": [1, -0.5e+3, {"c": null}, [true, false]], "version" : 2, "d": {"version": 3, "x": {}},
		"\u0066rom": "\ud83d\udea2\/", "parts": {"kernel": {"size": 1, "mode": "0644"}}, "kernel": {"new": "\"}"}, "Serial": 9 } `
	got, err := payload.ParseManifest([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := payload.Manifest{Version: 2, From: "\U0001f6a2/", Parts: map[string]payload.Part{"kernel": {Size: 1}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestManifestRefuses(t *testing.T) {
	for _, text := range []string{
		` `, `{`, `[]`, `2`, `{"version": 2`, `{"version": 2}}`, `{"version": 2} x`, `{"version": 2,}`, `{"version" 2}`, `{version: 2}`,
		`{"version": 2, "version": 2}`, `{"version": 2, "serial": 1, "\u0073erial": 1}`,
		`{"version": "2"}`, `{"version": 2.0}`, `{"version": -2}`, `{"version": 02}`, `{"version": 4294967298}`, `{"version": 2, "serial": 18446744073709551616}`,
		`{"version": 2, "from": 7}`, `{"version": 2, "from": null}`, `{"version": 2, "kernel": "x"}`, `{"version": 2, "parts": []}`,
		"{\"version\": 2, \"from\": \"\n\"}", "{\"version\": 2, \"from\": \"\xff\"}", `{"version": 2, "from": "\x"}`, `{"version": 2, "from": "\ud83d"}`,
		`{"version": 2, "from": "\ud83dx"}`, `{"version": 2, "from": "\u12g4"}`, `{"version": 2, "from": "\u+123"}`, `{"version": 2, "from": "`, `{"version": 2, "from": "\`,
		`{"version": 2, "x": nul}`, `{"version": 2, "x": 1.}`, `{"version": 2, "x": .5}`, `{"version": 2, "x": 1e}`, `{"version": 2, "x": -}`, `{"version": 2, "x": +1}`,
		`{"version": 2, "x": }`, `{"version": 2, "x": [1 2]}`, `{"version": 2, "x": [1,]}`, `{"version": 2, "x": ` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`,
	} {
		if m, err := payload.ParseManifest([]byte(text)); !errors.Is(err, payload.ErrManifest) {
			t.Errorf("%.80q: %+v, %v", text, m, err)
		}
	}
}

// FuzzManifest: what we read is JSON, and means what the standard library reads.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(manifestOf(f, whole(), nil)))
	f.Add([]byte(`{"version": 2, "from": "\ud83d\udea2", "x": [1, -2e3, true, null, {"y": ""}], "cmdline": "a"}`))
	for _, s := range []string{`"a":{},`, `"a":[[[[[[[[`, `"aaaa":"\u0041",`, "\"\xff", `"parts":{"k":{"size":1}},`} {
		f.Add([]byte("{" + strings.Repeat(s, (64<<10-2)/len(s))))
	}
	var keys strings.Builder
	for i := range 6000 {
		fmt.Fprintf(&keys, `"%x":0,`, i)
	}
	f.Add([]byte("{" + keys.String() + `"version":2}`))
	f.Add([]byte(`{"x":[` + strings.Repeat(`{"a":0},`, 8000) + `0]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		phystest.Bounded(t, 16<<10+16*uint64(len(b)), func() { payload.ParseManifest(b) })
		got, err := payload.ParseManifest(b)
		if err != nil || len(b) == 0 {
			return
		}
		if !json.Valid(b) {
			t.Fatalf("%q is no JSON", b)
		}
		// The library takes keys of any case, and folds letters beyond ASCII.
		if bytes.ContainsFunc(b, func(r rune) bool { return r >= 0x80 || 'A' <= r && r <= 'Z' || r == '\\' }) {
			return
		}
		var want payload.Manifest
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}
