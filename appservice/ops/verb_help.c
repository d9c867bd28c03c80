/*
 * The verb help, and what else is said of verbs and options from their tables:
 * usage, what is near to a mistyped one, and the tables themselves as a
 * document, from which completions and manual pages are made.
 */
#include <stdio.h>
#include <string.h>

#include "appservice/config.h"
#include "appservice/ops/verbs.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

#define ARGS_COLUMN 17
#define OPTION_COLUMN 18
#define BEGINNING 3 /* letters that are enough to tell what was meant */
#define WORD_MAX 40 /* as much is repeated of what was mistyped */

const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < n_verbs; i++)
		if (text_eq(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

bool verb_takes(const struct verb *v, const struct verb_option *o)
{
	struct str rest = str_of(o->verbs);
	while (rest.n > 0)
		if (str_eq(str_cut(&rest, ' ', NULL), v->name))
			return true;
	return !o->verbs;
}

bool verb_has_document(const struct verb *v)
{
	return v->run != verb_init;
}

/* --- what is near ------------------------------------------------------------- */

/* Keeps in *best what is nearer to the word than it. One slip, two in a longer
 * word: short ones are near to many. */
static void keep_nearer(
	const char *word, const char *name, const char **best, int *least)
{
	int slips = strlen(name) > 3 ? 2 : 1;
	int d = str_distance(word, name, *least);
	if (d < *least && d <= slips) {
		*least = d;
		*best = name;
	}
}

/* The first verb that begins like this; NULL. */
static const char *verb_beginning(const char *name)
{
	for (size_t i = 0; i < n_verbs && strlen(name) >= BEGINNING; i++)
		if (text_starts(verbs[i].name, name))
			return verbs[i].name;
	return NULL;
}

int verb_none(const char *name)
{
	const char *near = NULL;
	int least = 3;
	for (size_t i = 0; i < n_verbs; i++)
		keep_nearer(name, verbs[i].name, &near, &least);
	near = near ? near : verb_beginning(name);
	if (near)
		return cli_fail(EXIT_WRONG,
			"there is no verb \"%s\": did you mean \"%s\"?", name,
			near);
	return cli_fail(EXIT_WRONG,
		"there is no verb \"%s\": `muster help` lists them", name);
}

int verb_no_option(const struct verb *v, const char *word)
{
	/* Up to the value, which may be a secret. */
	char name[WORD_MAX + 1];
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
	const char *near = NULL;
	int least = 3;
	const char *bare = name + strspn(name, "-");
	for (size_t i = 0; i < n_verb_options; i++)
		if (!v || verb_takes(v, &verb_options[i]))
			keep_nearer(bare, verb_options[i].name, &near, &least);
	if (near)
		return cli_fail(EXIT_WRONG,
			"there is no option \"%s\": did you mean \"--%s\"?",
			name, near);
	return cli_fail(EXIT_WRONG,
		"there is no option \"%s\": `muster help%s%s` lists them", name,
		v ? " " : "", v ? v->name : " VERB");
}

/* --- in words ----------------------------------------------------------------- */

void verb_usage(FILE *to)
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
	fputs("\nThe usual order: init, check, register, serve, agents.\n"
	      "`muster help VERB` says more, with an example.\n",
		to);
}

static void print_option(const struct verb_option *o)
{
	char left[OPTION_COLUMN + WORD_MAX];
	snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value ? " " : "",
		o->value ? o->value : "");
	printf("  %-*s %s\n", OPTION_COLUMN, left, o->help);
}

/* Those that every verb takes say nothing of this one, but for two. */
static bool is_worth_a_line(const struct verb *v, const struct verb_option *o)
{
	if (o->verbs)
		return verb_takes(v, o);
	return o->key == 'c' || (o->key == 'j' && verb_has_document(v));
}

static void print_verb(const struct verb *v)
{
	printf("usage: muster [-c muster.yaml] %s%s%s%s\n\n%s\n\n", v->name,
		*v->args ? " " : "", v->args,
		verb_has_document(v) ? " [--json]" : "", v->help);
	for (size_t i = 0; i < n_verb_options; i++)
		if (is_worth_a_line(v, &verb_options[i]))
			print_option(&verb_options[i]);
	printf("\nexample:\n  $ %s\n", v->example);
}

/* --- as a document -------------------------------------------------------------- */

static void write_verb(const struct verb *v, struct jb *b)
{
	jb_obj(b, NULL);
	jb_str(b, "name", v->name);
	jb_str(b, "args", v->args);
	jb_str(b, "help", v->help);
	jb_str(b, "example", v->example);
	jb_bool(b, "json", verb_has_document(v));
	jb_end_obj(b);
}

static void write_option(const struct verb_option *o, struct jb *b)
{
	struct str rest = str_of(o->verbs);
	jb_obj(b, NULL);
	jb_str(b, "name", o->name);
	jb_str(b, "value", o->value);
	jb_str(b, "help", o->help);
	jb_arr(b, "verbs"); /* empty: every one */
	while (rest.n > 0) {
		char name[WORD_MAX + 1];
		struct str one = str_cut(&rest, ' ', NULL);
		snprintf(name, sizeof(name), "%.*s", (int)one.n, one.p);
		jb_str(b, NULL, name);
	}
	jb_end_arr(b);
	jb_end_obj(b);
}

static void write_setting(const struct setting_info *s, struct jb *b)
{
	jb_obj(b, NULL);
	jb_str(b, "path", s->path);
	jb_str(b, "default", s->def);
	jb_str(b, "allowed", s->allowed);
	jb_bool(b, "reloadable", s->reload == RELOAD_YES);
	jb_str(b, "help", s->help);
	jb_end_obj(b);
}

/* only: NULL, or the one verb that was asked for. */
static void print_tables(const struct verb *only)
{
	struct buf out;
	struct jb b;
	buf_init(&out, LIMIT_DOCUMENT);
	jb_init(&b, &out);
	jb_obj(&b, NULL);
	jb_arr(&b, "verbs");
	for (size_t i = 0; i < n_verbs; i++)
		if (!only || only == &verbs[i])
			write_verb(&verbs[i], &b);
	jb_end_arr(&b);
	jb_arr(&b, "options");
	for (size_t i = 0; i < n_verb_options; i++)
		if (!only || verb_takes(only, &verb_options[i]))
			write_option(&verb_options[i], &b);
	jb_end_arr(&b);
	if (!only) {
		jb_arr(&b, "settings");
		for (size_t i = 0; i < SETTING_COUNT; i++)
			write_setting(&setting_infos[i], &b);
		jb_end_arr(&b);
	}
	jb_end_obj(&b);
	puts(buf_str(&out));
	buf_free(&out);
}

int verb_help(struct cli *cli)
{
	const struct verb *v = cli->argc > 0 ? verb_find(cli->argv[0]) : NULL;
	if (cli->argc > 0 && !v)
		return verb_none(cli->argv[0]);
	if (cli->json)
		print_tables(v);
	else if (v)
		print_verb(v);
	else
		verb_usage(stdout);
	return EXIT_OK;
}
