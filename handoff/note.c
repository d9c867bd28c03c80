/*
 * Small files that have their generation in their name: what they hold is worth
 * nothing to a stranger, so anybody may read it.
 */
#include <inttypes.h>

#include "base/file.h"
#include "handoff/handoff_priv.h"

#include "base/poison.h"

void handoff_note_begin(
	struct handoff_note *n, const char *kind, int64_t generation)
{
	handoff_name(kind, generation, n->name);
	buf_init(&n->text, LIMIT_HANDOFF_FILE);
	jb_init(&n->jb, &n->text);
	jb_obj(&n->jb, NULL);
	jb_int(&n->jb, "generation", generation);
}

enum rc handoff_note_put(struct handoff_note *n, int dirfd, int64_t uid,
	int64_t gid, struct err *e)
{
	jb_end_obj(&n->jb);
	buf_addc(&n->text, '\n');
	enum rc rc = buf_rc(&n->text);
	if (rc == RC_OK) /* the other side may be another user */
		rc = file_replace_at(dirfd, n->name, n->text.p, n->text.n, 0644,
			uid, gid, e);
	else
		rc = err_nomem(e);
	buf_free(&n->text);
	return rc;
}

static enum rc check_generation(
	struct js file, const char *name, int64_t generation, struct err *e)
{
	int64_t found;
	enum rc rc = handoff_get_number(file, name, "generation", 1, &found, e);
	if (rc == RC_OK && found != generation)
		rc = err_set(e, RC_CORRUPT, "%s: is of generation %" PRId64,
			name, found);
	return rc;
}

enum rc handoff_note_load(int dirfd, const char *kind, int64_t generation,
	char name[HANDOFF_NAME_MAX], struct json **ret, struct err *e)
{
	handoff_name(kind, generation, name);
	enum rc rc = handoff_load(dirfd, name, ret, e);
	if (rc == RC_OK)
		rc = check_generation(json_root(*ret), name, generation, e);
	if (rc != RC_OK) {
		json_free(*ret);
		*ret = NULL;
	}
	return rc;
}
