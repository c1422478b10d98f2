// Package tamago joins a TamaGo runtime to the board: the bodies of what package
// goos declares, the handler of traps, and what an operating system passes to a
// program. Built with the stock toolchain it is empty; package syscalls is its
// counterpart there.
//
// There is one thread, and nothing preempts it: interrupts are acknowledged, and
// end the wait of the idle hook. boot and trap are kernel code, with the rules of
// package kernel; all other functions are called by the runtime.
package tamago
