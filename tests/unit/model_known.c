/*
 * tests/unit/model_known.c: the store: what is known, by the rules of store/
 * (members.c, removals.c, rooms.c, agents.c) and of the looks of observe.c, in
 * simple words.
 */
#include <string.h>

#include "tests/unit/model.h"

#include "base/str.h"

#include "base/poison.h"

enum { EVENT, POLL, ACTION };
#define DAY_MS ((int64_t)24 * 3600 * 1000)
#define CONFIRMED_MS 30000

/* --- what is declared ---------------------------------------------------------- */

static void declare_agent(struct world *w, int u, bool declared)
{
	struct model_agent *a = &w->agents[u];
	a->declared = declared;
	if (!declared)
		return;
	a->may_leave = false;
	if (!a->row)
		*a = (struct model_agent){ .row = true, .declared = true };
	if (a->state == AGENT_RETIRED)
		a->state = AGENT_REGISTERED;
}

/* Those who are let go while others of them are on their way go together. */
void known_let_go(struct world *w, int user)
{
	bool under_way = false;
	for (int u = 0; u < PEOPLE; u++) {
		const struct model_agent *a = &w->agents[u];
		under_way |= a->row && a->may_leave && !a->declared &&
			a->state != AGENT_RETIRED && a->state != AGENT_DECLARED;
	}
	for (int u = 0; u < PEOPLE && !under_way; u++)
		if (w->agents[u].state == AGENT_RETIRED)
			w->agents[u].may_leave = false;
	w->agents[user].may_leave = true;
}

void known_declare(struct world *w, int version)
{
	w->version = version;
	w->fleet = &w->company->fleets[version];
	w->declared = w->company->declared[version];
	for (int u = 0; u < PEOPLE; u++) {
		const struct person *p = fleet_person(w->fleet, user_ids[u]);
		declare_agent(w, u, p && !p->human);
	}
	declare_agent(w, SENDER, true);
	for (size_t k = 0; k < w->company->n_keys; k++) {
		const struct room *room = w->declared[k].room;
		struct model_row *row = &w->rows[k];
		if (!row->row)
			*row = (struct model_row){ .room = NOBODY,
				.maker = NOBODY };
		row->declared = room != NULL;
		if (!room)
			continue;
		row->row = true;
		row->rule = room->policy ? room->policy->rule : NULL;
		for (int u = 0; u < USERS; u++) {
			if (!(w->declared[k].members & 1u << u))
				row->since[u] = 0;
			else if (row->since[u] == 0)
				row->since[u] = w->now;
		}
	}
}

/* The database is gone; what is declared is declared again. */
void known_lose(struct world *w)
{
	memset(w->agents, 0, sizeof(w->agents));
	memset(w->rows, 0, sizeof(w->rows));
	w->n_tried = 0;
	w->forgot = true;
	for (int r = 0; r < w->n_rooms; r++) {
		struct model_room *room = &w->rooms[r];
		memset(room->known, 0, sizeof(room->known));
		memset(room->seen, 0, sizeof(room->seen));
		memset(room->removals, 0, sizeof(room->removals));
		room->whole_look = false;
		room->old_key = NOBODY;
	}
	w->n_events = 0;
	known_declare(w, w->version);
}

static int key_of(const struct world *w, int room)
{
	for (size_t k = 0; k < w->company->n_keys; k++)
		if (w->rows[k].row && w->rows[k].room == room)
			return (int)k;
	return NOBODY;
}

bool known_has_key(const struct world *w, int room)
{
	return key_of(w, room) != NOBODY;
}

void known_place(struct world *w, int key, int room, int maker)
{
	struct model_row *row = &w->rows[key];
	row->room = room;
	row->maker = maker;
	row->looked = w->now;
	row->missing = 0;
	row->held = NULL;
}

/* --- members --------------------------------------------------------------------- */

static bool is_newer(const struct world *w, const struct member_row *row,
	enum is is, int source, int event, int64_t ts)
{
	if (row->is == NOT)
		return true;
	if (source == EVENT && row->source == EVENT)
		return ts >= row->ts && event != row->event;
	if (source == EVENT)
		return ts > row->ts || is == row->is ||
			(event && event == row->event) ||
			(row->source == POLL && row->is == LEAVE &&
				!row->event && is != JOIN);
	if (row->source == EVENT && row->is == is)
		return false;
	return ts >= row->ts || row->ts > w->now;
}

bool known_member(struct world *w, int room, int user, enum is is, int source,
	int event, int64_t ts)
{
	struct member_row *row = &w->rooms[room].known[user];
	const bool another = row->is != is;
	if (!is_newer(w, row, is, source, event, ts))
		return false;
	row->is = is;
	row->source = source;
	row->event = event;
	row->ts = ts;
	return another && known_has_key(w, room);
}

