#!/bin/sh
# The token without which the homeserver makes no account: once, for the
# homeserver and for muster, and for nobody else.
set -eu
# shellcheck source=examples/local/env.sh
. "$(dirname "$0")/env.sh"
umask 077
mkdir -p "$SECRETS" "$CONDUIT_FOLDER"

# write FILE: whole or not at all
write() {
	cat >"$1.new"
	mv "$1.new" "$1"
}

if ! [ -s "$SECRETS/registration-token" ]; then
	od -An -N24 -tx1 /dev/urandom | tr -d ' \n' |
		write "$SECRETS/registration-token"
fi
printf '[global]\nregistration_token = "%s"\n' \
	"$(cat "$SECRETS/registration-token")" |
	write "$CONDUIT_FOLDER/conduit.toml"
