#!/bin/sh
# Fails when a folder includes what it may not, when somebody walks past a
# folder's door, or when a third-party header leaves its home. An include says
# its path from the top, or it is the system's.
# shellcheck disable=SC2016 # awk's, not the shell's
set -eu
cd "$(dirname "$0")/.."
find base matrix handoff registration store appservice agent tests/unit \
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
	home["json-c/json.h"] = "^base/json"
	home["yaml.h"] = "^base/yaml"
	home["openssl/"] = "^base/secret"
	home["curl/"] = "^matrix/http"
	home["pcre2.h"] = "^registration/namespace"
	home["sqlite3.h"] = "^store/"
	home["microhttpd.h"] = "^appservice/http_"
	n = split("assert complex ctype dirent dlfcn errno fcntl fenv float " \
		"fnmatch ftw getopt malloc glob grp iconv inttypes iso646 langinfo " \
		"limits locale math netdb poll pthread pwd regex sched " \
		"semaphore setjmp signal spawn stdalign stdarg stdatomic " \
		"stdbool stddef stdint stdio stdlib stdnoreturn string " \
		"strings syslog termios tgmath threads time uchar unistd " \
		"utime wchar wctype", std, " ")
	for (i = 1; i <= n; i++)
		is_system[std[i] ".h"] = 1
}
function bad(why) {
	printf "%s:%d: %s: %s\n", FILENAME, FNR, why, $0
	failed = 1
}
function folder(path) {
	sub(/\/[^\/]*$/, "", path)
	return path
}
function exists(path,   line) {
	if ((getline line < path) < 0)
		return 0
	close(path)
	return 1
}
# tests/unit/test_MODULE.c and test_MODULE_more.c are about MODULE.c: may they
# look behind the door of this folder?
function is_about(test, of,   n, word, k, name) {
	if (!sub(/^tests\/unit\/test_/, "", test) || !sub(/\.c$/, "", test))
		return 0
	n = split(test, word, "_")
	for (k = 1; k <= n; k++) {
		name = k == 1 ? word[1] : name "_" word[k]
		if (exists(of "/" name ".c"))
			return 1
	}
	return 0
}
function from_the_top(path,   at, to) {
	split(FILENAME, at, "/")
	split(path, to, "/")
	if (path ~ /(^|\/)\.\.?\// || !(to[1] in is_room || to[1] == "tests"))
		bad("not a path from the top")
	else if (to[1] == "tests" && at[1] != "tests")
		bad("the program knows no test")
	else if (at[1] != "tests" && !((at[1], to[1]) in may))
		bad("layering")
	else if (path ~ /_priv\.h$/ && folder(path) != folder(FILENAME) && \
		!is_about(FILENAME, folder(path)))
		bad("private to its folder")
	if (FILENAME ~ /^appservice\/fleet\// && \
		path ~ /^(store|base\/clock|matrix\/h)/)
		bad("the fleet has no store, no clock and no network")
}
function from_elsewhere(path,   h, known) {
	if (path in is_system || path ~ /^(sys|net|netinet|arpa|linux)\//)
		return
	if (FILENAME ~ /^tests\//)
		return
	for (h in home) {
		if (index(path, h) != 1)
			continue
		known = 1
		if (FILENAME !~ home[h])
			bad("not its home")
	}
	if (!known)
		bad("a header of nobody we know")
}
/^[ \t]*#[ \t]*(include|import)/ {
	if ($0 ~ /^[ \t]*#[ \t]*include[ \t]*"[^"]+"/)
		from_the_top($2)
	else if ($0 ~ /^[ \t]*#[ \t]*include[ \t]*<[^>]+>/)
		from_elsewhere($2)
	else
		bad("neither \"path\" nor <header>")
}
END { exit failed }'
echo "layers: every include points down"
