package main

import (
	"bytes"
	"encoding/json"
	"io"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/boot/payload"
	"ferry/linker"
)

func TestShowPrintsWhatIsInAPayload(t *testing.T) {
	line, initrd := "kho=on quiet", []byte("070701")
	c := packCmd{Kernel: put(t, "k", bzImage()), Initrd: put(t, "i", initrd), Output: filepath.Join(t.TempDir(), "p"), Cmdline: &line, Serial: 7, Expect: 2,
		From: "6.19.14", Rollback: rollbackFlags{Kernel: put(t, "b", bzImage(formats(kernel619)))}}
	must(t, c.pack(io.Discard))
	var out strings.Builder
	must(t, (&showCmd{Payload: c.Output, JSON: true}).show(&out))
	var got facts
	must(t, json.Unmarshal([]byte(out.String()), &got))
	yes := true
	part := func(name string, data []byte) partFacts {
		p := payload.NewPart(data)
		return partFacts{name, p.Size, p.SHA256, &yes}
	}
	want := facts{Payload: c.Output, Size: uint64(len(read(t, c.Output))), Version: payload.VersionSessions, Serial: 7, From: "6.19.14",
		Kernel: kernelFacts{"7.3.4", "F", &line}, Rollback: &kernelFacts{"6.19.14", "C", nil}, OnError: "rollback", Sessions: 2,
		Parts:  []partFacts{part("kernel", bzImage()), part("initrd", initrd), part("rollback.kernel", bzImage(formats(kernel619)))},
		Signer: signerFacts{Refused: "it has no signature"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	out.Reset()
	must(t, (&showCmd{Payload: c.Output}).show(&out))
	for _, want := range []string{
		"from                             Linux 6.19.14, generation C",
		"to                               Linux 7.3.4, generation F",
		`with the command line            "kho=on quiet", in the payload`,
		"back to                          Linux 6.19.14, generation C",
		"with the command line            that of the stage",
		"after a failure                  rollback\n",
		"initrd                           1 KiB, whole, SHA-256 " + payload.NewPart(initrd).SHA256,
		"signer                           none: it has no signature\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}

// What is damaged is shown all the same, and is an error then.
func TestShowTellsDamagedPartsFromWholeOnes(t *testing.T) {
	c := packCmd{Kernel: put(t, "k", bzImage()), Output: filepath.Join(t.TempDir(), "p"), Rollback: rollbackFlags{Kernel: put(t, "b", bzImage(formats(kernel619)))}}
	must(t, c.pack(io.Discard))
	b := read(t, c.Output)
	b[bytes.Index(b, []byte("Linux version 6.19"))] ^= 1
	var out strings.Builder
	if err := (&showCmd{Payload: put(t, "damaged", b)}).show(&out); err == nil || !strings.Contains(err.Error(), "rollback.kernel has SHA-256") {
		t.Error(err)
	}
	for _, want := range []string{"kernel                           7 KiB, whole", "rollback.kernel                  7 KiB, DAMAGED"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}

func TestVersionIsThatOfTheSourcesAndOfTheStage(t *testing.T) {
	stage := put(t, "s", stageImage(banner("ferry 9.8.7")))
	var out strings.Builder
	must(t, (&versionCmd{Stage: stage, JSON: true}).print(&out))
	var got versions
	must(t, json.Unmarshal([]byte(out.String()), &got))
	if got.Ferry != linker.Version || got.Stage != "9.8.7" || !strings.HasPrefix(got.Go, "go") {
		t.Errorf("%+v", got)
	}
	out.Reset()
	must(t, (&versionCmd{Stage: stage}).print(&out))
	if !strings.Contains(out.String(), "ferry                            "+linker.Version) || !strings.Contains(out.String(), "9.8.7, in "+stage) {
		t.Error(out.String())
	}
}

// docs/json.md names every field that --json prints.
func TestTheSchemaIsDocumented(t *testing.T) {
	text := string(read(t, "../../docs/json.md"))
	for _, printed := range []any{versions{}, facts{}, report{}, answer{}, row{}} {
		for _, name := range fields(reflect.TypeOf(printed)) {
			if !strings.Contains(text, "`"+name+"`") {
				t.Errorf("docs/json.md does not have `%s` of %T", name, printed)
			}
		}
	}
	for _, s := range steps() {
		if name := strings.Replace(s.name, "rollback kernel:", "next kernel:", 1); !strings.Contains(text, "| "+name+" |") {
			t.Errorf("docs/json.md does not have the check %q", name)
		}
	}
}

// fields returns the names of a structure's fields in JSON, and of those in them.
func fields(of reflect.Type) (names []string) {
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice:
		return fields(of.Elem())
	case reflect.Struct:
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			names = append(append(names, name), fields(of.Field(i).Type)...)
		}
	}
	return names
}

// What the manifest and the archive do not agree on is an error, as it is to the stage.
func TestShowFindsWhatTheStageRefuses(t *testing.T) {
	for name, alter := range map[string]func([]byte){
		"names no digests":        swapped(`"parts"`, `"other"`),
		"initrd is missing":       func(b []byte) { copy(b[bytes.LastIndex(b, []byte("initrd\x00")):], "initrX") },
		"initrd has SHA-256":      swapped("070701 and more", "070701 and MORE"),
		"initrd is not listed":    swapped(`"initrd": {`, `"kernel2":{`),
		"magic 30 31 32 33 34 35": swapped("070701", "012345"),
	} {
		c := packCmd{Kernel: put(t, "k", bzImage()), Initrd: put(t, "i", []byte("070701 and more")), Output: filepath.Join(t.TempDir(), "p")}
		must(t, c.pack(io.Discard))
		b := read(t, c.Output)
		alter(b)
		p, err := payload.Open(b)
		if err == nil {
			err = p.Check()
		}
		shown := (&showCmd{Payload: put(t, "p", b)}).show(io.Discard)
		if name == "names no digests" { // a payload that somebody packed by hand
			must(t, shown)
			continue
		}
		if err == nil || shown == nil || !strings.Contains(shown.Error(), name) {
			t.Errorf("%s: ferry show says %v, the stage %v", name, shown, err)
		}
	}
}
