/*
 * A homeserver that sends transactions as fast as they are answered: one in
 * flight, over one kept connection or a new one for each (as Conduit does).
 *
 * The next request is made while the service works on the one before, so that
 * nobody waits for it; which part of all the time that takes is printed
 * ("making"). Every answer must be 200 and {}. A repetition is one of the last
 * 64 requests, byte for byte. Prints one JSON object; events that came again
 * are counted once.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/str.h"
#include "tests/bench/events.h"

#include "base/poison.h"

#define REMEMBERED 64
#define ANSWER_MAX 16384
#define MAX_PER 10000
#define MAX_ROOMS 5000
#define MAX_ERRORS 10
#define ANSWER_SECONDS 60

static const char usage[] =
	"usage: load --port N --token-file FILE [option...]\n"
	"  --auth both|header|query   where the token goes (both)\n"
	"  --server NAME      of rooms and users (fleet.test)\n"
	"  --agents FILE      their user ids, one a line\n"
	"  --kind agents|others|messages|mixed|fill (others)\n"
	"  --per N            events in a transaction (30)\n"
	"  --transactions N, --events N, --seconds N: when to end\n"
	"  --repeats N        of a hundred transactions (10)\n"
	"  --rooms N          in which this happens (200)\n"
	"  --new              a connection for each transaction\n"
	"  --spin             ask for the answer again and again, do not "
	"sleep\n"
	"  --seed N           (1) every run on one store needs its own\n"
	"  --expect FILE      write what must be stored: room, user, "
	"membership\n";

enum auth { AUTH_HEADER = 1, AUTH_QUERY = 2, AUTH_BOTH = 3 };

struct options {
	uint16_t port;
	enum auth auth;
	enum kind kind;
	const char *token_file, *server, *agents, *expect;
	char token[256];
	unsigned per, repeats, rooms;
	uint64_t transactions, events, seconds, seed;
	bool fresh, spin;
};

struct request {
	struct buf text, body;
	struct change *changes;
};

/* One to be sent; `again`: it was sent before. */
struct job {
	struct request *r;
	bool again;
};

struct counts {
	uint64_t transactions, repeated, events, members, errors;
};

struct load {
	struct options o;
	struct world world;
	struct request ring[REMEMBERED];
	uint64_t made;
	int fd;
	struct times times;
	uint64_t making_ns;
	struct counts counts;
	const char **last[2]; /* word by room and user, of others, of agents */
	char answer[ANSWER_MAX];
	size_t answer_n;
};

/* --- the command line ---------------------------------------------------- */

enum {
	OPT_PORT = 1,
	OPT_TOKEN,
	OPT_AUTH,
	OPT_SERVER,
	OPT_AGENTS,
	OPT_KIND,
	OPT_PER,
	OPT_TRANSACTIONS,
	OPT_EVENTS,
	OPT_SECONDS,
	OPT_REPEATS,
	OPT_NEW,
	OPT_SPIN,
	OPT_SEED,
	OPT_EXPECT,
	OPT_ROOMS,
};

static const struct option long_options[] = {
	{ "port", required_argument, NULL, OPT_PORT },
	{ "token-file", required_argument, NULL, OPT_TOKEN },
	{ "auth", required_argument, NULL, OPT_AUTH },
	{ "server", required_argument, NULL, OPT_SERVER },
	{ "agents", required_argument, NULL, OPT_AGENTS },
	{ "kind", required_argument, NULL, OPT_KIND },
	{ "per", required_argument, NULL, OPT_PER },
	{ "transactions", required_argument, NULL, OPT_TRANSACTIONS },
	{ "events", required_argument, NULL, OPT_EVENTS },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "repeats", required_argument, NULL, OPT_REPEATS },
	{ "new", no_argument, NULL, OPT_NEW },
	{ "spin", no_argument, NULL, OPT_SPIN },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "expect", required_argument, NULL, OPT_EXPECT },
	{ "rooms", required_argument, NULL, OPT_ROOMS },
	{ 0 },
};

static unsigned word(const char *s, const char *const *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (words[i] && !strcmp(s, words[i]))
			return i;
	wrong_use(usage);
}

