#!/bin/sh
# Runs fuzz targets one after the other, FUZZ_SECONDS (60) each, from the
# corpus in tests/fuzz/corpus.
#
#   scripts/fuzz.sh FOLDER TARGET...
#
# FOLDER has the programs in fuzz/. New inputs are kept in FOLDER/found/TARGET,
# what a target ended at in FOLDER/broken/TARGET. The exit status is 1 when one
# did; the last lines say how to see it again.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=scripts/alive.sh
. scripts/alive.sh

folder=$1
shift
seconds=${FUZZ_SECONDS:-60}
broken=

# Commits are synced, so a disk would be what is measured.
TMPDIR=$(mktemp -d "$(test -w /dev/shm && echo /dev/shm || echo /tmp)/fuzz-XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 1' INT TERM HUP

# Freed memory is watched for a while: enough of it for one input.
export ASAN_OPTIONS=quarantine_size_mb=16:detect_leaks=1
export UBSAN_OPTIONS=print_stacktrace=1

# Bytes of an input: what the rules about it can be broken with, and no more.
longest() {
	case $1 in
	batch | transaction | listener) echo 4096 ;;
	json | yaml | handoff | rooms) echo 2048 ;;
	*) echo 600 ;;
	esac
}

# The line that says what happened.
why='does not hold|runtime error|ERROR|SUMMARY'

# The last number that libFuzzer gives a name.
figure() {
	sed -n "s/^stat::$1: *//p" "$2"
}

for target in "$@"; do
	log=$folder/$target.log
	mkdir -p "$folder/found/$target" "$folder/broken/$target"
	set -- "$folder/fuzz/$target" "$folder/found/$target" \
		"tests/fuzz/corpus/$target" "-max_total_time=$seconds" \
		"-max_len=$(longest "$target")" -rss_limit_mb=2048 -timeout=20 \
		-print_final_stats=1 "-artifact_prefix=$folder/broken/$target/"
	dict=tests/fuzz/$target.dict
	[ ! -e "$dict" ] || set -- "$@" "-dict=$dict"
	# Its threads allocate beside the one whose memory is counted.
	[ "$target" != listener ] || set -- "$@" -detect_leaks=0
	if (alive "fuzzing $target" "$log" "see below" "$@" 2>/dev/null); then
		echo "$target: $(figure number_of_executed_units "$log") inputs," \
			"$(figure new_units_added "$log") of them kept," \
			"$(figure peak_rss_mb "$log") MiB"
	else
		echo "$target: $(grep -m 1 -E "$why" "$log" || tail -n 1 "$log")"
		broken="$broken $target"
	fi
done

[ -n "$broken" ] || exit 0
for target in $broken; do
	input=$(sed -n 's/.*Test unit written to //p' "$folder/$target.log")
	echo "$target ended, its words are in $folder/$target.log. Again:" \
		"$folder/fuzz/$target $input" >&2
done
exit 1
