// Package goos is the overlay through which a TamaGo toolchain finds the board:
// it takes the place of runtime/goos when GOOSPKG names this module. The names
// and their meaning are TamaGo's (github.com/usbarmory/tamago/goos); bodies are in
// board/amd64/internal/tamago, which pushes them here by linkname.
//
// Built with the stock toolchain the package is empty: board/amd64/internal/syscalls
// is between the runtime and the board then.
package goos
