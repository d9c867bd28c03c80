/*
 * Who has power in a room of the policy: the fleet's humans 100, and the
 * sender, who keeps the room.
 */
#include <string.h>

#include "appservice/reconcile/plan.h"
#include "base/json.h"
#include "base/str.h"

#include "base/poison.h"

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
		jb_int(&b, sender, 100);
	for (size_t i = 0; i < f->n_humans; i++)
		jb_int(&b, f->humans[i]->user_id, 100);
	jb_end_obj(&b);
}

bool room_power_right(const struct fleet *f, const char *content)
{
	struct json *doc = NULL;
	if (json_parse(content, strlen(content), NULL, &doc, NULL) != RC_OK)
		return true; /* not ours to repair */
	struct js users = js_get(json_root(doc), "users");
	bool right = true;
	for (size_t i = 0; i < f->n_humans && right; i++) {
		int64_t power = 0;
		right = js_get_i64(users, f->humans[i]->user_id, &power) &&
			power >= 100;
	}
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
	if (!is_human(r->f, id))
		jb_js(r->b, id, v);
	return true;
}

static bool copy_key(const char *key, struct js v, void *arg)
{
	struct raise *r = arg;
	if (!text_eq(key, "users"))
		jb_js(r->b, key, v);
	return true;
}

void room_power_raised(
	const struct fleet *f, struct js content, struct buf *out)
{
	struct jb b;
	struct raise r = { f, &b };
	jb_init(&b, out);
	jb_obj(&b, NULL);
	js_each(content, copy_key, &r);
	jb_obj(&b, "users");
	js_each(js_get(content, "users"), copy_user, &r);
	for (size_t i = 0; i < f->n_humans; i++) {
		int64_t power = 0;
		const char *id = f->humans[i]->user_id;
		bool more = js_get_i64(js_get(content, "users"), id, &power) &&
			power > 100;
		jb_int(&b, id, more ? power : 100);
	}
	jb_end_obj(&b);
	jb_end_obj(&b);
}
