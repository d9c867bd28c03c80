/*
 * agent/ways_priv.h: what the ways of giving a program its token are made of.
 * deliver.c has the table of them; scratch.c is where a token is in private;
 * template.c and openclaw.c are two of the ways; merge.c, json5.c and workspace.c are what openclaw.c needs.
 */
#ifndef AGENT_WAYS_PRIV_H
#define AGENT_WAYS_PRIV_H

#include "agent/agent.h"
#include "base/json.h"

/* --- deliver.c -------------------------------------------------------- */

/* From where we are, as the program may go elsewhere. Free it. */
MUST_CHECK char *path_absolute(const char *path);

/* --- scratch.c -------------------------------------------------------- */

#define SCRATCH_BASES 3 /* $TMPDIR, /dev/shm, /tmp */
#define SCRATCH_FILE "access_token"
/* A new directory that only we can enter, ours for as long as the descriptor is
 * open; NULL, see errno: there is no place for one. Free it. */
MUST_CHECK char *scratch_new(int *ret_fd);
/* Removes those with a token in them that nobody has, of this user alone, and
 * says so. What is in another form stays. */
void scratch_sweep(void);

/* --- template.c ------------------------------------------------------- */

/*
 * A text with {{placeholders}}: the fields of the hand-off. Where the text is
 * JSON, what is put in is, too: escaped inside a string, outside of one a
 * string with its quotes, or a number.
 */
struct template;
/*
 * Checks n bytes: RC_INVALID with name:line:column for a placeholder that is
 * none, and, where it must be JSON, for a text that is not. Copies it.
 */
MUST_CHECK enum rc template_new(const char *p, size_t n, const char *name,
	bool must_be_json, struct template **ret, struct err *e);
void template_free(struct template *t);
/* The text with h in it; homeserver is the one to be told. Wipe it. */
MUST_CHECK enum rc template_fill(const struct template *t,
	const struct handoff *h, const char *homeserver, struct buf *out,
	struct err *e);
/* That file says by its name that it is JSON. */
bool template_is_json_name(const char *path);

/* --- json5.c ---------------------------------------------------------- */

/*
 * OpenClaw reads its configuration as JSON5: comments, commas at the end, keys
 * without quotes, single quotes, numbers such as +1, .5 and 0xff. Writes the
 * same as JSON, values where they stood, line by line, so that a message about
 * it names the right line. What is not JSON5 either comes out as it is, for
 * the parser of JSON to say what is wrong.
 */
void json5_to_json(const char *p, size_t n, struct buf *out);

/* --- merge.c ---------------------------------------------------------- */

/* The same value; an object's members in any order, numbers by what they are.
 */
bool merge_same(struct js a, struct js b);
/*
 * What comes of `own`, which was once made from `base`, when there is `seed`
 * now: what own has changed, added and removed stays; everything else is as in
 * seed. Objects member by member, all else as a whole. Without base (nothing)
 * all that own has is its own. Indented.
 */
void merge_three(
	struct js base, struct js seed, struct js own, struct buf *out);

/* A change of a document: path "channels.matrix.userId"; members on the way
 * that are missing or no objects are made. */
struct merge_edit {
	const char *path;
	const char *json; /* the value; NULL: removed */
	bool missing;     /* only where there is none */
};
/* v (an object, or nothing) with at most 32 edits, each path once. Indented. */
void merge_edit(
	struct js v, const struct merge_edit *edits, size_t n, struct buf *out);

/* --- workspace.c ------------------------------------------------------ */

/*
 * Copies the files that an agent of OpenClaw starts from (IDENTITY.md …
 * org.json) from one directory to another, which is made: those that are not
 * there, and those that the agent has not changed since they were copied;
 * `memory` is the file that knows what was. What the agent has changed or
 * removed stays so. Never through a symbolic link. Says what it leaves.
 */
MUST_CHECK enum rc workspace_copy(
	const char *from, const char *to, const char *memory, struct err *e);

/* --- openclaw.c ------------------------------------------------------- */

struct openclaw;
/* Decides where everything lies, and reads the seed: what is wrong with it is
 * said before anything is waited for. */
MUST_CHECK enum rc openclaw_new(
	const struct options *o, struct openclaw **ret, struct err *e);
void openclaw_free(struct openclaw *c);
/* The include file; the first time also OpenClaw's configuration and the files
 * of the workspace. */
MUST_CHECK enum rc openclaw_deliver(struct openclaw *c, const struct handoff *h,
	const char *homeserver, struct err *e);
/* The path of the include file. */
const char *openclaw_include(const struct openclaw *c);
/* Shell commands that stop and start OpenClaw's Matrix channel. */
const char *openclaw_pause(const struct openclaw *c);
const char *openclaw_resume(const struct openclaw *c);
/* Where OpenClaw may include files from: the value of this variable. */
#define OPENCLAW_ROOTS "OPENCLAW_INCLUDE_ROOTS"
const char *openclaw_roots(const struct openclaw *c);
/* What the fleet's own runtime told programs that ask for the workspace; NULL:
 * there is none. */
#define OPENCLAW_WORKSPACE "OPENCLAW_WORKSPACE"
const char *openclaw_workspace(const struct openclaw *c);
/* Where the fleet mounts it, unless it says so; NULL: nothing is there. */
#define OPENCLAW_WORKSPACE_PLACE "/workspace"
const char *openclaw_default_workspace(void);
/* NAME=VALUE in our environment would overrule what was delivered. */
bool openclaw_overrules(const char *variable);

/* --- openclaw_calls.c -------------------------------------------------- */

/* Shell commands; the program itself is called, where it is OpenClaw. Free
 * them; NULL: no memory. */
MUST_CHECK char *openclaw_call_stop(const struct options *o);
MUST_CHECK char *openclaw_call_start(const struct options *o);

/* --- private.c -------------------------------------------------------- */

/* The URL is http, or some address of its host is this machine's or a private
 * network's. */
bool openclaw_is_private(const char *url);

#endif
