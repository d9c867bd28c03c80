/*
 * registration/register_note.c: the note of what was registered, kept at the
 * homeserver.
 */
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"
#include "registration/registration_priv.h"

#include "base/poison.h"

/*
 * A digest of what was registered, kept as account data of our own user: no
 * homeserver says what it has registered, and a change of, say, the aliases
 * shows in nothing else.
 */
#define NOTE_TYPE "muster.registration"

static enum rc digest_of(
	const struct registration *r, char ret[SHA256_HEX], struct err *e)
{
	struct buf yaml;
	enum rc rc;

	buf_init(&yaml, LIMIT_REGISTRATION_FILE);
	rc = registration_yaml(r, &yaml);
	if (rc == RC_OK && !sha256_hex(buf_str(&yaml), yaml.n, ret))
		rc = RC_NOMEM;
	if (rc != RC_OK)
		err_set(e, rc, "the registration: %s", rc_words(rc));
	buf_wipe(&yaml);
	return rc;
}

/* A namespace as one value that can be compared. */
static bool part_digest(
	const struct registration *r, enum ns_kind kind, char ret[SHA256_HEX])
{
	struct buf all;
	bool done;

	buf_init(&all, LIMIT_REGISTRATION_FILE);
	for (size_t i = 0; i < r->ns[kind].n; i++)
		buf_addf(&all, "%d %s\n", r->ns[kind].items[i].exclusive,
			r->ns[kind].items[i].regex);
	done = buf_rc(&all) == RC_OK && sha256_hex(buf_str(&all), all.n, ret);
	buf_free(&all);
	return done;
}

/* What is noted beside the digest of all, to say later what is another. */
static enum rc parts_write(const struct registration *r, struct jb *b)
{
	char digest[SHA256_HEX];

	jb_str(b, "id", r->id);
	jb_str(b, "url", r->url ? r->url : "");
	jb_str(b, "sender_localpart", r->sender_localpart);
	for (int kind = 0; kind < NS_KINDS; kind++) {
		if (!part_digest(r, (enum ns_kind)kind, digest))
			return RC_NOMEM;
		jb_str(b, namespace_kind_name((enum ns_kind)kind), digest);
	}
	return RC_OK;
}

static void say_other(const struct register_options *o, const char *what,
	const char *then, const char *now, bool *said)
{
	if (!then || text_eq(then, now))
		return;
	register_say(o, "registered with the %s %s, which is %s now", what,
		*then ? then : "(none)", *now ? now : "(none)");
	*said = true;
}

/* In words: what is registered is not what we have. */
static void say_differs(const struct register_options *o, struct js noted)
{
	const char *url = o->reg->url ? o->reg->url : "";
	char digest[SHA256_HEX];
	bool said = false;

	if (text_eq(js_get_str(noted, "sha256"), "")) {
		register_say(o,
			"registering it, or taking it back, was begun and not "
			"finished");
		return;
	}
	say_other(o, "id", js_get_str(noted, "id"), o->reg->id, &said);
	say_other(o, "url", js_get_str(noted, "url"), url, &said);
	say_other(o, "sender", js_get_str(noted, "sender_localpart"),
		o->reg->sender_localpart, &said);
	for (int kind = 0; kind < NS_KINDS; kind++) {
		const char *name = namespace_kind_name((enum ns_kind)kind);
		const char *then = js_get_str(noted, name);

		if (!then || !part_digest(o->reg, (enum ns_kind)kind, digest) ||
			text_eq(then, digest))
			continue;
		register_say(
			o, "registered with another namespace of %s", name);
		said = true;
	}
	if (!said)
		register_say(o, "registered, but %s has changed since",
			js_get_str(noted, "id") ? "the hs_token"
						: "the registration");
}

/* Whatever goes wrong here is only not to know. */
enum noted register_noted(const struct register_options *o)
{
	char now[SHA256_HEX];
	enum noted noted = NOTED_NONE;
	const char *then;
	struct json *doc = NULL;
	struct buf text;

	buf_init(&text, LIMIT_SMALL_BODY);
	if (digest_of(o->reg, now, NULL) == RC_OK &&
		hs_account_data(o->as, NULL, NOTE_TYPE, &text, NULL) == RC_OK &&
		json_parse(buf_str(&text), text.n, NULL, &doc, NULL) == RC_OK) {
		then = js_get_str(json_root(doc), "sha256");
		if (then)
			noted = text_eq(then, now) ? NOTED_SAME : NOTED_OTHER;
		if (noted == NOTED_OTHER)
			say_differs(o, json_root(doc));
	}
	json_free(doc);
	buf_free(&text);
	return noted;
}

/* digest "": what was noted is no more; NULL: nothing ever was. */
static enum rc note_set(
	const struct register_options *o, const char *digest, struct err *e)
{
	struct jb b;
	struct buf json;
	enum rc rc = RC_OK;

	buf_init(&json, LIMIT_SMALL_BODY);
	jb_init(&b, &json);
	jb_obj(&b, NULL);
	if (digest)
		jb_str(&b, "sha256", digest);
	if (digest && *digest)
		rc = parts_write(o->reg, &b);
	jb_end_obj(&b);
	if (rc == RC_OK)
		rc = buf_rc(&json);
	if (rc == RC_OK)
		rc = hs_set_account_data(
			o->as, NULL, NOTE_TYPE, buf_str(&json), e);
	else
		err_set(e, rc, "the note: %s", rc_words(rc));
	buf_free(&json);
	return rc;
}

void register_note(const struct register_options *o)
{
	char now[SHA256_HEX];
	struct err why = { 0 };
	enum rc rc = digest_of(o->reg, now, &why);

	if (rc == RC_OK)
		rc = note_set(o, now, &why);
	if (rc != RC_OK)
		register_say(o,
			"(not noted at the homeserver, so a change of the "
			"aliases alone may not be noticed later: %s)",
			why.text);
}

void register_forget(const struct register_options *o)
{
	/* Where we are not known yet it is refused, and nothing is noted. */
	enum rc rc = note_set(o, "", NULL);

	(void)rc;
}

void register_unnote(const struct register_options *o)
{
	enum rc rc = note_set(o, NULL, NULL);

	(void)rc;
}
