package main

import (
	"io"
	"path/filepath"
	"strings"
	"testing"

	"ferry/boot/payload"
)

// kernel619 has the strings of Linux 6.19, generation C.
const kernel619 = "\x7fELF\x00Linux version 6.19.14 (user@host)\x00kho-v1\x00luo-v1\x00luo-session-v2\x00memfd-v1\x00"

// kernel618 has the strings of Linux 6.18, generation B.
const kernel618 = "\x7fELF\x00Linux version 6.18.15 (user@host)\x00kho-v1\x00"

// Each row is what an operator says, and what the manifest then holds or why there is none.
func TestPackRefusesAPolicyThatCannotWork(t *testing.T) {
	line := "quiet"
	back := func(kernel string) rollbackFlags {
		return rollbackFlags{Kernel: put(t, "back", bzImage(formats(kernel))), Initrd: put(t, "i", []byte("initrd")), Cmdline: &line}
	}
	for _, tt := range []struct {
		name          string
		c             packCmd
		onError, from string // in the manifest
		want          string // in the error
	}{
		{"nothing is said", packCmd{}, "", "", ""},
		{"rollback by default", packCmd{Rollback: back(kernel619)}, "rollback", "", ""},
		{"rollback", packCmd{Rollback: back(kernel619), OnError: "rollback", From: "6.19.8"}, "rollback", "6.19.8", ""},
		{"rollback without a kernel", packCmd{OnError: "rollback"}, "", "", "--rollback-kernel"},
		{"rollback to another generation", packCmd{Rollback: back(kernel619), From: "7.1.13"}, "", "", "reads generation C"},
		{"rollback to another generation, forced", packCmd{Rollback: back(kernel619), From: "7.1.13", Force: true}, "rollback", "7.1.13", ""},
		{"rollback to one that reads the same", packCmd{Rollback: back(kernel619), From: "7.0.13"}, "rollback", "7.0.13", ""},
		{"rollback to what says nothing", packCmd{Rollback: rollbackFlags{Kernel: put(t, "b", bzImage(formats("")))}}, "", "", "--rollback-generation"},
		{"rollback to what is told", packCmd{Rollback: rollbackFlags{Kernel: put(t, "b", bzImage(formats(""))), Generation: "B"}}, "rollback", "", ""},
		{"rollback to no kernel", packCmd{Rollback: rollbackFlags{Kernel: put(t, "b", []byte("x"))}}, "", "", "to go back to"},
		{"an initrd without a kernel", packCmd{Rollback: rollbackFlags{Initrd: "x"}}, "", "", "need --rollback-kernel"},
		{"pass, from nobody knows where", packCmd{OnError: "pass"}, "pass", "", ""},
		{"pass in a generation", packCmd{OnError: "pass", From: "7.2.12"}, "pass", "7.2.12", ""},
		{"pass to another generation", packCmd{OnError: "pass", From: "6.19"}, "", "", "would get the handover of 6.19"},
		{"pass to another generation, forced", packCmd{OnError: "pass", From: "6.19", Force: true}, "pass", "6.19", ""},
		{"pass to another, with a kernel to go back to", packCmd{OnError: "pass", Rollback: back(kernel619)}, "", "", "would get the handover of the rollback kernel"},
		{"cold from another", packCmd{OnError: "cold", From: "6.19"}, "cold", "6.19", ""},
		{"halt with a kernel to go back to", packCmd{OnError: "halt", Rollback: back(kernel619)}, "halt", "", ""},
		{"another generation, nothing said", packCmd{From: "6.19"}, "halt", "6.19", ""},
		{"the same generation, nothing said", packCmd{From: "7.2"}, "", "7.2", ""},
		{"sessions expected of a kernel that has none", packCmd{Expect: 1, Kernel: put(t, "k", bzImage(formats(kernel618)))}, "", "", "have no sessions"},
		{"a larger rollback kernel than there is room for", packCmd{Room: 96, Rollback: rollbackFlags{
			Kernel: put(t, "large", bzImage(formats(kernel619), initSize(40<<20)))}}, "", "", "init_size 40 MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.c
			if c.Output = filepath.Join(t.TempDir(), "payload"); c.Kernel == "" {
				c.Kernel = put(t, "k", bzImage())
			}
			var said strings.Builder
			err := c.pack(&said)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want one with %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p, err := payload.Open(read(t, c.Output))
			if err != nil {
				t.Fatal(err)
			}
			if m := p.Manifest; m.OnError != tt.onError || m.From != tt.from || (m.Rollback != nil) != (c.Rollback.Kernel != "") {
				t.Errorf("manifest %+v", m)
			}
			if tt.onError != "" && !strings.Contains(said.String(), "after a failure                  "+tt.onError) {
				t.Errorf("output:\n%s", said.String())
			}
			if err := p.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLoadChecksTheRollbackKernel(t *testing.T) {
	long := on + strings.Repeat("x", 2000-len(on))
	short := strings.TrimSpace(on)
	pack := func(back rollbackFlags) string {
		c := packCmd{Kernel: put(t, "k", bzImage()), Output: filepath.Join(t.TempDir(), "payload"), Rollback: back}
		if err := c.pack(io.Discard); err != nil {
			t.Fatal(err)
		}
		return c.Output
	}
	four := put(t, "four", bzImage(formats(kernel619), func(b []byte) { b[0x236] = 0x3 }))
	small := put(t, "small", bzImage(formats(kernel619), func(b []byte) { b[0x238], b[0x239] = 100, 0 }))
	large := put(t, "large", bzImage(formats(kernel619), initSize(512<<20)))
	for _, tt := range []struct {
		name string
		back rollbackFlags
		want string
	}{
		{"good", rollbackFlags{Kernel: put(t, "b", bzImage(formats(kernel619)))}, ""},
		{"four levels of page tables", rollbackFlags{Kernel: four}, "rollback kernel: "},
		{"the stage's command line is too long", rollbackFlags{Kernel: small}, "the rollback kernel does not take the command line"},
		{"its own command line counts", rollbackFlags{Kernel: small, Cmdline: &short}, ""},
		{"no room", rollbackFlags{Kernel: large}, "rollback kernel: no room"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := live()
			root["proc/cpuinfo"].Data = []byte("flags\t\t: fpu la57 lm\n")
			if tt.back.Kernel != four {
				root = live()
			}
			c := loadCmd{Stage: put(t, "s", stageImage(func(b []byte) { b[0x238], b[0x239] = 0xff, 0x0f })), Payload: pack(tt.back), Cmdline: &long}
			_, err := c.checkOpened(host{root})
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}
