//go:build metal

package phystest

import "syscall"

// mapRAM maps n bytes of zeros, the same to read and to write: metal/ knows no
// memory that is mapped twice.
func mapRAM(n int) (view, edit []byte, unmap func(), err error) {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	if err != nil {
		return nil, nil, nil, err
	}
	return b, b, func() { syscall.Munmap(b) }, nil
}
