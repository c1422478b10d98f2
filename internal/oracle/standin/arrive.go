package standin

import (
	"fmt"

	"ferry/phys"
)

// Payload is what the setup_data node of type 10 says: struct kho_data.
type Payload struct {
	FDT, Scratch         phys.Addr
	FDTSize, ScratchSize uint64
}

// Arrive walks the setup_data list of the zero page as parse_setup_data does and
// returns the handover's payload; ok is false where there is none.
func Arrive(mem phys.Memory, zeroPage phys.Addr) (p Payload, ok bool, err error) {
	const kho, maxNodes = 10, 64
	zp, err := mem.View(zeroPage, phys.PageSize)
	if err != nil {
		return p, false, err
	}
	for at, n := le.Uint64(zp[0x250:]), 0; at != 0; n++ {
		node, err := mem.View(phys.Addr(at), 16)
		if err != nil {
			return p, false, fmt.Errorf("setup_data node %#x, number %d: %w", at, n, err)
		}
		if n > maxNodes {
			return p, false, fmt.Errorf("setup_data node %#x, number %d: want at most %d", at, n, maxNodes)
		}
		if le.Uint32(node[8:]) == kho {
			data, err := mem.View(phys.Addr(at)+16, 32)
			if err != nil {
				return p, false, err
			}
			return Payload{phys.Addr(le.Uint64(data)), phys.Addr(le.Uint64(data[16:])), le.Uint64(data[8:]), le.Uint64(data[24:])}, true, nil
		}
		at = le.Uint64(node)
	}
	return p, false, nil
}

// Bytes returns the payload as it stands in memory.
func (p Payload) Bytes() (b [32]byte) {
	for i, v := range [...]uint64{uint64(p.FDT), p.FDTSize, uint64(p.Scratch), p.ScratchSize} {
		le.PutUint64(b[8*i:], v)
	}
	return b
}
