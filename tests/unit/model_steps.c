/*
 * tests/unit/model_steps.c: what each kind of step does, by the rules of
 * step_account.c, step_room.c, step_direct.c and tokens/, in simple words.
 */
#include <string.h>

#include "tests/unit/model.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

enum { EVENT, POLL, ACTION };

/* A step that is being done. */
struct doing {
	struct world *w;
	const struct step *st;
	int user, actor; /* NOBODY: no user at all; the sender */
	int key;         /* of its room; NOBODY */
	bool unsure;     /* it may have been done before */
	bool asked;      /* it may be done now, whatever comes */
	int64_t since;
};

static bool answered(const struct doing *d)
{
	return d->w->fault != UNANSWERED;
}

static int room_of(const struct doing *d)
{
	const struct world *w = d->w;
	if (d->st->room_id)
		return room_of_id(d->st->room_id);
	const int key =
		d->st->from ? company_key(w->company, d->st->from) : d->key;
	return key == NOBODY ? NOBODY : w->rows[key].room;
}

static void said(struct doing *d, int room, int user, enum is is)
{
	known_member(d->w, room, user, is, ACTION, 0, d->since);
}

/* --- accounts -------------------------------------------------------------------- */

/* The room of a pair that an agent's list has, or that carries our mark. */
static void find_direct(struct world *w, int user)
{
	for (int r = 0; r < w->n_rooms; r++) {
		struct model_room *room = &w->rooms[r];
		if (!room->direct || room->key == NOBODY ||
			!server_is_in(w, r, user))
			continue;
		struct model_row *row = &w->rows[room->key];
		if (!row->declared || (row->room != NOBODY && row->room != r))
			continue;
		if (row->room == NOBODY)
			known_place(w, room->key, r, user);
		(void)look_at_room(w, user, r);
		room->known[user].marked |= room->m[user].marked;
	}
}

static bool do_register(struct doing *d)
{
	struct world *w = d->w;
	struct model_account *account = &w->accounts[d->user];
	struct model_agent *row = &w->agents[d->user];
	d->asked = true;
	if (!account->exists) {
		*account = (struct model_account){ .exists = true };
		if (answered(d))
			row->state = AGENT_REGISTERED;
		return answered(d);
	}
	d->asked = false;
	const bool ours = d->user == SENDER || row->generation > 0 ||
		account->device || (d->unsure && !account->foreign);
	if (!ours) {
		row->state = AGENT_BLOCKED;
		return false;
	}
	if (d->user != SENDER)
		find_direct(w, d->user);
	row->state = AGENT_REGISTERED;
	row->shown = account->name;
	return true;
}

static bool do_profile(struct doing *d)
{
	const char *name = d->st->person ? d->st->person->name : "Muster";
	d->w->agents[d->user].shown = NULL;
	d->w->accounts[d->user].name = name;
	if (answered(d))
		d->w->agents[d->user].shown = name;
	return answered(d);
}

static bool do_login(struct doing *d)
{
	struct model_account *account = &d->w->accounts[d->user];
	struct model_agent *row = &d->w->agents[d->user];
	if (!account->exists)
		return false;
	account->device = account->token = true;
	if (!answered(d))
		return false;
	row->generation++;
	row->state = AGENT_LOGGED_IN;
	row->in_hand = true;
	return true;
}

static bool do_hand_off(struct doing *d)
{
	struct model_agent *row = &d->w->agents[d->user];
	if (!row->in_hand)
		return false;
	if (!answered(d))
		return false;
	row->in_hand = false;
	row->state = mix(d->w->c->seed, (uint64_t)d->user) % 2
		? AGENT_ACKNOWLEDGED
		: AGENT_HANDED_OFF;
	return true;
}

static bool do_revoke(struct doing *d)
{
	d->w->agents[d->user].state = AGENT_REGISTERED;
	known_let_go(d->w, d->user);
	d->w->accounts[d->user].token = false;
	if (answered(d)) {
		d->w->agents[d->user].state = AGENT_RETIRED;
		d->w->agents[d->user].in_hand = false;
	}
	return answered(d);
}

/* --- members ------------------------------------------------------------------------ */

