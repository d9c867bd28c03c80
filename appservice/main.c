/*
 * muster: the command line. The verb comes from the table; everything else is
 * behind it.
 */
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appservice/ops/verbs.h"
#include "base/limits.h"
#include "base/str.h"
#include "matrix/http.h"

#include "base/poison.h"

#define KEY_LONG 256

const struct verb verbs[] = {
	{ "init", "[DIR] [--homeserver URL] [--server-name NAME]",
		"write a commented muster.yaml for the files that lie there", 1,
		verb_init,
		"muster init fleet --homeserver http://127.0.0.1:6167" },
	{ "check", "", "read configuration and fleet; say what is wrong", 0,
		verb_check, "muster -c fleet/muster.yaml check" },
	{ "registration", "[--new-tokens]",
		"make the registration file and check it", 0, verb_registration,
		"muster registration" },
	{ "register", "[--dry-run]",
		"register with the homeserver and prove that it works", 0,
		verb_register, "muster register --dry-run" },
	{ "unregister", "[--dry-run]",
		"take the registration back; accounts and rooms stay", 0,
		verb_unregister, "muster unregister --dry-run" },
	{ "adopt", "[USER...] [--yes] [--dry-run] [--owner USER] [--token]",
		"take over accounts and rooms that were made by passwords",
		1000, verb_adopt, "muster adopt --dry-run" },
	{ "serve", "", "the service, in the foreground", 0, verb_serve,
		"muster serve 2>> serve.log" },
	{ "status", "", "is it ready, and what not", 0, verb_view,
		"muster status" },
	{ "agents", "", "every agent and how far it is", 0, verb_view,
		"muster agents --json" },
	{ "rooms", "", "every room, who should be and who is in it", 0,
		verb_view, "muster rooms" },
	{ "plan", "[--with NEW.yaml]",
		"what would be done now, or with other files; status 3 when "
		"there is any",
		0, verb_plan, "muster plan" },
	{ "doctor", "",
		"what is wrong, and what mends it; status 3 when anything is",
		0, verb_doctor, "muster doctor" },
	{ "journal", "", "steps that wait, run, failed or are done", 0,
		verb_view, "muster journal" },
	{ "quarantine", "[retry ID]",
		"events that could not be read; read one again", 2,
		verb_quarantine, "muster quarantine" },
	{ "retry", "[STEP|USER|ROOM]",
		"try again what failed, or ask in who is kept out", 1,
		verb_retry, "muster retry asa.iyer" },
	{ "approve", "", "let go who is declared no more, when it is many", 0,
		verb_approve, "muster approve" },
	{ "retire", "USER", "let go one who is declared no more", 1,
		verb_retire, "muster retire asa.iyer" },
	{ "direct", "A B", "make the direct room of two now", 2, verb_direct,
		"muster direct asa.iyer gerda.madsen" },
	{ "rotate", "USER...|--all [--every T] [--now] [--why TEXT]",
		"give agents new tokens: they pause, and lose no message", 1000,
		verb_rotate, "muster rotate --all --every 30d" },
	{ "revoke", "USER [--why TEXT]",
		"end an agent's tokens; it is blocked until rotate or retry", 1,
		verb_revoke,
		"muster revoke asa.iyer --why 'its token stood in a log'" },
	{ "audit", "", "what was taken over, and what was asked for", 0,
		verb_view, "muster audit" },
	{ "healthcheck", "[--homeserver URL [--wait T]]",
		"exit status for containers: this service's, or a homeserver's",
		0, verb_healthcheck,
		"muster healthcheck --homeserver http://127.0.0.1:6167" },
	{ "config", "", "every setting, its value and where it is from", 0,
		verb_config, "muster config" },
	{ "help", "[VERB]", "this page", 1, verb_help, "muster help rotate" },
	{ "version", "", "the version", 0, verb_version, "muster version" },
};
const size_t n_verbs = ARRAY_LEN(verbs);

