/*
 * tests/unit/model_server.c: the homeserver: what is. It keeps Matrix's rules of
 * who may do what, as far as the plan depends on them, and sends an event of
 * everything that happens, late or never.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/model.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

const char *const is_words[] = { NULL, "join", "invite", "leave", "ban",
	"knock" };

/* --- events -------------------------------------------------------------------- */

/* When the store learns of it. */
static int due(const struct world *w, const struct event *ev)
{
	const uint64_t by = mix(mix(w->c->seed, 17 + (uint64_t)ev->room),
		mix((uint64_t)ev->user + 2, (uint64_t)w->event_id));
	if (by % 100 < w->c->never)
		return INT32_MAX;
	return by / 100 % 100 < w->c->late
		? w->round + 1 + (int)(by / 10000 % 3)
		: w->round;
}

static void send_event(struct world *w, struct event ev)
{
	ev.due = due(w, &ev);
	if (ev.due != INT32_MAX && w->n_events < EVENTS)
		w->events[w->n_events++] = ev;
}

void server_put(struct world *w, int room, int user, enum is is, int by)
{
	struct server_member *m = &w->rooms[room].m[user];
	w->now += 3;
	m->is = is;
	m->by = by;
	m->event = ++w->event_id;
	m->ts = w->now;
	send_event(w,
		(struct event){ .room = room,
			.user = user,
			.is = is,
			.by = by,
			.id = m->event,
			.ts = m->ts });
	w->now += 3;
}

void server_state(struct world *w, int room, enum room_state type, int by,
	const char *content)
{
	struct server_state *st = &w->rooms[room].state[type];
	w->now += 3;
	*st = (struct server_state){ arena_strdup(&w->texts, content), by,
		++w->event_id, w->now };
	send_event(w,
		(struct event){ .room = room,
			.user = NOBODY,
			.type = type,
			.content = st->content,
			.by = by,
			.id = st->event,
			.ts = st->ts });
	w->now += 3;
}

/* --- rooms ------------------------------------------------------------------------ */

int server_room(struct world *w, int key, int creator, bool direct)
{
	if (w->n_rooms == ROOMS) {
		wrong(w, "rooms are made without end");
		return ROOMS - 1;
	}
	struct model_room *r = &w->rooms[w->n_rooms];
	memset(r, 0, sizeof(*r));
	r->key = key;
	r->direct = direct;
	r->creator = creator;
	r->successor = r->old_key = NOBODY;
	r->m[creator].level = 100;
	server_put(w, w->n_rooms, creator, JOIN, creator);
	return w->n_rooms++;
}

/* The power levels as an event. */
void server_levels(struct world *w, int room, int by)
{
	const struct model_room *r = &w->rooms[room];
	char text[1024];
	int n = snprintf(text, sizeof(text), "{\"invite\":%d,\"users\":{",
		r->invite_level);
	const char *comma = "";
	for (int u = 0; u < USERS; u++) {
		if (r->m[u].level == 0)
			continue;
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s\"%s\":%d",
			comma, user_ids[u], r->m[u].level);
		comma = ",";
	}
	snprintf(text + n, sizeof(text) - (size_t)n, "}}");
	server_state(w, room, ROOM_STATE_POWER, by, text);
}

bool server_is_in(const struct world *w, int room, int user)
{
	const struct model_room *r = &w->rooms[room];
	return !r->dead && r->m[user].is == JOIN;
}

/* --- as the API has it --------------------------------------------------------------- */

static bool is_out(enum is is)
{
	return is == NOT || is == LEAVE || is == KNOCK;
}

/* Whether it happens at all, and what the answer is then. */
static bool is_done(const struct world *w)
{
	return w->fault != LIED;
}

static enum rc answer(const struct world *w)
{
	return w->fault == UNANSWERED ? RC_NETWORK : RC_OK;
}

enum rc server_invite(struct world *w, int room, int by, int user)
{
	struct model_room *r = &w->rooms[room];
	if (r->dead)
		return RC_NOT_FOUND;
	if (r->m[by].is != JOIN || r->m[by].level < r->invite_level ||
		r->m[user].is == JOIN || r->m[user].is == BAN)
		return RC_FORBIDDEN;
	if (!is_done(w))
		return RC_OK;
	const bool human =
		user >= ZED || (user < PEOPLE && w->company->human[user]);
	r->m[user].asked++;
	if (human && r->m[user].is != KNOCK && r->m[user].asked > 1 &&
		!w->forgot)
		wrong(w, "%s was asked twice into %s", user_ids[user],
			room_ids[room]);
	server_put(w, room, user, INVITE, by);
	return answer(w);
}

/* Nobody comes in by being in another room: that would be one more way only. */
static bool may_join(const struct model_room *r, int user)
{
	return r->m[user].is == INVITE || r->m[user].is == JOIN ||
		(r->join == JOIN_PUBLIC && is_out(r->m[user].is));
}

