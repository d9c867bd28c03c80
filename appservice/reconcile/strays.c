/*
 * Rooms of ours that the store has lost: those who leave the fleet must not
 * stay in them because nobody remembers that they are in there.
 */
#include <string.h>

#include "appservice/reconcile/work.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"

#include "base/poison.h"

/* It carries our mark, which only its maker can have put there. */
static enum rc is_marked(
	struct work *w, const char *room_id, bool *ret, struct err *e)
{
	struct buf create;
	struct json *doc = NULL;
	*ret = false;
	buf_init(&create, LIMIT_ANSWER);
	enum rc rc = hs_state(w->hs, w->step->subject, room_id,
		room_state_type(ROOM_STATE_CREATE), "", &create, e);
	if (rc == RC_OK &&
		json_parse(create.p, create.n, NULL, &doc, NULL) == RC_OK)
		*ret = js_get_str(json_root(doc), ROOM_MARK) != NULL;
	json_free(doc);
	buf_free(&create);
	return rc;
}

static enum rc leave_if_ours(struct work *w, const char *room_id, struct err *e)
{
	bool known = false, marked = false;
	enum rc rc = store_room_has_key(w->app->store, room_id, &known, e);
	if (rc == RC_OK && !known)
		rc = is_marked(w, room_id, &marked, e);
	if (rc != RC_OK || !marked)
		return rc;
	log_info("an agent leaves a room of ours that nobody remembers",
		LS("agent", w->step->subject), LS("room_id", room_id));
	return hs_leave(w->hs, w->step->subject, room_id, e);
}

/* After these nothing else would work either. */
static bool is_fatal(enum rc rc)
{
	return rc == RC_NETWORK || rc == RC_TIMEOUT || rc == RC_UNAUTHORIZED ||
		rc == RC_STOPPING || rc == RC_NOMEM || rc == RC_IO;
}

enum rc work_leave_strays(struct work *w, struct err *e)
{
	struct hs_ids rooms = { 0 };
	enum rc rc = hs_joined_rooms(w->hs, w->step->subject, &w->a, &rooms, e);
	for (size_t i = 0; i < rooms.n && rc == RC_OK; i++) {
		struct err why = { 0 };
		rc = leave_if_ours(w, rooms.ids[i], &why);
		if (is_fatal(rc))
			return err_set(e, rc, "%s", why.text);
		if (rc != RC_OK)
			log_warn("an agent that leaves is still in a room",
				LS("agent", w->step->subject),
				LS("room_id", rooms.ids[i]),
				LS("error", why.text));
		rc = RC_OK;
	}
	return rc;
}
