/*
 * What is wrong with the homeserver as it is set up: its clock, who may make
 * accounts there, whom it takes us for, and whether one of ours has become its
 * administrator. All of it by what it does.
 */
#include <string.h>

#include "appservice/ops/doctor_priv.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

#define CALL_MS 10000 /* nobody waits longer for one answer */
#define ASK_MS 20000  /* nor for those about all agents */
#define TRIED 32      /* so many agents, from all over the fleet */
#define SKEW_MS 30000 /* Date has seconds, and the answer was on its way */

static enum hs_kind kind_of(const struct doctor *d)
{
	return (enum hs_kind)atomic_load(&d->app->kind);
}

/* By hand, or before a change of the file, it was registered otherwise. */
const char *doctor_fix_registered(struct doctor *d)
{
	if (kind_of(d) == HS_CONDUIT || kind_of(d) == HS_TUWUNEL)
		return "`muster register`";
	return arena_printf(d->a,
		"start the homeserver again, so that it reads %s as it is now; "
		"`muster register` says where that belongs",
		doctor_quote(d->a,
			config_text(&d->app->config, SET_AS_REGISTRATION)));
}

/* --- its clock -------------------------------------------------------------------- */

void check_clock(struct doctor *d)
{
	const int64_t theirs = hs_date_ms(d->plain);
	const int64_t ours = clock_wall_ms();
	const int64_t off = theirs - ours;
	d->checked++;
	if (theirs == 0 || (off < SKEW_MS && off > -SKEW_MS))
		return;
	doctor_find(d, config_text(&d->app->config, SET_HS_URL),
		arena_printf(d->a,
			"its clock is %lld s %s ours: it says %s, we %s",
			(long long)((off < 0 ? -off : off) / 1000),
			off < 0 ? "behind" : "before",
			doctor_time(d->a, theirs), doctor_time(d->a, ours)),
		"which of two changes is the later one is told by the time of "
		"events: what we did may count as older than it is",
		"`timedatectl set-ntp true` on the one that is wrong");
}

/* --- who may make accounts ----------------------------------------------------------- */

static const char *fix_open(const struct doctor *d)
{
	switch (kind_of(d)) {
	case HS_CONDUIT:
	case HS_TUWUNEL:
		return "set registration_token in its configuration "
		       "(CONDUIT_REGISTRATION_TOKEN), or allow_registration to "
		       "false, and start it again";
	case HS_SYNAPSE:
		return "set `enable_registration: false` in homeserver.yaml, "
		       "or `registration_requires_token: true`, and start it "
		       "again";
	default:
		return "close registration in its configuration, or ask for a "
		       "token";
	}
}

void check_accounts(struct doctor *d)
{
	bool open = false;
	d->checked++;
	if (hs_registration_open(d->plain, &open, NULL) != RC_OK || !open)
		return;
	doctor_find(d, config_text(&d->app->config, SET_HS_URL),
		"whoever reaches it can make an account",
		"strangers can write to every agent; on a new Conduit the "
		"first to come is its administrator",
		fix_open(d));
}

/* --- whom it takes us for ------------------------------------------------------------- */

static void find_unknown(struct doctor *d, const char *said)
{
	doctor_find(d, d->app->sender_id,
		arena_printf(d->a,
			"the homeserver does not know our as_token (%s)", said),
		"the service can do nothing there", doctor_fix_registered(d));
}

static void find_other(struct doctor *d, const char *user_id)
{
	struct str localpart, server;
	const char *name = config_text(&d->app->config, SET_HS_NAME);
	if (id_split(user_id, '@', &localpart, &server) &&
		!str_eq(server, name))
		doctor_find(d, doctor_at(d, SET_HS_NAME),
			arena_printf(d->a, "the homeserver is %.*s, and not %s",
				(int)server.n, server.p, name),
			"no id of ours is one that it knows",
			"correct homeserver.server_name, or homeserver.url; "
			"then `muster registration`, `muster register`");
	else
		doctor_find(d, d->app->sender_id,
			arena_printf(d->a,
				"by our as_token the homeserver takes us for "
				"%s",
				user_id),
			"another registration has the token, or this one was "
			"registered with another sender",
			doctor_fix_registered(d));
}

/* Its user does not exist: is it ours that does not? */
static void find_no_user(struct doctor *d)
{
	const char *ours = d->app->sender_id;
	struct hs_whoami who = { 0 };
	enum rc rc = hs_whoami(d->as, ours, &who, NULL);
	if (rc == RC_OK || rc == RC_EXCLUSIVE)
		find_other(d, "somebody else, who does not exist");
	else
		doctor_find(d, ours,
			"the service's own user does not exist yet",
			"without it the homeserver refuses whatever the "
			"service asks for",
			"`muster register` makes it");
}

