package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/boot/payload"
	"ferry/crossing"
)

const noKHO = "\x7fELF\x00Linux version 6.1.0-44-amd64 (user@host)\x00memfd\x00"

func TestABIPrintsWhatEachImageSays(t *testing.T) {
	f, plain, next := put(t, "f", bzImage()), put(t, "plain", bzImage(formats(noKHO))),
		put(t, "next", bzImage(formats(strings.ReplaceAll(formatsF, "kho-v4", "kho-v9"))))
	var out strings.Builder
	if err := (&abiCmd{Images: []string{f, plain, next}}).print(&out); err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Fields(line))
	}
	want := [][]string{
		{"image", "release", "compression", "kho", "luo", "memfd", "generation"},
		{f, "7.3.4", "none", "kho-v4", "luo-v5", "memfd-v2", "F"},
		{plain, "6.1.0-44-amd64", "none", "-", "-", "-", "no", "KHO"},
		{next, "7.3.4", "none", "kho-v9", "luo-v5", "memfd-v2", "unknown", "ABI"},
	}
	if d := cmp.Diff(want, got[:min(len(want), len(got))]); d != "" {
		t.Errorf("table (-want +got):\n%s", d)
	}
	for _, want := range []string{plain + ": no KHO: it takes no handover", next + ": unknown ABI: kho-v9"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output does not say %q:\n%s", want, out.String())
		}
	}
}

func TestABIPrintsJSON(t *testing.T) {
	image := put(t, "k", bzImage())
	var out strings.Builder
	if err := (&abiCmd{Images: []string{image}, JSON: true}).print(&out); err != nil {
		t.Fatal(err)
	}
	var got []answer
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatal(err)
	}
	want := []answer{{Image: image, Release: "7.3.4", Compression: "none", KHO: []string{"kho-v4"}, LUO: []string{"luo-v5"},
		Sessions: []string{}, FLBs: []string{}, Memfd: []string{"memfd-v2"}, Generation: "F"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestABIAnswersForTheGoodAndFailsForTheBad(t *testing.T) {
	good, bad := put(t, "good", bzImage()), put(t, "bad", []byte("ELF"))
	var out strings.Builder
	err := (&abiCmd{Images: []string{bad, good}}).print(&out)
	if err == nil || !strings.Contains(err.Error(), bad) || !strings.Contains(out.String(), good) {
		t.Errorf("error %v, output %q", err, out.String())
	}
}

// The table says of every pair what crosses.
func TestABIPrintsTheMatrix(t *testing.T) {
	var out strings.Builder
	if err := (&abiCmd{JSON: true}).print(&out); err != nil {
		t.Fatal(err)
	}
	var rows []row
	if err := json.Unmarshal([]byte(out.String()), &rows); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range rows {
		line := ""
		for _, g := range crossing.Generations() {
			line += " " + string(r.To[g.Name])
		}
		got[r.Generation] = line[1:]
	}
	want := map[string]string{
		"A":  "all all all all all all all",
		"B":  "all all all all all all all",
		"C":  "kho kho all all all all all",
		"D":  "kho kho limits all all all all",
		"E":  "kho kho limits limits all all all",
		"E'": "kho kho limits limits limits all all",
		"F":  "kho kho limits limits limits limits all",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	out.Reset()
	if err := (&abiCmd{}).print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"F           7.2 to 7.3", "from \\ to  A", string(withinLimits) + "  everything that the target holds"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output does not say %q:\n%s", want, out.String())
		}
	}
}

// A kernel whose formats are unknown is packed only when the operator says what it reads.
func TestPackWantsToKnowWhatTheKernelReads(t *testing.T) {
	part := "\x7fELF\x00Linux version 7.3.4 (user@host)\x00kho-v4\x00"
	for _, tt := range []struct {
		name, strings    string
		generation, from string
		want             string // generation in the manifest
		refused          []string
	}{
		{name: "by its strings", strings: formatsF, want: "F"},
		{name: "told otherwise", strings: formatsF, generation: "E'", want: "E'"},
		{name: "no kernel inside", strings: "", refused: []string{"--generation", "does not say"}},
		{name: "no kernel inside, told", strings: "", generation: "A", want: "A"},
		{name: "no KHO", strings: noKHO, refused: []string{"6.1.0-44-amd64", "no KHO"}},
		{name: "no KHO, told", strings: noKHO, generation: "F", want: "F"},
		{name: "no sessions", strings: part, refused: []string{"loses sessions and files"}},
		{name: "unknown", strings: strings.ReplaceAll(formatsF, "luo-v5", "luo-v5;block-v1"), refused: []string{"luo-v5;block-v1"}},
		{name: "told what is none", strings: formatsF, generation: "Z", refused: []string{"--generation Z", "A B C D E E' F"}},
		{name: "from a release", strings: formatsF, from: "6.16.12", want: "F"},
		{name: "from a generation", strings: formatsF, from: "E'", want: "F"},
		{name: "from what is none", strings: formatsF, from: "5.10", refused: []string{"--from 5.10"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "payload")
			c := packCmd{Kernel: put(t, "k", bzImage(formats(tt.strings))), Output: out, Generation: tt.generation, From: tt.from}
			var said strings.Builder
			err := c.pack(&said)
			for _, want := range tt.refused {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want one with %q", err, want)
				}
			}
			if len(tt.refused) > 0 {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			p, err := payload.Open(b)
			if err != nil {
				t.Fatal(err)
			}
			if m := p.Manifest; m.Kernel.Generation != tt.want || m.From != tt.from {
				t.Errorf("manifest %+v", m)
			}
			if !strings.Contains(said.String(), crossing.ByName(tt.want).String()) {
				t.Errorf("output does not name %s:\n%s", tt.want, said.String())
			}
		})
	}
}
