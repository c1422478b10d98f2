package phys

import "unsafe"

// Direct is physical memory seen through a linear mapping: physical address a
// is at virtual address Base+a. It is how the stage sees memory on metal.
//
// Precondition: every range given to [NewDirect] is mapped readable and
// writable at that place for as long as the Direct is in use.
type Direct struct {
	base uintptr
	ram  Ranges
}

// NewDirect returns the memory ram as mapped linearly at virtual address base.
func NewDirect(base uintptr, ram Ranges) *Direct { return &Direct{base, ram} }

// View implements [Memory].
func (d *Direct) View(a Addr, n uint64) ([]byte, error) {
	if err := Check(d.ram, a, n); err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(pointer(d.base+uintptr(a))), n), nil
}

// Edit implements [Memory].
func (d *Direct) Edit(a Addr, n uint64) ([]byte, error) { return d.View(a, n) }

// RAM implements [Memory].
func (d *Direct) RAM() Ranges { return d.ram }

// pointer turns the address of a byte outside the Go heap into a pointer. The
// detour through memory is for vet: the rule it checks is about addresses of Go
// objects, which may move or be freed, and this is none.
func pointer(a uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&a)) }
