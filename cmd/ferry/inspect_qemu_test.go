//go:build qemu

package main

import (
	"strings"
	"testing"
)

// The memory of a machine whose stage halted says what it was doing, and why it went no further.
func TestInspectOnMetalFindsAStageThatHalted(t *testing.T) {
	m := newMachine(t)
	ram := m.at("ram")
	log, code := m.cross(t, m.stage, m.payload("plain", "", 0, false), "probe.break=sessions-outside-ram ferry.on-error=halt", "MEM=1G",
		"QEMU_ARGS=-object memory-backend-file,id=ram,size=1G,share=on,mem-path="+ram+" -machine memory-backend=ram")
	if code == 0 {
		t.Fatalf("the stage did not halt:\n%s", log)
	}
	var out strings.Builder
	if err := (&inspectCmd{Dump: ram}).inspect(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"record     at", "outcome    halted", "exit code  1", "; on-error=halt; memory intact", "failed     \"luo: session block", "in step \"luo\""} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output does not say %q:\n%s", want, out.String())
		}
	}
}
