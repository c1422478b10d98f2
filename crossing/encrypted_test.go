package crossing

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/internal/oracle/standin"
	"ferry/phys"
)

// node puts a setup_data node before the handover's.
func (m *machine) node(typ uint32, data ...byte) {
	m.t.Helper()
	const at = nodesAt + 0x400
	b := m.edit(at, 16+uint64(len(data)))
	le.PutUint64(b, uint64(nodesAt))
	le.PutUint32(b[8:], typ)
	le.PutUint32(b[12:], uint32(len(data)))
	copy(b[16:], data)
	le.PutUint64(m.edit(zeroPageAt, phys.PageSize)[0x250:], uint64(at))
}

// TestEncryptedMemoryIsHandedOnUntouched wants a handover that could be crossed to
// follow the policy if the machine says that memory is encrypted.
func TestEncryptedMemoryIsHandedOnUntouched(t *testing.T) {
	blob := make([]byte, 24)
	binary.LittleEndian.PutUint32(blob, 7)
	for name, tt := range map[string]struct {
		encrypt func(m *machine)
		says    string
	}{
		"by the processor":      {func(m *machine) { m.Encryption = "Intel TDX" }, "encrypted: Intel TDX"},
		"by a node":             {func(m *machine) { m.node(7, 1, 2, 3, 4) }, "node of type 7"},
		"by a node that points": {func(m *machine) { m.node(1<<31, blob...) }, "node of type 7"},
		"not":                   {func(m *machine) { m.node(66, blob...) }, ""},
	} {
		for _, policy := range []Outcome{OnErrorRollback, OnErrorPass, OnErrorCold, OnErrorHalt} {
			t.Run(name+"/"+string(policy), func(t *testing.T) {
				m := newMachine(t, standin.Shape{Sessions: 3, Files: 3, Fill: 2}, "console=ttyS0")
				m.setFiles(payload.Manifest{OnError: string(policy), Rollback: &payload.Rollback{}}, pack.Files{
					Kernel: nextKernel(), Initrd: []byte("next"), RollbackKernel: nextKernel(), RollbackInitrd: []byte("before")})
				tt.encrypt(m)
				raw := bytes.Clone(m.edit(nodesAt+16, 32))
				before := m.pages()
				jump, err := Run(&m.Machine)
				if tt.says == "" {
					if err != nil || strings.Contains(m.log.String(), "encrypted") {
						t.Errorf("refused: %v\n%s", err, m.log)
					}
					return
				}
				m.unchanged(before)
				if !strings.Contains(m.log.String(), tt.says) {
					t.Errorf("the report does not say %q:\n%s", tt.says, m.log)
				}
				if policy == OnErrorHalt {
					if !errors.Is(err, ErrHalt) || !errors.Is(err, ErrEncrypted) {
						t.Errorf("got %v, want a halt", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if policy == OnErrorCold {
					raw = nil
				}
				if a := m.arrive(jump); !bytes.Equal(a.kho, raw) {
					t.Errorf("handover payload %x, want %x", a.kho, raw)
				}
			})
		}
	}
}
