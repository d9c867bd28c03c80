/*
 * appservice/settings.h: every setting, once. From this table come the parser,
 * its defaults, the environment's names, "did you mean", `muster config` and
 * `muster init`.
 *
 * X(id, path, type, default, allowed, reload, help)
 *   default  as it would stand in the file; NULL: none, or that of another
 *   allowed  for words `a|b|c`, for numbers and durations `min..max`
 *   reload   whether a change takes effect in a running service; what is held
 *            on to from the start (addresses, paths, who we are) does not
 */
#ifndef APPSERVICE_SETTINGS_H
#define APPSERVICE_SETTINGS_H

enum setting_type {
	SETTING_TEXT,
	SETTING_URL,
	SETTING_SERVER,
	SETTING_PATH,
	SETTING_ADDRESS,
	SETTING_WORD,
	SETTING_BOOL,
	SETTING_INT,
	SETTING_DURATION,
	SETTING_OWNER,
	SETTING_SECRET,
	SETTING_NODE, /* a structure of its own: kept as it stands */
};

enum setting_reload { RELOAD_NO, RELOAD_YES };

/* As fleet/rules.c has it when nothing is given. */
#define DEFAULT_ROOMS                                                          \
	"[{alias: all-employees, members: {everyone: true}}, "                 \
	"{alias: \"{department}-leadership\", "                                \
	"members: {level: [VP, Director]}}, "                                  \
	"{alias: \"{team}-team\", members: {team: \"{team}\"}}]"

