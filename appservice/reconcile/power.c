/*
 * Who has power in a room of the policy: the fleet's humans 100, and the
 * sender, who keeps the room.
 *
 * A level may be beyond Matrix's integers (rooms of versions 1 to 5), or stand
 * in a string (1 to 9): all homeservers read it there, so we do in any room.
 * AS-155.
 */
#include <string.h>

#include "appservice/reconcile/plan.h"
#include "base/json.h"
#include "base/str.h"

#include "base/poison.h"

#define FULL_POWER 100

/* --- levels --------------------------------------------------------------- */

/* A whole number with a sign or none, in blanks or none. One too large for an
 * int64_t is the largest that is not. */
static bool read_level(const char *text, int64_t *ret)
{
	static const char blanks[] = " \t\n\v\f\r";
	const char *p = text + strspn(text, blanks);
	const bool negative = *p == '-';
	int64_t v = 0;

	if (negative || *p == '+')
		p++;
	const size_t n = strspn(p, "0123456789");
	if (n == 0 || p[n + strspn(p + n, blanks)] != '\0')
		return false;
	for (size_t i = 0; i < n; i++)
		v = v > (INT64_MAX - 9) / 10 ? INT64_MAX
					     : v * 10 + (p[i] - '0');
	*ret = negative ? -v : v;
	return true;
}

static bool level_of(struct js v, int64_t *ret)
{
	const char *text = js_str(v) ? js_str(v) : js_large(v);
	return text ? read_level(text, ret)
		    : js_i64(v, INT64_MIN, INT64_MAX, ret);
}

/* As it is; but a string as the number that it means, since Synapse takes no
 * strings from a client. */
static bool copy_level(const char *key, struct js v, void *arg)
{
	struct jb *b = arg;
	int64_t level = 0;
	if (js_str(v) && level_of(v, &level) && level >= -JSON_INT_MAX &&
		level <= JSON_INT_MAX)
		jb_int(b, key, level);
	else
		jb_js(b, key, v);
	return true;
}

static bool has_full_power(struct js level)
{
	int64_t power = 0;
	return level_of(level, &power) && power >= FULL_POWER;
}

/* --- rooms ---------------------------------------------------------------- */

bool room_version_has_creators(const char *version)
{
	/* Versions are opaque; these are the ones without. */
	static const char *const without[] = { "1", "2", "3", "4", "5", "6",
		"7", "8", "9", "10", "11" };
	for (size_t i = 0; i < ARRAY_LEN(without); i++)
		if (text_eq(version, without[i]))
			return false;
	return true;
}

void room_power_users(const struct fleet *f, const char *sender,
	const char *version, struct buf *out)
{
	struct jb b;
	jb_init(&b, out);
	jb_obj(&b, NULL);
	if (!room_version_has_creators(version))
		jb_int(&b, sender, FULL_POWER);
	for (size_t i = 0; i < f->n_humans; i++)
		jb_int(&b, f->humans[i]->user_id, FULL_POWER);
	jb_end_obj(&b);
}

bool room_power_right(const struct fleet *f, const char *content)
{
	struct json *doc = NULL;
	if (json_parse(content, strlen(content), NULL, &doc, NULL) != RC_OK)
		return true; /* not ours to repair */
	struct js users = js_get(json_root(doc), "users");
	bool right = true;
	for (size_t i = 0; i < f->n_humans && right; i++)
		right = has_full_power(js_get(users, f->humans[i]->user_id));
	json_free(doc);
	return right;
}

struct raise {
	const struct fleet *f;
	struct jb *b;
};

static bool is_human(const struct fleet *f, const char *id)
{
	for (size_t i = 0; i < f->n_humans; i++)
		if (text_eq(f->humans[i]->user_id, id))
			return true;
	return false;
}

/* Users who are no humans of the fleet keep what they have. */
static bool copy_user(const char *id, struct js v, void *arg)
{
	struct raise *r = arg;
	return is_human(r->f, id) || copy_level(id, v, r->b);
}

static bool copy_key(const char *key, struct js v, void *arg)
{
	static const char *const levels[] = { "ban", "events_default", "invite",
		"kick", "redact", "state_default", "users_default" };
	struct raise *r = arg;
	if (text_eq(key, "users"))
		return true;
	if (js_type(v) == JS_OBJ &&
		(text_eq(key, "events") || text_eq(key, "notifications"))) {
		jb_obj(r->b, key);
		js_each(v, copy_level, r->b);
		jb_end_obj(r->b);
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		if (text_eq(key, levels[i]))
			return copy_level(key, v, r->b);
	jb_js(r->b, key, v);
	return true;
}

void room_power_raised(
	const struct fleet *f, struct js content, struct buf *out)
{
	struct jb b;
	struct raise r = { f, &b };
	struct js users = js_get(content, "users");
	jb_init(&b, out);
	jb_obj(&b, NULL);
	js_each(content, copy_key, &r);
	jb_obj(&b, "users");
	js_each(users, copy_user, &r);
	for (size_t i = 0; i < f->n_humans; i++) {
		const char *id = f->humans[i]->user_id;
		struct js now = js_get(users, id);
		if (has_full_power(now))
			copy_level(id, now, &b);
		else
			jb_int(&b, id, FULL_POWER);
	}
	jb_end_obj(&b);
	jb_end_obj(&b);
}
