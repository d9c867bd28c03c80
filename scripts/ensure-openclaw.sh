#!/bin/sh
# Makes build/openclaw with OpenClaw, its Matrix channel, and the Node that it
# runs on, each of the version that the tests are written for.
#
# At once when they are there. Each step is done once: one that was broken off
# goes on where it was. How long each took is in build/openclaw/took.
set -eu

cd "$(dirname "$0")/.."
# shellcheck source=scripts/alive.sh
. scripts/alive.sh

node=24.21.0
openclaw=2026.9.6
matrix=2026.9.6

dir=$PWD/build/openclaw
log=build/openclaw.log
advice="see to it that npm's registry can be reached, and try again"

# done_already STEP VERSION / did STEP VERSION SECONDS
done_already() {
	[ "$(cat "$dir/$1.version" 2>/dev/null)" = "$2" ]
}
did() {
	echo "$2" >"$dir/$1.version"
	sed -i "/^$1 /d" "$dir/took"
	echo "$1 $3" >>"$dir/took"
}

if done_already node "$node" && done_already openclaw "$openclaw" &&
	done_already matrix "$matrix"; then
	exit 0
fi
if ! command -v npm >/dev/null 2>&1; then
	echo "npm is missing, and OpenClaw comes by it: apt-get install npm" >&2
	exit 1
fi
case $(uname -m) in
x86_64) arch=x64 ;;
aarch64) arch=arm64 ;;
*)
	echo "there is no Node $node for $(uname -m) in npm" >&2
	exit 1
	;;
esac

echo "Making build/openclaw for the tests ..."
mkdir -p "$dir"
touch "$dir/took"
# Node brings its own certificates and not the machine's.
if [ -z "${NODE_EXTRA_CA_CERTS:-}" ] &&
	[ -f /etc/ssl/certs/ca-certificates.crt ]; then
	export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
fi
export OPENCLAW_NO_AUTO_UPDATE=1 DO_NOT_TRACK=1

# install STEP VERSION PACKAGE: into a folder of its own, nothing of it run
install() {
	done_already "$1" "$2" && return
	began=$(date +%s)
	mkdir -p "$dir/$1"
	alive "installing $3@$2" "$log" "$advice" npm install \
		--prefix "$dir/$1" --ignore-scripts --no-audit --no-fund \
		--save-exact "$3@$2"
	did "$1" "$2" $(($(date +%s) - began))
}

install node "$node" "node-linux-$arch"
install openclaw "$openclaw" openclaw

mkdir -p "$dir/bin"
ln -sf "$dir/node/node_modules/node-linux-$arch/bin/node" "$dir/bin/node"
ln -sf "$dir/openclaw/node_modules/.bin/openclaw" "$dir/bin/openclaw"

if ! done_already matrix "$matrix"; then
	began=$(date +%s)
	rm -rf "$dir/state"
	mkdir -p "$dir/state"
	# OpenClaw trusts a channel that it has installed itself, and no other.
	alive "installing @openclaw/matrix@$matrix" "$log" "$advice" \
		env PATH="$dir/bin:$PATH" HOME="$dir" \
		OPENCLAW_STATE_DIR="$dir/state" \
		"$dir/bin/openclaw" plugins install "@openclaw/matrix@$matrix"
	did matrix "$matrix" $(($(date +%s) - began))
fi
echo "build/openclaw is ready"
