/*
 * registration/registration.h: the application service registration: what it
 * says, its file, its namespaces, and registering it with a homeserver.
 *
 * A struct registration owns its memory; registration_free() wipes the tokens.
 * Not thread-safe while it is built; read by any thread afterwards.
 */
#ifndef REGISTRATION_REGISTRATION_H
#define REGISTRATION_REGISTRATION_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/report.h"
#include "base/secret.h"
#include "matrix/hs.h"

#define REGISTRATION_OTHERS 037 /* in its file's mode: it is refused */

enum ns_kind { NS_USERS, NS_ALIASES, NS_ROOMS, NS_KINDS };

struct namespace
{
	const char *regex;
	bool exclusive;
	void *compiled; /* what it is matched by; namespace.c's own */
};

struct registration {
	struct arena arena;
	const char *id, *url; /* url NULL: no traffic wanted */
	const char *sender_localpart;
	struct secret as_token, hs_token; /* 64 hex characters when ours */
	bool rate_limited;
	struct {
		struct namespace *items;
		size_t n;
	} ns[NS_KINDS];
};

/* What the configuration and the fleet want the registration to be. */
struct registration_want {
	const char *id, *url, *sender_localpart, *server_name;
	const char *prefix;       /* namespace: {prefix: …}; NULL: declared */
	const char *const *users; /* declared: full ids, sorted, no duplicate */
	size_t n_users;
	const char *const *aliases; /* full aliases, sorted, no duplicate */
	size_t n_aliases;
};

/*
 * A new registration from what is wanted, tokens from the system's generator
 * (AS-01, AS-03). Users: one exclusive pattern, both ends anchored, every
 * literal escaped, server included: `^@(a\.b|c):server\.name$`, or
 * `^@prefix[a-z0-9._=/+-]+:server\.name$`. Aliases: one exclusive pattern, or
 * none when no alias is declared. No rooms. rate_limited false. The patterns
 * are compiled.
 */
MUST_CHECK enum rc registration_make(const struct registration_want *w,
	struct registration *ret, struct err *e);
void registration_free(struct registration *r);

/* Reads and checks a file (AS-01 to AS-18): required keys, types, token
 * alphabet, patterns that compile; unknown keys are ignored. Errors are
 * "file:line:column: …". RC_NOT_FOUND when there is none. The patterns are
 * compiled. RC_INVALID also where others can read or change it: a group may read
 * it, that of the homeserver, and nobody else. Warns in `report` (may be NULL)
 * about patterns that are not anchored. */
MUST_CHECK enum rc registration_read(const char *path, struct registration *ret,
	struct report *report, struct err *e);
/* Writes it, replaced whole: mode 0600, or 0640 with the group of the file that
 * is there, where that has this mode. */
MUST_CHECK enum rc registration_write(
	const char *path, const struct registration *r, struct err *e);
/* The YAML text that a file would hold: tokens included, so not for logs. */
MUST_CHECK enum rc registration_yaml(
	const struct registration *r, struct buf *out);
/* Everything but the tokens is the same; else *what names the first key that
 * differs ("url", "namespaces.users" …). */
bool registration_same(const struct registration *a,
	const struct registration *b, const char **what);
/* Moves the tokens of `from` into r (copies). */
MUST_CHECK enum rc registration_keep_tokens(
	struct registration *r, const struct registration *from);

/* One escaped for a pattern: what Python, Go, Rust and POSIX agree on. */
void namespace_escape(struct buf *out, const char *literal);
/* The id matches one of the kind's patterns, as homeservers match it
 * (unanchored search). */
bool registration_matches(
	const struct registration *r, enum ns_kind kind, const char *id);
/* Is this user ours: of this server and in the users namespace by a match of
 * the whole id, or the sender (AS-11). */
bool registration_owns(const struct registration *r, const char *server_name,
	const char *user_id);

/* --- registering with a homeserver ---------------------------------------- */

/* What listens at its URL takes a ping without any token, so it is no
 * application service. False also where it cannot be asked from here. Takes 5 s
 * at most. */
bool registration_answered_blindly(const struct registration *r);

/* It can be done by an administrator's account alone, in the admin room. */
bool registration_has_room(enum hs_kind kind);

/* Where a user is to the namespace that a homeserver has. */
enum ns_side { NS_INSIDE, NS_OUTSIDE, NS_UNSAID };
/* By whether it lets who has the token of `as` act as the user, who need not
 * exist. No homeserver says what it has registered. */
MUST_CHECK enum rc registration_side(struct hs *as, enum hs_kind kind,
	const char *user_id, enum ns_side *ret, struct err *e);

struct register_options {
	struct hs *as;    /* with the as_token */
	struct hs *plain; /* a second client, without a token */
	const struct registration *reg;
	const char *server_name;
	enum hs_kind kind;
	const char *registration_path; /* for what we tell the user */
	/* Conduit: whose account; NULL: none configured. */
	const char *admin_user;          /* a localpart */
	const char *admin_password_file; /* made when missing; may be NULL */
	const struct secret *admin_password;     /* not set: file is missing */
	const struct secret *registration_token; /* may be unset */
	/* Raised: RC_STOPPING, once what was begun in the admin room is taken
	 * back; abort: at once. NULL: none. Both clients obey `stop`. */
	const atomic_bool *stop, *abort;
	const char *const *probe_users; /* ids that must be in the namespace */
	size_t n_probe;
	const char *probe_outside; /* one that should not be; NULL: none known.
				      Passed over where reg has it. */
	bool dry_run;    /* only says what would be done: RC_PENDING when it is
			 anything */
	bool no_account; /* makes none for admin_user */
	/* Says what is being done, one line a step; never a secret. */
	void (*say)(void *arg, const char *line);
	void *arg;
};

/*
 * Registers and proves both directions: whoami with the token, ping back. The
 * caller's listener must be up. Does nothing when that is already so. The
 * appservice's own user is registered on the way. RC_OK proven; RC_PENDING the
 * operator has to do the step that was said (Synapse: a line of
 * homeserver.yaml), anything else failed, in words that say what to do.
 */
MUST_CHECK enum rc registration_register(
	const struct register_options *o, struct err *e);
/*
 * Takes it back, and proves that the homeserver does not take the token any
 * more. Does nothing where it is not known; accounts, rooms and the agents' own
 * tokens stay, and no account is made. Results as above; RC_INVALID: the token
 * is another service's.
 */
MUST_CHECK enum rc registration_unregister(
	const struct register_options *o, struct err *e);

#endif