enum rc server_join(struct world *w, int room, int user)
{
	struct model_room *r = &w->rooms[room];
	if (r->dead)
		return RC_NOT_FOUND;
	if (!may_join(r, user))
		return RC_FORBIDDEN;
	if (is_done(w) && r->m[user].is != JOIN)
		server_put(w, room, user, JOIN, user);
	return answer(w);
}

enum rc server_leave(struct world *w, int room, int user)
{
	struct model_room *r = &w->rooms[room];
	if (r->dead)
		return RC_NOT_FOUND;
	if (r->m[user].is != JOIN && r->m[user].is != INVITE)
		return RC_FORBIDDEN;
	if (is_done(w))
		server_put(w, room, user, LEAVE, user);
	return answer(w);
}

enum rc server_kick(struct world *w, int room, int by, int user)
{
	struct model_room *r = &w->rooms[room];
	if (r->dead)
		return RC_NOT_FOUND;
	if (r->m[by].is != JOIN || r->m[by].level < 50 ||
		r->m[user].level >= r->m[by].level || is_out(r->m[user].is) ||
		r->m[user].is == BAN)
		return RC_FORBIDDEN;
	if (is_done(w))
		server_put(w, room, user, LEAVE, by);
	return answer(w);
}

enum rc server_unban(struct world *w, int room, int by, int user)
{
	struct model_room *r = &w->rooms[room];
	if (r->dead)
		return RC_NOT_FOUND;
	if (r->m[by].is != JOIN || r->m[by].level < 50 || r->m[user].is != BAN)
		return RC_FORBIDDEN;
	if (is_done(w))
		server_put(w, room, user, LEAVE, by);
	return answer(w);
}

/* The power levels of a room follow what stands in the event. */
static void read_levels(struct model_room *r)
{
	struct power power;
	power_open(&power, user_ids[SENDER], NULL, NULL, NULL,
		r->state[ROOM_STATE_POWER].content);
	for (int u = 0; u < USERS; u++)
		r->m[u].level = (int)power_of(&power, user_ids[u]);
	power_close(&power);
}

enum rc server_set_state(struct world *w, int room, int by,
	enum room_state type, const char *content)
{
	struct model_room *r = &w->rooms[room];
	if (r->dead)
		return RC_NOT_FOUND;
	if (r->m[by].is != JOIN || r->m[by].level < 50)
		return RC_FORBIDDEN;
	if (!is_done(w))
		return RC_OK;
	server_state(w, room, type, by, content);
	if (type == ROOM_STATE_POWER)
		read_levels(r);
	return answer(w);
}

/* --- making a declared room ------------------------------------------------------------- */

static const char *written(struct world *w, const struct room *room,
	enum room_state st, const struct state_how *how)
{
	struct buf out;
	buf_init(&out, LIMIT_SMALL_BODY);
	state_write(how, room, st, (struct js){ 0 }, &out);
	const char *ret = arena_strdup(&w->texts, buf_str(&out));
	buf_free(&out);
	return ret;
}

static const char *id_of(void *arg, const char *key)
{
	const struct world *w = arg;
	const int room = w->rows[company_key(w->company, key)].room;
	return room == NOBODY ? NULL : room_ids[room];
}

static void first_state(struct world *w, int at, const struct room *room)
{
	const struct state_how how = { .fleet = w->fleet,
		.sender_id = user_ids[SENDER],
		.id_of = id_of,
		.arg = w };
	static const char version[] = "{\"room_version\":\"10\"}";
	server_state(w, at, ROOM_STATE_CREATE, SENDER, version);
	for (size_t i = 0; declared_state(i) != ROOM_STATES; i++) {
		const enum room_state st = declared_state(i);
		if (st == ROOM_STATE_POWER ||
			state_is_right(&how, room, st, "{}"))
			continue;
		server_state(w, at, st, SENDER, written(w, room, st, &how));
	}
}

enum rc server_create(struct world *w, int key, int by, int *ret)
{
	const struct room *room = w->declared[key].room;
	check_create(w, key);
	const int at = server_room(w, key, by, room->direct);
	struct model_room *r = &w->rooms[at];
	*ret = at;
	if (room->policy)
		r->join = room->policy->join_rule;
	if (!room->direct) {
		w->alias[key] = at;
		for (int u = 0; u < PEOPLE; u++)
			if (w->company->human[u] &&
				fleet_person(w->fleet, user_ids[u]))
				r->m[u].level = 100;
	}
	if (!room->direct)
		server_levels(w, at, SENDER);
	if (w->c->state && !room->direct)
		first_state(w, at, room);
	if (room->direct && room->name)
		server_state(w, at, ROOM_STATE_NAME, by,
			arena_printf(
				&w->texts, "{\"name\":\"%s\"}", room->name));
	if (room->direct) {
		const int other = user_of(room->other->user_id);
		r->m[other].level = 100;
		r->m[other].asked++;
		server_put(w, at, other, INVITE, by);
	}
	return answer(w);
}
