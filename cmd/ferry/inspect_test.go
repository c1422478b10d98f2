package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"ferry/board/record"
	"ferry/phys"
	"ferry/phys/dump"
)

// A stage of two pages at 16 MiB, the record in the second.
const (
	stageAt  = 0x1000000
	recordAt = stageAt + phys.PageSize
)

// recordPage is what a halted stage leaves.
func recordPage(t testing.TB) []byte {
	t.Helper()
	l := record.Layout{Magic: record.Magic, Version: record.Version, Size: record.Size, StageStart: stageAt, StageSize: 2 * phys.PageSize,
		Cause: uint32(record.CauseDeadline), Failures: 1, Outcome: uint32(record.OutcomeHalted), Hz: 1e9}
	copy(l.Step[:], "serialize")
	l.ConsoleBytes = uint64(copy(l.Console[:], "ferry: last\x1b[2J words\r\n"))
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, l); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// core is an ELF core of segments at physical addresses.
func core(typ elf.Type, segments map[phys.Addr][]byte, order ...phys.Addr) []byte {
	var head, body bytes.Buffer
	offset := 64 + 56*len(order)
	binary.Write(&head, binary.LittleEndian, elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(typ), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: uint16(len(order)), Shentsize: 64})
	for _, at := range order {
		data := segments[at]
		binary.Write(&head, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_LOAD), Paddr: uint64(at),
			Off: uint64(offset + body.Len()), Filesz: uint64(len(data)), Memsz: uint64(len(data))})
		body.Write(data)
	}
	return append(head.Bytes(), body.Bytes()...)
}

func TestInspectFindsTheRecordInEveryForm(t *testing.T) {
	page, low := recordPage(t), make([]byte, 0x9f000)
	stage := append(make([]byte, phys.PageSize), page...)
	segments := map[phys.Addr][]byte{0: low, stageAt: stage}
	for _, c := range []struct {
		name string
		dump []byte
		base uint64
	}{
		{"bytes from 0", append(make([]byte, stageAt), stage...), 0},
		{"bytes from the stage on", stage, stageAt},
		{"core", core(elf.ET_CORE, segments, 0, stageAt), 0},
		{"core in another order", core(elf.ET_CORE, segments, stageAt, 0), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			if err := (&inspectCmd{Dump: put(t, "dump", c.dump), dumpFlags: dumpFlags{Base: c.base}}).inspect(&out); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"[0x1000000-0x1001fff]", "halted", `"serialize"`, "deadline", "  | ferry: last?[2J words\n"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output does not say %q:\n%s", want, out.String())
				}
			}
		})
	}
}

func TestInspectRefuses(t *testing.T) {
	stage := map[phys.Addr][]byte{stageAt: recordPage(t), 1<<64 - 16: make([]byte, 100)}
	good := core(elf.ET_CORE, stage, stageAt)
	for _, c := range []struct {
		name, want string
		dump       []byte
	}{
		{"no record", "no record of a stage and no handover in 1 MiB", make([]byte, 1<<20)},
		{"a record in another place", "no record", core(elf.ET_CORE, stage, stageAt)},
		{"nothing", "0 bytes", nil},
		{"a program", "ET_EXEC", core(elf.ET_EXEC, stage, stageAt)},
		{"no memory", "holds no memory", core(elf.ET_CORE, stage)},
		{"cut short", "cut short", good[:len(good)-1]},
		{"half a header", "cut short", good[:40]},
		{"a segment that wraps", "wrap", core(elf.ET_CORE, stage, 1<<64-16)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := (&inspectCmd{Dump: put(t, "dump", c.dump)}).inspect(io.Discard); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// FuzzInspect: no dump panics or is read beyond its end.
func FuzzInspect(f *testing.F) {
	f.Add(core(elf.ET_CORE, map[phys.Addr][]byte{stageAt: make([]byte, phys.PageSize), recordAt: recordPage(f)}, stageAt, recordAt), uint64(0))
	f.Add(recordPage(f), uint64(recordAt))
	f.Fuzz(func(_ *testing.T, file []byte, base uint64) {
		if d, err := dump.Of(file, phys.Addr(base)); err == nil && d.RAM().Size() < 1<<24 {
			for _, r := range record.Find(d) {
				_ = r.String() + printable(r.LastWords())
			}
		}
	})
}
