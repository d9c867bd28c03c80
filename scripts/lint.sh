#!/bin/sh
# Everything that can be said about the code without running it. Each check
# prints what it found; the script fails when one did.
#
# shellcheck disable=SC2086,SC2046,SC2317 # lists of files are words; the
# functions are called by check
set -u
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}
failed=0

check() {
	name=$1
	shift
	printf '%-14s ' "$name"
	if out=$("$@" 2>&1); then
		echo ok
	else
		echo FAILED
		printf '%s\n' "$out" | tail -n 60
		failed=1
	fi
}

sources=$(git ls-files '*.c' '*.h')
code=$(git ls-files '*.c' ':!tests')

formatted() { clang-format --dry-run -Werror $sources; }
warnings() { make -s -j2 B="$B/lint" WERROR=1 all units; }
clang_warnings() { make -s -j2 B="$B/clang" CC=clang WERROR=1 all; }
unsigned_char() {
	make -s -j2 B="$B/uchar" CFLAGS='-O0 -funsigned-char' WERROR=1 all
}
analyzer() {
	make -s -j2 B="$B/analyzer" WERROR=1 \
		CFLAGS='-O1 -g -fanalyzer -Wno-analyzer-too-complex' all
}
tidy() { # one file a run: clang-tidy 14 mixes files up otherwise
	printf '%s\n' $code | xargs -P 2 -I FILE \
		clang-tidy --quiet FILE -- -std=c17 -I. "-I$B/lint" \
		-D_POSIX_C_SOURCE=200809L '-DMUSTER_VERSION="0"' \
		$(pkg-config --cflags json-c) 2>/dev/null
}
cpp() {
	cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr \
		--enable=warning,performance,portability \
		--suppress=missingIncludeSystem -I. $code
}
shell() { shellcheck $(git ls-files '*.sh') .ci/run; }
python() {
	/usr/bin/python3 - $(git ls-files '*.py' tests/run tests/bench/run \
		tests/bench/one) <<-'EOF'
		import ast, sys
		for name in sys.argv[1:]:
		    ast.parse(open(name).read(), name)
	EOF
}
yaml() {
	yamllint -s -d '{extends: relaxed, rules: {line-length: disable}}' \
		$(git ls-files '*.yaml' '*.yml')
}
pages() { mandoc -T lint -W warning docs/man/*.[1-8]; }

check layers sh scripts/check-layers.sh
check format formatted
check warnings warnings
check clang clang_warnings
check uchar unsigned_char
check analyzer analyzer
check clang-tidy tidy
check cppcheck cpp
check shell shell
check python python
check yaml yaml
check spelling codespell $(git ls-files)
check pages pages
if command -v pmccabe >/dev/null; then
	echo 'functions over 80 lines or with a complexity over 15, to look at:'
	pmccabe $code | awk '$1 > 15 || $5 > 80 { print "  " $0 }'
fi
exit $failed
