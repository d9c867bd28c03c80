#!/bin/sh
# Sees to it that the Debian packages of a task are there.
#
#   scripts/ensure-packages.sh [build|test|fuzz|lint|bench|openclaw|images|static-amd64|
#       static-arm64|emulate]...
#
# The default is build.
#
# Quick and silent when they are. Installs what is missing as root, or by sudo
# where that asks for no password; otherwise says what to install and exits 1.
set -eu

build='gcc make pkg-config libmicrohttpd-dev libcurl4-openssl-dev
libjson-c-dev libssl-dev libsqlite3-dev libyaml-dev libpcre2-dev
ca-certificates'
test='libcmocka-dev python3 python3-venv sqlite3 strace mandoc zsh fish systemd'
# libFuzzer and the sanitizers of Debian 12's clang
fuzz='clang libclang-rt-14-dev'
lint='clang clang-format clang-tidy cppcheck pmccabe codespell shellcheck mandoc
yamllint'
bench='valgrind'
# Whoever has these may have them from elsewhere, and newer.
command -v go >/dev/null 2>&1 || bench="$bench golang"
command -v npm >/dev/null 2>&1 || bench="$bench nodejs npm"
openclaw=
command -v npm >/dev/null 2>&1 || openclaw='nodejs npm'

# scripts/static.sh for that architecture; Debian's sources are unpacked
static='gcc libc6-dev make dpkg-dev ca-certificates'
static_amd64=$static
static_arm64=$static
here=$(dpkg --print-architecture 2>/dev/null || true)
[ "$here" = arm64 ] ||
	static_arm64="$static gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
[ "$here" = amd64 ] ||
	static_amd64="$static gcc-x86-64-linux-gnu libc6-dev-amd64-cross"
# a Dockerfile without a Docker engine; programs of another architecture
images='buildah debootstrap'
emulate=qemu-user-static

wanted=
for task in "${@:-build}"; do
	case $task in
	build) wanted="$wanted $build" ;;
	test) wanted="$wanted $test" ;;
	fuzz) wanted="$wanted $fuzz" ;;
	lint) wanted="$wanted $lint" ;;
	bench) wanted="$wanted $bench" ;;
	openclaw) wanted="$wanted $openclaw" ;;
	images) wanted="$wanted $images" ;;
	emulate) wanted="$wanted $emulate" ;;
	static-amd64) wanted="$wanted $static_amd64" ;;
	static-arm64) wanted="$wanted $static_arm64" ;;
	*)
		sed -n '4s/^#  */usage: /p; 5s/^# *//p' "$0" >&2
		exit 2
		;;
	esac
done

# shellcheck disable=SC2086 # the lists are words
if ! command -v dpkg-query >/dev/null 2>&1; then
	echo "${0##*/}: this is no Debian; what Debian calls$(
		printf ' %s' $wanted) must be there." >&2
	exit 0
fi

missing=
# shellcheck disable=SC2086
installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' \
	$wanted 2>/dev/null || true)
for package in $wanted; do
	case "
$installed
" in
	*"
$package installed
"*) ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
	as_root=
elif sudo -n true 2>/dev/null; then
	as_root='sudo -n'
else
	echo "Packages are missing; install them with: apt-get install$missing." \
		>&2
	exit 1
fi

failed() {
	echo "$1 failed: mend what it says above and try again, or install by" \
		"hand:$missing." >&2
	exit 1
}

echo "Installing$missing"
# shellcheck disable=SC2086
$as_root apt-get update -q || failed "apt-get update"
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive \
	apt-get install -q -y --no-install-recommends $missing ||
	failed "apt-get install"
