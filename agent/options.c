/*
 * The options of `run`: one table, from which they are parsed, listed and
 * explained.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/str.h"

#include "base/poison.h"

#define DEADLINE_MAX_MS (INT64_C(24) * 3600 * 1000)

enum option_id {
	OPT_RUNTIME = 1,
	OPT_FOR,
	OPT_OUTPUT,
	OPT_ONCE,
	OPT_DEADLINE,
	OPT_HOMESERVER,
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
	{ OPT_FOR, "for", "env|file",
		"how PROGRAM wants its token (default: env)" },
	{ OPT_OUTPUT, "output", "FILE",
		"with --for file: where (default: a private temporary file)" },
	{ OPT_ONCE, "once", NULL,
		"with --output: deliver, acknowledge and exit; no PROGRAM" },
	{ OPT_DEADLINE, "deadline", "DURATION",
		"how long to wait for the hand-off (default: 120s)" },
	{ OPT_HOMESERVER, "homeserver", "URL",
		"instead of the one that the hand-off names" },
	{ OPT_HELP, "help", NULL, "this text" },
};

static const char *const ways[] = { [FOR_ENV] = "env", [FOR_FILE] = "file" };

void options_print(void)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char usage[32];
		snprintf(usage, sizeof(usage), "--%s %s", table[i].name,
			table[i].value ? table[i].value : "");
		printf("  %-21s %s\n", usage, table[i].help);
	}
}

static enum rc unknown(const char *word, struct err *e)
{
	struct buf names;
	buf_init(&names, 1024);
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		buf_addf(&names, "%s--%s", i ? ", " : "", table[i].name);
	/* Up to the value, which may be a secret. */
	int n = (int)strcspn(word, "=");
	err_set(e, RC_INVALID, "%.*s: not an option of this version; it has %s",
		n < 100 ? n : 100, word, buf_str(&names));
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
		"--for %.100s: this version knows --for env and --for file",
		value);
}

/* The URL as it is handed on, without slashes at its end; they go from the
 * argument itself. */
static enum rc set_homeserver(char *value, struct options *o, struct err *e)
{
	size_t scheme = text_starts(value, "https://") ? 8
		: text_starts(value, "http://")        ? 7
						       : 0;
	size_t n = strlen(value);
	while (scheme > 0 && n > scheme && value[n - 1] == '/')
		n--;
	if (scheme == 0 || n == scheme)
		return err_set(e, RC_INVALID,
			"--homeserver %.100s: expected a URL with http:// or "
			"https://",
			value);
	value[n] = '\0';
	o->homeserver = value;
	return RC_OK;
}

static enum rc set_option(int id, char *value, struct options *o, struct err *e)
{
	switch ((enum option_id)id) {
	case OPT_RUNTIME:
		o->runtime = value;
		return RC_OK;
	case OPT_FOR:
		return set_way(value, o, e);
	case OPT_OUTPUT:
		o->output = value;
		return RC_OK;
	case OPT_ONCE:
		o->once = true;
		return RC_OK;
	case OPT_DEADLINE:
		if (str_duration(
			    str_of(value), DEADLINE_MAX_MS, &o->deadline_ms))
			return RC_OK;
		return err_set(e, RC_INVALID,
			"--deadline %.100s: expected a duration such as 500ms, "
			"120s or 5m, at most 24h",
			value);
	case OPT_HOMESERVER:
		return set_homeserver(value, o, e);
	case OPT_HELP:
		o->help = true;
		return RC_OK;
	}
	return RC_INVALID;
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

static enum rc check(struct options *o, struct err *e)
{
	bool program = o->program[0];
	if (!o->runtime)
		o->runtime = getenv("RUNTIME_PATH");
	if (!o->runtime || !*o->runtime)
		return err_set(e, RC_INVALID,
			"where is the hand-off? say --runtime DIR, or set "
			"RUNTIME_PATH");
	if (o->output && (o->how != FOR_FILE || !*o->output))
		return err_set(e, RC_INVALID,
			"--output needs --for file, and a file's name");
	if (o->once && (o->how != FOR_FILE || !o->output))
		return err_set(e, RC_INVALID,
			"--once needs --for file and --output FILE: nothing "
			"else outlives it");
	if (o->once && program)
		return err_set(e, RC_INVALID,
			"--once runs no program: leave out %.100s",
			o->program[0]);
	if (!o->once && !program)
		return err_set(e, RC_INVALID,
			"which program? muster-agent run [options] -- PROGRAM "
			"[ARG…]");
	return RC_OK;
}

enum rc options_read(int argc, char **argv, struct options *ret, struct err *e)
{
	struct option known[ARRAY_LEN(table) + 1] = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		known[i] = (struct option){ .name = table[i].name,
			.has_arg = table[i].value ? required_argument
						  : no_argument,
			.val = (int)table[i].id };
	struct options o = { .how = FOR_ENV, .deadline_ms = 120000 };
	opterr = 0;
	for (;;) {
		int at = optind;
		int found = getopt_long(argc, argv, "+:h", known, NULL);
		if (found == -1)
			break;
		if (found == 'h')
			found = OPT_HELP;
		enum rc rc = found == '?' || found == ':'
			? bad_option(found, argv[at], e)
			: set_option(found, optarg, &o, e);
		if (rc != RC_OK)
			return rc;
	}
	o.program = argv + optind;
	enum rc rc = o.help ? RC_OK : check(&o, e);
	if (rc == RC_OK)
		*ret = o;
	return rc;
}
