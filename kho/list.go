package kho

import "ferry/phys"

// list is the index of the kho-v1 formats.
type list struct{ bitmap uint64 } // bytes of a bitmap

func (list) read(m *Map, scratch phys.Ranges) error {
	return &phys.Error{Object: "list", Addr: m.root, Found: "a list of bitmaps", Want: "a format that can be read already", Err: ErrVersion}
}

func (list) write(d *Draft) error {
	return &phys.Error{Object: "list", Found: "a list of bitmaps", Want: "a format that can be written already", Err: ErrVersion}
}
