#!/bin/sh
# Prepares what the real-kernel suite boots, from Debian's packages linux-source-X.Y:
#
#   linux/kernels.sh [output folder, default build/linux] [kernel...]
#
#   <output>/<release>/bzImage  each kernel that is asked for, and always that of 7.3
#   <output>/bzImage            the newest, 7.3
#   <output>/release            its release, for example 7.3.4
#   <output>/selftests/         upstream's liveupdate selftests of 7.3 and their init, unmodified, static
#
# A kernel is a series or a variant of one:
#
#   7.3         what a package holds that linux/SHA256SUMS names: KHO and, where it has one, LUO, as linux/kho.config says
#   7.2-eprime  that with linux/eprime.patch
#   7.3-host    that with linux/host.config: what the kernel of a host has. Also 7.1-host
#   7.3-debug   that with linux/debug.config: every check that finds misused memory
#
# Without names all series and 7.2-eprime are made. A variant calls itself by its name: 7.2.12-eprime. "host" and "debug"
# stand for all of their kind, each of which takes some 12 minutes on two cores. host.crt and host.key in the output
# folder are what the kernels of hosts trust.
#
# Downloads and builds are kept in ${FERRY_CACHE:-$HOME/.cache/ferry} and used again. With
# FERRY_KERNELS=<folder>, holding <release>/bzImage, the newest kernel of each kind that is there is taken and none is
# built. What is not there the suite goes without, unless it was asked for by name. The source of 7.3 is needed in any
# case, for the selftests and their headers.
#
# The packages are from Debian 13's backports, whatever Debian this machine runs. The index of that suite lists the
# newest series alone, but the mirror's pool keeps older ones: they are asked for by name, from the mirror that this
# machine's apt already uses, and checked against linux/SHA256SUMS. Should the pool drop the package of 7.3, then the
# index is asked for its successor: apt reads the suite through lists of its own and checks it against Debian's
# archive keys.
set -eu

newest=7.3
hosts="7.1-host 7.3-host"
debugs=7.3-debug
suite=trixie-backports
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../build/linux}
[ $# = 0 ] || shift
cache=${FERRY_CACHE:-$HOME/.cache/ferry}
jobs=${JOBS:-$(nproc)}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { echo "kernels: $*" >&2; }
die() { say "$*"; exit 1; }

# prebuilt prints, the oldest first, the releases of the series and variant that have a kernel in the folder.
prebuilt() {
	for image in "$1"/*/bzImage; do
		[ ! -e "$image" ] || basename "$(dirname "$image")"
	done | grep -x "$(echo "$series" | sed 's/[.]/[.]/')[.][0-9]\{1,\}$suffix" | sort -V || true
}

# split sets $series and $suffix, for example to 7.2 and -eprime, or to 7.2 and nothing.
split() {
	series=${1%%-*}
	suffix=${1#"$series"}
	[ -z "$suffix" ] || [ -e "$here/${suffix#-}.config" ] || [ -e "$here/${suffix#-}.patch" ] || die "no variant $1"
}

# Before anything is fetched or built.
if [ -n "${FERRY_KERNELS:-}" ]; then
	[ -d "$FERRY_KERNELS" ] || die "FERRY_KERNELS=$FERRY_KERNELS: no such folder"
	split "$newest"
	[ -n "$(prebuilt "$FERRY_KERNELS")" ] || die "FERRY_KERNELS=$FERRY_KERNELS holds no $newest.*/bzImage"
fi

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

# options prints the kernel's options: those of linux/kho.config and of its variant, the last of several lines for one.
options() {
	for config in kho "${suffix#-}" "${suffix#-}-$series"; do
		[ ! -e "$here/$config.config" ] || cat "$here/$config.config"
	done | sed -n 's/^\(CONFIG_[A-Z0-9_]*\)=.*/\1 &/p; s/^# \(CONFIG_[A-Z0-9_]*\) is not set$/\1 &/p' | tac | sort -usk1,1 | cut -d ' ' -f 2-
	[ -z "$suffix" ] || echo "CONFIG_LOCALVERSION=\"$suffix\""
}

# lacks prints the options that linux/kho.lacks says the series does not have.
lacks() { sed -n "s/^$series //p" "$here/kho.lacks"; }

# changes prints the patch of the variant, if it has one, and change applies it.
changes() { [ ! -e "$here/${suffix#-}.patch" ] || cat "$here/${suffix#-}.patch"; }
change() { [ ! -e "$here/${suffix#-}.patch" ] || patch -s -p1 -d "$src" "$@" <"$here/${suffix#-}.patch"; }

# configure makes the kernel's configuration of its options, but for those that the series lacks. Both lists are held to:
# an option that is missing or is there after all ends the build.
configure() {
	options >"$work/options"
	lacks >"$work/lacks"
	make -s -C "$src" O="$build" ARCH=x86 KCONFIG_ALLCONFIG="$work/options" allnoconfig
	while read -r option; do
		name=$(echo "$option" | sed 's/^# //; s/[= ].*//')
		case $option in
		"# "*) ! grep -q "^$name=" "$build/.config" || die "linux $release does not leave out $name" ;;
		*) if grep -qx "$name" "$work/lacks"; then
			! grep -qxF "$option" "$build/.config" || die "linux $release has $option, other than linux/kho.lacks says"
		else
			grep -qxF "$option" "$build/.config" || die "linux $release$suffix does not take $option"
		fi ;;
		esac
	done <"$work/options"
}