/* Who is in the room to ask somebody in. */
static int host(const struct doing *d)
{
	const struct room *room = d->st->room;
	if (!room || !room->direct)
		return SENDER;
	return user_of(text_eq(d->st->subject, room->maker->user_id)
			? room->other->user_id
			: room->maker->user_id);
}

static enum is is_there(struct doing *d, int room)
{
	return look_at_room(d->w, host(d), room) == RC_OK
		? d->w->rooms[room].known[d->user].is
		: NOT;
}

static enum is is_now(struct doing *d, int room)
{
	if (d->unsure)
		(void)look_at_room(d->w, host(d), room);
	return d->w->rooms[room].known[d->user].is;
}

static bool refused(struct doing *d, int room, enum is good, enum is also)
{
	const enum is is = is_there(d, room);
	return is == good || is == also;
}

static bool do_invite(struct doing *d)
{
	struct world *w = d->w;
	const int room = room_of(d);
	if (room == NOBODY)
		return false;
	const enum is is = is_now(d, room);
	if (is != NOT && is != KNOCK &&
		!(d->st->person && (is == LEAVE || is == BAN)))
		return true;
	if (is == BAN) {
		const enum rc rc = server_unban(w, room, d->actor, d->user);
		struct removals *all = &w->rooms[room].removals[d->user];
		for (size_t i = 0; rc == RC_FORBIDDEN && i < all->n; i++)
			all->r[i].asked = false;
		if (rc != RC_OK)
			return rc == RC_FORBIDDEN;
	}
	d->asked = true;
	const enum rc rc = server_invite(w, room, d->actor, d->user);
	if (rc == RC_FORBIDDEN)
		return refused(d, room, INVITE, JOIN);
	if (rc == RC_OK)
		said(d, room, d->user, INVITE);
	return rc == RC_OK;
}

static bool join_refused(struct doing *d, int room)
{
	struct world *w = d->w;
	const enum is is = is_there(d, room);
	if (is == JOIN)
		return true;
	if (is != INVITE || server_invite(w, room, host(d), d->user) != RC_OK ||
		server_join(w, room, d->user) != RC_OK)
		return false;
	said(d, room, d->user, JOIN);
	return true;
}

static bool do_join(struct doing *d)
{
	const int room = room_of(d);
	if (room == NOBODY)
		return false;
	if (is_now(d, room) == JOIN)
		return true;
	d->asked = true;
	const enum rc rc = server_join(d->w, room, d->user);
	if (rc == RC_FORBIDDEN)
		return join_refused(d, room);
	if (rc == RC_OK)
		said(d, room, d->user, JOIN);
	return rc == RC_OK;
}

/* By the service's own user, the last one: nobody of ours is in it any more, as
 * far as is known. */
static void left_for_good(struct world *w, int room)
{
	w->rooms[room].old_key = NOBODY;
	for (int u = 0; u < PEOPLE; u++) {
		const enum is is = w->rooms[room].known[u].is;
		if (w->agents[u].row &&
			(w->agents[u].declared ||
				w->agents[u].state >= AGENT_REGISTERED) &&
			w->agents[u].state != AGENT_BLOCKED &&
			(is == JOIN || is == INVITE))
			wrong(w, "%s is still in %s, which was upgraded",
				user_ids[u], room_ids[room]);
	}
}

static bool do_leave(struct doing *d)
{
	const int room = room_of(d);
	if (room == NOBODY)
		return false;
	const enum rc rc = server_leave(d->w, room, d->actor);
	if (rc == RC_FORBIDDEN && d->st->room)
		return refused(d, room, LEAVE, BAN);
	if (rc == RC_NETWORK)
		return false;
	said(d, room, d->user, LEAVE);
	if (!d->st->actor)
		left_for_good(d->w, room);
	return true;
}

static bool do_kick(struct doing *d)
{
	const int room = room_of(d);
	if (room == NOBODY)
		return false;
	if (!d->st->room->strict)
		wrong(d->w, "%s is kicked out of %s, which is not strict",
			d->st->subject, d->st->room->key);
	const enum rc rc = server_kick(d->w, room, SENDER, d->user);
	if (rc == RC_FORBIDDEN)
		return refused(d, room, LEAVE, BAN);
	if (rc == RC_NETWORK)
		return false;
	said(d, room, d->user, LEAVE);
	return true;
}

