#!/bin/sh
# Fails when a folder includes what it may not, when somebody walks past a
# folder's door, or when a third-party header leaves its home.
# shellcheck disable=SC2016 # awk's, not the shell's
set -eu
cd "$(dirname "$0")/.."
find base matrix handoff registration store appservice agent \
	-name '*.[ch]' | sort | xargs awk -F'["<>]' '
BEGIN {
	split("base:base matrix:base,matrix handoff:base,handoff " \
		"store:base,store registration:base,matrix,registration " \
		"agent:base,matrix,handoff,agent " \
		"appservice:base,matrix,handoff,store,registration,appservice",
		rules, " ")
	for (i in rules) {
		split(rules[i], rule, ":")
		n = split(rule[2], ok, ",")
		for (k = 1; k <= n; k++)
			may[rule[1], ok[k]] = 1
		is_room[rule[1]] = 1
	}
	home["json-c/"] = "^base/json"
	home["json.h"] = "^base/json"
	home["yaml.h"] = "^base/yaml"
	home["openssl/"] = "^base/secret"
	home["curl/"] = "^matrix/http"
	home["pcre2"] = "^registration/namespace"
	home["sqlite3"] = "^store/"
	home["microhttpd"] = "^appservice/http_"
}
function bad(why) {
	printf "%s:%d: %s: %s\n", FILENAME, FNR, why, $0
	failed = 1
}
/^#[ \t]*include[ \t]*"/ {
	split(FILENAME, at, "/")
	split($2, to, "/")
	if ((to[1] in is_room) && !((at[1], to[1]) in may))
		bad("layering")
	else if (to[1] != at[1] && $2 ~ /_priv\.h$/)
		bad("private to its folder")
	if (FILENAME ~ /^appservice\/fleet\// && \
		$2 ~ /^(store|base\/clock|matrix\/h)/)
		bad("the fleet has no store, no clock and no network")
}
/^#[ \t]*include[ \t]*</ {
	for (h in home)
		if (index($2, h) == 1 && FILENAME !~ home[h])
			bad("not its home")
}
END { exit failed }'
echo "layers: every include points down"
