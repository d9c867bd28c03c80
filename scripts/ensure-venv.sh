#!/bin/sh
# Makes build/venv with what the tests need (tests/requirements.txt).
#
# At once when it is there already and the requirements have not changed.
set -eu

cd "$(dirname "$0")/.."
# shellcheck source=scripts/alive.sh
. scripts/alive.sh
venv=build/venv
python=${PYTHON:-/usr/bin/python3}
requirements=tests/requirements.txt
stamp=$venv/installed

want=$("$python" --version 2>&1 || true; cat "$requirements")
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
	exit 0
fi

echo "Making $venv for the tests ..."
rm -rf "$venv"
mkdir -p build
alive "making $venv" build/venv.log \
	"install python3 and python3-venv, or set PYTHON to another Python" \
	"$python" -m venv "$venv"
alive "installing Python packages" build/venv.log \
	"see to it that PyPI can be reached (PIP_INDEX_URL), and try again" \
	"$venv/bin/python" -m pip install --disable-pip-version-check \
	--no-input -r "$requirements"
printf '%s\n' "$want" >"$stamp"
echo "$venv is ready"
