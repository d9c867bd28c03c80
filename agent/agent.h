/*
 * agent/agent.h: what the files of muster-agent share.
 *
 * The main thread waits for the hand-off, delivers it, starts the program and
 * then does nothing but signals and the program's end. What may hang (the
 * shared file system, the network) is done from then on by one more thread
 * (follow.c), so that a signal always gets through.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "handoff/handoff.h"
#include "matrix/hs.h"

/* What we exit with when it is not the program's own status. */
enum {
	EXIT_NOTHING = 124,    /* nothing was handed over in time */
	EXIT_OURS = 125,       /* our own failure, or wrong use */
	EXIT_NO_START = 126,   /* the program could not be started */
	EXIT_NO_PROGRAM = 127, /* or not be found */
	EXIT_SIGNAL = 128,     /* plus the signal's number */
};

/* How the program wants its token. */
enum agent_for { FOR_ENV, FOR_FILE, FOR_TEMPLATE, FOR_OPENCLAW };
/* How it comes to a new one: it looks by itself, is started again, is told. */
enum agent_reload { RELOAD_NONE, RELOAD_RESTART, RELOAD_SIGNAL };

struct options {
	enum agent_for how;
	const char *runtime;
	const char *output;         /* NULL: what the way has */
	const char *template;       /* what FOR_TEMPLATE fills */
	const char *pause, *resume; /* commands; both NULL: what the way has */
	enum agent_reload reload;
	bool reload_said;
	int reload_signal;             /* of RELOAD_SIGNAL */
	const char *workspace, *merge; /* of FOR_OPENCLAW; NULL: not said */
	const char *homeserver;        /* NULL: the one of the file */
	const char *user; /* whose token it must be; NULL: anybody's */
	int64_t deadline_ms;
	int64_t check_ms; /* how often we ask who we are */
	bool once;
	bool help;
	char **program; /* NULL-terminated, empty with `once` */
};

struct agent {
	struct options o;
	char name[128]; /* who acknowledges */
	struct hs_gate *gate;
	struct handoff now; /* what the program has */
	char *private_dir;  /* ours to remove; NULL: none */
	char *token_file;   /* for FOR_FILE */
};

/* --- options.c -------------------------------------------------------- */

/* Reads what stands after `run`; on failure e says what is wrong. Borrows
 * argv and the environment. */
MUST_CHECK enum rc options_read(
	int argc, char **argv, struct options *ret, struct err *e);
/* The options, one a line, to stdout. */
void options_print(void);

/* --- say.c ------------------------------------------------------------ */

/* One line on stderr: "muster-agent: …". Never a secret. Any thread. */
void say(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* --- signals.c -------------------------------------------------------- */

/* Raised by a signal that ends us while we wait, and at the program's end. */
extern atomic_bool agent_stop;

/* From the start: what ends us raises agent_stop, what is for the program
 * stays pending until it runs. */
void signals_catch(void);
/* The signal that raised agent_stop; 0: none. */
int signals_caught(void);
/* Before the program starts: all that we hand on, and SIGCHLD, now wait for
 * signals_next(). */
void signals_hold(void);
/* Waits for the next one: its number; 0 when it needs nothing done. */
int signals_next(void);
/* In the program's process, before it is executed: as we found them. */
void signals_restore(void);

/* --- wait.c ----------------------------------------------------------- */

/* Opens the runtime directory anew and reads the hand-off. */
MUST_CHECK enum rc agent_read(
	const struct agent *a, struct handoff *ret, struct err *e);
/* Asks the homeserver who the token is: RC_OK when it is whom h names,
 * RC_CORRUPT when it is somebody else, otherwise as hs_whoami(). */
MUST_CHECK enum rc agent_verify(const struct agent *a, const struct handoff *h,
	int timeout_ms, struct err *e);
/* Answers that a->now was delivered. */
MUST_CHECK enum rc agent_acknowledge(const struct agent *a, struct err *e);
/* Waits until there is a hand-off that is good and puts it into a->now: 0,
 * else what to exit with (told already). */
MUST_CHECK int agent_wait(struct agent *a);
/* The homeserver as the program is to know it. */
const char *agent_homeserver(const struct agent *a, const struct handoff *h);

/* --- deliver.c -------------------------------------------------------- */

/* Decides where the token lies, and makes the private directory. */
MUST_CHECK enum rc deliver_prepare(struct agent *a, struct err *e);
/* Writes what the way wants of h, by rename. */
MUST_CHECK enum rc deliver_file(
	const struct agent *a, const struct handoff *h, struct err *e);
/* Removes the private file and directory, if any. */
void deliver_remove(const struct agent *a);
/* What pauses a program of this way and lets it go on, for sh -c, where the
 * options do not say it; NULL: the way has none. Borrowed from a. */
const char *deliver_pause_command(const struct agent *a);
const char *deliver_resume_command(const struct agent *a);
/* The program's environment: ours, with the MATRIX_ variables that it was
 * promised and no others of them. */
MUST_CHECK char **deliver_env(const struct agent *a);
void deliver_env_free(char **env);

/* --- child.c ---------------------------------------------------------- */

/* Starts the program: 0, else what to exit with (told already). */
MUST_CHECK int child_start(char **program, char **env, pid_t *ret);
/* Hands signals on and buries the dead until the program ends; its status as
 * a shell gives it. */
int child_wait(pid_t pid);

/* --- follow.c --------------------------------------------------------- */

struct follow;
/* Starts to acknowledge and to look for newer generations; from now on a->now
 * is the follower's. */
MUST_CHECK enum rc follow_start(
	struct agent *a, struct follow **ret, struct err *e);
/* Ends it, once the acknowledgement is written (NULL is fine). False when it
 * hangs: then what it uses must not be freed. */
bool follow_stop(struct follow *f);

/* --- run.c ------------------------------------------------------------ */

/* Everything; returns what to exit with. Does not return when the follower
 * hangs. */
int agent_run(const struct options *o);

#endif