/* --- state ------------------------------------------------------------------------------ */

static const char *id_of(void *arg, const char *key)
{
	const struct world *w = arg;
	const int room = w->rows[company_key(w->company, key)].room;
	return room == NOBODY ? NULL : room_ids[room];
}

static bool lead_alias_to(struct doing *d, int room)
{
	struct world *w = d->w;
	const int there = w->alias[d->key];
	if (there != NOBODY && there != room && !known_has_key(w, there) &&
		!d->st->room_id)
		return false;
	w->alias[d->key] = room;
	return true;
}

static const char *state_wanted(
	struct doing *d, int room, enum room_state st, bool *right)
{
	struct world *w = d->w;
	const int maker =
		w->rows[company_key(w->company,
				d->st->from ? d->st->from : d->st->room->key)]
			.maker;
	const struct server_state *now = w->rooms[room].state;
	const struct state_how how = { .fleet = w->fleet,
		.sender_id = user_ids[SENDER],
		.maker = maker == NOBODY ? NULL : user_ids[maker],
		.create = now[ROOM_STATE_CREATE].content,
		.id_of = id_of,
		.arg = w };
	const char *text = now[st].content;
	struct json *doc = NULL;
	struct buf out;
	*right = text && state_is_right(&how, d->st->room, st, text);
	if (*right)
		return text;
	buf_init(&out, LIMIT_SMALL_BODY);
	if (json_parse(text ? text : "{}", text ? strlen(text) : 2, NULL, &doc,
		    NULL) == RC_OK)
		state_write(&how, d->st->room, st, json_root(doc), &out);
	json_free(doc);
	text = arena_strdup(&w->texts, buf_str(&out));
	buf_free(&out);
	return text;
}

static void rename_row(struct world *w, int from, int to)
{
	struct model_row *old = &w->rows[from], *new = &w->rows[to];
	if (old->room == NOBODY || new->room != NOBODY)
		return;
	new->room = old->room;
	new->maker = old->maker;
	new->looked = old->looked;
	new->missing = old->missing;
	new->held = NULL;
	old->room = old->maker = NOBODY;
}

static bool do_set_state(struct doing *d)
{
	struct world *w = d->w;
	const enum room_state st = room_state_of(d->st->subject);
	const int room = room_of(d);
	bool right = false;
	if (room == NOBODY ||
		(st == ROOM_STATE_ALIAS && !lead_alias_to(d, room)))
		return false;
	if (!server_is_in(w, room, d->actor)) {
		/* A room that is not looked at any more, and was lost. */
		if (d->st->from)
			known_place(w, company_key(w->company, d->st->from),
				NOBODY, NOBODY);
		return false;
	}
	const char *content = state_wanted(d, room, st, &right);
	const enum rc rc = right
		? RC_OK
		: server_set_state(w, room, d->actor, st, content);
	/* It was wrong about who has power in it. */
	if (rc == RC_FORBIDDEN)
		(void)!look_at_room(w, d->actor, room);
	if (rc != RC_OK || !answered(d))
		return false;
	if (d->st->from)
		rename_row(w, company_key(w->company, d->st->from), d->key);
	known_state(w, room, st,
		(struct server_state){ content, d->actor, 0, d->since });
	return true;
}

/* --- rooms --------------------------------------------------------------------------------- */

static bool hold(struct doing *d, const char *why)
{
	d->w->rows[d->key].held = why;
	return true;
}

static bool adopt(struct doing *d, int room)
{
	const char *why = may_be_kept(d->w, room);
	if (why)
		return hold(d, why);
	const bool ours = d->w->rooms[room].key == d->key;
	known_place(d->w, d->key, room, ours ? SENDER : NOBODY);
	return look_at_room(d->w, SENDER, room) == RC_OK;
}

static bool follow(struct doing *d)
{
	struct world *w = d->w;
	const int room = room_of(d), old = w->rows[d->key].room;
	const char *why = may_be_kept(w, room);
	if (why)
		return hold(d, why);
	if (!lead_alias_to(d, room) || look_at_room(w, SENDER, room) != RC_OK ||
		!answered(d))
		return false;
	if (old != NOBODY && old != room)
		w->rooms[old].old_key = d->key;
	w->rooms[room].old_key = NOBODY;
	known_place(w, d->key, room, NOBODY);
	return true;
}

