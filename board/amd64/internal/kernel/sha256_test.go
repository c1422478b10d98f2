//go:build !metal

package kernel

import (
	"bytes"
	crypto "crypto/sha256"
	"encoding/binary"
	"testing"
)

// TestHashIsSHA256 compares every length up to some blocks with package crypto's.
func TestHashIsSHA256(t *testing.T) {
	var message []byte
	for n := range 300 {
		var s sha256
		s.block[3] = 0xffff_ffff // left from before
		s.reset()
		for _, b := range message {
			s.writeByte(b)
		}
		s.sum()
		var got []byte
		for _, w := range s.h {
			got = binary.BigEndian.AppendUint32(got, w)
		}
		if want := crypto.Sum256(message); !bytes.Equal(got, want[:]) {
			t.Fatalf("%d bytes: %x, want %x", n, got, want)
		}
		message = append(message, byte(n*n>>3^n))
	}
	var a, b sha256
	a.reset()
	b.reset()
	a.write(0x0807060504030201)
	for i := range byte(8) {
		b.writeByte(i + 1)
	}
	if a.sum(); a.h == b.h {
		t.Error("write wrote nothing")
	}
	if b.sum(); a.h != b.h {
		t.Error("write does not write the lowest byte first")
	}
}

// TestKeyIsTheHashOfThePool: what is in the pool when the key is made decides it.
func TestKeyIsTheHashOfThePool(t *testing.T) {
	key := func(seed string) [4]uint64 {
		var r rng
		r.pool.reset()
		for _, b := range []byte(seed) {
			r.pool.writeByte(b)
		}
		r.rekey()
		first := [4]uint64(r.key[:4])
		if out := r.churn(); out == [4]uint64{} || out == first || [4]uint64(r.key[:4]) == first {
			t.Error("the key was given out, or stays")
		}
		return first
	}
	if a, b, c := key("seed"), key("seed"), key("seee"); a != b || a == c {
		t.Errorf("keys %x, %x, %x", a, b, c)
	}
}
