#!/bin/sh
# Prints SQL files as rows of C: version (from the file's number), name, and
# the text as an array of lines (a string for all of it would be longer than
# ISO C promises to take).
# Usage: embed.sh 0001_init.sql ... > migrations.inc
set -eu

for file; do
	name=${file##*/}
	version=$(printf '%s\n' "$name" |
		sed -n 's/^0*\([1-9][0-9]*\)_.*\.sql$/\1/p')
	if [ -z "$version" ]; then
		echo "$file: expected a name such as 0001_init.sql" >&2
		exit 1
	fi
	printf '{ %s, "%s", (const char *const[]){\n' "$version" "$name"
	sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/.*/	"&\\n",/' "$file"
	printf '	NULL } },\n'
done
