/*
 * registration/dialect.c: how administrators talk to the bot of the admin room,
 * and what it answers: Conduit's, and that of Tuwunel, which comes of it.
 */
#include <string.h>

#include "base/str.h"
#include "registration/registration_priv.h"

#include "base/poison.h"

static const struct dialect CONDUIT = { .name = "Conduit",
	.env = "CONDUIT",
	.enrol = "register-appservice",
	.withdraw = "unregister-appservice",
	.list = "list-appservices" };

static const struct dialect TUWUNEL = { .name = "Tuwunel",
	.env = "TUWUNEL",
	.begin = "!admin appservices ",
	.enrol = "register",
	.withdraw = "unregister",
	.list = "list",
	.wraps = true };

const struct dialect *dialect_of(enum hs_kind kind)
{
	return kind == HS_CONDUIT    ? &CONDUIT
		: kind == HS_TUWUNEL ? &TUWUNEL
				     : NULL;
}

bool registration_has_room(enum hs_kind kind)
{
	return dialect_of(kind) != NULL;
}

bool register_by_room(const struct register_options *o)
{
	return o->kind == HS_CONDUIT || (dialect_of(o->kind) && o->admin_user);
}

void dialect_command(struct buf *out, const struct dialect *d, const char *bot,
	const char *words)
{
	if (d->begin)
		buf_add(out, d->begin);
	else
		buf_addf(out, "%s: ", bot);
	buf_add(out, words);
}

const char *dialect_says(
	const struct dialect *d, const char *text, const char *words)
{
	const char *line = text;

	while (line && !text_starts(line, words)) {
		line = d->wraps ? strchr(line, '\n') : NULL;
		line = line ? line + 1 : NULL;
	}
	return line;
}

int dialect_words(const struct dialect *d, const char *said)
{
	const char *end = d->wraps ? strstr(said, "\n```") : NULL;
	size_t n = end ? (size_t)(end - said) : strlen(said);

	return n < 300 ? (int)n : 300;
}
