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

const struct verb verbs[] = {
	{ "init", "[DIR]", "write a commented muster.yaml", 1, verb_init },
	{ "check", "", "read configuration and fleet; say what is wrong", 0,
		verb_check },
	{ "registration", "[--new-tokens]",
		"make the registration file and check it", 0,
		verb_registration },
	{ "register", "[--dry-run]",
		"register with the homeserver and prove that it works", 0,
		verb_register },
	{ "unregister", "[--dry-run]",
		"take the registration back; accounts and rooms stay", 0,
		verb_unregister },
	{ "adopt", "[USER...] [--yes] [--dry-run] [--owner USER] [--token]",
		"take over accounts and rooms that were made by passwords",
		1000, verb_adopt },
	{ "serve", "", "the service, in the foreground", 0, verb_serve },
	{ "status", "", "is it ready, and what not", 0, verb_view },
	{ "agents", "", "every agent and how far it is", 0, verb_view },
	{ "rooms", "", "every room, who should be and who is in it", 0,
		verb_view },
	{ "plan", "[--with NEW.yaml]",
		"what would be done now, or with other files; status 3 when "
		"there is any",
		0, verb_plan },
	{ "doctor", "",
		"what is wrong, and what mends it; status 3 when anything is",
		0, verb_doctor },
	{ "journal", "", "steps that wait, run, failed or are done", 0,
		verb_view },
	{ "quarantine", "[retry ID]",
		"events that could not be read; read one again", 2,
		verb_quarantine },
	{ "retry", "[STEP|USER|ROOM]",
		"try again what failed, or ask in who is kept out", 1,
		verb_retry },
	{ "approve", "", "let go who is declared no more, when it is many", 0,
		verb_approve },
	{ "retire", "USER", "let go one who is declared no more", 1,
		verb_retire },
	{ "direct", "A B", "make the direct room of two now", 2, verb_direct },
	{ "rotate", "USER...|--all [--every T] [--now] [--why TEXT]",
		"give agents new tokens: they pause, and lose no message", 1000,
		verb_rotate },
	{ "revoke", "USER [--why TEXT]",
		"end an agent's tokens; it is blocked until rotate or retry", 1,
		verb_revoke },
	{ "audit", "", "what was taken over, and what was asked for", 0,
		verb_view },
	{ "healthcheck", "", "exit status for containers", 0,
		verb_healthcheck },
	{ "config", "", "every setting, its value and where it is from", 0,
		verb_config },
	{ "help", "[VERB]", "this page", 1, verb_help },
	{ "version", "", "the version", 0, verb_version },
};
const size_t n_verbs = ARRAY_LEN(verbs);

#define ARGS_COLUMN 17

