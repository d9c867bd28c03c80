#!/bin/sh
# The homeserver. Registration is on, with a token: what an administrator
# switches off in the admin room is on again after a restart.
set -eu
# shellcheck source=examples/local/env.sh
. "$(dirname "$0")/env.sh"
set -a
# shellcheck source=/dev/null
. "$here/conduit.env"
set +a
export CONDUIT_CONFIG="$CONDUIT_FOLDER/conduit.toml" \
	CONDUIT_DATABASE_BACKEND=sqlite \
	CONDUIT_DATABASE_PATH="$CONDUIT_FOLDER/database" \
	CONDUIT_ADDRESS=127.0.0.1 CONDUIT_PORT="$HOMESERVER_PORT"
# Else clients follow it to https://fleet.example.
export CONDUIT_WELL_KNOWN_CLIENT="http://127.0.0.1:$HOMESERVER_PORT"
exec "${CONDUIT_BIN:-conduit}"
