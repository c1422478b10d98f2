// Package linux runs Ferry between real Linux kernels under QEMU.
//
// It holds what the real-kernel suite and `make run-linux` share: initrds ([Tree]), a virtual machine that boots a
// kernel and reads its serial console ([VM]), the reading of such a console log ([Log]), the kernels that one machine
// runs in turn and what they carry ([Run]), and what became of that ([Result]). The kernels and upstream's selftests come
// from linux/kernels.sh. The suite itself is in files with the build tag linux_e2e (`make test-linux`); nothing in it is
// skipped when something is missing, it fails. `make test-matrix` runs every pair of kernels and writes
// docs/compatibility.md.
//
// The console log was written by the machine under test. It is only searched for text.
package linux