const struct verb_option verb_options[] = {
	{ "config", "FILE", 'c', NULL, "the configuration" },
	{ "json", NULL, 'j', NULL, "one JSON document instead of words" },
	{ "help", NULL, 'h', NULL, "how the verb is used" },
	{ "version", NULL, 'v', NULL, "the version" },
	{ "dry-run", NULL, 'd', "register unregister adopt",
		"only say what would be done" },
	{ "new-tokens", NULL, 't', "registration",
		"make new tokens for it, which register then replaces" },
	{ "yes", NULL, 'Y', "adopt", "ask nothing" },
	{ "owner", "USER", 'o', "adopt", "whose power in rooms is used" },
	{ "token", NULL, 'T', "adopt",
		"what is asked for is an access token of theirs" },
	{ "homeserver", "URL", 'u', "init healthcheck", "where it is" },
	{ "wait", "T", 'W', "healthcheck",
		"until it answers, but no longer: 30s, 5m" },
	{ "server-name", "NAME", 's', "init",
		"what its ids end in; else as it or the files say" },
	{ "with", "NEW.yaml", 'w', "plan", "another configuration" },
	{ "all", NULL, 'a', "rotate", "every agent" },
	{ "every", "T", 'e', "rotate",
		"from now on also when a token is this old: 12h, 30d, never" },
	{ "now", NULL, 'n', "rotate",
		"ask nobody: the token is in the wrong hands" },
	{ "why", "TEXT", 'y', "rotate revoke",
		"the reason, for the agent, the log and the audit" },
};
const size_t n_verb_options = ARRAY_LEN(verb_options);

static bool is_given(const struct cli *cli, int key)
{
	switch (key) {
	case 'u':
		return cli->homeserver;
	case 's':
		return cli->server_name;
	case 'w':
		return cli->with;
	case 'a':
		return cli->all;
	case 'e':
		return cli->every;
	case 'n':
		return cli->now;
	case 'y':
		return cli->why;
	case 'd':
		return cli->dry_run;
	case 'Y':
		return cli->yes;
	case 'o':
		return cli->owner;
	case 'T':
		return cli->token;
	case 't':
		return cli->new_tokens;
	case 'W':
		return cli->wait;
	default: /* of every verb */
		return false;
	}
}

/* What stands there, and what goes with what. */
static int check_use(const struct cli *cli)
{
	const struct verb *v = cli->verb;
	if (cli->argc > v->max_args)
		return cli_fail(EXIT_WRONG, "%s takes no argument \"%s\"",
			v->name, cli->argv[v->max_args]);
	for (size_t i = 0; i < n_verb_options; i++) {
		const struct verb_option *o = &verb_options[i];
		struct str of = str_of(o->verbs);
		struct str first = str_cut(&of, ' ', NULL);
		if (is_given(cli, o->key) && !verb_takes(v, o))
			return cli_fail(EXIT_WRONG,
				"--%s is of `muster %.*s`, and %s takes none",
				o->name, (int)first.n, first.p, v->name);
	}
	if (cli->json && !verb_has_document(v))
		return cli_fail(EXIT_WRONG,
			"%s has no document: leave out --json", v->name);
	return EXIT_OK;
}

/* NULL, or the verb that stands for the option. */
static const char *take_option(struct cli *cli, int key, const char *value)
{
	switch (key) {
	case 'c':
		cli->config_path = value;
		return NULL;
	case 'j':
		cli->json = true;
		return NULL;
	case 'u':
		cli->homeserver = value;
		return NULL;
	case 's':
		cli->server_name = value;
		return NULL;
	case 'w':
		cli->with = value;
		return NULL;
	case 'a':
		cli->all = true;
		return NULL;
	case 'e':
		cli->every = value;
		return NULL;
	case 'n':
		cli->now = true;
		return NULL;
	case 'y':
		cli->why = value;
		return NULL;
	case 'Y':
		cli->yes = true;
		return NULL;
	case 'd':
		cli->dry_run = true;
		return NULL;
	case 'o':
		cli->owner = value;
		return NULL;
	case 'T':
		cli->token = true;
		return NULL;
	case 't':
		cli->new_tokens = true;
		return NULL;
	case 'W':
		cli->wait = value;
		return NULL;
	default:
		return key == 'h' ? "help" : "version";
	}
}

