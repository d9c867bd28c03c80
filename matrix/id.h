/*
 * matrix/id.h: Matrix identifiers and their grammar (specification, appendix
 * "Identifier Grammar"). What we create is held to the strict grammar; what we
 * receive may be historical and is only taken apart. Pure functions.
 */
#ifndef MATRIX_ID_H
#define MATRIX_ID_H

#include "base/arena.h"
#include "base/str.h"

/*
 * Splits "@localpart:server" (or "#alias:server") at the first colon; false
 * when the sigil, the colon or the server is missing or it is over 255 bytes.
 * The localpart may be empty and hold anything but a colon and NUL (historical
 * ids).
 */
MUST_CHECK bool id_split(
	const char *id, char sigil, struct str *localpart, struct str *server);

/* A localpart we may create: one or more of a-z 0-9 . _ = - / + */
bool id_localpart_ok(struct str localpart);
/* A user id of the strict grammar, at most 255 bytes; on failure `why` is a
 * constant phrase such as "has an upper-case letter". */
bool id_user_ok(const char *user_id, const char **why);
/* DNS name, IPv4 or [IPv6], optional port. */
bool id_server_ok(const char *server);
/* "#x:server" with no NUL, colon-free non-empty localpart, at most 255 bytes. */
bool id_alias_ok(const char *alias);
/* "!" and at least one more byte; opaque otherwise (room version 12 has no
 * server in it). */
bool id_room_ok(const char *room_id);

/* The server of a user id or alias is exactly this one (case-sensitive). */
bool id_is_local(const char *id, const char *server_name);
/* "@localpart:server". */
char *id_user(struct arena *a, const char *localpart, const char *server);
/* "#localpart:server". */
char *id_alias(struct arena *a, const char *localpart, const char *server);

/*
 * A name as part of an alias: lower-case (Unicode's simple mapping), runs of
 * white space become one `-`, a colon and control characters become `-` too;
 * everything else stays, so that rooms made by others from the same names are
 * found. NULL when out of memory.
 */
char *alias_part(struct arena *a, const char *name);

#endif
