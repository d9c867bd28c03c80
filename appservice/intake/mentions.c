/*
 * Who writes to whom in a room they share: those whom a message mentions, as
 * clients say it (client-server API, "User and room mentions"; whom one replies
 * to is among them), full user ids in its text, and links to people in its
 * formatted text, by which clients said it before. Where direct rooms are made on
 * demand, that is what asks for one.
 */
#include <string.h>

#include "appservice/intake/intake_priv.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

struct found {
	struct arena *a;
	const char **ids;
	size_t n, cap;
};

static void take(struct found *f, const char *id)
{
	struct str localpart, server;

	if (!id || f->n == MENTIONS_MAX || strlen(id) > LIMIT_ID ||
		!id_split(id, '@', &localpart, &server))
		return;
	for (size_t i = 0; i < f->n; i++)
		if (text_eq(f->ids[i], id))
			return;
	const char **place =
		arena_push(f->a, &f->ids, &f->n, &f->cap, sizeof(*f->ids));
	if (place)
		*place = arena_strdup(f->a, id);
}

static const char id_chars[] =
	"@:abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	"0123456789._=/+-";

/* Every @…:… in a text, as far as it may be a user id. */
static void take_from_text(struct found *f, const char *text)
{
	char id[LIMIT_ID + 1];

	for (const char *p = text ? strchr(text, '@') : NULL;
		p && f->n < MENTIONS_MAX; p = strchr(p + 1, '@')) {
		size_t n = 1 + strspn(p + 1, id_chars + 1);
		/* The end of a sentence, or of what is set in italics, is no
		 * part of a server's name. */
		while (n > 1 && strchr(".:-_=/+", p[n - 1]))
			n--;
		if (n > LIMIT_ID)
			continue;
		memcpy(id, p, n);
		id[n] = '\0';
		take(f, id);
	}
}

/* The value of a hexadecimal digit, else -1. */
static int digit(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) % 16 : -1;
}

/* What stands at p as a part of an id, percent-encoded or not, and how long it
 * is there; 0: it is none. */
static size_t linked_char(const char *p, char *ret)
{
	const int high = *p == '%' ? digit(p[1]) : -1;
	const int low = high >= 0 ? digit(p[2]) : -1;

	*ret = low >= 0 ? (char)(high * 16 + low) : *p;
	if (!*ret || !strchr(id_chars, *ret))
		return 0;
	return low >= 0 ? 3 : 1;
}

/* Every link to a user ("Matrix URIs", matrix.to) in a formatted text. */
static void take_from_links(struct found *f, const char *text)
{
	static const char link[] = "https://matrix.to/#/";
	char id[LIMIT_ID + 2];

	for (const char *p = text ? strstr(text, link) : NULL;
		p && f->n < MENTIONS_MAX; p = strstr(p, link)) {
		size_t n = 0, used = 0;
		p += strlen(link);
		while (n < sizeof(id) - 1 && (used = linked_char(p, &id[n]))) {
			p += used;
			n++;
		}
		id[n] = '\0';
		take(f, id);
	}
}

void mentions_read(
	struct str content, struct arena *a, const char ***ret, size_t *n)
{
	struct found f = { .a = a };
	struct json *doc = NULL;

	*n = 0;
	/* Most messages mention nobody. A link may have %40. */
	if ((!memchr(content.p, '@', content.n) &&
		    !memchr(content.p, '%', content.n)) ||
		json_parse(content.p, content.n, NULL, &doc, NULL) != RC_OK)
		return;
	struct js ids =
		js_get(js_get(json_root(doc), "m.mentions"), "user_ids");
	for (size_t i = 0; i < js_len(ids) && i < MENTIONS_MAX; i++)
		take(&f, js_str(js_at(ids, i)));
	take_from_text(&f, js_get_str(json_root(doc), "body"));
	take_from_links(&f, js_get_str(json_root(doc), "formatted_body"));
	json_free(doc);
	*ret = f.ids;
	*n = f.n;
}

enum rc mentions_apply(struct store *s, const struct batch_event *ev,
	bool *changed, struct err *e)
{
	struct arena a = { 0 };
	enum rc rc = RC_OK;

	for (size_t i = 0; i < ev->n_mentions && rc == RC_OK; i++) {
		const char *one = ev->sender, *two = ev->mentions[i];
		bool order = strcmp(one, two) < 0, new = false;
		const char *key = arena_printf(
			&a, "%s %s", order ? one : two, order ? two : one);
		rc = key ? store_room_want(s, key, &new, e) : err_nomem(e);
		if (rc == RC_NOT_FOUND)
			rc = RC_OK;
		*changed |= new;
	}
	arena_free(&a);
	return rc;
}