/* Whether a removal from this room says anything. */
static bool matters(
	const struct world *w, int room, int user, int by, int64_t at)
{
	const int key = key_of(w, room);
	if (key == NOBODY || !w->rows[key].declared || by == SENDER ||
		w->rows[key].since[user] == 0 || w->rows[key].since[user] >= at)
		return false;
	return by == NOBODY ||
		(w->agents[user].row && w->agents[user].declared);
}

static void drop(struct removals *all, size_t i)
{
	all->n--;
	for (; i < all->n; i++)
		all->r[i] = all->r[i + 1];
}

/* By their time; of each the last two. */
static void push(struct removals *all, struct removal r)
{
	size_t at = all->n;
	while (at > 0 && all->r[at - 1].at > r.at) {
		all->r[at] = all->r[at - 1];
		at--;
	}
	all->r[at] = r;
	all->n++;
	if (all->n > REMOVALS)
		drop(all, 0);
}

/* What a look has found is taken over by the event that says who it was. */
static void add_removal(struct removals *all, struct removal r)
{
	for (size_t i = all->n; r.event && i > 0; i--)
		if (all->r[i - 1].by == NOBODY && all->r[i - 1].at >= r.at) {
			drop(all, i - 1);
			break;
		}
	push(all, r);
}

void known_removal(struct world *w, int room, int user, struct removal r)
{
	struct removals *all = &w->rooms[room].removals[user];
	if (!matters(w, room, user, r.by, r.at))
		return;
	for (size_t i = 0; r.event && i < all->n; i++)
		if (all->r[i].event == r.event)
			return;
	if (r.ban || w->rooms[room].known[user].is != BAN) {
		add_removal(all, r);
		return;
	}
	for (size_t i = all->n; i > 0; i--)
		if (all->r[i - 1].ban)
			drop(all, i - 1);
}

static void missed(struct world *w, int room, int user, int64_t at)
{
	known_removal(
		w, room, user, (struct removal){ .by = NOBODY, .at = at });
}

/* What we did has no event. */
void known_state(
	struct world *w, int room, enum room_state type, struct server_state st)
{
	struct server_state *now = &w->rooms[room].seen[type];
	if (st.ts < now->ts || (st.event && st.event == now->event))
		return;
	for (size_t k = 0;
		type == ROOM_STATE_TOMBSTONE && k < w->company->n_keys; k++)
		if (w->rows[k].room == room &&
			!text_eq(st.content, now->content))
			w->rows[k].held = NULL;
	*now = st;
}

/* --- events ----------------------------------------------------------------------- */

static void apply(struct world *w, const struct event *ev)
{
	if (ev->user == NOBODY) {
		known_state(w, ev->room, ev->type,
			(struct server_state){
				ev->content, ev->by, ev->id, ev->ts });
		return;
	}
	if (ev->is == LEAVE || ev->is == BAN)
		known_removal(w, ev->room, ev->user,
			(struct removal){ .by = ev->by,
				.event = ev->id,
				.ban = ev->is == BAN,
				.at = ev->ts });
	known_member(w, ev->room, ev->user, ev->is, EVENT, ev->id, ev->ts);
}

void known_deliver(struct world *w, bool all)
{
	int kept = 0;
	/* Sometimes the last comes first. */
	const bool back =
		mix(w->c->seed, (uint64_t)w->now) % 8 == 0 && w->c->late > 0;
	for (int i = 0; i < w->n_events; i++) {
		struct event *ev = &w->events[back ? w->n_events - 1 - i : i];
		if (!all && ev->due > w->round)
			continue;
		apply(w, ev);
		ev->due = -1;
	}
	for (int i = 0; i < w->n_events; i++)
		if (w->events[i].due >= 0)
			w->events[kept++] = w->events[i];
	w->n_events = kept;
}

/* --- looks --------------------------------------------------------------------------- */

/* Out by an event that is known already, though we have asked in since. */
static void lost(struct world *w, int room, int user, int event)
{
	const struct member_row *row = &w->rooms[room].known[user];
	struct removals *all = &w->rooms[room].removals[user];
	if (row->source != ACTION || (row->is != INVITE && row->is != JOIN) ||
		row->ts > w->now)
		return;
	for (size_t i = 0; i < all->n; i++)
		if (all->r[i].event == event) {
			push(all,
				(struct removal){ .by = NOBODY,
					.event = event,
					.at = w->now });
			return;
		}
}

