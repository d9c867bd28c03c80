#!/bin/sh
# An agent: agent.sh DEPARTMENT/LOCALPART [NAME [TITLE]]. It waits for its token.
set -eu
# shellcheck source=examples/local/env.sh
. "$(dirname "$0")/env.sh"
runtime=$MUSTER_HANDOFF_ROOT/$1
shift
exec muster-agent run --runtime "$runtime" -- \
	python3 "$here/../agent/agent.py" "$@"
