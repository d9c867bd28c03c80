#!/bin/sh
# Builds programs that need no library of the system they run on, so that each
# is copied as one file into anyone's image.
#
#   scripts/static.sh [ARCHITECTURE] [PROGRAM|--libraries]...
#
# ARCHITECTURE is Debian's name, amd64 or arm64; the default is this machine's.
# PROGRAM is muster-agent (the default) or muster. They are in
# build/static-ARCHITECTURE. --libraries makes only what they are linked with.
#
# The libraries come from Debian: as its packages where these have an archive,
# else from its sources with its security fixes, and then only what is used of
# them (curl: HTTP over TLS; libmicrohttpd: HTTP). apt is given folders of its
# own, so nothing is changed or installed outside of build/.
set -eu

cd "$(dirname "$0")/.."
# shellcheck source=scripts/alive.sh
. scripts/alive.sh

here=$(dpkg --print-architecture)
arch=$here
case ${1:-} in
amd64 | arm64)
	arch=$1
	shift
	;;
esac
[ $# -gt 0 ] || set -- muster-agent
for program in "$@"; do
	case $program in
	muster | muster-agent | --libraries) ;;
	*)
		echo "usage: ${0##*/} [amd64|arm64]" \
			"[muster-agent|muster|--libraries]..." >&2
		exit 2
		;;
	esac
done

case $arch in
amd64) triplet=x86_64-linux-gnu ;;
arm64) triplet=aarch64-linux-gnu ;;
*)
	echo "${0##*/}: say for which architecture: amd64 or arm64" >&2
	exit 2
	;;
esac
out=$PWD/build/static-$arch
libs=$PWD/build/libraries-$arch
deps=$libs/deps
log=$PWD/build/static-$arch.log
jobs=$(nproc)
advice="mend what it says and try again"
mkdir -p "$deps/lib" "$deps/include"

# --- apt with folders of its own ---------------------------------------------

# Debian's own sources among those that this machine uses.
# shellcheck disable=SC2016 # apt's variables
sources() {
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' 'Origin: Debian' | sort -u |
		while read -r uri release component; do
			at="[signed-by=$keyring] $uri $release $component"
			printf 'deb %s\ndeb-src %s\n' "$at" "$at"
		done
}

apt_prepare() {
	# Already for the program before this one; what it would look at now is
	# the list that it is about to write.
	[ "${APT_CONFIG:-}" != "$libs/apt/apt.conf" ] || return 0
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	mkdir -p "$libs/apt/lists/partial" "$libs/apt/cache/archives/partial"
	sources >"$libs/apt/sources.list"
	if ! [ -s "$libs/apt/sources.list" ] && apt-get update -q; then
		sources >"$libs/apt/sources.list"
	fi
	if ! [ -s "$libs/apt/sources.list" ]; then
		echo "apt knows no package of Debian's: run apt-get update" >&2
		exit 1
	fi
	: >"$libs/apt/status"
	cat >"$libs/apt/apt.conf" <<CONF
Dir::Etc::sourcelist "$libs/apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$libs/apt/lists";
Dir::State::status "$libs/apt/status";
Dir::Cache "$libs/apt/cache";
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Sandbox::User "root";
CONF
	export APT_CONFIG="$libs/apt/apt.conf"
	apt-get update -q
}

# fetch_libraries PACKAGE...: headers and archives, into deps/
fetch_libraries() {
	for package in "$@"; do
		(cd "$libs/apt" && apt-get download -q "$package")
		rm -rf "$libs/apt/root"
		dpkg-deb -x "$libs/apt/${package}_"*.deb "$libs/apt/root"
		cp -r "$libs/apt/root/usr/include/." "$deps/include/"
		cp "$libs/apt/root/usr/lib/$triplet/"*.a "$deps/lib/"
		rm -f "$libs/apt/${package}_"*.deb
	done
	# OpenSSL has a part of its headers in a folder of the architecture.
	if [ -d "$deps/include/$triplet" ]; then
		cp -r "$deps/include/$triplet/." "$deps/include/"
	fi
}