enum rc look_at_room(struct world *w, int as, int room)
{
	struct model_room *r = &w->rooms[room];
	if (!server_is_in(w, room, as))
		return RC_FORBIDDEN;
	for (int u = 0; u < USERS; u++) {
		const struct server_member *m = &r->m[u];
		if (m->is == NOT)
			continue;
		if (m->is == LEAVE || m->is == BAN) {
			lost(w, room, u, m->event);
			known_removal(w, room, u,
				(struct removal){ .by = m->by,
					.event = m->event,
					.ban = m->is == BAN,
					.at = m->ts });
		}
		known_member(w, room, u, m->is, POLL, m->event, w->now);
	}
	for (int u = 0; u < USERS; u++) {
		struct member_row *row = &r->known[u];
		if (row->is == NOT || row->source == EVENT ||
			row->ts > w->now || r->m[u].is != NOT)
			continue;
		missed(w, room, u, w->now);
		row->is = NOT;
	}
	for (enum room_state st = 0; st < ROOM_STATES; st++) {
		struct server_state found = r->state[st];
		found.ts = w->now;
		if (found.content)
			known_state(w, room, st, found);
	}
	r->whole_look = true;
	return RC_OK;
}

const char *may_be_kept(struct world *w, int room)
{
	const struct model_room *r = &w->rooms[room];
	const enum fault fault = w->fault;
	w->fault = DONE;
	if (!server_is_in(w, room, SENDER))
		(void)!server_join(w, room, SENDER);
	w->fault = fault;
	if (!server_is_in(w, room, SENDER))
		return "the service's own user may not come in";
	if (r->state[ROOM_STATE_POWER].content && r->m[SENDER].level < 50)
		return "the service's own user has no power in it";
	return NULL;
}

static void not_found(struct world *w, int key)
{
	trace(w, "  look: %s is %s", w->company->keys[key],
		w->rows[key].missing ? "gone" : "not found");
	if (w->rows[key].missing)
		known_place(w, key, NOBODY, NOBODY);
	else
		w->rows[key].missing = w->rows[key].looked = w->now;
}

static void room_missing(struct world *w, int key)
{
	struct model_row *row = &w->rows[key];
	if (w->alias[key] == NOBODY || w->alias[key] != row->room) {
		not_found(w, key);
		return;
	}
	const char *why = may_be_kept(w, row->room);
	if (why)
		row->held = why;
	else
		row->missing = 0;
}

static void look_at_held(struct world *w, int key)
{
	const int old = w->rows[key].room;
	int room = w->alias[key];
	if (old != NOBODY && w->rooms[old].seen[ROOM_STATE_TOMBSTONE].content)
		room = w->rooms[old].successor;
	if (room == NOBODY || !may_be_kept(w, room))
		w->rows[key].held = NULL;
}

/* Who is joined; true when something was not known. */
static bool look_at_joined(struct world *w, int room)
{
	struct model_room *r = &w->rooms[room];
	bool changed = false;
	for (int u = 0; u < USERS; u++) {
		const bool in = r->m[u].is == JOIN;
		if (in == (r->known[u].is == JOIN))
			continue;
		if (!known_member(
			    w, room, u, in ? JOIN : LEAVE, POLL, 0, w->now))
			continue;
		changed = true;
		if (!in)
			missed(w, room, u, w->now);
	}
	return changed;
}

static bool is_unconfirmed(const struct world *w, int room)
{
	for (int u = 0; u < USERS; u++) {
		const struct member_row *row = &w->rooms[room].known[u];
		if (row->is != NOT && row->source == ACTION &&
			row->ts < w->now - CONFIRMED_MS)
			return true;
	}
	return false;
}

static void poll_room(struct world *w, int key, int as)
{
	struct model_row *row = &w->rows[key];
	const bool direct = w->rooms[row->room].direct;
	if (!server_is_in(w, row->room, as)) {
		if (direct)
			not_found(w, key);
		else
			room_missing(w, key);
		return;
	}
	const bool changed = look_at_joined(w, row->room);
	if (row->missing || direct) {
		row->missing = 0;
		row->looked = w->now;
	}
	if (!direct &&
		(changed || !w->rooms[row->room].whole_look ||
			is_unconfirmed(w, row->room)))
		(void)look_at_room(w, as, row->room);
}

/* By any agent that is in it, as far as is known. */
static void look_at_direct(struct world *w, int key)
{
	struct model_row *row = &w->rows[key];
	int as = NOBODY;
	if (row->looked >= w->now - DAY_MS)
		return;
	for (int u = 0; u < PEOPLE; u++)
		if (w->rooms[row->room].known[u].is == JOIN &&
			w->agents[u].row && w->agents[u].declared &&
			(as == NOBODY || server_is_in(w, row->room, u)))
			as = u;
	if (as != NOBODY) {
		poll_room(w, key, as);
		return;
	}
	row->missing = 0;
	row->looked = w->now;
}

