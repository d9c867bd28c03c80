/*
 * agent/agent.h: what the files of muster-agent share.
 *
 * The main thread waits for the hand-off, delivers it, starts the program and
 * then does nothing but signals and processes (supervise.c). What may hang (the
 * shared file system, the network) is done from then on by one more thread
 * (follow.c), so that a signal always gets through. That one asks the main
 * thread for everything that is done to a process.
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
	const char *ca_file;           /* NULL: the system's authorities */
	const char *user; /* whose token it must be; NULL: anybody's */
	int64_t deadline_ms;
	int64_t check_ms; /* how often we ask who we are */
	bool once;
	bool help;
	char **program; /* NULL-terminated, empty with `once` */
};

struct supervise;
struct watch;

struct agent {
	struct options o;
	char name[128]; /* who acknowledges */
	struct hs_gate *gate;
	struct watch *watch;
	struct handoff now;        /* what the program has */
	char *private_dir;         /* ours to remove; NULL: none */
	int private_fd;            /* that holds it; -1: none */
	char *token_file;          /* where the way writes; NULL: nowhere */
	struct template *filled;   /* of FOR_TEMPLATE */
	struct openclaw *openclaw; /* of FOR_OPENCLAW */
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
/* Before the program starts: all that we hand on, and SIGCHLD, now wait to be
 * read from a descriptor. False: there is none, see errno. */
MUST_CHECK bool signals_hold(int *ret_fd);
/* The next one that came; 0: none. *from_terminal: it was sent to the whole
 * process group. */
int signals_next(int fd, bool *from_terminal);
/* Whether it is one that asks a program to end. */
bool signals_is_end(int sig);
/* In a child, before it is executed: as we found them. */
void signals_restore(void);

/* --- watch.c ---------------------------------------------------------- */

/* A nap that ends early when something comes into a directory. Only a hint:
 * no network file system tells of what another host does. */
MUST_CHECK struct watch *watch_new(void);
void watch_free(struct watch *w);
/* Watches this directory, which is (dev, ino), from now on. */
void watch_on(struct watch *w, const char *path, dev_t dev, ino_t ino);
/* Until a hand-off or a request comes, watch_wake(), a signal, or ms are
 * over. One thread. */
void watch_nap(struct watch *w, int64_t ms);
/* Ends the nap, or the next one. Any thread. */
void watch_wake(struct watch *w);

/* --- wait.c ----------------------------------------------------------- */

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

/* Decides where the token lies, and makes the private directory; removes what
 * others that were killed have left of theirs. */
MUST_CHECK enum rc deliver_prepare(struct agent *a, struct err *e);
/* Writes what the way wants of h, by rename. */
MUST_CHECK enum rc deliver_file(
	const struct agent *a, const struct handoff *h, struct err *e);
/* Removes the private file and directory, if any. */
void deliver_remove(const struct agent *a);
/* Frees what deliver_prepare() has made for the way. */
void deliver_free(struct agent *a);
/* What pauses a program of this way and lets it go on, for sh -c, where the
 * options do not say it; NULL: the way has none. Borrowed from a. */
const char *deliver_pause_command(const struct agent *a);
const char *deliver_resume_command(const struct agent *a);
/* The program's environment: ours, with the MATRIX_ variables that it was
 * promised and no others of them. */
MUST_CHECK char **deliver_env(const struct agent *a);
void deliver_env_free(char **env);

/* --- child.c ---------------------------------------------------------- */

struct child {
	char *const *argv;
	char **env;
	bool group; /* it leads a process group of its own */
	bool hook;  /* nothing to read, what it prints goes to our stderr */
};
/* Starts it: 0, else what to exit with (told already). It gets SIGTERM when we
 * die. */
MUST_CHECK int child_start(const struct child *c, pid_t *ret);
/* As a shell gives it. */
int child_status(int status);

/* --- supervise.c ------------------------------------------------------ */

/* The main thread's: starts the program in this environment: 0, else what to
 * exit with (told already). */
MUST_CHECK int supervise_begin(
	const struct agent *a, char **env, struct supervise **ret);
/* Hands signals on, buries the dead and does what is asked for below, until
 * the program ends by itself; its status. From then on all that is asked for is
 * RC_STOPPING. */
int supervise_loop(struct supervise *s);
void supervise_free(struct supervise *s);

/* The other thread's; each waits until it is done. RC_STOPPING: the program has
 * ended by itself, or is to. */

/* Ends the program and its process group: by SIGTERM, and what is left of them
 * after 10 s by SIGKILL. */
MUST_CHECK enum rc supervise_stop(struct supervise *s);
/* Starts it again after that. */
MUST_CHECK enum rc supervise_start(struct supervise *s, char **env);
MUST_CHECK enum rc supervise_signal(struct supervise *s, int sig);
/* Runs a command by sh -c; MUSTER_PROGRAM_PID is added to env. RC_IO: it did not
 * start, its status is not 0; RC_TIMEOUT: it had to be killed. */
MUST_CHECK enum rc supervise_command(struct supervise *s, const char *what,
	const char *command, char **env, int64_t limit_ms, struct err *e);

/* --- give.c ----------------------------------------------------------- */

/* What the program is to have is a->now; these bring it there. Of the other
 * thread. */
struct give {
	struct agent *a;
	struct supervise *s;
	bool stale;  /* the program has yet to hear of a->now */
	bool paused; /* and to go on */
	bool down;   /* it was ended for that */
};

/* Whether the program can be given another token at all. */
bool give_can(const struct agent *a);
/* Pauses the program, in the way that it has; at most so long. It goes on
 * already when that failed. */
MUST_CHECK enum rc give_pause(struct give *g, int64_t limit_ms, struct err *e);
/* Tells the program of a->now if it has to be told, and lets it go on if it is
 * paused. After a failure it can be asked for again. */
MUST_CHECK enum rc give_on(struct give *g, struct err *e);

/* --- rotate.c --------------------------------------------------------- */

/* A rotation as the agent sees it. */
struct rotation {
	int64_t asked;      /* the newest request that was looked at */
	int64_t generation; /* that we are waiting for; 0: none */
	int64_t until_ms;   /* when the program goes on with what it has */
	int64_t late_ms;    /* and when also with a token that is dead */
	int64_t ask_ms;     /* when to ask whether it is */
	bool answered;      /* paused.<generation>.json is there */
	bool looked;        /* at the directory, once */
};

/* Before the program is started with h: RC_PENDING while h is about to be
 * replaced; that is answered, as nothing runs. */
MUST_CHECK enum rc rotation_before(struct rotation *r, const struct agent *a,
	const struct handoff *h, int dirfd, struct err *e);
/* Looks for a request in the open directory, pauses the program and answers;
 * lets it go on when nothing comes of it. */
MUST_CHECK enum rc rotation_look(
	struct rotation *r, struct give *g, int dirfd, struct err *e);
/* A newer token was taken. */
void rotation_end(struct rotation *r);

/* --- follow.c --------------------------------------------------------- */

struct follow;
/* Starts to acknowledge and to look for newer generations; from now on a->now
 * is the follower's. */
MUST_CHECK enum rc follow_start(struct agent *a, struct supervise *s,
	struct follow **ret, struct err *e);
/* Ends it, once the acknowledgement is written (NULL is fine). False when it
 * hangs: then what it uses must not be freed. */
bool follow_stop(struct follow *f);

/* --- run.c ------------------------------------------------------------ */

/* Everything; returns what to exit with. Does not return when the follower
 * hangs. */
int agent_run(const struct options *o);

#endif
