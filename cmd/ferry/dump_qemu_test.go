//go:build qemu

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ferry/internal/oracle"
	"ferry/kho/khotest"
)

// TestInspectReadsWhatQEMUDumps gives QEMU the memory that Linux 7.3.4 left, of a machine that does not run, and reads it
// from dumps in every form that QEMU writes.
func TestInspectReadsWhatQEMUDumps(t *testing.T) {
	v := khotest.Linux734(t)
	ram := sparseDump(t, v.Memory)
	size := uint64(v.Memory.RAM()[len(v.Memory.RAM())-1].End)
	const align = 2 << 20
	size = (size + align - 1) / align * align
	if err := os.Truncate(ram, int64(size)); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	forms := []struct{ flags, form string }{
		{"", "ELF core"},
		{"-z", "kdump-compressed, zlib, flattened"}, {"-l", "kdump-compressed, lzo, flattened"}, {"-s", "kdump-compressed, snappy, flattened"},
	}
	file := func(i int) string { return filepath.Join(dir, fmt.Sprint(i)) }
	var commands strings.Builder
	for i, f := range forms {
		fmt.Fprintf(&commands, "dump-guest-memory %s %s\n", f.flags, file(i))
	}
	commands.WriteString("quit\n")
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	qemu := exec.CommandContext(ctx, "qemu-system-x86_64", "-S", "-machine", "q35,memory-backend=ram", "-accel", "tcg", "-nodefaults", "-no-user-config", "-display", "none",
		"-m", fmt.Sprintf("%dM", size>>20), "-object", fmt.Sprintf("memory-backend-file,id=ram,size=%dM,share=off,mem-path=%s", size>>20, ram), "-monitor", "stdio")
	qemu.Stdin = strings.NewReader(commands.String())
	log, err := qemu.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, log)
	}
	var want []byte
	read := 0
	for i, f := range forms {
		if _, err := os.Stat(file(i)); err != nil {
			t.Logf("%s: QEMU was built without it", f.form)
			continue
		}
		read++
		start := time.Now()
		got := inspected(t, inspectCmd{Dump: file(i)})
		t.Logf("%s: %v", f.form, time.Since(start).Round(time.Millisecond))
		if got.Form != f.form || len(got.Handovers) != 1 {
			t.Fatalf("%s: %s with %d handovers:\n%s", f.form, got.Form, len(got.Handovers), log)
		}
		agree(t, got.Handovers[0], v.Memory, oracle.Handover(v.Data), oracle.FormOf("F"))
		all, err := json.Marshal(got.Handovers)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = all
		}
		if !bytes.Equal(all, want) {
			t.Errorf("%s: not what the first form says: %s", f.form, all)
		}
	}
	if read < 2 {
		t.Errorf("QEMU wrote %d forms:\n%s", read, log)
	}
}
