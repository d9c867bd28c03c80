/*
 * Who has power in a room of the policy: the fleet's humans 100, and the
 * sender, who keeps the room.
 *
 * A level may be beyond Matrix's integers (rooms of versions 1 to 5), or stand
 * in a string (1 to 9): all homeservers read it there, so we do in any room.
 * AS-155.
 */
#include <stdio.h>
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

void room_version(const char *create, char ret[32])
{
	struct json *doc = NULL;
	ret[0] = '\0';
	if (!create ||
		json_parse(create, strlen(create), NULL, &doc, NULL) != RC_OK)
		return;
	const char *named = js_get_str(json_root(doc), "room_version");
	snprintf(ret, 32, "%s", named ? named : "1");
	json_free(doc);
}

static bool is_human(const struct fleet *f, const char *id)
{
	for (size_t i = 0; i < f->n_humans; i++)
		if (text_eq(f->humans[i]->user_id, id))
			return true;
	return false;
}

/* What the policy gives somebody, beside the fleet's humans; NULL. */
static const struct grant *grant_of(const struct room *room, const char *id)
{
	const struct room_policy *policy = room ? room->policy : NULL;
	for (size_t i = 0; policy && i < policy->n_grants; i++)
		if (text_eq(policy->grants[i].user_id, id))
			return &policy->grants[i];
	return NULL;
}

/* The humans and those whom the policy names, as members of an object. */
static void write_declared(
	const struct fleet *f, const struct room *room, struct jb *b)
{
	const struct room_policy *policy = room ? room->policy : NULL;
	for (size_t i = 0; i < f->n_humans; i++)
		jb_int(b, f->humans[i]->user_id, FULL_POWER);
	for (size_t i = 0; policy && i < policy->n_grants; i++)
		if (!is_human(f, policy->grants[i].user_id))
			jb_int(b, policy->grants[i].user_id,
				policy->grants[i].level);
}

void room_power_users(const struct fleet *f, const struct room *room,
	const char *sender, const char *version, struct buf *out)
{
	struct jb b;
	jb_init(&b, out);
	jb_obj(&b, NULL);
	if (!room_version_has_creators(version))
		jb_int(&b, sender, FULL_POWER);
	write_declared(f, room, &b);
	jb_end_obj(&b);
}

bool power_levels_right(
	const struct fleet *f, const struct room *room, struct js content)
{
	const struct room_policy *policy = room->policy;
	struct js users = js_get(content, "users");
	bool right = true;
	for (size_t i = 0; i < f->n_humans && right; i++)
		right = has_full_power(js_get(users, f->humans[i]->user_id));
	for (size_t i = 0; policy && i < policy->n_grants && right; i++) {
		const struct grant *g = &policy->grants[i];
		int64_t level = 0;
		right = is_human(f, g->user_id) ||
			(level_of(js_get(users, g->user_id), &level) &&
				level == g->level);
	}
	return right;
}

struct raise {
	const struct fleet *f;
	const struct room *room;
	struct jb *b;
};

/* Users of whom nothing is declared keep what they have. */
static bool copy_user(const char *id, struct js v, void *arg)
{
	struct raise *r = arg;
	return is_human(r->f, id) || grant_of(r->room, id) ||
		copy_level(id, v, r->b);
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

/* Humans who have more than they should keep it. */
static void write_humans(const struct raise *r, struct js users)
{
	for (size_t i = 0; i < r->f->n_humans; i++) {
		const char *id = r->f->humans[i]->user_id;
		struct js now = js_get(users, id);
		if (has_full_power(now))
			copy_level(id, now, r->b);
		else
			jb_int(r->b, id, FULL_POWER);
	}
}

void power_levels_write(const struct fleet *f, const struct room *room,
	struct js content, struct buf *out)
{
	struct jb b;
	struct raise r = { f, room, &b };
	const struct room_policy *policy = room->policy;
	struct js users = js_get(content, "users");
	jb_init(&b, out);
	jb_obj(&b, NULL);
	js_each(content, copy_key, &r);
	jb_obj(&b, "users");
	js_each(users, copy_user, &r);
	write_humans(&r, users);
	for (size_t i = 0; policy && i < policy->n_grants; i++)
		if (!is_human(f, policy->grants[i].user_id))
			jb_int(&b, policy->grants[i].user_id,
				policy->grants[i].level);
	jb_end_obj(&b);
	jb_end_obj(&b);
}

struct granting {
	const char *user_id;
	struct jb *b;
};

static bool copy_other(const char *id, struct js v, void *arg)
{
	struct granting *g = arg;
	return text_eq(id, g->user_id) || copy_level(id, v, g->b);
}

void power_levels_grant(
	struct js content, const char *user_id, int64_t level, struct buf *out)
{
	struct jb b;
	struct raise r = { .b = &b };
	struct granting g = { user_id, &b };
	jb_init(&b, out);
	jb_obj(&b, NULL);
	js_each(content, copy_key, &r);
	jb_obj(&b, "users");
	js_each(js_get(content, "users"), copy_other, &g);
	jb_int(&b, user_id, level);
	jb_end_obj(&b);
	jb_end_obj(&b);
}

/* --- what the sender may do ------------------------------------------------ */

static int64_t level_in(struct js object, const char *key, int64_t otherwise)
{
	int64_t level = 0;
	return level_of(js_get(object, key), &level) ? level : otherwise;
}

/* The level that a state of this type needs. */
static int64_t state_level(struct js levels, const char *type)
{
	return level_in(js_get(levels, "events"), type,
		level_in(levels, "state_default", 50));
}

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

void power_open(struct power *p, const char *sender, const char *maker,
	const char *create, const char *create_sender, const char *levels)
{
	char version[32];
	*p = (struct power){ .known = false };
	room_version(create, version);
	p->above_all = version[0] && room_version_has_creators(version) &&
		(text_eq(maker, sender) || text_eq(create_sender, sender));
	if (!levels ||
		json_parse(levels, strlen(levels), NULL, &p->doc, NULL) !=
			RC_OK)
		return;
	struct js all = json_root(p->doc);
	p->known = true;
	p->mine = power_of(p, sender);
	p->invite = level_in(all, "invite", 0);
	p->kick = level_in(all, "kick", 50);
	p->state = larger(state_level(all, "m.room.name"),
		state_level(all, "m.room.topic"));
	p->levels = state_level(all, "m.room.power_levels");
}

void power_close(struct power *p)
{
	json_free(p->doc);
	*p = (struct power){ .known = false };
}

bool power_is_enough(const struct power *p, int64_t needed)
{
	return !p->known || p->above_all || p->mine >= needed;
}

int64_t power_of(const struct power *p, const char *user_id)
{
	if (!p->doc)
		return INT64_MIN;
	struct js all = json_root(p->doc);
	return level_in(js_get(all, "users"), user_id,
		level_in(all, "users_default", 0));
}

bool power_keeps_room(const struct power *p)
{
	return power_is_enough(p, larger(larger(p->invite, p->kick), p->state));
}
