/*
 * The options of `run`: one table, from which they are parsed, listed and
 * explained.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/ways_priv.h"
#include "base/str.h"

#include "base/poison.h"

#define DEADLINE_MAX_MS (INT64_C(24) * 3600 * 1000)
#define CHECK_MIN_MS 1000
#define CHECK_MAX_MS (INT64_C(3600) * 1000)

enum option_id {
	OPT_RUNTIME = 1,
	OPT_FOR,
	OPT_OUTPUT,
	OPT_TEMPLATE,
	OPT_RELOAD,
	OPT_PAUSE,
	OPT_RESUME,
	OPT_WORKSPACE,
	OPT_MERGE,
	OPT_ONCE,
	OPT_DEADLINE,
	OPT_CHECK,
	OPT_HOMESERVER,
	OPT_CA_FILE,
	OPT_HELP,
};

static const struct {
	enum option_id id;
	const char *name;
	const char *value; /* NULL: takes none */
	const char *help;
} table[] = {
	{ OPT_RUNTIME, "runtime", "DIR",
		"where the hand-off lies (default: $RUNTIME_PATH)" },
	{ OPT_FOR, "for", "WAY",
		"how PROGRAM wants its token: env, file, template, openclaw "
		"(default: env)" },
	{ OPT_OUTPUT, "output", "FILE",
		"where the token goes (--for file: default a private temporary "
		"file)" },
	{ OPT_TEMPLATE, "template", "FILE",
		"with --for template: what is filled" },
	{ OPT_RELOAD, "reload", "HOW",
		"how PROGRAM comes to a new token: none, restart, signal:HUP "
		"(default: restart with --for env, else none)" },
	{ OPT_PAUSE, "pause", "CMD",
		"what pauses PROGRAM before its token is replaced" },
	{ OPT_RESUME, "resume", "CMD", "and what lets it go on" },
	{ OPT_WORKSPACE, "workspace", "DIR",
		"with --for openclaw: the workspace (default: "
		"$WORKSPACE_PATH, else " OPENCLAW_WORKSPACE_PLACE ")" },
	{ OPT_MERGE, "merge", "FILE",
		"with --for openclaw: the fleet's openclaw.json" },
	{ OPT_ONCE, "once", NULL,
		"deliver, acknowledge and exit; PROGRAM is not started" },
	{ OPT_DEADLINE, "deadline", "DURATION",
		"how long to wait for the hand-off (default: 120s)" },
	{ OPT_CHECK, "check", "DURATION",
		"how often to ask whether the token still works (default: "
		"60s)" },
	{ OPT_HOMESERVER, "homeserver", "URL",
		"instead of the one that the hand-off names (default: "
		"$MATRIX_HOMESERVER)" },
	{ OPT_CA_FILE, "ca-file", "FILE",
		"the certificate authority of the homeserver, where it is a "
		"private one" },
	{ OPT_HELP, "help", NULL, "this text" },
};

static const char *const ways[] = { [FOR_ENV] = "env",
	[FOR_FILE] = "file",
	[FOR_TEMPLATE] = "template",
	[FOR_OPENCLAW] = "openclaw" };

static const struct {
	const char *name;
	int number;
} reload_signals[] = {
	{ "HUP", SIGHUP },
	{ "INT", SIGINT },
	{ "QUIT", SIGQUIT },
	{ "USR1", SIGUSR1 },
	{ "USR2", SIGUSR2 },
	{ "WINCH", SIGWINCH },
};

void options_print(void)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char usage[32];
		snprintf(usage, sizeof(usage), "--%s %s", table[i].name,
			table[i].value ? table[i].value : "");
		printf("  %-21s %s\n", usage, table[i].help);
	}
}

