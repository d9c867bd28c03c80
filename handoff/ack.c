/*
 * The agent's answers, that it is paused and that it has the token: one small
 * file a generation, under a name that nobody has looked for before, so that no
 * cache can hide it.
 */
#include "handoff/handoff.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "handoff/handoff_priv.h"

#include "base/poison.h"

static enum rc copy_text(struct js file, const char *name, const char *key,
	char *out, size_t size, struct err *e)
{
	const char *s = NULL;
	enum rc rc = handoff_get_text(file, name, key, size - 1, &s, e);
	if (rc == RC_OK)
		memcpy(out, s, strlen(s) + 1);
	return rc;
}

static enum rc decode(struct js file, const char *name, int64_t generation,
	struct handoff_ack *ret, struct err *e)
{
	struct handoff_ack ack = { .generation = generation };
	enum rc rc = copy_text(
		file, name, "user_id", ack.user_id, sizeof(ack.user_id), e);
	if (rc == RC_OK)
		rc = copy_text(file, name, "device_id", ack.device_id,
			sizeof(ack.device_id), e);
	if (rc == RC_OK)
		rc = handoff_get_number(file, name, "at_ms", 0, &ack.at_ms, e);
	if (rc == RC_OK)
		rc = copy_text(
			file, name, "agent", ack.agent, sizeof(ack.agent), e);
	if (rc == RC_OK)
		*ret = ack;
	return rc;
}

static enum rc read_answer(int dirfd, const char *kind, int64_t generation,
	struct handoff_ack *ret, struct err *e)
{
	char name[HANDOFF_NAME_MAX];
	struct json *doc = NULL;
	enum rc rc = handoff_note_load(dirfd, kind, generation, name, &doc, e);
	if (rc == RC_OK)
		rc = decode(json_root(doc), name, generation, ret, e);
	json_free(doc);
	return rc;
}

static bool answered(int dirfd, const char *kind, const struct handoff_ack *ack)
{
	struct handoff_ack old;
	return read_answer(dirfd, kind, ack->generation, &old, NULL) == RC_OK &&
		text_eq(old.user_id, ack->user_id) &&
		text_eq(old.device_id, ack->device_id);
}

static bool writable(const struct handoff_ack *ack)
{
	return ack->generation >= 1 && ack->generation <= JSON_INT_MAX &&
		ack->at_ms >= 0 && ack->at_ms <= JSON_INT_MAX &&
		handoff_value_ok(ack->user_id, LIMIT_ID) &&
		handoff_value_ok(ack->device_id, LIMIT_ID) &&
		handoff_value_ok(ack->agent, sizeof(ack->agent) - 1);
}

static enum rc write_answer(int dirfd, const char *kind,
	const struct handoff_ack *ack, struct err *e)
{
	if (!writable(ack))
		return err_set(e, RC_INVALID,
			"an acknowledgement's texts must not be empty or have "
			"control characters, its numbers not be negative");
	if (answered(dirfd, kind, ack))
		return RC_OK;
	struct handoff_note n;
	handoff_note_begin(&n, kind, ack->generation);
	jb_str(&n.jb, "user_id", ack->user_id);
	jb_str(&n.jb, "device_id", ack->device_id);
	jb_int(&n.jb, "at_ms", ack->at_ms);
	jb_str(&n.jb, "agent", ack->agent);
	return handoff_note_put(&n, dirfd, -1, -1, e);
}

enum rc handoff_ack_read(
	int dirfd, int64_t generation, struct handoff_ack *ret, struct err *e)
{
	return read_answer(dirfd, HANDOFF_ACK, generation, ret, e);
}

enum rc handoff_ack_write(
	int dirfd, const struct handoff_ack *ack, struct err *e)
{
	return write_answer(dirfd, HANDOFF_ACK, ack, e);
}

enum rc handoff_paused_read(
	int dirfd, int64_t generation, struct handoff_ack *ret, struct err *e)
{
	return read_answer(dirfd, HANDOFF_PAUSED, generation, ret, e);
}

enum rc handoff_paused_write(
	int dirfd, const struct handoff_ack *paused, struct err *e)
{
	return write_answer(dirfd, HANDOFF_PAUSED, paused, e);
}
