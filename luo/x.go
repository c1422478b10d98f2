package luo

import (
	"ferry/blockset"
	"ferry/kho"
)

// X is what a development tree of 2026 (linux-mm 29a75107) writes, and no release: the
// root of [V5] with a header of feature bits in place of the version string. It mirrors
// struct luo_ser of include/linux/kho/abi/luo.h there. A reader was never published,
// so that a crossing reads and writes it only if the operator wants that.
var X = &Format{
	name:     "luo with features",
	releases: "none (linux-mm of 2026)",

	maxSessions:    blockset.MaxBlocks * 51,
	maxFiles:       blockset.MaxBlocks * 63,
	beyondSessions: blockset.MaxBlocks * 51,
	beyondFiles:    blockset.MaxBlocks * 63,

	flbs: optionalFLBs,

	layouts: common,
	form:    &chain{head: features{0b111, 0b111, 0b111}, number: 128, sessions: 136, flbs: 144, size: 152},
}

// features is a head of feature bits: 0 the number of live updates, 1 sessions, 2 FLBs.
type features kho.Features

// match takes a structure of this size for one with the header, which has no other
// mark, if it is sound as far as that can be said without knowing the bits.
func (f features) match(s *source) bool {
	every := kho.Features{Supported: ^uint64(0)}
	return s.size == featureRoot && every.Check("root", s.addr, s.page, ErrVersion) == nil
}

func (f features) check(s *source) (odd, err error) {
	return nil, kho.Features(f).Check("root", s.addr, s.page, ErrVersion)
}

func (f features) put(page []byte) { kho.Features(f).Put(page) }