/* One slip, two in a longer word: short ones are near to many. */
static const char *nearest(const char *word)
{
	const char *best = NULL;
	int least = 3;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		int slips = strlen(table[i].name) > 3 ? 2 : 1;
		int d = str_distance(word, table[i].name, least);
		if (d < least && d <= slips) {
			least = d;
			best = table[i].name;
		}
	}
	return best;
}

static enum rc unknown(const char *word, struct err *e)
{
	struct buf names;
	buf_init(&names, 1024);
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		buf_addf(&names, "%s--%s", i ? ", " : "", table[i].name);
	/* Up to the value, which may be a secret. */
	char name[101];
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
	const char *near = nearest(name + strspn(name, "-"));
	if (near)
		err_set(e, RC_INVALID, "%s: not an option: did you mean --%s?",
			name, near);
	else
		err_set(e, RC_INVALID,
			"%s: not an option of this version; it has %s", name,
			buf_str(&names));
	buf_free(&names);
	return RC_INVALID;
}

static enum rc set_way(const char *value, struct options *o, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		if (text_eq(value, ways[i])) {
			o->how = (enum agent_for)i;
			return RC_OK;
		}
	}
	return err_set(e, RC_INVALID,
		"--for %.100s: there are env, file, template and openclaw",
		value);
}

static enum rc set_reload(const char *value, struct options *o, struct err *e)
{
	static const char prefix[] = "signal:";
	o->reload_said = true;
	if (text_eq(value, "none")) {
		o->reload = RELOAD_NONE;
		return RC_OK;
	}
	if (text_eq(value, "restart")) {
		o->reload = RELOAD_RESTART;
		return RC_OK;
	}
	if (!text_starts(value, prefix))
		return err_set(e, RC_INVALID,
			"--reload %.100s: there are none, restart and "
			"signal:NAME",
			value);
	const char *name = value + strlen(prefix);
	name += text_starts(name, "SIG") ? 3 : 0;
	o->reload = RELOAD_SIGNAL;
	for (size_t i = 0; i < ARRAY_LEN(reload_signals); i++) {
		if (text_eq(name, reload_signals[i].name)) {
			o->reload_signal = reload_signals[i].number;
			return RC_OK;
		}
	}
	return err_set(e, RC_INVALID,
		"--reload %.100s: the signal is one of HUP, INT, QUIT, USR1, "
		"USR2 and WINCH (what ends PROGRAM is --reload restart)",
		value);
}

static enum rc set_duration(const char *value, const char *name, int64_t min,
	int64_t max, int64_t *ret, struct err *e)
{
	int64_t ms;
	if (str_duration(str_of(value), max, &ms) && ms >= min) {
		*ret = ms;
		return RC_OK;
	}
	return err_set(e, RC_INVALID,
		"--%s %.100s: expected a duration such as 500ms, 120s or 5m, "
		"from %g s to %g s",
		name, value, (double)min / 1000, (double)max / 1000);
}

/* The URL as it is handed on, without slashes at its end; they go from the
 * argument itself. */
static enum rc set_homeserver(
	char *value, const char *what, struct options *o, struct err *e)
{
	size_t scheme = text_starts(value, "https://") ? 8
		: text_starts(value, "http://")        ? 7
						       : 0;
	size_t n = strlen(value);
	while (scheme > 0 && n > scheme && value[n - 1] == '/')
		n--;
	if (scheme == 0 || n == scheme)
		return err_set(e, RC_INVALID,
			"%s %.100s: expected a URL with http:// or https://",
			what, value);
	value[n] = '\0';
	o->homeserver = value;
	return RC_OK;
}

/* An option whose value is kept as it is; NULL: another one. */
static const char **plain(int id, struct options *o)
{
	switch ((enum option_id)id) {
	case OPT_RUNTIME:
		return &o->runtime;
	case OPT_OUTPUT:
		return &o->output;
	case OPT_TEMPLATE:
		return &o->template;
	case OPT_PAUSE:
		return &o->pause;
	case OPT_RESUME:
		return &o->resume;
	case OPT_WORKSPACE:
		return &o->workspace;
	case OPT_MERGE:
		return &o->merge;
	case OPT_CA_FILE:
		return &o->ca_file;
	default:
		return NULL;
	}
}