void look(struct world *w)
{
	w->now += 10;
	for (int k = 0; k < (int)w->company->n_keys; k++) {
		const struct model_row *row = &w->rows[k];
		const bool direct = w->company->keys[k][0] == '@';
		if (!row->row || !row->declared)
			continue;
		if (!direct && row->held)
			look_at_held(w, k);
		else if (!direct && row->room != NOBODY &&
			server_is_in(w, row->room, SENDER))
			poll_room(w, k, SENDER);
		else if (!direct && row->room != NOBODY)
			room_missing(w, k);
		else if (direct && row->room != NOBODY)
			look_at_direct(w, k);
		w->now++;
	}
}

/* --- for the plan ------------------------------------------------------------------------ */

static void shot_members(
	const struct world *w, struct shot *s, struct store_room *to, int room)
{
	static const char *const sources[] = { "event", "poll", "action" };
	struct store_member *list = s->members + (size_t)room * USERS;
	to->room_id = room_ids[room];
	to->members = list;
	for (int u = 0; u < USERS; u++) {
		const struct member_row *row = &w->rooms[room].known[u];
		if (row->is == NOT)
			continue;
		list[to->n_members++] =
			(struct store_member){ .user_id = user_ids[u],
				.membership = is_words[row->is],
				.source = sources[row->source],
				.origin_ts = row->ts,
				.marked = row->marked };
	}
}

static void shot_state(
	const struct world *w, struct store_state *to, int room, bool direct)
{
	for (enum room_state st = 0; st < ROOM_STATES; st++) {
		const struct server_state *seen = &w->rooms[room].seen[st];
		to[st] = (struct store_state){ 0 };
		if (seen->content && (!direct || st == ROOM_STATE_NAME))
			to[st] = (struct store_state){ .content = seen->content,
				.sender = user_ids[seen->by],
				.origin_ts = seen->ts };
	}
}

static void shot_rooms(const struct world *w, struct shot *s)
{
	for (size_t k = 0; k < w->company->n_keys; k++) {
		const struct model_row *row = &w->rows[k];
		if (!row->row)
			continue;
		struct store_room *to = &s->rooms[s->now.n_rooms++];
		*to = (struct store_room){ .key = w->company->keys[k],
			.maker = row->maker == NOBODY ? NULL
						      : user_ids[row->maker],
			.rule = row->rule,
			.held = row->held,
			.missing_ms = row->missing,
			.direct = w->company->keys[k][0] == '@',
			.declared = row->declared,
			.wanted = row->wanted };
		if (row->room == NOBODY)
			continue;
		shot_members(w, s, to, row->room);
		to->state = s->states[k];
		shot_state(w, to->state, row->room, to->direct);
	}
}

static void shot_removals(const struct world *w, struct shot *s, int room)
{
	for (int u = 0; u < USERS; u++) {
		const struct removals *all = &w->rooms[room].removals[u];
		for (size_t i = 0; i < all->n; i++)
			s->removals[s->now.n_removals++] =
				(struct store_removal){ .room_id =
								room_ids[room],
					.user_id = user_ids[u],
					.by = all->r[i].by == NOBODY
						? NULL
						: user_ids[all->r[i].by],
					.ban = all->r[i].ban,
					.asked = all->r[i].asked,
					.at_ms = all->r[i].at };
	}
}

/* As it is declared. */
static const char *department_of(const struct world *w, int u)
{
	const struct person *who = fleet_person(w->fleet, user_ids[u]);
	return who ? who->department : NULL;
}

void known_shot(const struct world *w, struct shot *s)
{
	s->now = (struct store_snapshot){ .agents = s->agents,
		.rooms = s->rooms,
		.old = s->old,
		.removals = s->removals };
	for (int u = 0; u < USERS; u++) {
		const struct model_agent *a = &w->agents[u];
		if (a->row)
			s->agents[s->now.n_agents++] =
				(struct store_agent){ .user_id = user_ids[u],
					.sender = u == SENDER,
					.declared = a->declared,
					.department = department_of(w, u),
					.state = a->state,
					.generation = a->generation,
					.shown_name = a->shown,
					.may_leave = a->may_leave,
					.token_in_hand = a->in_hand };
	}
	shot_rooms(w, s);
	for (int r = 0; r < w->n_rooms; r++) {
		shot_removals(w, s, r);
		if (w->rooms[r].old_key == NOBODY)
			continue;
		struct store_room *to = &s->old[s->now.n_old++];
		*to = (struct store_room){
			.key = w->company->keys[w->rooms[r].old_key]
		};
		shot_members(w, s, to, r);
	}
}
