#!/bin/sh
# Fetches Debian's own kernels, for the tests of `ferry abi`:
#
#   cmd/ferry/stock.sh <output folder>
#
#   <output>/<package>.vmlinuz   the kernel of each package that was found
#
# Asked for are the packages that linux-image-amd64 stands for: the one of this machine's own suites, and those of the
# suites below, from the mirror that this machine's apt already uses, which apt reads through lists of its own and
# checks against Debian's archive keys. A suite that the mirror does not have is named and passed over; none at all is a
# failure. What was fetched once is kept.
set -eu

suites="trixie trixie-backports"
out=$1
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { echo "stock: $*" >&2; }
die() { say "$*"; exit 1; }

mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/debs"
# apt gives up its rights to download: let that user in.
chmod 755 "$work"
chmod 777 "$work/debs"

# kernel fetches the package that linux-image-amd64 stands for in the lists that apt reads.
kernel() {
	package=$(apt-cache depends --important linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
	[ -n "$package" ] || return 1
	# Newer ones have the kernel itself in a package of its own.
	binary=$(apt-cache depends --important "$package" | sed -n 's/^ *Depends: \(linux-binary-.*\)/\1/p' | head -n 1)
	package=${binary:-$package}
	version=$(apt-cache show --no-all-versions "$package" | sed -n 's/^Version: //p')
	[ ! -e "$out/${package}_$version.vmlinuz" ] || return 0
	say "fetching $package $version"
	(cd "$work/debs" && apt-get download -q "$package=$version" >&2) || return 1
	dpkg-deb --fsys-tarfile "$work"/debs/*.deb | tar -x --wildcards --to-stdout '*/vmlinuz*' >"$work/vmlinuz" || return 1
	rm "$work"/debs/*.deb
	[ -s "$work/vmlinuz" ] || return 1
	mv "$work/vmlinuz" "$out/${package}_$version.vmlinuz"
}

# mirror prints the address of the Debian mirror that apt uses. Nothing is printed before the first apt-get update.
mirror() {
	{
		apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian'
		apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages'
	} | head -n 1
}

mirror=$(mirror)
if [ -z "$mirror" ]; then
	if [ "$(id -u)" = 0 ]; then apt-get update -q >&2; else sudo apt-get update -q >&2; fi
	mirror=$(mirror)
fi
[ -n "$mirror" ] || die "apt has no Debian mirror in its sources"

kernel || say "no linux-image-amd64 in this machine's own suites"
[ -e "$keyring" ] || die "$keyring is missing: install debian-archive-keyring"
for suite in $suites; do
	rm -rf "$work/apt"
	mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
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
	(
		export APT_CONFIG="$work/apt/apt.conf"
		apt-get update -q >&2 && kernel
	) || say "no linux-image-amd64 in $suite"
done
[ -n "$(find "$out" -name '*.vmlinuz')" ] || die "no kernel could be had from $mirror"
