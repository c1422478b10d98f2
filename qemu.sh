#!/usr/bin/env bash
# Boots a bzImage, or an ELF executable built for metal, under QEMU, and exits
# with the guest's exit code. The one way to boot anything here; also serves as
# `go test -exec`.
#
#   ./qemu.sh [NAME=value...] <image> [argument...]
#
# The image gets the arguments as its own (after " -- " on the kernel command
# line). Settings, from the environment or before the image:
#
#   MACHINE=q35    pc, q35, microvm, or anything else for -machine
#   MEM=1G         RAM
#   CPU=max        processor model
#   SMP=1          processors
#   INITRD=file    initrd
#   APPEND=words   kernel command line before the arguments; NAME=value words in
#                  capitals are the image's environment: GOTRACEBACK=all
#   TIMEOUT=120    seconds until the run counts as hung
#   ICOUNT=1       count instructions: one is a nanosecond of guest time
#   INIT_MIB=64    memory of an ELF image, in MiB; 192 for a test binary
#   QEMU=program   qemu-system-x86_64
#   QEMU_ARGS=...  further arguments for QEMU, split at blanks
#   LINKER=program the linker; built on the fly when it is not set
#
# Exit codes: what the guest exits with (0 to 63, see the README); 60 a good end
# after a system call without an answer; 62 a fatal report; 124 hung; 125 QEMU itself failed, was killed, or the guest reset.
set -euo pipefail

while [[ ${1-} =~ ^[A-Z_]+=. ]]; do
	export "$1"
	shift
done
image=${1:?usage: qemu.sh [NAME=value...] image [argument...]}
shift

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What go test adds for its own bookkeeping needs a file system.
args=()
init=64
for a in "$@"; do
	[[ $a != -test.* ]] || init=192
	case $a in
	-test.testlogfile=* | -test.gocoverdir=* | -test.outputdir=*) ;;
	*[[:space:]]*) args+=("\"$a\"") ;;
	*) args+=("$a") ;;
	esac
done

if [[ $(head -c 4 "$image" | tr -d '\0') == $'\x7fELF' ]]; then
	if [[ -z ${LINKER-} ]]; then
		LINKER=$work/linker
		(cd "$root" && env -u GOOS -u GOARCH -u GOFLAGS CGO_ENABLED=0 go build -o "$LINKER" ./linker/cmd)
	fi
	"$LINKER" --init-size "${INIT_MIB:-$init}" --output "$work/image" "$image"
	image=$work/image
fi

machine=${MACHINE:-q35}
case $machine in
microvm) machine=microvm,rtc=on,pic=on,pit=on ;;
esac
append=${APPEND-}
[[ ${#args[@]} -eq 0 ]] || append+=" -- ${args[*]}"

qemu=("${QEMU:-qemu-system-x86_64}" -machine "$machine" -accel tcg -cpu "${CPU:-max}" -smp "${SMP:-1}" -m "${MEM:-1G}"
	-nodefaults -no-user-config -display none -monitor none -no-reboot -serial stdio
	-device isa-debug-exit,iobase=0xf4,iosize=4 -kernel "$image" -append "$append")
[[ -z ${INITRD-} ]] || qemu+=(-initrd "$INITRD")
[[ -z ${ICOUNT-} ]] || qemu+=(-icount shift=0)
# shellcheck disable=SC2206 # split at blanks as documented
[[ -z ${QEMU_ARGS-} ]] || qemu+=(${QEMU_ARGS})

status=0
timeout --foreground "${TIMEOUT:-120}" "${qemu[@]}" </dev/null || status=$?
# isa-debug-exit ends QEMU with an odd status, chosen by Exit of board/amd64 apart
# from QEMU's own and those of signals.
if ((status == 124)); then
	echo "qemu.sh: no end after ${TIMEOUT:-120} s" >&2
elif ((status >= 193 && status % 2 == 1)); then
	status=$(((status >> 1) - 96))
elif ((status >= 33 && status <= 95 && status % 2 == 1)); then
	status=$(((status >> 1) + 16))
else
	echo "qemu.sh: QEMU ended with status $status before the guest did" >&2
	status=125
fi
exit "$status"