static enum rc set_option(int id, char *value, struct options *o, struct err *e)
{
	const char **kept = plain(id, o);
	if (kept) {
		*kept = value;
		return RC_OK;
	}
	switch ((enum option_id)id) {
	case OPT_FOR:
		return set_way(value, o, e);
	case OPT_RELOAD:
		return set_reload(value, o, e);
	case OPT_DEADLINE:
		return set_duration(value, "deadline", 0, DEADLINE_MAX_MS,
			&o->deadline_ms, e);
	case OPT_CHECK:
		return set_duration(value, "check", CHECK_MIN_MS, CHECK_MAX_MS,
			&o->check_ms, e);
	case OPT_HOMESERVER:
		return set_homeserver(value, "--homeserver", o, e);
	case OPT_ONCE:
		o->once = true;
		return RC_OK;
	case OPT_HELP:
		o->help = true;
		return RC_OK;
	default:
		return RC_INVALID;
	}
}

static const char *option_name(int id)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (id == (int)table[i].id)
			return table[i].name;
	return NULL;
}

/* What getopt_long() did not like. */
static enum rc bad_option(int found, const char *word, struct err *e)
{
	const char *name = option_name(optopt);
	if (!name)
		return unknown(word, e);
	return err_set(e, RC_INVALID, "--%s: %s", name,
		found == ':' ? "needs a value" : "takes no value");
}

/* What goes with nothing, in words. */
struct rule {
	bool broken;
	const char *words;
};

static enum rc check_rules(const struct rule *rules, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (rules[i].broken)
			return err_set(e, RC_INVALID, "%s", rules[i].words);
	return RC_OK;
}

static bool is_empty(const char *value)
{
	return value && !*value;
}

/* A value of another way, or none. */
static bool is_misplaced(const char *value, bool belongs)
{
	return value && (!belongs || !*value);
}

static enum rc check_way(const struct options *o, struct err *e)
{
	const bool env = o->how == FOR_ENV, file = o->how == FOR_FILE,
		   filled = o->how == FOR_TEMPLATE,
		   claw = o->how == FOR_OPENCLAW;
	const struct rule rules[] = {
		{ is_misplaced(o->output, !env),
			"--output needs --for file, --for template or --for "
			"openclaw, and a file's name" },
		{ is_misplaced(o->template, filled),
			"--template needs --for template, and a file's name" },
		{ filled && !o->template,
			"--for template needs --template FILE: what is "
			"filled" },
		{ filled && !o->output,
			"--for template needs --output FILE: where the filled "
			"template goes" },
		{ is_misplaced(o->workspace, claw),
			"--workspace needs --for openclaw, and a directory's "
			"name" },
		{ is_misplaced(o->merge, claw),
			"--merge needs --for openclaw, and a file's name" },
		{ o->once && (env || (file && !o->output)),
			"--once needs --for file and --output FILE, --for "
			"template or --for openclaw: nothing else outlives "
			"it" },
	};
	return check_rules(rules, ARRAY_LEN(rules), e);
}

static enum rc check_reload(const struct options *o, struct err *e)
{
	const bool env = o->how == FOR_ENV, none = o->reload == RELOAD_NONE;
	const struct rule rules[] = {
		{ o->once && (o->pause || o->resume || o->reload_said),
			"--once starts no program: leave out --pause, --resume "
			"and --reload" },
		{ is_empty(o->pause) || is_empty(o->resume),
			"--pause and --resume need a command" },
		{ !o->pause != !o->resume,
			"--pause and --resume belong together: what was paused "
			"has to go on, also with the token that it has" },
		{ env && o->reload == RELOAD_SIGNAL,
			"--reload signal: nobody can change the environment of "
			"a program that runs: say --reload restart, or --for "
			"file" },
		{ env && none && o->pause,
			"--pause: a program with its token in its environment "
			"and --reload none takes no other one, so there is "
			"nothing to pause it for" },
	};
	return check_rules(rules, ARRAY_LEN(rules), e);
}

