package luo

import (
	"bytes"
	"encoding/binary"

	"ferry/phys"
)

// RecordLayout says where the fields of one kind of record are: a name, padded with
// zeros, and two numbers, u64 and little endian. Offsets and sizes in bytes.
//
// Two layouts that are equal are the same bytes: such records are copied many at a
// time, all others one by one.
type RecordLayout struct {
	size   int // of the record
	name   int // the name
	room   int // of its field, the NUL that ends it included
	first  int // where a session's files are, 0 if it has none; the data of a file or of an FLB
	second int // how many files a session has; the token of a file; the users of an FLB
}

// layouts are those of the records of one format.
type layouts struct{ session, file, flb RecordLayout }

// common are the records of Linux 6.19 to 7.3: struct luo_session_ser (with struct
// luo_file_set_ser), luo_file_ser and luo_flb_ser of include/linux/kho/abi/luo.h.
var common = layouts{
	session: RecordLayout{size: 80, name: 0, room: 64, first: 64, second: 72},
	file:    RecordLayout{size: 64, name: 0, room: 48, first: 48, second: 56},
	flb:     RecordLayout{size: 64, name: 0, room: 48, first: 48, second: 56},
}

// Longest names in bytes, those of a state built by [New]: each ends in a NUL.
const (
	MaxSessionName = 63
	MaxHandlerName = 47
	MaxFLBName     = 47
)

// MaxFLBs is how many FLBs one page holds.
const MaxFLBs = 63

// Offsets in the FLB page, the same in every generation that has one.
const (
	flbPages   = 0 // u64: always 1
	flbNumber  = 8 // u64: records in the page
	flbRecords = 16
)

// nameField returns the field of the name, with its padding.
func (l *RecordLayout) nameField(rec []byte) []byte {
	return rec[l.name : l.name+l.room : l.name+l.room]
}

// nameOf returns what kernels take for the name: all before a NUL, or all that leaves
// room for one.
func (l *RecordLayout) nameOf(rec []byte) []byte { return text(rec[l.name : l.name+l.room-1]) }

func (l *RecordLayout) value(rec []byte) uint64  { return u64(rec[l.first:]) }
func (l *RecordLayout) number(rec []byte) uint64 { return u64(rec[l.second:]) }

// put fills rec, which may hold anything.
func (l *RecordLayout) put(rec, name []byte, first, second uint64) {
	clear(rec[:l.size])
	copy(rec[l.name:l.name+l.room], name)
	binary.LittleEndian.PutUint64(rec[l.first:], first)
	binary.LittleEndian.PutUint64(rec[l.second:], second)
}

// file returns the file whose record rec is at a.
func (l *RecordLayout) file(rec []byte, a phys.Addr) File {
	return File{Handler: text(l.nameField(rec)), Data: l.value(rec), Token: l.number(rec), Addr: a}
}

// text returns a field up to its NUL, all of it if there is none.
func text(field []byte) []byte {
	if i := bytes.IndexByte(field, 0); i >= 0 {
		return field[:i:i]
	}
	return field
}

// u64 returns the little-endian number at the start of b.
func u64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