static void usage(FILE *to)
{
	fputs("usage: muster [-c muster.yaml] VERB [--json]\n\n", to);
	for (size_t i = 0; i < n_verbs; i++) {
		const struct verb *v = &verbs[i];
		/* What does not fit stands on a line of its own. */
		if (strlen(v->args) > ARGS_COLUMN)
			fprintf(to, "  %-12s %s\n  %-12s %-*s %s\n", v->name,
				v->args, "", ARGS_COLUMN, "", v->help);
		else
			fprintf(to, "  %-12s %-*s %s\n", v->name, ARGS_COLUMN,
				v->args, v->help);
	}
	fputs("\nThe usual order: check, registration, register, serve, "
	      "agents.\n",
		to);
}

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < n_verbs; i++)
		if (text_eq(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static const char *nearest_verb(const char *name)
{
	const char *best = NULL;
	int least = 3;
	for (size_t i = 0; i < n_verbs; i++) {
		int d = str_distance(name, verbs[i].name, least);
		if (d < least) {
			least = d;
			best = verbs[i].name;
		}
	}
	return best;
}

static int no_such_verb(const char *name)
{
	const char *near = nearest_verb(name);
	if (near)
		return cli_fail(EXIT_WRONG,
			"there is no verb \"%s\": did you mean \"%s\"?", name,
			near);
	return cli_fail(EXIT_WRONG,
		"there is no verb \"%s\": `muster help` lists them", name);
}

/* For --json. */
static bool has_document(const struct verb *v)
{
	return v->run != verb_init && v->run != verb_help;
}

int verb_help(struct cli *cli)
{
	if (cli->argc == 0) {
		usage(stdout);
		return EXIT_OK;
	}
	const struct verb *v = find_verb(cli->argv[0]);
	if (!v)
		return no_such_verb(cli->argv[0]);
	printf("usage: muster [-c muster.yaml] %s%s%s%s\n\n%s\n", v->name,
		*v->args ? " " : "", v->args,
		has_document(v) ? " [--json]" : "", v->help);
	return EXIT_OK;
}

/* Options that only some verbs take. */
static const struct {
	const char *name;
	bool value;
	int key;
	const char *verb, *other, *third; /* NULL: no other */
} own_options[] = {
	{ "with", true, 'w', "plan", NULL, NULL },
	{ "all", false, 'a', "rotate", NULL, NULL },
	{ "every", true, 'e', "rotate", NULL, NULL },
	{ "now", false, 'n', "rotate", NULL, NULL },
	{ "why", true, 'y', "rotate", "revoke", NULL },
	{ "yes", false, 'Y', "adopt", NULL, NULL },
	{ "dry-run", false, 'd', "register", "unregister", "adopt" },
	{ "owner", true, 'o', "adopt", NULL, NULL },
	{ "token", false, 'T', "adopt", NULL, NULL },
	{ "new-tokens", false, 't', "registration", NULL, NULL },
};

static bool is_given(const struct cli *cli, int key)
{
	switch (key) {
	case 'w':
		return cli->with;
	case 'a':
		return cli->all;
	case 'e':
		return cli->every;
	case 'n':
		return cli->now;
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
	default:
		return cli->why;
	}
}

/* What stands there, and what goes with what. */
static int check_use(const struct cli *cli)
{
	const struct verb *v = cli->verb;
	if (cli->argc > v->max_args)
		return cli_fail(EXIT_WRONG, "%s takes no argument \"%s\"",
			v->name, cli->argv[v->max_args]);
	for (size_t i = 0; i < ARRAY_LEN(own_options); i++)
		if (is_given(cli, own_options[i].key) &&
			!text_eq(v->name, own_options[i].verb) &&
			!text_eq(v->name, own_options[i].other) &&
			!text_eq(v->name, own_options[i].third))
			return cli_fail(EXIT_WRONG,
				"--%s is of `muster %s`, and %s takes none",
				own_options[i].name, own_options[i].verb,
				v->name);
	if (cli->json && !has_document(v))
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
	default:
		return key == 'h' ? "help" : "version";
	}
}

#define COMMON 4

/* Options may stand before and after the verb. */
static int parse(struct cli *cli, int argc, char **argv)
{
	struct option options[COMMON + ARRAY_LEN(own_options) + 1] = {
		{ "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
	};
	for (size_t i = 0; i < ARRAY_LEN(own_options); i++)
		options[COMMON + i] =
			(struct option){ .name = own_options[i].name,
				.has_arg = own_options[i].value
					? required_argument
					: no_argument,
				.val = own_options[i].key };
	const char *instead = NULL;
	int c = 0;
	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (c == '?')
			return EXIT_WRONG; /* getopt has said why */
		const char *verb = take_option(cli, c, optarg);
		if (verb)
			instead = verb;
	}
	cli->argc = argc - optind;
	cli->argv = argv + optind;
	if (!instead && cli->argc == 0) {
		usage(stderr);
		return EXIT_WRONG;
	}
	const char *name = instead ? instead : cli->argv[0];
	cli->verb = find_verb(name);
	if (!cli->verb)
		return no_such_verb(name);
	if (!instead) {
		cli->argc--;
		cli->argv++;
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