# fetch_source PACKAGE: $source is its folder then
fetch_source() {
	rm -rf "$libs/apt/$1"-*
	(cd "$libs/apt" && apt-get source -q "$1")
	source=$(echo "$libs/apt/$1"-*/)
	# Patched files are newer than what was made of them, and making that
	# again takes tools that nothing else here needs.
	(cd "$source" && find . -name aclocal.m4 -exec touch {} + &&
		find . -name Makefile.in -exec touch {} + &&
		find . '(' -name configure -o -name '*config.h.in' ')' \
			-exec touch {} +)
}

configure() {
	(cd "$source" && ./configure --quiet --host="$triplet" --prefix="$deps" \
		--libdir="$deps/lib" --disable-shared --enable-static \
		CPPFLAGS="-I$deps/include" LDFLAGS="-L$deps/lib" \
		CFLAGS='-O2 -fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2' \
		"$@")
}

build_curl() {
	fetch_source curl
	configure --with-openssl --without-zlib --without-brotli \
		--without-zstd --without-libpsl --without-libidn2 \
		--without-nghttp2 --without-librtmp --without-libssh2 \
		--without-libgsasl --disable-ldap --disable-ldaps --disable-ftp \
		--disable-file --disable-rtsp --disable-dict --disable-telnet \
		--disable-tftp --disable-pop3 --disable-imap --disable-smb \
		--disable-smtp --disable-gopher --disable-mqtt --disable-manual \
		--disable-ntlm --without-ca-path \
		--with-ca-bundle=/etc/ssl/certs/ca-certificates.crt
	make -s -j"$jobs" -C "$source/lib" install
	make -s -C "$source/include" install
	rm -rf "$source"
}

build_libmicrohttpd() {
	fetch_source libmicrohttpd
	configure --disable-https --disable-doc --disable-examples \
		--disable-tools --disable-curl --disable-bauth --disable-dauth
	make -s -j"$jobs" -C "$source/src/microhttpd" install
	make -s -C "$source/src/include" install
	rm -rf "$source"
}

# --- the programs --------------------------------------------------------------

# once STEP COMMAND...: not again where it was done
once() {
	[ -e "$deps/$1.done" ] && return
	step=$1
	shift
	"$@"
	touch "$deps/$step.done"
}

libraries() {
	[ -e "$deps/muster-agent.done" ] && [ "$1" = muster-agent ] && return
	[ -e "$deps/muster.done" ] && return
	apt_prepare
	once packages fetch_libraries libssl-dev libjson-c-dev
	once curl build_curl
	touch "$deps/muster-agent.done"
	[ "$1" != muster-agent ] || return 0
	once more-packages fetch_libraries libyaml-dev libpcre2-dev \
		libsqlite3-dev
	once libmicrohttpd build_libmicrohttpd
	touch "$deps/muster.done"
}

build_program() {
	libraries "$1"
	[ "$1" != --libraries ] || return 0
	make --no-print-directory -s -j"$jobs" B="build/static-$arch" \
		CC="$triplet-gcc" AR="$triplet-ar" PKG_CONFIG=true \
		CFLAGS="-O2 -g -isystem $deps/include -DPCRE2_STATIC" \
		LDFLAGS='-static-pie -Wl,-z,relro,-z,now -Wl,--as-needed' \
		LDLIBS="-L$deps/lib -Wl,--start-group $(archives "$1") \
			-Wl,--end-group -lm -pthread" \
		"build/static-$arch/$1"
	"$triplet-strip" "$out/$1"
}

archives() {
	case $1 in
	muster) more='-lmicrohttpd -lyaml -lpcre2-8 -lsqlite3 ' ;;
	*) more= ;;
	esac
	echo "$more-lcurl -lssl -lcrypto -ljson-c"
}

if [ "${STATIC_LOUD:-}" ]; then # in a process of its own, for alive()
	for program in "$@"; do
		build_program "$program"
	done
	exit 0
fi
what=$(echo "$*" | sed 's/--libraries/libraries/')
alive "building $what for $arch" "$log" "$advice" \
	env STATIC_LOUD=1 sh scripts/static.sh "$arch" "$@"