/* A variable that is there and has a value. */
static const char *variable(const char *name)
{
	const char *value = getenv(name);
	return is_empty(value) ? NULL : value;
}

static enum rc take_homeserver(struct options *o, struct err *e)
{
	static char url[1024]; /* a copy, as slashes go from its end */
	const char *value = variable("MATRIX_HOMESERVER");
	if (o->homeserver || !value)
		return RC_OK;
	if (snprintf(url, sizeof(url), "%s", value) >= (int)sizeof(url))
		return err_set(e, RC_INVALID,
			"MATRIX_HOMESERVER is longer than %zu bytes",
			sizeof(url) - 1);
	return set_homeserver(url, "MATRIX_HOMESERVER", o, e);
}

/* What the environment says where the options do not; as it is in the fleet
 * that we are for. */
static enum rc take_environment(struct options *o, struct err *e)
{
	if (!o->runtime)
		o->runtime = variable("RUNTIME_PATH");
	if (o->how == FOR_OPENCLAW && !o->workspace)
		o->workspace = variable("WORKSPACE_PATH");
	if (o->how == FOR_OPENCLAW && !o->workspace)
		o->workspace = openclaw_default_workspace();
	o->user = variable("AGENT_MATRIX_ID");
	return take_homeserver(o, e);
}

static enum rc check_program(const struct options *o, struct err *e)
{
	if (is_empty(o->ca_file))
		return err_set(e, RC_INVALID, "--ca-file needs a file's name");
	if (!o->runtime || !*o->runtime)
		return err_set(e, RC_INVALID,
			"where is the hand-off? say --runtime DIR, or set "
			"RUNTIME_PATH");
	if (!o->once && !o->program[0])
		return err_set(e, RC_INVALID,
			"which program? muster-agent run [options] -- PROGRAM "
			"[ARG…]");
	return RC_OK;
}

static enum rc check(struct options *o, struct err *e)
{
	if (!o->reload_said)
		o->reload = o->how == FOR_ENV ? RELOAD_RESTART : RELOAD_NONE;
	enum rc rc = take_environment(o, e);
	if (rc == RC_OK)
		rc = check_way(o, e);
	if (rc == RC_OK)
		rc = check_reload(o, e);
	if (rc == RC_OK)
		rc = check_program(o, e);
	return rc;
}

/* The next option into *o; *more is false when there is none. */
static enum rc next_option(int argc, char **argv, const struct option *known,
	struct options *o, bool *more, struct err *e)
{
	int at = optind;
	int found = getopt_long(argc, argv, "+:h", known, NULL);
	*more = found != -1;
	if (!*more)
		return RC_OK;
	if (found == '?' || found == ':')
		return bad_option(found, argv[at], e);
	return set_option(found == 'h' ? OPT_HELP : found, optarg, o, e);
}

enum rc options_read(int argc, char **argv, struct options *ret, struct err *e)
{
	struct option known[ARRAY_LEN(table) + 1] = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		known[i] = (struct option){ .name = table[i].name,
			.has_arg = table[i].value ? required_argument
						  : no_argument,
			.val = (int)table[i].id };
	struct options o = {
		.how = FOR_ENV, .deadline_ms = 120000, .check_ms = 60000
	};
	opterr = 0;
	enum rc rc = RC_OK;
	for (bool more = true; rc == RC_OK && more;)
		rc = next_option(argc, argv, known, &o, &more, e);
	o.program = argv + optind;
	if (rc == RC_OK && !o.help)
		rc = check(&o, e);
	if (rc == RC_OK)
		*ret = o;
	return rc;
}
