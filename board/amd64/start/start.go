// Package start is imported for its side effect by every program and test that
// runs with no operating system. It links what the Go runtime needs underneath,
// which the toolchain decides: for a stock one the small kernel of package metal,
// for TamaGo's the board alone, which its runtime calls directly.
package start
