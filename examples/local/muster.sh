#!/bin/sh
# muster: waits for the homeserver, registers with it, and serves. Once it is
# registered, `register` finds that out and does nothing.
set -eu
# shellcheck source=examples/local/env.sh
. "$(dirname "$0")/env.sh"
muster healthcheck --homeserver "$MUSTER_HOMESERVER_URL" --wait 5m
muster register
exec muster serve