static void set_option(struct options *o, int option)
{
	static const char *const auths[] = { NULL, "header", "query", "both" };

	switch (option) {
	case OPT_PORT:
		o->port = (uint16_t)option_number(optarg, 1, 65535, usage);
		break;
	case OPT_TOKEN:
		o->token_file = optarg;
		break;
	case OPT_AUTH:
		o->auth = word(optarg, auths, 4);
		break;
	case OPT_SERVER:
		o->server = optarg;
		break;
	case OPT_AGENTS:
		o->agents = optarg;
		break;
	case OPT_KIND:
		o->kind = word(optarg, kind_words, KINDS);
		break;
	case OPT_PER:
		o->per = (unsigned)option_number(optarg, 1, MAX_PER, usage);
		break;
	case OPT_TRANSACTIONS:
		o->transactions = option_number(optarg, 1, UINT32_MAX, usage);
		break;
	case OPT_EVENTS:
		o->events = option_number(optarg, 1, UINT32_MAX, usage);
		break;
	case OPT_SECONDS:
		o->seconds = option_number(optarg, 1, 86400, usage);
		break;
	case OPT_REPEATS:
		o->repeats = (unsigned)option_number(optarg, 0, 90, usage);
		break;
	case OPT_NEW:
		o->fresh = true;
		break;
	case OPT_SPIN:
		o->spin = true;
		break;
	case OPT_SEED:
		o->seed = option_number(optarg, 0, UINT32_MAX, usage);
		break;
	case OPT_EXPECT:
		o->expect = optarg;
		break;
	case OPT_ROOMS:
		o->rooms = (unsigned)option_number(optarg, 1, MAX_ROOMS, usage);
		break;
	default:
		wrong_use(usage);
	}
}

static void read_token(struct options *o)
{
	FILE *f = fopen(o->token_file, "r");

	if (!f || !fgets(o->token, sizeof(o->token), f)) {
		perror(o->token_file);
		exit(1);
	}
	fclose(f);
	o->token[strcspn(o->token, "\n")] = '\0';
}

static void read_options(struct options *o, int argc, char **argv)
{
	int option;

	*o = (struct options){
		.auth = AUTH_BOTH,
		.kind = KIND_OTHERS,
		.server = "fleet.test",
		.per = 30,
		.repeats = 10,
		.seed = 1,
		.rooms = SET_ROOMS,
	};
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		set_option(o, option);
	if (optind != argc || !o->port || !o->token_file ||
		!(o->transactions || o->events || o->seconds))
		wrong_use(usage);
	read_token(o);
}

/* --- requests ------------------------------------------------------------ */

static void add_head(struct load *l, struct request *r)
{
	const struct options *o = &l->o;

	buf_add(&r->text, "PUT /_matrix/app/v1/transactions/");
	add_id(&r->text, &l->world.random, 43);
	if (o->auth & AUTH_QUERY) {
		buf_add(&r->text, "?access_token=");
		buf_add(&r->text, o->token);
	}
	buf_add(&r->text, " HTTP/1.1\r\n");
	if (o->auth & AUTH_HEADER) {
		buf_add(&r->text, "authorization: Bearer ");
		buf_add(&r->text, o->token);
		buf_add(&r->text, "\r\n");
	}
	buf_addf(&r->text,
		"content-type: application/json\r\n"
		"accept: */*\r\n"
		"host: 127.0.0.1:%u\r\n"
		"content-length: %zu\r\n\r\n",
		(unsigned)o->port, r->body.n);
}

static void make_new(struct load *l, struct request *r)
{
	buf_clear(&r->body);
	buf_clear(&r->text);
	buf_add(&r->body, "{\"events\":[");
	for (unsigned i = 0; i < l->o.per; i++) {
		if (i)
			buf_addc(&r->body, ',');
		r->changes[i] = event_add(&l->world, l->o.kind, &r->body);
	}
	buf_add(&r->body, "]}");
	add_head(l, r);
	buf_addn(&r->text, r->body.p, r->body.n);
	l->made++;
}

/* The next one: one of the last again, but not the one that is on its way, or
 * a new one in the oldest's place. */
static struct job make_next(struct load *l)
{
	struct random *random = &l->world.random;
	uint64_t past = l->made < REMEMBERED ? l->made : REMEMBERED;