/* What getopt_long() tells long options by: no letter, so that a letter that is
 * no option is none of theirs. */
static int long_key(const struct verb_option *o)
{
	return KEY_LONG + o->key;
}

/* What getopt_long() did not like; `word` is as it was written, or the letter
 * that is none. */
static int bad_option(int found, int key, const char *word, char **argv)
{
	char letter[] = { '-', (char)key, '\0' };
	for (size_t i = 0; i < n_verb_options; i++) {
		const struct verb_option *o = &verb_options[i];
		bool is_it = long_key(o) == key;
		if (found == ':' && (is_it || o->key == key))
			return cli_fail(EXIT_WRONG, "--%s needs a value: %s",
				o->name, o->value);
		if (is_it)
			return cli_fail(
				EXIT_WRONG, "--%s takes no value", o->name);
	}
	const struct verb *v = NULL;
	for (size_t i = 1; argv[i] && !v; i++)
		v = verb_find(argv[i]);
	return verb_no_option(v, key > 0 ? letter : word);
}

/* Options may stand before and after the verb. *instead: NULL, or the verb
 * that one of them stands for. */
static int parse_options(
	struct cli *cli, int argc, char **argv, const char **instead)
{
	struct option options[ARRAY_LEN(verb_options) + 1] = { 0 };
	for (size_t i = 0; i < n_verb_options; i++)
		options[i] = (struct option){ .name = verb_options[i].name,
			.has_arg = verb_options[i].value ? required_argument
							 : no_argument,
			.val = long_key(&verb_options[i]) };
	int c = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":c:h", options, NULL)) != -1) {
		if (c == '?' || c == ':')
			return bad_option(c, optopt, argv[optind - 1], argv);
		int key = c >= KEY_LONG ? c - KEY_LONG : c;
		const char *verb = take_option(cli, key, optarg);
		if (verb)
			*instead = verb;
	}
	return EXIT_OK;
}

static int parse(struct cli *cli, int argc, char **argv)
{
	const char *instead = NULL;
	int status = parse_options(cli, argc, argv, &instead);
	if (status != EXIT_OK)
		return status;
	cli->argc = argc - optind;
	cli->argv = argv + optind;
	if (!instead && cli->argc == 0) {
		verb_usage(stderr);
		return EXIT_WRONG;
	}
	const char *name = instead ? instead : cli->argv[0];
	cli->verb = verb_find(name);
	if (!cli->verb)
		return verb_none(name);
	if (!instead) {
		cli->argc--;
		cli->argv++;
	} else if (cli->argc > 1 && cli->verb->run == verb_help) {
		cli->argc = 1; /* of `muster VERB A B --help` the verb */
	}
	return check_use(cli);
}

int main(int argc, char **argv)
{
	struct cli cli = { .config_path = "muster.yaml" };
	struct err e = { 0 };
#ifdef M_ARENA_MAX
	/* Of the GNU library: one heap instead of one for each thread. They
	 * wait for the disk and the network, not for each other's memory. */
	mallopt(M_ARENA_MAX, 1);
	/* Fixed, or what is large would come from the heap and leave holes. */
	mallopt(M_MMAP_THRESHOLD, (int)MIB);
#endif
	/* A peer that goes away is an error of the write, not our end. */
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigaction(SIGPIPE, &ignore, NULL);
	const char *named = getenv("MUSTER_CONFIG");
	if (named && *named)
		cli.config_path = named;
	int status = parse(&cli, argc, argv);
	if (status != EXIT_OK || !cli.verb)
		return status;
	if (http_global_init(&e) != RC_OK)
		return cli_fail(EXIT_FAILED, "%s", e.text);
	status = cli.verb->run(&cli);
	http_global_fini();
	if (fflush(stdout) != 0 && status == EXIT_OK)
		status = cli_fail(EXIT_FAILED, "the output was not written");
	return status;
}
