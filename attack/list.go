//go:build linux && !metal

package attack

import (
	"bytes"
	"errors"
	"fmt"

	"ferry/kho"
	"ferry/phys"
)

// list returns the payload of the node in the setup_data list that is the
// handover's, nil where there is none. The list is read from the zero page on, as
// the boot protocol has it; an error is that it cannot be, behind that node or before.
func (s *Subject) list() (raw []byte, err error) {
	at, err := s.View(s.ZeroPage+0x250, 8)
	if err != nil {
		return nil, err
	}
	for next, n := phys.Addr(le.Uint64(at)), 0; next != 0; n++ {
		if n == 64 {
			return raw, errors.New("a list without end")
		}
		head, err := s.View(next, 16)
		if err != nil {
			return raw, err
		}
		data, err := s.View(next+16, uint64(le.Uint32(head[12:])))
		if err != nil {
			return raw, err
		}
		if le.Uint32(head[8:]) == 10 {
			if raw != nil || len(data) != kho.DataSize {
				return raw, fmt.Errorf("%d bytes, or a second handover", len(data))
			}
			raw = bytes.Clone(data)
		}
		next = phys.Addr(le.Uint64(head))
	}
	return raw, nil
}

// data returns the payload by which the handover is found, as it is now.
func (s *Subject) data() kho.Data {
	raw, _ := s.list()
	if raw == nil {
		return s.Data
	}
	d, err := kho.ParseData(s.Node, raw)
	if err != nil {
		return s.Data
	}
	return d
}

// line reports whether where the command line lies was damaged: then nobody knows it.
func (s *Subject) line() bool {
	zp, err := s.View(s.ZeroPage, phys.PageSize)
	old := s.Memory.Pages()[s.ZeroPage]
	return err != nil || !bytes.Equal(zp[0xc8:0xcc], old[0xc8:0xcc]) || !bytes.Equal(zp[0x228:0x22c], old[0x228:0x22c])
}
