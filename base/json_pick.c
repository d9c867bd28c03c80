/*
 * base/json_pick.c: a few values of a JSON text, found while it is scanned.
 * Which of the wanted paths lead to the place where the scanner is, is a set
 * of bits for each level of nesting.
 */
#include <string.h>

#include "base/json_priv.h"
#include "base/limits.h"

#include "base/poison.h"

#define KEY_MAX 64 /* no path has a longer one */

typedef uint32_t set; /* of picks */

struct picking {
	struct json_pick *picks;
	size_t n;
	size_t depth;
	/* Paths that lead to the object at a depth, and picks that are it. */
	set through[LIMIT_JSON_DEPTH + 1], whole[LIMIT_JSON_DEPTH + 1];
	set here; /* paths that lead to the value that comes next */
	uint8_t first[JSON_PICKS]; /* bytes of a path's first segment */
};

/* The first of a set that is not empty. */
static size_t lowest(set s)
{
	return (size_t)__builtin_ctz(s);
}

/* What a path has from a depth on; NULL when it has ended before. */
static const char *rest_at(const char *path, size_t depth)
{
	for (; depth > 0 && path; depth--) {
		path = strchr(path, '.');
		path = path ? path + 1 : NULL;
	}
	return path && *path ? path : NULL;
}

static bool begins_with(const char *rest, struct str key)
{
	return rest && key.n > 0 && rest[0] == key.p[0] &&
		strncmp(rest, key.p, key.n) == 0 &&
		(rest[key.n] == '.' || rest[key.n] == '\0');
}

/* Most keys are those of the outermost object, and none of the wanted ones. */
static bool leads_to(const struct picking *k, size_t i, struct str key)
{
	const char *path = k->picks[i].path;

	/* A dot is what stands between keys. */
	if (memchr(key.p, '.', key.n))
		return false;

	if (k->depth > 1)
		return begins_with(rest_at(path, k->depth - 1), key);
	return k->first[i] == key.n && key.n > 0 && path[0] == key.p[0] &&
		memcmp(path, key.p, key.n) == 0;
}

static set paths_with(const struct picking *k, struct str key)
{
	set ret = 0;

	for (set left = k->through[k->depth]; left; left &= left - 1)
		if (leads_to(k, lowest(left), key))
			ret |= left & -left;
	return ret;
}

static void take_key(struct picking *k, struct str key)
{
	char room[KEY_MAX];
	struct buf text;

	k->here = 0;
	if (!k->through[k->depth])
		return;
	if (!memchr(key.p, '\\', key.n)) {
		k->here = paths_with(k, key);
		return;
	}
	/* A key may be written with escapes. */
	buf_init_fixed(&text, room, sizeof(room));
	(void)json_unescape(&text, key.p, key.n);
	if (buf_rc(&text) == RC_OK)
		k->here = paths_with(k, (struct str){ buf_str(&text), text.n });
}

/* The picks that end here have this value, or its beginning. */
static set take_value(struct picking *k, enum js_type type, struct str text)
{
	set taken = 0;

	for (set left = k->here; left; left &= left - 1) {
		struct json_pick *pick = &k->picks[lowest(left)];
		if (rest_at(pick->path, k->depth))
			continue;
		pick->twice = pick->found;
		pick->found = true;
		pick->type = type;
		pick->text = text;
		taken |= left & -left;
	}
	return taken;
}

static void open_container(struct picking *k, bool object, struct str text)
{
	set whole = take_value(k, object ? JS_OBJ : JS_ARR, text);

	k->depth++;
	k->whole[k->depth] = whole;
	k->through[k->depth] = object ? k->here & ~whole : 0;
	/* A path may end at an object and others go on in it. */
	k->here = 0;
}

static void close_container(struct picking *k, const char *end)
{
	for (set left = k->whole[k->depth]; left; left &= left - 1) {
		struct json_pick *pick = &k->picks[lowest(left)];
		pick->text.n = (size_t)(end - pick->text.p);
	}
	k->depth--;
	k->here = 0;
}

static bool take(void *arg, enum json_token t, const char *p, size_t n)
{
	struct picking *k = arg;
	struct str text = { p, n };
	enum js_type type = JS_STR;

	switch (t) {
	case JSON_KEY:
		take_key(k, text);
		return true;
	case JSON_OPEN_OBJ:
	case JSON_OPEN_ARR:
		open_container(k, t == JSON_OPEN_OBJ, text);
		return true;
	case JSON_CLOSE:
		close_container(k, p + n);
		return true;
	case JSON_STRING:
		break;
	case JSON_INTEGER:
		type = JS_INT;
		break;
	case JSON_FRACTION:
		type = JS_DOUBLE;
		break;
	case JSON_WORD:
		type = *p == 'n' ? JS_NULL : JS_BOOL;
		break;
	}
	if (k->here)
		take_value(k, type, text);
	k->here = 0;
	return true;
}

enum rc json_pick(const char *p, size_t n, struct json_pick *picks,
	size_t n_picks, struct err *e)
{
	struct picking k = { .picks = picks, .n = n_picks };

	for (size_t i = 0; i < n_picks; i++) {
		k.here |= (set)1 << i;
		k.first[i] = (uint8_t)strcspn(picks[i].path, ".");
	}
	return json_scan(p, n, NULL, take, &k, e);
}

const char *json_pick_str(const struct json_pick *pick, struct arena *a)
{
	struct buf text;

	if (!pick->found || pick->type != JS_STR)
		return NULL;
	if (!memchr(pick->text.p, '\\', pick->text.n))
		return arena_strndup(a, pick->text.p, pick->text.n);
	/* What it stands for is never longer. */
	char *room = arena_alloc(a, pick->text.n + 1);
	if (!room)
		return NULL;
	buf_init_fixed(&text, room, pick->text.n + 1);
	bool whole = json_unescape(&text, pick->text.p, pick->text.n);
	return whole ? room : NULL;
}

bool json_pick_i64(const struct json_pick *pick, int64_t *ret)
{
	if (!pick->found || pick->type != JS_INT)
		return false;
	if (str_eq(pick->text, "-0")) {
		*ret = 0;
		return true;
	}
	return str_i64(pick->text, -JSON_INT_MAX, JSON_INT_MAX, ret);
}
