package main

import (
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"ferry/boot/payload"
	"ferry/fdt"
)

// shown is what debugfs shows of the handover that a kernel makes: its root device tree and the state of live update, if
// there is one.
func shown(t *testing.T, kho, state string) map[string]string {
	t.Helper()
	b := make([]byte, 4096)
	w := fdt.NewWriter(b)
	w.Begin("")
	w.String("compatible", kho)
	w.Uint64("preserved-memory-map", 0)
	w.End()
	n, err := w.Finish()
	must(t, err)
	files := map[string]string{"sys/kernel/debug/kho/out/fdt": string(b[:n])}
	if state != "" {
		files["sys/kernel/debug/kho/out/sub_fdts/LUO"] = state
	}
	return files
}

// taken is what debugfs shows instead in a kernel that was handed something.
func taken(shown map[string]string) map[string]string {
	files := map[string]string{}
	for name, b := range shown {
		files[strings.Replace(name, "/out/", "/in/", 1)] = b
	}
	return files
}

// tree is the state of live update as a device tree, which has nodes of these versions.
func tree(t *testing.T, root string, nodes ...string) string {
	t.Helper()
	b := make([]byte, 4096)
	w := fdt.NewWriter(b)
	w.Begin("")
	w.String("compatible", root)
	for _, version := range nodes {
		name, _, _ := strings.Cut(version, "-v")
		w.Begin(name)
		w.String("compatible", version)
		w.End()
	}
	w.End()
	n, err := w.Finish()
	must(t, err)
	return string(b[:n])
}

// The running kernel is known by its release and by what it shows of its handover, which has the last word.
func TestHostKnowsWhoHandsOver(t *testing.T) {
	block := "luo-v4-kho-block-v1\x00" + strings.Repeat("\x00", 28)
	for _, tt := range []struct {
		name, release string
		shows         map[string]string
		gen, word     string
		says          string
	}{
		{"6.16", "6.16.12", shown(t, "kho-v1", ""), "A", "6.16.12", "Linux 6.16.12, generation A"},
		{"6.17", "6.17.13-amd64", shown(t, "kho-v1", ""), "A", "6.17.13-amd64", ""},
		{"6.18", "6.18.15", shown(t, "kho-v1", ""), "B", "6.18.15", ""},
		{"6.18, its handover not made yet", "6.18.15", nil, "B", "6.18.15", ""},
		{"6.19", "6.19.14", shown(t, "kho-v1", tree(t, "luo-v1", "luo-session-v2")), "C", "6.19.14", ""},
		{"6.19, without live update", "6.19.14", shown(t, "kho-v1", ""), "C", "6.19.14", ""},
		{"7.0", "7.0.13", shown(t, "kho-v1", tree(t, "luo-v1", "luo-session-v2", "luo-flb-v1")), "D", "7.0.13", ""},
		{"7.1", "7.1.13", shown(t, "kho-v3", tree(t, "luo-v1", "luo-session-v2", "luo-flb-v1")), "E", "7.1.13", ""},
		{"7.3", "7.3.4", shown(t, "kho-v4", "luo-v5\x00\x00"+strings.Repeat("\x00", 24)), "F", "7.3.4", ""},
		{"the formats of the series before 7.2 in 7.2", "7.2.12", shown(t, "kho-v3", block), "E'", "E'", "Linux 7.2.12, generation E'"},
		{"the same, in a kernel that was handed something", "7.2.12", taken(shown(t, "kho-v3", block)), "E'", "E'", "Linux 7.2.12, generation E'"},
		{"those of 7.0 in 6.12", "6.12.1", shown(t, "kho-v1", tree(t, "luo-v1", "luo-session-v2", "luo-flb-v1")), "D", "D", ""},
		{"those of 6.18, or 6.17, in 6.12", "6.12.1", shown(t, "kho-v1", ""), "", "", "the format that it writes is unknown"},
		{"those of 7.3 in 7.9", "7.9", shown(t, "kho-v4", "luo-v5\x00\x00"), "F", "F", ""},
		{"7.9, of which nothing is seen", "7.9", nil, "", "", "the format that it writes is unknown"},
		{"what no stage reads", "7.9", shown(t, "kho-v5", "luo-v6\x00\x00"), "", "", "the format that it writes is unknown"},
		{"no release", "", nil, "", "", "a kernel that does not name its release"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := live()
			for name, data := range tt.shows {
				root[name] = &fstest.MapFile{Data: []byte(data)}
			}
			if tt.release != "" {
				root["proc/version"] = &fstest.MapFile{Data: []byte("Linux version " + tt.release + " (user@host)\n")}
			}
			p := host{root}.producer()
			name, word := "", strings.TrimPrefix(p.word(), "ferry.from=")
			if p.gen != nil {
				name = p.gen.Name
			}
			if name != tt.gen || word != tt.word || !strings.Contains(p.String(), tt.says) {
				t.Errorf("generation %q, word %q, want %q, %q; %v", name, word, tt.gen, tt.word, p)
			}
			if (p.unread != nil) != strings.HasPrefix(tt.name, "what no stage") {
				t.Error(p.unread)
			}
		})
	}
}

