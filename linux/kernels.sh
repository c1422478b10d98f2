#!/bin/sh
# Prepares what the real-kernel suite boots, all from Debian's package linux-source-7.3:
#
#   linux/kernels.sh [output folder, default build/linux]
#
#   <output>/bzImage      a kernel with KHO and LUO, configured by linux/kho.config
#   <output>/release      its release, for example 7.3.4
#   <output>/selftests/   upstream's liveupdate selftests and their init, unmodified, static
#
# Downloads and builds are kept in ${FERRY_CACHE:-$HOME/.cache/ferry} and used again. With
# FERRY_KERNELS=<folder>, holding <release>/bzImage, the newest kernel of the series found there is
# taken and none is built; the source is needed in any case, for the selftests and their headers.
#
# The package is in Debian 13's backports, whatever Debian this machine runs: apt reads the suite
# through lists of its own, from the mirror that this machine's apt already uses, and checks it
# against Debian's archive keys. A mirror that dropped the series from its index but still has the
# package is asked for it by name, and the package is checked against linux/SHA256SUMS.
set -eu

series=7.3
suite=trixie-backports
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../build/linux}
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

# fetch leaves the newest package of the series in $cache/debs and sets $deb and $release.
fetch() {
	mkdir -p "$cache/debs"
	deb=$(find "$cache/debs" -name "linux-source-${series}_*_all.deb" | sort -V | tail -n 1)
	if [ -z "$deb" ]; then
		[ -e "$keyring" ] || die "$keyring is missing: install debian-archive-keyring"
		mirror=$(mirror)
		if [ -z "$mirror" ]; then
			if [ "$(id -u)" = 0 ]; then apt-get update -q >&2; else sudo apt-get update -q >&2; fi
			mirror=$(mirror)
		fi
		[ -n "$mirror" ] || die "apt has no Debian mirror in its sources"

		mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/debs"
		: >"$work/apt/status"
		echo "deb [signed-by=$keyring] $mirror $suite main" >"$work/apt/sources.list"
		cat >"$work/apt/apt.conf" <<-EOF
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
		EOF
		say "fetching linux-source-$series"
		if ! (cd "$work/debs" && export APT_CONFIG="$work/apt/apt.conf" &&
			apt-get update -q >&2 && apt-get download -q "linux-source-$series" >&2); then
			pinned "$mirror"
		fi
		deb=$(find "$work/debs" -name "linux-source-${series}_*_all.deb")
		[ -n "$deb" ] || die "no package linux-source-$series"
		mv "$deb" "$cache/debs/"
		deb=$cache/debs/$(basename "$deb")
	fi
	release=$(basename "$deb" | sed "s/^linux-source-${series}_\([0-9.]*\).*/\1/")
}

# mirror prints the address of the Debian mirror that apt uses. Nothing is printed before the first apt-get update.
mirror() {
	{
		apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian'
		apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages'
	} | head -n 1
}

# pinned fetches the package that linux/SHA256SUMS names by its place in the mirror's pool.
pinned() {
	say "not in the index of $suite: trying the pool"
	line=$(grep " linux-source-${series}_" "$here/SHA256SUMS") || die "linux/SHA256SUMS does not name linux-source-$series"
	sum=${line%% *}
	name=${line##* }
	/usr/lib/apt/apt-helper download-file "${1%/}/pool/main/l/linux/$name" "$work/debs/$name" "SHA256:$sum" >&2 ||
		die "cannot fetch $name"
}

# unpack leaves the source tree in $src. It lives only as long as this script.
unpack() {
	[ -z "${src:-}" ] || return 0
	say "unpacking linux $release"
	src=$work/linux-source-$series
	dpkg-deb --fsys-tarfile "$deb" | tar -x --to-stdout "./usr/src/linux-source-$series.tar.xz" | tar -xJ -C "$work"
	[ -d "$src" ] || die "the package holds no linux-source-$series"
}

# selftests builds upstream's tests the way that their own vmtest.sh does.
selftests() {
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

# kernel sets $image and $release of the kernel to boot.
kernel() {
	if [ -n "${FERRY_KERNELS:-}" ]; then
		image=$(find "$FERRY_KERNELS/" -path "*/$series.*/bzImage" | sort -V | tail -n 1)
		[ -n "$image" ] || die "FERRY_KERNELS=$FERRY_KERNELS holds no $series.*/bzImage"
		release=$(basename "$(dirname "$image")")
		say "using $image"
		return
	fi
	kernels=$cache/kernels/$release-$(sha256sum "$here/kho.config" | cut -c 1-12)
	image=$kernels/bzImage
	[ ! -e "$image" ] || return 0
	unpack
	say "building linux $release"
	build=$work/build
	mkdir -p "$build" "$kernels"
	make -s -C "$src" O="$build" ARCH=x86 KCONFIG_ALLCONFIG="$here/kho.config" allnoconfig
	grep -v '^#\|^$' "$here/kho.config" | while read -r option; do
		grep -qxF "$option" "$build/.config" || die "linux $release does not take $option"
	done
	# No date, host or user: the same source and compiler make the same kernel.
	nice make -s -j"$jobs" -C "$src" O="$build" ARCH=x86 bzImage \
		KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_USER=ferry KBUILD_BUILD_HOST=ferry
	cp "$build/.config" "$kernels/config"
	cp "$build/arch/x86/boot/bzImage" "$image.new"
	mv "$image.new" "$image"
}

fetch
selftests
kernel
rm -rf "$out/selftests"
mkdir -p "$out/selftests"
cp "$tests/init" "$tests"/luo_* "$out/selftests/"
cp "$image" "$out/bzImage.new"
mv "$out/bzImage.new" "$out/bzImage"
echo "$release" >"$out/release"
say "linux $release is in $out"
