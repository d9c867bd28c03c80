/*
 * base/base.h: what every file of the program shares: result codes, the one
 * error type, and the attributes that make the compiler check both.
 *
 * A function that can fail in more than one way returns enum rc; one that can
 * fail in one way returns bool. What happened, in words for a person, goes to
 * struct err, which lives on the caller's stack and never allocates. Passing
 * NULL for it is allowed everywhere. Libraries return errors; only appservice/
 * and agent/ print or log them.
 *
 * Thread-safe: nothing here has state.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* X(name, words): every way in which something can fail. */
#define RC_TABLE(X)                                                            \
	X(OK, "ok")                                                            \
	X(NOMEM, "out of memory")                                              \
	X(INVALID, "invalid input")                                            \
	X(NOT_FOUND, "not found")                                              \
	X(EXISTS, "exists already")                                            \
	X(TOO_LARGE, "too large")                                              \
	X(BUSY, "in use by somebody else")                                     \
	X(IO, "input or output failed")                                        \
	X(NETWORK, "could not be reached")                                     \
	X(TIMEOUT, "timed out")                                                \
	X(UNAUTHORIZED, "token not known")                                     \
	X(FORBIDDEN, "refused")                                                \
	X(EXCLUSIVE, "outside the namespace")                                  \
	X(LIMITED, "rate limited")                                             \
	X(REMOTE, "unexpected answer")                                         \
	X(CORRUPT, "corrupt")                                                  \
	X(VERSION, "made by a newer version")                                  \
	X(PENDING, "not done yet")                                             \
	X(REVOKED, "revoked")                                                  \
	X(UNSUPPORTED, "not offered")                                          \
	X(STOPPING, "stopping")                                                \
	X(STALE, "gone stale on its server")

enum rc {
#define X(name, words) RC_##name,
	RC_TABLE(X)
#undef X
};

/* The words of a result code; never NULL. */
const char *rc_words(enum rc rc);

struct err {
	enum rc rc;
	char text[512];
};

/*
 * Fills *e (NULL allowed) and returns rc, so that a failing function can say
 * `return err_set(e, RC_INVALID, "...", ...)`. Text that does not fit is cut.
 * Never give it a secret.
 */
enum rc err_set(struct err *e, enum rc rc, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

/* Puts "prefix: " before the text that is there; returns e->rc (or rc when
 * e is NULL). */
enum rc err_wrap(struct err *e, enum rc rc, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

/* Out of memory, in words. */
enum rc err_nomem(struct err *e);

/* Gives what is free back to the system: after something large and rare, whose
 * room the C library would keep. */
void give_back_memory(void);

#endif