// A load tells the stage who runs, and refuses what was made for somebody else.
func TestLoadNamesTheKernelThatRuns(t *testing.T) {
	const made = "sys/kernel/debug/kho/out/finalize"
	old := func(release string) map[string]string {
		files := shown(t, "kho-v1", "")
		maps.Copy(files, version(release))
		files[made], files["dev/liveupdate"] = "1\n", ""
		return files
	}
	eprime := shown(t, "kho-v3", "luo-v4-kho-block-v1\x00"+strings.Repeat("\x00", 28))
	maps.Copy(eprime, version("7.2.12"))
	next := shown(t, "kho-v5", "")
	maps.Copy(next, version("7.9.1"))
	kernel617, kernel618 := bzImage(formats(linuxImage("6.17.13", "kho-v1"))), bzImage(formats(linuxImage("6.18.15", "kho-v1")))
	cold := loadCmd{Append: "ferry.on-error=cold"}
	for _, tt := range []struct {
		name string
		trip trip
		word string // for the stage
		want string // in the refusal; empty: there is none
	}{
		{"6.18", trip{host: old("6.18.15"), load: cold}, "6.18.15", ""},
		{"6.18, packed for it", trip{host: old("6.18.15"), load: cold, pack: packCmd{From: "6.18", OnError: "cold"}}, "6.18.15", ""},
		{"6.18, packed for 6.17", trip{host: old("6.18.15"), load: cold, pack: packCmd{From: "6.17.13", OnError: "cold"}}, "", "made for a handover from 6.17.13, and Linux 6.18.15, generation B"},
		{"6.18, and the command line says 6.17", trip{host: old("6.18.15"), load: loadCmd{Append: "ferry.on-error=cold ferry.from=6.17"}}, "6.17", "the command line says ferry.from=6.17, and Linux 6.18.15"},
		{"6.18, and the command line says so", trip{host: old("6.18.15"), load: loadCmd{Append: "ferry.on-error=cold ferry.from=B"}}, "B", ""},
		{"6.18, back to itself", trip{host: old("6.18.15"), back: kernel618}, "6.18.15", ""},
		{"6.18, back to 6.17", trip{host: old("6.18.15"), back: kernel617}, "6.18.15", "the rollback kernel reads generation A, but would get the handover of Linux 6.18.15"},
		{"6.17, back to 6.18", trip{host: old("6.17.13"), back: kernel618}, "6.17.13", "the rollback kernel reads generation B, but would get the handover of Linux 6.17.13"},
		{"6.17, back to 6.18, and the payload says 6.18", trip{host: old("6.17.13"), back: kernel618, pack: packCmd{From: "6.18"}}, "", "the rollback kernel reads generation B, but would get the handover of Linux 6.17.13"},
		{"7.2 with the formats before", trip{host: eprime, load: cold}, "E'", ""},
		{"what no stage reads", trip{host: next, load: cold}, "", "the running kernel writes what no stage reads: unknown ABI: kho-v5"},
		{"somebody unknown", trip{load: cold}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ready, err := tt.trip.check(t)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "--force overrules it") {
					t.Fatalf("error %v, want one with %q", err, tt.want)
				}
				tt.trip.load.Force = true
				ready, err = tt.trip.check(t)
			}
			must(t, err)
			_, word, _ := strings.Cut(ready.line, "ferry.from=")
			if word != tt.word || strings.Contains(ready.briefing.nextLine, "ferry.") {
				t.Errorf("the stage gets %q, the next kernel %s, want ferry.from=%s for the stage alone", ready.line, ready.briefing.nextLine, tt.word)
			}
		})
	}
}

// linux is what an image says of a release and the strings that it has.
func linuxImage(release string, strs ...string) string {
	return "\x7fELF\x00Linux version " + release + " (user@host)\x00" + strings.Join(strs, "\x00") + "\x00"
}

// Nobody says who will hand over if nobody was asked: the kernel to go back to may be another one.
func TestPackLeavesOpenWhoHandsOver(t *testing.T) {
	tr := trip{back: bzImage(formats(linuxImage("6.17.13", "kho-v1"))), host: version("6.17.13")}
	tr.alter = func(archive []byte) {
		p, err := payload.Open(archive)
		must(t, err)
		if p.Manifest.From != "" || p.Manifest.Rollback.Kernel.Generation != "A" {
			t.Errorf("manifest %+v", p.Manifest)
		}
	}
	tr.check(t)
}