void check_sender(struct doctor *d)
{
	struct hs_whoami me = { 0 };
	struct err e = { 0 };
	d->checked++;
	enum rc rc = app_client(d->app, NULL, &d->as, &e);
	if (rc == RC_OK) {
		hs_hurry(d->as, CALL_MS);
		rc = hs_whoami(d->as, NULL, &me, &e);
	}
	if (rc == RC_OK && !text_eq(me.user_id, d->app->sender_id))
		find_other(d, me.user_id);
	else if (rc == RC_OK)
		d->has |= HAS_TOKEN;
	else if (rc == RC_UNAUTHORIZED)
		find_unknown(d, arena_strdup(d->a, e.text));
	else if (rc == RC_FORBIDDEN)
		find_no_user(d);
	else
		doctor_find(d, d->app->sender_id,
			arena_printf(d->a,
				"whom the homeserver takes us for it does not "
				"say: %s",
				e.text),
			"without its token the service can do nothing",
			"see to the homeserver, and ask again");
}

/* --- the namespace -------------------------------------------------------------------- */

static enum ns_side side_of(struct doctor *d, const char *user_id)
{
	enum ns_side side = NS_UNSAID;
	return registration_side(d->as, kind_of(d), user_id, &side, NULL) ==
			RC_OK
		? side
		: NS_UNSAID;
}

/* One of our registration whom the homeserver has not; NULL: none was found. */
static const char *left_out(struct doctor *d)
{
	const struct fleet *f = &d->app->fleet;
	enum ns_side side = NS_INSIDE;
	for (size_t i = 0; i < f->n_agents && side == NS_INSIDE;
		i += f->n_agents / TRIED + 1) {
		const char *id = f->agents[i]->user_id;
		if (!registration_matches(&d->app->reg, NS_USERS, id))
			continue;
		side = side_of(d, id);
		if (side == NS_OUTSIDE)
			return id;
	}
	return NULL;
}

void check_covered(struct doctor *d)
{
	const char *inside = left_out(d);
	const char *outside = app_stranger(d->app, &d->app->reg, d->a);
	d->checked++;
	if (inside)
		doctor_find(d, inside,
			"it is in the namespace of our registration, but not "
			"in the one that the homeserver has",
			"the service cannot act for it, nor for others, maybe",
			doctor_fix_registered(d));
	if (outside && side_of(d, outside) == NS_INSIDE)
		doctor_find(d, outside,
			"it is in the namespace that the homeserver has, and "
			"not in that of our registration",
			"the service can act as somebody who is none of its "
			"agents, and so can who has its token",
			doctor_fix_registered(d));
}

/* --- administrators ------------------------------------------------------------------- */

static void find_admins(
	struct doctor *d, const char *room, const struct hs_ids *members)
{
	const char *server = d->app->fleet.server_name;
	for (size_t i = 0; i < members->n; i++)
		if (registration_owns(&d->app->reg, server, members->ids[i]))
			doctor_find(d, members->ids[i],
				arena_printf(d->a,
					"it is an administrator of the "
					"homeserver: it is in #admins:%s (%s)",
					server, room),
				"whoever talks it into something commands the "
				"homeserver with it",
				arena_printf(d->a,
					"as another administrator `/kick %s` "
					"in #admins:%s; where there is none, "
					"start Conduit with "
					"CONDUIT_EMERGENCY_PASSWORD, log in as "
					"conduit, invite a human, and kick it",
					members->ids[i], server));
}

/* Conduit lists who is in the room to those alone who are. */
static enum rc ask_admin_room(
	struct doctor *d, const char *room, const char *user_id)
{
	struct hs_ids members = { 0 };
	enum rc rc =
		hs_joined_members(d->as, user_id, room, d->a, &members, NULL);
	if (rc == RC_OK)
		find_admins(d, room, &members);
	return rc;
}

/* Until one may look, and sees the others: a refusal says of the next nothing,
 * and anything else is trouble that others are told of. */
static void ask_all(struct doctor *d, const char *room)
{
	const struct fleet *f = &d->app->fleet;
	const int64_t until = clock_mono_ms() + ASK_MS;
	enum rc rc = ask_admin_room(d, room, d->app->sender_id);
	for (size_t i = 0; i < f->n_agents && clock_mono_ms() < until &&
		(rc == RC_FORBIDDEN || rc == RC_EXCLUSIVE);
		i++)
		rc = ask_admin_room(d, room, f->agents[i]->user_id);
}

/* The first user of an empty one becomes administrator, whoever it is. */
void check_administrator(struct doctor *d)
{
	const char *server = d->app->fleet.server_name;
	const char *room = NULL;
	if (kind_of(d) != HS_CONDUIT && kind_of(d) != HS_TUWUNEL)
		return;
	d->checked++;
	if (hs_admin_room(d->plain, server, d->a, &room, NULL) == RC_OK)
		ask_all(d, room);
}
