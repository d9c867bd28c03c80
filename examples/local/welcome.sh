#!/bin/sh
# The last words, once everything runs.
set -eu
# shellcheck source=examples/local/env.sh
. "$(dirname "$0")/env.sh"
muster healthcheck
echo "Element:   $ELEMENT_URL"
echo "Log in as: philippa.tidewater"
echo "Password:  in the file $SECRETS/human-password${PASSWORD_BY:+, by: $PASSWORD_BY}"
