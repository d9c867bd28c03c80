#!/bin/sh
# Element in a browser, from a folder with one of its releases, unpacked.
set -eu
# shellcheck source=examples/local/env.sh
. "$(dirname "$0")/env.sh"
if ! [ -f "${ELEMENT_WEB:-}/index.html" ]; then
	echo "set ELEMENT_WEB to the folder of a release of Element Web" >&2
	exit 2
fi
sed "s|http://127.0.0.1:6167|http://127.0.0.1:$HOMESERVER_PORT|" \
	"$here/element.json" >"$ELEMENT_WEB/config.json"
exec python3 -m http.server --bind 127.0.0.1 --directory "$ELEMENT_WEB" \
	"$ELEMENT_PORT"
