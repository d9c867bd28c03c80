#!/bin/sh
# Runs a long, silent command and says every few seconds that it goes on.
#
#   scripts/alive.sh WHAT LOG ADVICE COMMAND [ARGUMENT...]
#
# Its output goes to LOG. When it fails, the end of that is shown, and last of
# all one sentence: what failed, where its output is, and ADVICE. Also to be
# read by another script (.), for the function.
set -eu

alive() {
	what=$1
	log=$2
	advice=$3
	shift 3
	mkdir -p "$(dirname "$log")"
	# What is in the background hears no Ctrl-C. It is told of one that comes
	# as soon as it runs, too.
	trap 'kill "${!:-}" 2>/dev/null || true; exit 1' INT TERM HUP
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	began=$(date +%s)
	told=0
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.1
		took=$(($(date +%s) - began))
		if [ "$took" -ge $((told + 4)) ]; then
			echo "... $what, $took s"
			told=$took
		fi
	done
	status=0
	wait "$pid" || status=$?
	trap - INT TERM HUP
	[ "$status" -ne 0 ] || return 0
	tail -n 15 "$log" >&2
	echo "$what failed ($status); its output is in $log: $advice." >&2
	return 1
}

case $0 in
*alive.sh) alive "$@" ;;
esac