static bool make(struct doing *d)
{
	int room = NOBODY;
	d->asked = true;
	if (server_create(d->w, d->key, SENDER, &room) != RC_OK)
		return false;
	known_place(d->w, d->key, room, SENDER);
	said(d, room, SENDER, JOIN);
	return true;
}

static bool do_create(struct doing *d)
{
	struct world *w = d->w;
	if (d->st->room_id)
		return follow(d);
	const int there = w->alias[d->key];
	if (there == NOBODY)
		return make(d);
	for (size_t k = 0; k < w->company->n_keys; k++)
		if (w->rows[k].row && w->rows[k].room == there &&
			(int)k != d->key)
			return make(d);
	return adopt(d, there);
}

/* What a creation without an answer has left. */
static int left_behind(const struct world *w, int key, int maker)
{
	for (int r = 0; r < w->n_rooms; r++)
		if (w->rooms[r].direct && w->rooms[r].key == key &&
			server_is_in(w, r, maker) && !known_has_key(w, r))
			return r;
	return NOBODY;
}

static bool do_create_direct(struct doing *d)
{
	struct world *w = d->w;
	const int maker = d->actor;
	const int other = user_of(d->st->room->other->user_id);
	int room = w->rows[d->key].room;
	const bool human = d->st->room->other->human;
	if (room != NOBODY &&
		(w->rooms[room].known[maker].is == JOIN ||
			(!human && w->rooms[room].known[other].is == JOIN)))
		return true;
	room = d->unsure ? left_behind(w, d->key, maker) : NOBODY;
	if (room != NOBODY) {
		known_place(w, d->key, room, maker);
		return look_at_room(w, maker, room) == RC_OK;
	}
	d->asked = true;
	if (server_create(w, d->key, maker, &room) != RC_OK)
		return false;
	known_place(w, d->key, room, maker);
	said(d, room, maker, JOIN);
	said(d, room, other, INVITE);
	return true;
}

static bool do_mark(struct doing *d)
{
	struct world *w = d->w;
	for (size_t k = 0; k < w->company->n_keys; k++) {
		const struct model_row *row = &w->rows[k];
		if (!w->declared[k].room || !w->declared[k].room->direct ||
			!(w->declared[k].members & 1u << d->user) ||
			row->room == NOBODY)
			continue;
		w->rooms[row->room].m[d->user].marked = true;
		if (answered(d))
			w->rooms[row->room].known[d->user].marked = true;
	}
	return answered(d);
}

/* --- all ------------------------------------------------------------------------------------- */

static bool do_room(struct doing *d)
{
	return d->st->room->direct ? do_create_direct(d) : do_create(d);
}

bool model_step(struct world *w, const struct step *st, bool *unsure)
{
	static bool (*const kinds[STEP_KINDS])(struct doing *) = {
		[STEP_REGISTER] = do_register,
		[STEP_PROFILE] = do_profile,
		[STEP_LOGIN] = do_login,
		[STEP_HAND_OFF] = do_hand_off,
		[STEP_CREATE_ROOM] = do_room,
		[STEP_SET_STATE] = do_set_state,
		[STEP_INVITE] = do_invite,
		[STEP_JOIN] = do_join,
		[STEP_KICK] = do_kick,
		[STEP_LEAVE] = do_leave,
		[STEP_DIRECT_MARK] = do_mark,
		[STEP_REVOKE] = do_revoke,
	};
	struct doing d = { .w = w,
		.st = st,
		.user = user_of(st->subject),
		.actor = st->actor ? user_of(st->actor) : SENDER,
		.key = st->room ? company_key(w->company, st->room->key)
				: NOBODY,
		.unsure = *unsure,
		.since = w->now };
	w->now += 5;
	const bool done = w->fault != NOT_DONE && kinds[st->kind](&d);
	w->now += 5;
	*unsure = !done && (*unsure || d.asked || w->fault == UNANSWERED);
	return done;
}