	if (past > 2 && random_number(random, 100) < l->o.repeats) {
		uint64_t back = 2 + random_number(random, (uint32_t)past - 2);
		return (struct job){ &l->ring[(l->made - back) % REMEMBERED],
			true };
	}
	struct request *r = &l->ring[l->made % REMEMBERED];
	make_new(l, r);
	return (struct job){ r, false };
}

/* --- the wire ------------------------------------------------------------ */

static bool connect_to(struct load *l)
{
	int on = 1;
	struct timeval limit = { .tv_sec = ANSWER_SECONDS };
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(l->o.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	l->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (l->fd < 0)
		return false;
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(l->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(l->fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return true;
	close(l->fd);
	l->fd = -1;
	return false;
}

static void hang_up(struct load *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

static bool send_all(struct load *l, const char *p, size_t n)
{
	while (n) {
		ssize_t sent = send(l->fd, p, n, MSG_NOSIGNAL);
		if (sent <= 0)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

static bool receive_more(struct load *l)
{
	size_t room = sizeof(l->answer) - 1 - l->answer_n;
	char *to = l->answer + l->answer_n;
	ssize_t got = -1;

	if (!room)
		return false;
	if (l->o.spin) {
		uint64_t end = now_ns() + ANSWER_SECONDS * 1000000000ULL;
		do
			got = recv(l->fd, to, room, MSG_DONTWAIT);
		while (got < 0 && errno == EAGAIN && now_ns() < end);
	} else {
		got = recv(l->fd, to, room, 0);
	}
	if (got <= 0)
		return false;
	l->answer_n += (size_t)got;
	l->answer[l->answer_n] = '\0';
	return true;
}

/* Whether the answer is whole; then whether it is the right one. A chunked
 * one ends with an empty chunk. */
static bool is_whole(struct load *l, bool *right)
{
	static const char length[] = "\r\ncontent-length:";
	static const char chunked[] = "\r\ntransfer-encoding: chunked";
	char head[ANSWER_MAX];
	char *end = strstr(l->answer, "\r\n\r\n");

	if (!end)
		return false;
	char *body = end + 4;
	size_t n = (size_t)(end - l->answer);
	for (size_t i = 0; i < n; i++)
		head[i] = (char)(l->answer[i] >= 'A' && l->answer[i] <= 'Z'
				? l->answer[i] + 32
				: l->answer[i]);
	head[n] = '\0';
	bool good = !strncmp(head, "http/1.1 200 ", 13);
	const char *field = strstr(head, length);
	if (field) {
		size_t want = strtoul(field + sizeof(length) - 1, NULL, 10);
		if (l->answer_n - (size_t)(body - l->answer) < want)
			return false;
		*right = good && want >= 2 && !strncmp(body, "{}", 2) &&
			strspn(body + 2, "\r\n") == want - 2;
		return true;
	}
	if (!strstr(head, chunked) || !strstr(body, "\r\n0\r\n\r\n"))
		return false;
	*right = good &&
		(!strncmp(body, "2\r\n{}\r\n", 7) ||
			!strncmp(body, "3\r\n{}\n\r\n", 8));
	return true;
}

/* Sends one and makes the next while it is worked on. */
static bool exchange(struct load *l, struct job now, struct job *next)
{
	bool right = false;

	next->r = NULL;
	if (l->fd < 0 && !connect_to(l))
		return false;
	if (!send_all(l, now.r->text.p, now.r->text.n))
		return false;
	uint64_t from = now_ns();
	*next = make_next(l);
	l->making_ns += now_ns() - from;
	l->answer_n = 0;
	do {
		if (!receive_more(l))
			return false;
	} while (!is_whole(l, &right));
	return right;
}

/* --- one run ------------------------------------------------------------- */

static const char **place(
	const struct load *l, bool agent, unsigned room, unsigned user)
{
	return &l->last[agent][(size_t)room * SET_USERS + user];
}

static void note_answered(struct load *l, struct job job)
{
	l->counts.transactions++;
	if (job.again) {
		l->counts.repeated++;
		return;
	}
	l->counts.events += l->o.per;
	for (unsigned i = 0; i < l->o.per; i++) {
		const struct change *c = &job.r->changes[i];
		if (!c->word)
			continue;
		l->counts.members++;
		*place(l, c->agent, c->room, c->user) = c->word;
	}
}

static void note_error(struct load *l)
{
	if (!l->counts.errors++)
		fprintf(stderr, "load: wrong or no answer: %.*s\n",
			(int)(l->answer_n < 300 ? l->answer_n : 300),
			l->answer);
	hang_up(l);
}

static bool is_over(const struct load *l, uint64_t began)
{
	const struct options *o = &l->o;
	const struct counts *c = &l->counts;

	return c->errors >= MAX_ERRORS ||
		(o->transactions && c->transactions >= o->transactions) ||
		(o->events && c->events >= o->events) ||
		(o->seconds && now_ns() - began >= o->seconds * 1000000000);
}

static uint64_t run(struct load *l)
{
	struct job now = make_next(l), next = { 0 };
	uint64_t began = now_ns();

	while (!is_over(l, began)) {
		uint64_t from = now_ns();
		bool good = exchange(l, now, &next);
		uint64_t took = now_ns() - from;
		if (good) {
			if (!times_add(&l->times, took))
				break;
			note_answered(l, now);
		} else {
			note_error(l);
		}
		if (l->o.fresh)
			hang_up(l);
		now = next.r ? next : make_next(l);
	}
	return now_ns() - began;
}

/* --- what is printed ----------------------------------------------------- */

static void report(struct load *l, uint64_t ns)
{
	const struct counts *c = &l->counts;
	double seconds = (double)ns / 1e9;

	times_sort(&l->times);
	printf("{\"kind\": \"%s\", \"per\": %u, \"connection\": \"%s\", "
	       "\"seconds\": %.3f, \"transactions\": %" PRIu64
	       ", \"repeated\": %" PRIu64 ", \"events\": %" PRIu64
	       ", \"members\": %" PRIu64 ", \"events_per_s\": %.1f, "
	       "\"transactions_per_s\": %.1f, ",
		kind_words[l->o.kind], l->o.per, l->o.fresh ? "new" : "kept",
		seconds, c->transactions, c->repeated, c->events, c->members,
		(double)c->events / seconds, (double)c->transactions / seconds);
	times_print(&l->times);
	printf(", \"making\": %.3f, \"errors\": %" PRIu64 "}\n",
		(double)l->making_ns / (double)ns, c->errors);
}

static bool write_expected(const struct load *l)
{
	const struct world *w = &l->world;
	FILE *f = fopen(l->o.expect, "w");

	if (!f) {
		perror(l->o.expect);
		return false;
	}
	for (int agent = 0; agent < 2; agent++)
		for (unsigned room = 0; room < w->n_rooms; room++)
			for (unsigned user = 0; user < SET_USERS; user++) {
				const char *is = *place(l, agent, room, user);
				if (is)
					fprintf(f, "%s %s %s\n", w->rooms[room],
						agent ? w->agents[user]
						      : w->others[user],
						is);
			}
	return fclose(f) == 0;
}

static bool setup(struct load *l)
{
	const struct options *o = &l->o;

	if (!world_init(&l->world, o->server, o->seed, o->rooms, o->agents) ||
		!times_init(&l->times))
		return false;
	for (int i = 0; i < 2; i++) {
		l->last[i] = calloc(
			(size_t)o->rooms * SET_USERS, sizeof(*l->last[i]));
		if (!l->last[i])
			return false;
	}
	for (int i = 0; i < REMEMBERED; i++) {
		struct request *r = &l->ring[i];
		buf_init(&r->text, LIMIT_TRANSACTION);
		buf_init(&r->body, LIMIT_TRANSACTION);
		r->changes = calloc(o->per, sizeof(*r->changes));
		if (!r->changes)
			return false;
	}
	return true;
}

static void cleanup(struct load *l)
{
	hang_up(l);
	for (int i = 0; i < REMEMBERED; i++) {
		buf_free(&l->ring[i].text);
		buf_free(&l->ring[i].body);
		free(l->ring[i].changes);
	}
	free(l->last[0]);
	free(l->last[1]);
	times_fini(&l->times);
	world_fini(&l->world);
}

int main(int argc, char **argv)
{
	static struct load l = { .fd = -1 };

	read_options(&l.o, argc, argv);
	bool good = setup(&l);
	if (good) {
		report(&l, run(&l));
		good = !l.counts.errors;
	}
	if (good && l.o.expect)
		good = write_expected(&l);
	cleanup(&l);
	return good ? 0 : 1;
}
