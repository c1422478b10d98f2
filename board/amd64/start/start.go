// Package start is imported for its side effect by every program and test that
// runs with no operating system. It links what the Go runtime needs underneath,
// which the toolchain decides: for a stock one package syscalls, which answers the
// runtime's system calls; for TamaGo's package tamago, which the runtime calls.
package start
