/*
 * muster-agent: waits for an agent's hand-off, gives the token to the agent
 * program and runs it. Verbs are a table; usage is printed from it.
 */
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "agent/agent.h"
#include "base/str.h"

#include "base/poison.h"

#define EXAMPLE                                                                \
	"muster-agent run --runtime runtime/Research/asa.iyer -- "             \
	"printenv MATRIX_USER_ID"

static int verb_run(int argc, char **argv)
{
	struct options o;
	struct err e = { 0 };
	if (options_read(argc, argv, &o, &e) != RC_OK) {
		say("%s", e.text);
		return EXIT_OURS;
	}
	if (!o.help)
		return agent_run(&o);
	printf("usage: muster-agent run [options] -- PROGRAM [ARG…]\n\n");
	options_print();
	printf("\nexample:\n  $ " EXAMPLE "\n");
	return 0;
}

static int verb_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	printf("muster-agent " MUSTER_VERSION "\n");
	return 0;
}

static int verb_help(int argc, char **argv);

static const struct {
	const char *name, *option, *brief;
	int (*fn)(int argc, char **argv);
	const char *help;
} verbs[] = {
	{ "run", NULL, NULL, verb_run,
		"wait for the token, give it to PROGRAM and run it" },
	{ "help", "--help", "-h", verb_help, "this text" },
	{ "version", "--version", "-V", verb_version, "the version" },
};

static int verb_help(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	printf("usage: muster-agent VERB\n\n");
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		printf("  %-10s %s\n", verbs[i].name, verbs[i].help);
	printf("\nmuster-agent run [options] -- PROGRAM [ARG…]\n\n");
	options_print();
	printf("\nPROGRAM gets MATRIX_HOMESERVER, MATRIX_USER_ID, "
	       "MATRIX_DEVICE_ID and its token in\nMATRIX_ACCESS_TOKEN (--for "
	       "env) or the path of a file with it in\n"
	       "MATRIX_ACCESS_TOKEN_FILE (--for file).\n"
	       "\nExit status: PROGRAM's own, 128+n when signal n ended it; "
	       "124 nothing was handed\nover before the deadline; 125 our own "
	       "failure or wrong use; 126 PROGRAM could not\nbe started; 127 "
	       "it "
	       "was not found.\n");
	return 0;
}

static void no_such_verb(const char *word)
{
	const char *near = NULL;
	for (size_t i = 0; i < ARRAY_LEN(verbs) && !near; i++)
		if (str_distance(word, verbs[i].name, 3) <
			(strlen(verbs[i].name) > 3 ? 3 : 2))
			near = verbs[i].name;
	if (near)
		say("%.100s: not a verb: did you mean %s?", word, near);
	else if (*word)
		say("%.100s: not a verb; there are run, help and version",
			word);
	else
		say("a verb is missing; there are run, help and version");
}

int main(int argc, char **argv)
{
	/* No core dump, and no other process of our user may look into us.
	 * The program we start is not bound by it. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* There is one of us beside each agent: two threads that do little
	 * need no heap each. */
	mallopt(M_ARENA_MAX, 1);
	const char *verb = argc > 1 ? argv[1] : "";
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (text_eq(verb, verbs[i].name) ||
			(verbs[i].option && text_eq(verb, verbs[i].option)) ||
			(verbs[i].brief && text_eq(verb, verbs[i].brief)))
			return verbs[i].fn(argc - 1, argv + 1);
	no_such_verb(verb);
	return EXIT_OURS;
}