# trust makes a key and puts the certificate where the configuration of a host's kernel expects it.
trust() {
	if [ ! -e "$cache/host.crt" ]; then
		openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 36500 -subj "/CN=Ferry tests" \
			-addext basicConstraints=critical,CA:FALSE -addext keyUsage=digitalSignature \
			-keyout "$cache/host.key" -out "$work/host.crt" 2>/dev/null
		mv "$work/host.crt" "$cache/"
	fi
	mkdir -p "$build/certs"
	cp "$cache/host.crt" "$build/certs/"
}

# kernel builds $release with the variant's suffix, unless the cache has it, and sets $image.
kernel() {
	config=$({ options; lacks; changes; } | sha256sum | cut -c 1-12)
	image=$cache/kernels/$release$suffix-$config/bzImage
	[ ! -e "$image" ] || return 0
	fetch
	kernels=$cache/kernels/$release$suffix-$config
	image=$kernels/bzImage
	[ ! -e "$image" ] || return 0
	unpack
	say "building linux $release$suffix"
	begin=$(date +%s)
	build=$work/build
	rm -rf "$build"
	mkdir -p "$build" "$kernels"
	# The tree is used again by other variants: a patch goes in now and comes out below.
	change
	configure
	[ "$suffix" != -host ] || trust
	# No date, host or user: the same source and compiler make the same kernel, but for the key of a host's modules.
	nice make -s -j"$jobs" -C "$src" O="$build" ARCH=x86 bzImage \
		KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_USER=ferry KBUILD_BUILD_HOST=ferry
	change -R
	cp "$build/.config" "$kernels/config"
	cp "$build/arch/x86/boot/bzImage" "$image.new"
	mv "$image.new" "$image"
	say "linux $release$suffix took $(($(date +%s) - begin)) s"
}

# place sets $release for the series and variant, and puts the kernel into the output folder.
place() {
	if [ -n "${FERRY_KERNELS:-}" ]; then
		release=$(prebuilt "$FERRY_KERNELS" | tail -n 1)
		image=$FERRY_KERNELS/$release/bzImage
	else
		pin
		kernel
		release=$release$suffix
	fi
	mkdir -p "$out/$release"
	copy "$image" "$out/$release/bzImage"
	prebuilt "$out" | grep -vxF "$release" | while read -r old; do
		rm -r "${out:?}/$old"
	done
	say "linux $release is in $out/$release${FERRY_KERNELS:+, from $FERRY_KERNELS}"
}

copy() {
	cmp -s "$1" "$2" || { cp "$1" "$2.new" && mv "$2.new" "$2"; }
}

# The newest comes first: its source is unpacked once, for the selftests and the kernel.
split "$newest"
pin
selftests
rm -rf "$out/selftests"
mkdir -p "$out/selftests"
cp "$tests/init" "$tests"/luo_* "$out/selftests/"
place
copy "$image" "$out/bzImage"
echo "$release" >"$out/release"

asked=$*
missing=
[ -n "$asked" ] || set -- $(sed 's/^.*  linux-source-\([0-9.]*\)_.*/\1/' "$here/SHA256SUMS") 7.2-eprime
for name; do
	case $name in
	"$newest") continue ;;
	host) names=$hosts ;;
	debug) names=$debugs ;;
	*) names=$name ;;
	esac
	for name in $names; do
		split "$name"
		if [ -n "${FERRY_KERNELS:-}" ] && [ -z "$(prebuilt "$FERRY_KERNELS")" ]; then
			missing="$missing $name"
		else
			place
		fi
	done
done
if [ -e "$cache/host.crt" ]; then
	copy "$cache/host.crt" "$out/host.crt"
	copy "$cache/host.key" "$out/host.key"
fi
[ -z "$missing" ] || [ -z "$asked" ] || die "FERRY_KERNELS=$FERRY_KERNELS does not hold$missing"
[ -z "$missing" ] || say "FERRY_KERNELS=$FERRY_KERNELS does not hold$missing: the suite goes without, unless they are in $out from before"
