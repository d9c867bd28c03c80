#!/bin/sh
# render.sh VALUES FILE: FILE with each ${NAME} replaced by what VALUES says.
#
#   sh deploy/ecs/render.sh prod.env deploy/ecs/homeserver.json
#
# Nothing is printed when a name has no value, or one that would break JSON.
set -eu

[ $# -eq 2 ] || {
	echo "usage: render.sh VALUES FILE" >&2
	exit 2
}
awk '
function fail(text) {
	print "render.sh: " text > "/dev/stderr"
	failed = 1
}
function filled(line,    out, name) {
	out = ""
	while (match(line, /\$\{[A-Z][A-Z0-9_]*\}/)) {
		name = substr(line, RSTART + 2, RLENGTH - 3)
		if (!(name in values))
			fail(FILENAME ":" FNR ": " name " has no value in " \
				ARGV[1])
		out = out substr(line, 1, RSTART - 1) values[name]
		line = substr(line, RSTART + RLENGTH)
	}
	return out line
}
FILENAME == ARGV[1] {
	if ($0 ~ /^[ \t]*(#|$)/)
		next
	at = index($0, "=")
	value = substr($0, at + 1)
	if (at < 2 || value == "" || value ~ /["\\[:cntrl:]]/)
		fail(FILENAME ":" FNR ": expected NAME=VALUE, and no quotation " \
			"mark, backslash or carriage return in it")
	values[substr($0, 1, at - 1)] = value
	next
}
{ lines[++n] = filled($0) }
END {
	if (!failed && !n)
		fail(ARGV[2] " is empty")
	if (failed)
		exit 1
	for (i = 1; i <= n; i++)
		print lines[i]
}' "$1" "$2"
