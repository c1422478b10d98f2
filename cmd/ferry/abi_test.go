package main

import (
	"encoding/json"
	"io"
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

// A kernel whose formats are unknown is packed only when the operator says what it reads, and one that says what it reads
// only as that.
func TestPackWantsToKnowWhatTheKernelReads(t *testing.T) {
	part := "\x7fELF\x00Linux version 7.3.4 (user@host)\x00kho-v4\x00"
	kernel70 := strings.ReplaceAll(kernel619, "6.19.14", "7.0.13") + "luo-flb-v1\x00"
	either := "\x7fELF\x00Linux version 6.12.3 (user@host)\x00kho-v1\x00"
	zeros := func(b []byte) { clear(b[5*512+0x400:]) }
	gzip := func(b []byte) { copy(b[5*512+0x400:], "\x1f\x8b\x08\x00\x00") }
	cut := func(b []byte) { b[0x24c+2] = 0xff }
	odd := func(b []byte) { copy(b[5*512+0x400:], "\xde\xad") }
	for _, tt := range []struct {
		name, strings    string
		edit             func([]byte)
		generation, from string
		force            bool
		want             string // generation in the manifest
		refused          []string
		never            string // in the error
	}{
		{name: "by its strings", strings: formatsF, want: "F"},
		{name: "told the same", strings: formatsF, generation: "F", want: "F"},
		{name: "told otherwise", strings: formatsF, generation: "E'", refused: []string{"reads kho-v4", "everything that is preserved is lost", "--force"}},
		{name: "told otherwise, forced", strings: formatsF, generation: "E'", force: true, want: "E'"},
		{name: "told sessions that it reads otherwise", strings: strings.ReplaceAll(formatsF, "luo-v5", "luo-v6"), generation: "F", refused: []string{"reads luo-v6", "all sessions"}},
		{name: "told memfds that it reads otherwise", strings: strings.ReplaceAll(formatsF, "memfd-v2", "memfd-v3"), generation: "F", refused: []string{"reads memfd-v3", "all memfds"}},
		{name: "told that it has no FLBs", strings: kernel70, generation: "C", refused: []string{"reads luo-flb-v1", "FLBs"}},
		{name: "told that it has FLBs", strings: kernel619, generation: "D", refused: []string{"of generation C", "FLBs"}},
		{name: "told that it has no sessions", strings: kernel619, generation: "B", refused: []string{"reads luo-v1"}},
		{name: "told other bitmaps than its release has", strings: kernel618, generation: "A", refused: []string{"Linux 6.18.15, generation B", "taken for free memory"}},
		{name: "told what its release leaves open", strings: either, generation: "A", want: "A"},
		{name: "its release leaves it open", strings: either, refused: []string{"--generation"}},
		{name: "no kernel inside", strings: "", refused: []string{"--generation", "does not say"}},
		{name: "no kernel inside, told", strings: "", generation: "A", want: "A"},
		{name: "another system inside, told", strings: "\x7fELF and nothing that we know", generation: "A", want: "A"},
		{name: "another compression", strings: formatsF, edit: odd, refused: []string{"--generation", "compression is not supported"}},
		{name: "another compression, told", strings: formatsF, edit: odd, generation: "F", want: "F"},
		{name: "damaged", strings: formatsF, edit: gzip, refused: []string{"damaged", "take a whole one"}, never: "--generation"},
		{name: "damaged, told", strings: formatsF, edit: gzip, generation: "F", refused: []string{"damaged", "may not start"}},
		{name: "damaged, told and forced", strings: formatsF, edit: gzip, generation: "F", force: true, want: "F"},
		{name: "damaged and forced", strings: formatsF, edit: gzip, force: true, refused: []string{"damaged"}},
		{name: "cut short, told", strings: formatsF, edit: cut, generation: "F", refused: []string{"cut short"}},
		{name: "zeros, told", strings: formatsF, edit: zeros, generation: "F", want: "F"},
		{name: "no KHO", strings: noKHO, refused: []string{"6.1.0-44-amd64", "no KHO"}, never: "--generation"},
		{name: "no KHO, told", strings: noKHO, generation: "F", refused: []string{"takes no handover"}},
		{name: "no KHO, told and forced", strings: noKHO, generation: "F", force: true, want: "F"},
		{name: "no sessions", strings: part, refused: []string{"loses sessions and files"}, never: "--generation"},
		{name: "no sessions, told", strings: part, generation: "F", refused: []string{"has no sessions"}},
		{name: "no memfds, told", strings: part + "luo-v5\x00", generation: "F", refused: []string{"has no memfds"}},
		{name: "unknown", strings: strings.ReplaceAll(formatsF, "luo-v5", "luo-v5;block-v1"), refused: []string{"luo-v5;block-v1"}, never: "--generation"},
		{name: "unknown, told", strings: strings.ReplaceAll(formatsF, "kho-v4", "kho-v9"), generation: "F", refused: []string{"reads kho-v9"}},
		{name: "feature bits, told", strings: formatsF + ".liveupdate_features\x00", generation: "F", refused: []string{"feature bits"}},
		{name: "told what is none", strings: formatsF, generation: "Z", refused: []string{"--generation Z", "A B C D E E' F"}},
		{name: "from a release", strings: formatsF, from: "6.16.12", want: "F"},
		{name: "from a generation", strings: formatsF, from: "E'", want: "F"},
		{name: "from what is none", strings: formatsF, from: "5.10", refused: []string{"--from 5.10"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "payload")
			edits := []func([]byte){formats(tt.strings)}
			if tt.edit != nil {
				edits = append(edits, tt.edit)
			}
			c := packCmd{Kernel: put(t, "k", bzImage(edits...)), Output: out, Generation: tt.generation, From: tt.from, Force: tt.force}
			var said strings.Builder
			err := c.pack(&said)
			for _, want := range tt.refused {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want one with %q", err, want)
				}
			}
			if tt.never != "" && err != nil && strings.Contains(err.Error(), tt.never) {
				t.Errorf("error %v says %q", err, tt.never)
			}
			if len(tt.refused) > 0 {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p, err := payload.Open(read(t, out))
			if err != nil {
				t.Fatal(err)
			}
			if m := p.Manifest; m.Kernel.Generation != tt.want || m.From != tt.from {
				t.Errorf("manifest %+v", m)
			}
			if !strings.Contains(said.String(), crossing.ByName(tt.want).String()) || strings.Contains(said.String(), "FORCED") != tt.force {
				t.Errorf("output does not name %s, or what was forced:\n%s", tt.want, said.String())
			}
		})
	}
}

// What is said of a kernel to go back to is held against its image as well.
func TestPackBelievesTheRollbackKernelsImage(t *testing.T) {
	c := packCmd{Kernel: put(t, "k", bzImage()), Output: filepath.Join(t.TempDir(), "payload"),
		Rollback: rollbackFlags{Kernel: put(t, "b", bzImage(formats(kernel619))), Generation: "F"}}
	if err := c.pack(io.Discard); err == nil || !strings.Contains(err.Error(), "--rollback-generation says generation F, but its image reads kho-v1") {
		t.Error(err)
	}
}
