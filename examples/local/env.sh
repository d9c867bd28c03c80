# Read by the others: what is not set is as it is without containers.
# shellcheck shell=sh
here=$(cd "$(dirname "$0")" && pwd)
: "${STATE:=$here/../../build/local}"
: "${HOMESERVER_PORT:=6167}" "${APPSERVICE_PORT:=29400}" "${ELEMENT_PORT:=8080}"
: "${SECRETS:=$STATE/secrets}" "${CONDUIT_FOLDER:=$STATE/conduit}"
: "${ELEMENT_URL:=http://127.0.0.1:$ELEMENT_PORT}"
: "${MUSTER_CONFIG:=$here/muster.yaml}"
: "${MUSTER_STORE_PATH:=$STATE/muster.db}"
: "${MUSTER_OPS_SOCKET:=$STATE/muster.sock}"
: "${MUSTER_APPSERVICE_REGISTRATION:=$STATE/registration.yaml}"
: "${MUSTER_HANDOFF_ROOT:=$STATE/runtime}"
: "${MUSTER_HOMESERVER_URL:=http://127.0.0.1:$HOMESERVER_PORT}"
: "${MUSTER_APPSERVICE_URL:=http://127.0.0.1:$APPSERVICE_PORT}"
: "${MUSTER_APPSERVICE_LISTEN:=127.0.0.1:$APPSERVICE_PORT}"
export MUSTER_CONFIG MUSTER_STORE_PATH MUSTER_OPS_SOCKET \
	MUSTER_APPSERVICE_REGISTRATION MUSTER_HANDOFF_ROOT \
	MUSTER_HOMESERVER_URL MUSTER_APPSERVICE_URL MUSTER_APPSERVICE_LISTEN
export MUSTER_HOMESERVER_ADMIN_PASSWORD="{file: \"$SECRETS/human-password\"}"
export MUSTER_HOMESERVER_REGISTRATION_TOKEN="{file: \"$SECRETS/registration-token\"}"
