/*
 * registration/registration_priv.h: what the files of this folder share.
 */
#ifndef REGISTRATION_REGISTRATION_PRIV_H
#define REGISTRATION_REGISTRATION_PRIV_H

#include "registration/registration.h"

/* What is wrong with a value, as words that follow its name ("is empty");
 * NULL when nothing is. */
const char *registration_id_fault(const char *id);
const char *registration_url_fault(const char *url);
const char *registration_sender_fault(const char *localpart);
const char *registration_token_fault(const char *token);

/* A copy without the slashes that a URL may end with (AS-07). */
char *registration_url_copy(struct arena *a, const char *url);

/* "users", "aliases", "rooms". */
const char *namespace_kind_name(enum ns_kind kind);
MUST_CHECK enum rc namespace_compile(struct namespace *ns, struct err *e);
void namespace_free(struct namespace *ns);

/* What homeservers may read differently in a pattern. */
struct namespace_traits {
	bool anchored; /* at both ends, whichever alternative matches */
	bool portable; /* no \d, no (?: : not every dialect has them */
};
struct namespace_traits namespace_look(const char *regex);

/* --- registering ---------------------------------------------------------- */

/* A line of what is done now, for o->say if there is one; cut at 511 bytes. */
void register_say(const struct register_options *o, const char *fmt, ...)
	PRINTF_LIKE(2, 3);

/* One of its tokens is in the text. */
bool register_has_token(const struct registration *r, const char *text);

/* RC_STOPPING once o->stop is raised. */
MUST_CHECK enum rc register_stopped(
	const struct register_options *o, struct err *e);

/* What is noted at the homeserver of what was registered last. */
enum noted { NOTED_NONE, NOTED_SAME, NOTED_OTHER };
/* NOTED_OTHER: what differs is said. */
enum noted register_noted(const struct register_options *o);
/* Notes that this is registered, and that it was finished. */
void register_note(const struct register_options *o);
/* Forgets what is noted as registered, before that changes: the note is never
 * of anything else, whenever we end. */
void register_forget(const struct register_options *o);
/* As if nothing had ever been noted. */
void register_unnote(const struct register_options *o);

/* RC_PENDING: nothing was done, by request. */
enum rc register_dry(struct err *e);

/* Says where the file belongs; always RC_PENDING (or RC_NOMEM). */
MUST_CHECK enum rc register_by_file(
	const struct register_options *o, struct err *e);

/* It has read the file as it was before: says how it reads it again; always
 * RC_PENDING. */
MUST_CHECK enum rc register_by_restart(
	const struct register_options *o, struct err *e);
/* "restart Synapse" */
const char *register_restart_words(const struct register_options *o);

/* Says where to take it out; always RC_PENDING (or RC_NOMEM). */
MUST_CHECK enum rc unregister_by_file(
	const struct register_options *o, struct err *e);

/* --- in the admin room of Conduit or Tuwunel ------------------------------- */

/* How a kind's administrators talk to its bot. */
struct dialect {
	const char *name, *env; /* it, and what its variables begin with */
	const char *begin;      /* of a command; NULL: the bot's id and ": " */
	const char *enrol, *withdraw, *list;
	/* Its answer may stand below what it logged, and words of failure in a
	 * fence; and it splits a command at blanks, in quotes or not. */
	bool wraps;
};
/* NULL: it has no such room. */
const struct dialect *dialect_of(enum hs_kind kind);
/* A command; what follows it is the caller's. */
void dialect_command(struct buf *out, const struct dialect *d, const char *bot,
	const char *words);
/* Where the answer says these words; NULL: it does not begin with them. */
const char *dialect_says(
	const struct dialect *d, const char *text, const char *words);
/* How many bytes from there on are worth showing. */
int dialect_words(const struct dialect *d, const char *said);

/* It is done there: on Conduit always, on Tuwunel, which takes a file as well,
 * where an administrator is configured. */
bool register_by_room(const struct register_options *o);

/* How long the admin room's bot may take to answer. */
#define CONDUIT_ANSWER_MS 10000

/* An administrator's session there: o->plain has its token. */
struct visit {
	const struct register_options *o;
	const struct dialect *d;
	struct arena arena;
	struct hs_session session;
	const char *bot, *room;
	bool made; /* the account, just now */
};
/* It is as Conduit's own user, by the emergency password. */
bool visit_is_emergency(const struct visit *v);

/* Logs in, or makes the account where there is none. Also after a failure
 * visit_end() takes back what there is: the session ends. */
MUST_CHECK enum rc visit_begin(
	struct visit *v, const struct register_options *o, struct err *e);
void visit_end(struct visit *v);
/* RC_FORBIDDEN: who we are there may not say anything in the admin room. */
enum rc visit_no_admin(const struct visit *v, struct err *e);

/* A command of the bot's, and what its answers mean. */
struct command {
	struct buf text; /* with a token in it, or without */
	bool secret;     /* with: redacted, whatever comes of it */
	bool must;       /* sent also when we are to end */
	/* Whether this is the answer, as the bot does not say what it answers;
	 * then *ret, with words in e. */
	bool (*is_answer)(const struct command *c, const char *text,
		enum rc *ret, struct err *e);
	const struct register_options *o;
	const char *event; /* once it was sent */
	const char *said;  /* the answer, in the visit's arena */
	char txn[64];
	int64_t answer_ms;
};

/* Sends it and waits for the answer. */
MUST_CHECK enum rc visit_command(
	struct visit *v, struct command *c, struct err *e);
/* Redacts what somebody who was killed, or an operator, has left there: older
 * commands that register this id. */
MUST_CHECK enum rc visit_tidy(struct visit *v, struct err *e);

/* RC_EXISTS, with words, when another service has agents of ours. unknown: the
 * homeserver does not know our token, so none is ours yet. */
MUST_CHECK enum rc visit_taken(
	struct visit *v, int64_t answer_ms, bool unknown, struct err *e);

/* Our token is that of the registration with this id there, as far as it
 * says. */
bool register_is_known_as(const struct register_options *o, const char *id);
/* With which one it is, asked in the admin room; NULL: it cannot be told, and is
 * not in a dry run. */
const char *register_known_as(
	const struct register_options *o, int64_t answer_ms, struct arena *a);
/* The same as far as it can be known without a message; unknown: only says it. */
MUST_CHECK enum rc register_taken_dry(
	const struct register_options *o, bool unknown, struct err *e);

/* Takes our id out. RC_UNSUPPORTED: it is there by a file. */
MUST_CHECK enum rc visit_withdraw(
	struct visit *v, int64_t answer_ms, bool must, struct err *e);

/* By a command in the admin room. RC_OK: its bot said that it is done.
 * unknown: the homeserver does not know our token yet. *entered: it came to a
 * session there. RC_PENDING: it is registered by a file, and the operator was
 * told so. */
MUST_CHECK enum rc register_conduit(const struct register_options *o,
	int64_t answer_ms, bool unknown, bool *entered, struct err *e);
/* Only takes away what was left there. */
MUST_CHECK enum rc register_tidy(
	const struct register_options *o, bool *entered, struct err *e);
/* Whether that could be begun, which is tried by a session that ends at once, and
 * what it would do; RC_PENDING: it was said. */
MUST_CHECK enum rc register_conduit_dry(
	const struct register_options *o, struct err *e);

/* The same of any command there, `what` is what it does ("take \"x\" back"). */
MUST_CHECK enum rc visit_dry(
	const struct register_options *o, const char *what, struct err *e);

#endif
