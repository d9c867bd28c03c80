#!/bin/sh
# Makes build/venv with what the tests need (tests/requirements.txt).
#
# At once when it is there already and the requirements have not changed.
# Says every few seconds that it is still alive, as pip is silent for long.
set -eu

cd "$(dirname "$0")/.."
venv=build/venv
python=${PYTHON:-/usr/bin/python3}
requirements=tests/requirements.txt
stamp=$venv/installed

want=$("$python" --version; cat "$requirements")
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
	exit 0
fi

echo "Making $venv for the tests ..."
rm -rf "$venv"
mkdir -p build
"$python" -m venv "$venv"

log=$venv/pip.log
"$venv/bin/python" -m pip install --disable-pip-version-check \
	--no-input -r "$requirements" >"$log" 2>&1 &
pip=$!
trap 'kill $pip 2>/dev/null || true' INT TERM
waited=0
while kill -0 "$pip" 2>/dev/null; do
	sleep 1
	waited=$((waited + 1))
	if [ $((waited % 4)) -eq 0 ]; then
		echo "... still installing, $waited s"
	fi
done
if ! wait "$pip"; then
	tail -n 15 "$log" >&2
	echo "${0##*/}: pip failed; its whole output is in $log" >&2
	exit 1
fi
printf '%s\n' "$want" >"$stamp"
echo "$venv is ready"
