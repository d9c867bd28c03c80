/*
 * What stops and starts OpenClaw's Matrix channel, for a shell.
 */
#include <string.h>

#include "agent/ways_priv.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* A word for a shell. */
static void add_quoted(struct buf *out, const char *word)
{
	buf_addc(out, '\'');
	for (; *word; word++) {
		if (*word == '\'')
			buf_add(out, "'\\''");
		else
			buf_addc(out, *word);
	}
	buf_addc(out, '\'');
}

/* OpenClaw's own call; by the program itself, where that is OpenClaw. */
static void add_call(
	struct buf *out, const struct options *o, const char *method)
{
	const char *program = o->program ? o->program[0] : NULL;

	if (program && text_eq(last_part(program), "openclaw"))
		add_quoted(out, program);
	else
		buf_add(out, "openclaw");
	buf_addf(out,
		" gateway call channels.%s --params '{\"channel\":\"matrix\"}' "
		"--timeout 20000",
		method);
}

/* It stops listening at once, and says that it has stopped only when every
 * answer that it was at is given: with a token that is dead by then, the answer
 * would be lost. */
char *openclaw_call_stop(const struct options *o)
{
	struct buf text;
	buf_init(&text, 64 * KIB);
	buf_add(&text, "while said=$(");
	add_call(&text, o, "stop");
	buf_add(&text,
		"); do case $said in *'\"stopped\": true'*) exit 0 ;; esac; "
		"sleep 1; done; exit 1");
	return buf_take(&text);
}

/* It sees a new include within half a second; started before that, the channel
 * would go on with the token that is dead, and lose what was sent since. */
char *openclaw_call_start(const struct options *o)
{
	struct buf text;
	buf_init(&text, 64 * KIB);
	buf_add(&text, "sleep 1; ");
	add_call(&text, o, "start");
	return buf_take(&text);
}