#define SETTINGS(X)                                                            \
	X(HS_URL, "homeserver.url", URL, NULL, NULL, RELOAD_NO,                \
		"how muster reaches the homeserver; must be given")            \
	X(HS_NAME, "homeserver.server_name", SERVER, NULL, NULL, RELOAD_NO,    \
		"the part after the colon in its ids; must be given")          \
	X(HS_PUBLIC_URL, "homeserver.public_url", URL, NULL, NULL, RELOAD_NO,  \
		"what agents are told; default: homeserver.url")               \
	X(HS_KIND, "homeserver.kind", WORD, "auto",                            \
		"auto|conduit|tuwunel|synapse|dendrite", RELOAD_NO,            \
		"what it is, where it cannot be told from its answers")        \
	X(ADMIN_USER, "homeserver.admin.user", TEXT, NULL, NULL, RELOAD_YES,   \
		"whose account registers the service (Conduit, Tuwunel)")      \
	X(ADMIN_PASSWORD, "homeserver.admin.password", SECRET, NULL, NULL,     \
		RELOAD_YES,                                                    \
		"its password; made and kept in the file on an empty server")  \
	X(REGISTRATION_TOKEN, "homeserver.registration_token", SECRET, NULL,   \
		NULL, RELOAD_NO,                                               \
		"where the homeserver asks for one to register")               \
	X(CA_FILE, "homeserver.ca_file", PATH, NULL, NULL, RELOAD_NO,          \
		"a private certificate authority")                             \
	X(AS_ID, "appservice.id", TEXT, "muster", NULL, RELOAD_NO,             \
		"the registration's id; never changes")                        \
	X(AS_SENDER, "appservice.sender", TEXT, "muster", NULL, RELOAD_NO,     \
		"localpart of the service's own user")                         \
	X(AS_SENDER_NAME, "appservice.sender_name", TEXT, "Muster", NULL,      \
		RELOAD_NO, "display name of the service's own user")           \
	X(AS_LISTEN, "appservice.listen", ADDRESS, "127.0.0.1:29400", NULL,    \
		RELOAD_NO, "where the Application Service API is served")      \
	X(AS_URL, "appservice.url", URL, "http://127.0.0.1:29400", NULL,       \
		RELOAD_NO, "how the homeserver reaches it")                    \
	X(AS_REGISTRATION, "appservice.registration", PATH,                    \
		"registration.yaml", NULL, RELOAD_NO, "the registration file") \
	X(AS_LEGACY_PATHS, "appservice.legacy_paths", BOOL, "true", NULL,      \
		RELOAD_NO,                                                     \
		"also serve it where older homeservers look for it")           \
	X(AS_QUERY_TOKEN, "appservice.query_token", BOOL, "true", NULL,        \
		RELOAD_NO, "take the homeserver's token from the query alone") \
	X(NAMESPACE, "namespace", WORD, "declared", "declared", RELOAD_NO,     \
		"every agent by name; or {prefix: agent-}: see "               \
		"namespace.prefix")                                            \
	X(NAMESPACE_PREFIX, "namespace.prefix", TEXT, NULL, NULL, RELOAD_NO,   \
		"the prefix that every agent's localpart has")                 \
	X(FLEET_CONFIG, "fleet.config", PATH, NULL, NULL, RELOAD_YES,          \
		"which departments are deployed (config.yaml of the fleet)")   \
	X(FLEET_ORG, "fleet.org", PATH, NULL, NULL, RELOAD_YES,                \
		"the organisation (org.json of the fleet)")                    \
	X(FLEET_HUMANS, "fleet.humans", NODE, NULL, NULL, RELOAD_YES,          \
		"more humans: user ids, or {id, name}")                        \
	X(FLEET_AGENTS, "fleet.agents", NODE, NULL, NULL, RELOAD_YES,          \
		"agents by hand: {id, name, department, team, level, "         \
		"manager}")                                                    \
	X(ROOMS, "rooms", NODE, DEFAULT_ROOMS, NULL, RELOAD_YES,               \
		"the room policy: everyone, leaders, teams")                   \
	X(DIRECT_MANAGER, "direct.manager_report", BOOL, "true", NULL,         \
		RELOAD_YES, "a direct room for manager and report")            \
	X(DIRECT_PEERS, "direct.manager_peers", BOOL, "true", NULL,            \
		RELOAD_YES, "… for people of one manager")                     \
	X(DIRECT_TEAM, "direct.team_peers", BOOL, "true", NULL, RELOAD_YES,    \
		"… for people of one team")                                    \
	X(DIRECT_CREATE, "direct.create", WORD, "auto",                        \
		"auto|eager|on_demand|off", RELOAD_YES,                        \
		"when they are made; auto: at once, unless they are many")     \
	X(DIRECT_PER_MINUTE, "direct.per_minute", INT, "600", "1..60000",      \
		RELOAD_YES, "how many are made in a minute at most")           \
	X(HANDOFF_ROOT, "handoff.root", PATH, "runtime", NULL, RELOAD_NO,      \
		"the runtime directory: <root>/<Department>/<localpart>/")     \
	X(HANDOFF_DEVICE, "handoff.device_id", TEXT, "MUSTER", NULL,           \
		RELOAD_NO, "the one device of each agent, for life")           \
	X(HANDOFF_OWNER, "handoff.owner", OWNER, NULL, NULL, RELOAD_NO,        \
		"\"uid:gid\" for the files; default: our own")                 \
	X(HANDOFF_WAIT, "handoff.wait", DURATION, "30s", "2s..10m",            \
		RELOAD_YES,                                                    \
		"how long an agent may take to pause, and to acknowledge")     \
	X(HANDOFF_CHECK, "handoff.check", DURATION, "1m", "100ms..24h",        \
		RELOAD_YES,                                                    \
		"between whoami calls that check one agent's token")           \
	X(STORE_PATH, "store.path", PATH, "muster.db", NULL, RELOAD_NO,        \
		"the database")                                                \
	X(STORE_NETWORK, "store.network", WORD, "auto", "auto|true|false",     \
		RELOAD_NO,                                                     \
		"it is on a network file system; auto: as that says")          \
	X(STORE_TAKEOVER, "store.takeover", DURATION, "60s", "3s..10m",        \
		RELOAD_NO,                                                     \
		"on a network: how long who has it is silent, then the next "  \
		"one takes over")                                              \
	X(CONCURRENCY, "reconcile.concurrency", INT, "8", "1..64", RELOAD_NO,  \
		"requests in flight at once")                                  \
	X(INTERVAL, "reconcile.interval", DURATION, "5m", "1s..24h",           \
		RELOAD_YES, "how often the rooms are looked at")               \
	X(PASSWORD, "reconcile.password", WORD, "random", "random|none",       \
		RELOAD_NO, "of a new account: random and forgotten, or none")  \
	X(RESPECT_WINDOW, "respect.window", DURATION, "24h", "1s..720h",       \
		RELOAD_YES,                                                    \
		"an agent that is removed twice within it is kept out")        \
	X(OPS_SOCKET, "ops.socket", PATH, "muster.sock", NULL, RELOAD_NO,      \
		"the admin socket")                                            \
	X(OPS_LISTEN, "ops.listen", ADDRESS, NULL, NULL, RELOAD_NO,            \
		"health over TCP: /health/live, /health/ready")                \
	X(LOG_LEVEL, "log.level", WORD, "info", "error|warn|info|debug",       \
		RELOAD_YES, "how much is logged")                              \
	X(LOG_FORMAT, "log.format", WORD, "json", "json|text", RELOAD_YES,     \
		"JSON lines, or text for people")

enum setting {
#define X(id, path, type, def, allowed, reload, help) SET_##id,
	SETTINGS(X)
#undef X
		SETTING_COUNT
};

#endif
