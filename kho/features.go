package kho

import (
	"encoding/binary"
	"fmt"

	"ferry/phys"
)

// Features is the header of feature bits that a development tree of 2026 puts at the
// beginning of structures, in place of version strings: three u64 and 13 that are
// reserved, little endian. No release has it. Source: struct luo_feature_hdr of
// include/linux/kho/abi/luo.h there (linux-mm 29a75107).
type Features struct {
	Supported uint64 // by the kernel that wrote the structure
	Required  uint64 // that a reader must know
	Active    uint64 // that the structure makes use of
}

// FeaturesSize is the length of the header in bytes.
const FeaturesSize = 128

const (
	featureWords  = 3
	featureActive = 16
)

// Put writes the header to the beginning of b.
func (f Features) Put(b []byte) {
	clear(b[:FeaturesSize])
	for i, word := range [featureWords]uint64{f.Supported, f.Required, f.Active} {
		binary.LittleEndian.PutUint64(b[8*i:], word)
	}
}

// Check refuses the header at the beginning of b, which is object at address a, if it
// is not one of the features f: a reader must know all that is required, and who hands
// the structure on must know all that is active and find all that it needs. rule is
// what the error wraps.
func (f Features) Check(object string, a phys.Addr, b []byte, rule error) error {
	bad := func(at int, found, want string) error {
		return &phys.Error{Object: object, Addr: a + phys.Addr(at), Found: found, Want: want,
			Hint: "the kernel that wrote it is of another release than this image reads", Err: rule}
	}
	for i, want := range [featureWords]uint64{^uint64(0), f.Supported, f.Supported} {
		if word := binary.LittleEndian.Uint64(b[8*i:]); word&^want != 0 {
			return bad(8*i, fmt.Sprintf("feature bits %#x", word), fmt.Sprintf("no others than %#x", want))
		}
	}
	if active := binary.LittleEndian.Uint64(b[featureActive:]); active&f.Required != f.Required {
		return bad(featureActive, fmt.Sprintf("active feature bits %#x", active), fmt.Sprintf("%#x among them", f.Required))
	}
	for i := 8 * featureWords; i < FeaturesSize; i += 8 {
		if word := binary.LittleEndian.Uint64(b[i:]); word != 0 {
			return bad(i, fmt.Sprintf("%#x in a reserved word", word), "0")
		}
	}
	return nil
}
