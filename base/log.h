/*
 * base/log.h: the program's log: one JSON object (or one line of text) a
 * line on stderr, written by one write(2). The message is a constant, so that
 * it can be searched and counted; what varies is typed pairs after it:
 *
 *     log_info("transaction stored", LS("txn", id), LI("events", n));
 *
 * Values are escaped and cut at 1 KiB. Never a token, a body or a query
 * string. Only appservice/ and agent/ log. Any thread may call it. The level
 * is the program's one global besides the stop flag.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/base.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_JSON, LOG_TEXT };

struct log_pair {
	const char *key;
	const char *text; /* NULL: number */
	int64_t number;
};

/* NULL is shown as nothing. A function, so that an array may be given. */
static inline const char *log_text(const char *v)
{
	return v ? v : "";
}

#define LS(k, v) ((struct log_pair){ .key = (k), .text = log_text(v) })
#define LI(k, v) ((struct log_pair){ .key = (k), .number = (int64_t)(v) })

/* How to log from now on; before that it is JSON, at info. */
void log_setup(enum log_level level, enum log_format format);
bool log_enabled(enum log_level level);
/* Nothing beyond this level from now on; what was left out stays out. */
void log_at_most(enum log_level level);
/* Use the macros below. */
void log_line(enum log_level level, const char *msg,
	const struct log_pair *pairs, size_t n);

#define LOG_PAIRS(...)                                                         \
	(const struct log_pair[]){ __VA_ARGS__ },                              \
		sizeof((const struct log_pair[]){ __VA_ARGS__ }) /             \
		sizeof(struct log_pair)
#define log_error(msg, ...) log_line(LOG_ERROR, msg, LOG_PAIRS(__VA_ARGS__))
#define log_warn(msg, ...) log_line(LOG_WARN, msg, LOG_PAIRS(__VA_ARGS__))
#define log_info(msg, ...) log_line(LOG_INFO, msg, LOG_PAIRS(__VA_ARGS__))
#define log_debug(msg, ...) log_line(LOG_DEBUG, msg, LOG_PAIRS(__VA_ARGS__))

#endif
