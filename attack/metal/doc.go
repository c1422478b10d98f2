//go:build linux

// Package metal attacks Ferry where it runs: the real image under QEMU, with all
// of the machine's memory in a file that is looked at, changed and started again
// (package qemu).
//
// The attacks are tests with the tag qemu (mk/attack-metal.mk); each writes its
// section of docs/reliability.md. What a crossing made is judged by the decoder of
// package oracle, which shares nothing with Ferry's readers. Memory and console were
// written by the machine under attack: the first is read by code that proves what it
// reads, but for that decoder, which runs on what those readers took; the second is
// searched for text.
package metal
