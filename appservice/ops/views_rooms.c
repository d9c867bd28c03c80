/*
 * The document of the rooms: what is declared of each beside what is, who is
 * kept out of it and by whom, and what is wrong with all of it.
 */
#include "appservice/ops/views.h"
#include "appservice/reconcile/plan.h"
#include "appservice/reconcile/reconcile.h"
#include "base/json.h"
#include "base/str.h"

#include "base/poison.h"

/* A room, and what it is looked at with. */
struct look {
	const struct app *app;
	const struct store_snapshot *now;
	const struct plan *plan;
	struct plan_how how;
	const struct room *room;
	const struct store_room *row; /* NULL: nothing is known of it */
};

static bool is_held(const struct look *l, const char *user_id,
	const struct store_removal **last)
{
	return member_is_held(&l->how, l->now, l->row, user_id, last);
}

/* Neither in, nor asked, nor kept out. */
static void write_missing(struct jb *b, const struct look *l)
{
	jb_arr(b, "missing");
	for (size_t i = 0; i < l->room->n_members; i++) {
		const char *id = l->room->members[i]->user_id;
		const char *is = room_membership(l->row, id);
		if (!text_eq(is, "join") && !text_eq(is, "invite") &&
			!is_held(l, id, NULL))
			jb_str(b, NULL, id);
	}
	jb_end_arr(b);
}

static void write_held(struct jb *b, const struct look *l)
{
	jb_arr(b, "held");
	for (size_t i = 0; i < l->room->n_members; i++)
		if (is_held(l, l->room->members[i]->user_id, NULL))
			jb_str(b, NULL, l->room->members[i]->user_id);
	jb_end_arr(b);
}

/* Of a ban that was there before us only the member's own row is known. */
static void write_removal(
	struct jb *b, const struct look *l, const char *user_id)
{
	const struct store_member *m = room_member(l->row, user_id);
	const struct store_removal *last = NULL;
	size_t times = 0;
	if (!is_held(l, user_id, &last))
		return;
	snapshot_removals(l->now, l->row, user_id, &times);
	const bool banned = m && text_eq(m->membership, "ban");
	jb_obj(b, NULL);
	jb_str(b, "user_id", user_id);
	jb_str(b, "by", last ? last->by : NULL);
	jb_int(b, "at_ms", last ? last->at_ms : m ? m->origin_ts : 0);
	jb_bool(b, "ban", banned || (last && last->ban));
	jb_int(b, "times", times > 0 ? (int64_t)times : 1);
	jb_end_obj(b);
}

static void write_members_if(struct jb *b, const char *key,
	const struct store_room *row, const char *membership)
{
	jb_arr(b, key);
	for (size_t i = 0; row && i < row->n_members; i++)
		if (text_eq(row->members[i].membership, membership))
			jb_str(b, NULL, row->members[i].user_id);
	jb_end_arr(b);
}

/* In the room without being declared; the service's user belongs there. */
static void write_extra(struct jb *b, const struct look *l)
{
	const struct store_room *row = l->row;
	jb_arr(b, "extra");
	for (size_t i = 0; row && i < row->n_members; i++) {
		const struct store_member *m = &row->members[i];
		if (text_eq(m->membership, "join") &&
			!room_has_member(l->room, m->user_id) &&
			!(text_eq(m->user_id, l->app->sender_id) &&
				!l->room->direct))
			jb_str(b, NULL, m->user_id);
	}
	jb_end_arr(b);
}

/* Why something in it cannot be as declared: the first reason of several. */
static const char *held_why(const struct look *l)
{
	for (size_t i = 0; i < l->plan->n_troubles; i++)
		if (text_eq(l->plan->troubles[i].where, l->room->key))
			return l->plan->troubles[i].why;
	return l->row ? l->row->held : NULL;
}

static void write_room(struct jb *b, const struct look *l)
{
	const struct room *room = l->room;
	const struct store_room *row = l->row;
	jb_obj(b, NULL);
	jb_str(b, "alias", room->alias);
	jb_str(b, "room_id", row ? row->room_id : NULL);
	jb_str(b, "kind", room->direct ? "direct" : "room");
	jb_str(b, "name", room->name);
	jb_arr(b, "declared");
	for (size_t i = 0; i < room->n_members; i++)
		jb_str(b, NULL, room->members[i]->user_id);
	jb_end_arr(b);
	write_members_if(b, "joined", row, "join");
	write_members_if(b, "invited", row, "invite");
	write_missing(b, l);
	write_extra(b, l);
	write_held(b, l);
	jb_arr(b, "removals");
	for (size_t i = 0; i < room->n_members; i++)
		write_removal(b, l, room->members[i]->user_id);
	jb_end_arr(b);
	jb_str(b, "held_why", held_why(l));
	if (row && row->missing_ms)
		jb_int(b, "missing_since_ms", row->missing_ms);
	else
		jb_null(b, "missing_since_ms");
	jb_end_obj(b);
}

/* A direct room that is not to be made yet is none. */
static bool is_shown(const struct look *l)
{
	if (!l->room->direct || (l->row && l->row->room_id))
		return true;
	return l->how.direct == DIRECT_EAGER ||
		(l->how.direct == DIRECT_ON_DEMAND && l->row && l->row->wanted);
}

enum rc view_rooms(struct app *app, struct buf *out, struct err *e)
{
	struct arena a = { 0 };
	struct store_snapshot now = { 0 };
	struct plan plan = { 0 };
	struct look l = { .app = app,
		.now = &now,
		.plan = &plan,
		.how = reconcile_how(app, SIZE_MAX) };
	struct jb b;
	enum rc rc = app_snapshot(app, &a, &now, e);
	if (rc == RC_OK)
		rc = reconcile_plan_from(app, &now, &a, &plan, e);
	jb_init(&b, out);
	jb_arr(&b, NULL);
	for (size_t i = 0; rc == RC_OK && i < app->fleet.n_rooms; i++) {
		l.room = &app->fleet.rooms[i];
		l.row = snapshot_room(&now, l.room->key);
		if (is_shown(&l))
			write_room(&b, &l);
	}
	jb_end_arr(&b);
	arena_free(&a);
	return rc;
}
