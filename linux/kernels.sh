#!/bin/sh
# Prepares what the real-kernel suite boots, from Debian's packages linux-source-X.Y:
#
#   linux/kernels.sh [output folder, default build/linux] [series...]
#
#   <output>/<release>/bzImage  a kernel for each package that linux/SHA256SUMS names, or for the given series (7.3 is
#                               always among them), with KHO and, where it has one, LUO, configured by linux/kho.config
#   <output>/bzImage            the newest of them, 7.3
#   <output>/release            its release, for example 7.3.4
#   <output>/selftests/         upstream's liveupdate selftests of 7.3 and their init, unmodified, static
#
# Downloads and builds are kept in ${FERRY_CACHE:-$HOME/.cache/ferry} and used again. With
# FERRY_KERNELS=<folder>, holding <release>/bzImage, the newest kernel of each series found there is
# taken and none is built; the source of 7.3 is needed in any case, for the selftests and their headers.
#
# The packages are from Debian 13's backports, whatever Debian this machine runs. The index of that suite lists the
# newest series alone, but the mirror's pool keeps older ones: they are asked for by name, from the mirror that this
# machine's apt already uses, and checked against linux/SHA256SUMS. Should the pool drop the package of 7.3, then the
# index is asked for its successor: apt reads the suite through lists of its own and checks it against Debian's
# archive keys.
set -eu

newest=7.3
suite=trixie-backports
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../build/linux}
[ $# = 0 ] || shift
cache=${FERRY_CACHE:-$HOME/.cache/ferry}
jobs=${JOBS:-$(nproc)}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { echo "kernels: $*" >&2; }
die() { say "$*"; exit 1; }

mkdir -p "$out" "$cache"
out=$(cd "$out" && pwd)
cache=$(cd "$cache" && pwd)

# This script may have been started by make; the builds below are not part of that one.
unset MAKEFLAGS MAKELEVEL MFLAGS

# One builder at a time; a second one waits and then finds everything done.
exec 9>"$cache/lock"
flock 9

work=$cache/work
trap 'rm -rf "$work"' EXIT
rm -rf "$work"
mkdir -p "$work"

# pin sets $pinned to the name of the series' package, and $release.
pin() {
	pinned=$(sed -n "s/^.*  \(linux-source-${series}_.*\)/\1/p" "$here/SHA256SUMS")
	[ -n "$pinned" ] || die "linux/SHA256SUMS does not name linux-source-$series"
	release=$(version "$pinned")
}

version() { echo "$1" | sed "s/^linux-source-${series}_\([0-9.]*\).*/\1/"; }

# fetch leaves the package of the series in $cache/debs, sets $deb, and $release to what the package is.
fetch() {
	mkdir -p "$cache/debs" "$work/debs"
	deb=$cache/debs/$pinned
	[ -e "$deb" ] || deb=$(find "$cache/debs" -name "linux-source-${series}_*_all.deb" | sort -V | tail -n 1)
	[ -n "$deb" ] || download
	release=$(version "$(basename "$deb")")
}

download() {
	mirror=$(mirror)
	if [ -z "$mirror" ]; then
		if [ "$(id -u)" = 0 ]; then apt-get update -q >&2; else sudo apt-get update -q >&2; fi
		mirror=$(mirror)
	fi
	[ -n "$mirror" ] || die "apt has no Debian mirror in its sources"
	say "fetching $pinned"
	sum=$(sed -n "s/  $pinned\$//p" "$here/SHA256SUMS")
	if ! /usr/lib/apt/apt-helper download-file "${mirror%/}/pool/main/l/linux/$pinned" "$work/debs/$pinned" "SHA256:$sum" >&2; then
		rm -f "$work/debs/$pinned"
		[ "$series" = "$newest" ] || die "cannot fetch $pinned"
		successor
	fi
	deb=$(find "$work/debs" -name "linux-source-${series}_*_all.deb")
	[ -n "$deb" ] || die "no package linux-source-$series"
	mv "$deb" "$cache/debs/"
	deb=$cache/debs/$(basename "$deb")
}

# mirror prints the address of the Debian mirror that apt uses. Nothing is printed before the first apt-get update.
mirror() {
	{
		apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian'
		apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages'
	} | head -n 1
}

# successor fetches what the index of the suite lists for the series.
successor() {
	say "not in the pool: trying the index of $suite"
	[ -e "$keyring" ] || die "$keyring is missing: install debian-archive-keyring"
	mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
	: >"$work/apt/status"
	echo "deb [signed-by=$keyring] $mirror $suite main" >"$work/apt/sources.list"
	cat >"$work/apt/apt.conf" <<-EOT
		Dir::Etc::SourceList "$work/apt/sources.list";
		Dir::Etc::SourceParts "-";
		Dir::State::Lists "$work/apt/lists";
		Dir::State::status "$work/apt/status";
		Dir::Cache "$work/apt/cache";
		APT::Architecture "amd64";
		APT::Architectures "amd64";
		APT::Sandbox::User "$(id -un)";
		Acquire::Languages "none";
		Acquire::Retries "3";
	EOT
	(cd "$work/debs" && export APT_CONFIG="$work/apt/apt.conf" &&
		apt-get update -q >&2 && apt-get download -q "linux-source-$series" >&2) || die "cannot fetch linux-source-$series"
}

# unpack leaves the source tree of $deb in $src. It lives until the next one is unpacked, or this script ends.
unpack() {
	src=$work/linux-source-$series
	[ ! -d "$src" ] || return 0
	rm -rf "$work"/linux-source-* "$work/build"
	say "unpacking linux $release"
	dpkg-deb --fsys-tarfile "$deb" | tar -x --to-stdout "./usr/src/linux-source-$series.tar.xz" | tar -xJ -C "$work"
	[ -d "$src" ] || die "the package holds no linux-source-$series"
}

# selftests builds upstream's tests the way that their own vmtest.sh does.
selftests() {
	tests=$cache/selftests/$release
	[ ! -e "$tests/done" ] || return 0
	fetch
	tests=$cache/selftests/$release
	[ ! -e "$tests/done" ] || return 0
	unpack
	say "building the selftests"
	rm -rf "$tests"
	mkdir -p "$tests" "$work/headers"
	make -s -j"$jobs" -C "$src" O="$work/headers" ARCH=x86 headers
	dir=$src/tools/testing/selftests/liveupdate
	include="-I $work/headers/usr/include -I $src/tools/include/nolibc"
	for test in luo_kexec_simple luo_multi_session luo_stress_sessions luo_stress_files; do
		gcc -static -O2 -nostdinc -nostdlib $include -I "$dir/lib/include" \
			-o "$tests/$test" "$dir/$test.c" "$dir/lib/lu_utils.c"
	done
	gcc -s -static -Os -nostdinc -nostdlib -fno-asynchronous-unwind-tables -fno-ident -fno-stack-protector \
		$include -o "$tests/init" "$dir/init.c"
	touch "$tests/done"
}

# configure makes the kernel's configuration: every option of linux/kho.config, but for those that linux/kho.lacks says
# the series does not have. Both lists are held to: an option that is missing or is there after all ends the build.
configure() {
	make -s -C "$src" O="$build" ARCH=x86 KCONFIG_ALLCONFIG="$here/kho.config" allnoconfig
	grep -v '^#\|^$' "$here/kho.config" | while read -r option; do
		if grep -qx "$series ${option%%=*}" "$here/kho.lacks"; then
			! grep -qxF "$option" "$build/.config" || die "linux $release has $option, other than linux/kho.lacks says"
		else
			grep -qxF "$option" "$build/.config" || die "linux $release does not take $option"
		fi
	done
}

# kernel builds $release, unless the cache has it, and sets $image.
kernel() {
	config=$(cat "$here/kho.config" "$here/kho.lacks" | sha256sum | cut -c 1-12)
	image=$cache/kernels/$release-$config/bzImage
	[ ! -e "$image" ] || return 0
	fetch
	kernels=$cache/kernels/$release-$config
	image=$kernels/bzImage
	[ ! -e "$image" ] || return 0
	unpack
	say "building linux $release"
	begin=$(date +%s)
	build=$work/build
	mkdir -p "$build" "$kernels"
	configure
	# No date, host or user: the same source and compiler make the same kernel.
	nice make -s -j"$jobs" -C "$src" O="$build" ARCH=x86 bzImage \
		KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_USER=ferry KBUILD_BUILD_HOST=ferry
	cp "$build/.config" "$kernels/config"
	cp "$build/arch/x86/boot/bzImage" "$image.new"
	mv "$image.new" "$image"
	say "linux $release took $(($(date +%s) - begin)) s"
}

# place sets $release for the series, and puts its kernel into the output folder.
place() {
	if [ -n "${FERRY_KERNELS:-}" ]; then
		image=$(find "$FERRY_KERNELS/" -path "*/$series.*/bzImage" | sort -V | tail -n 1)
		[ -n "$image" ] || die "FERRY_KERNELS=$FERRY_KERNELS holds no $series.*/bzImage"
		release=$(basename "$(dirname "$image")")
	else
		pin
		kernel
	fi
	mkdir -p "$out/$release"
	copy "$image" "$out/$release/bzImage"
	say "linux $release is in $out/$release${FERRY_KERNELS:+, from $FERRY_KERNELS}"
}

copy() {
	cmp -s "$1" "$2" || { cp "$1" "$2.new" && mv "$2.new" "$2"; }
}

# The newest comes first: its source is unpacked once, for the selftests and the kernel.
series=$newest
pin
selftests
rm -rf "$out/selftests"
mkdir -p "$out/selftests"
cp "$tests/init" "$tests"/luo_* "$out/selftests/"
place
copy "$image" "$out/bzImage"
echo "$release" >"$out/release"

[ $# -gt 0 ] || set -- $(sed 's/^.*  linux-source-\([0-9.]*\)_.*/\1/' "$here/SHA256SUMS")
for series; do
	[ "$series" = "$newest" ] || place
done
