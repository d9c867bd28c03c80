/*
 * Events as Conduit sends them: 650 bytes for a membership, 450 for a message.
 */
#include "tests/bench/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

#include "base/poison.h"

const char *const kind_words[KINDS] = {
	[KIND_AGENTS] = "agents",
	[KIND_OTHERS] = "others",
	[KIND_MESSAGES] = "messages",
	[KIND_MIXED] = "mixed",
	[KIND_FILL] = "fill",
};

void add_id(struct buf *out, struct random *r, size_t n)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz0123456789-_";
	char id[64];
	uint64_t bits = 0;

	for (size_t i = 0; i < n; i++) {
		if (i % 10 == 0)
			bits = random_next(r);
		id[i] = letters[bits & 63];
		bits >>= 6;
	}
	buf_addn(out, id, n);
}

static char *room_id(struct random *r, const char *server)
{
	struct buf id;

	buf_init(&id, 256);
	buf_addc(&id, '!');
	add_id(&id, r, 18);
	buf_addf(&id, ":%s", server);
	return buf_take(&id);
}

static char *user_id(const char *name, unsigned i, const char *server)
{
	struct buf id;

	buf_init(&id, 256);
	buf_addf(&id, "@%s%04u:%s", name, i, server);
	return buf_take(&id);
}

/* --- who and where -------------------------------------------------------- */

static bool read_agents(struct world *w, const char *path)
{
	char line[512];
	FILE *f = fopen(path, "r");

	if (!f) {
		perror(path);
		return false;
	}
	while (w->n_agents < SET_USERS && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (*line)
			w->agents[w->n_agents++] = strdup(line);
	}
	fclose(f);
	if (!w->n_agents)
		fprintf(stderr, "%s: no agents in it\n", path);
	return w->n_agents > 0;
}

static bool all_there(char **names, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!names[i])
			return false;
	return true;
}

bool world_init(struct world *w, const char *server, uint64_t seed,
	unsigned n_rooms, const char *agents_file)
{
	/* The names are the same for every seed. */
	struct random names = { 1 };

	*w = (struct world){ .random = { seed }, .server = server };
	w->rooms = calloc(n_rooms, sizeof(*w->rooms));
	w->others = calloc(SET_USERS, sizeof(*w->others));
	w->agents = calloc(SET_USERS, sizeof(*w->agents));
	if (!w->rooms || !w->others || !w->agents)
		goto nomem;
	w->n_rooms = n_rooms;
	for (unsigned i = 0; i < n_rooms; i++)
		w->rooms[i] = room_id(&names, server);
	w->n_others = SET_USERS;
	for (unsigned i = 0; i < SET_USERS; i++)
		w->others[i] = user_id("person.", i, server);
	if (agents_file && !read_agents(w, agents_file))
		return false;
	for (unsigned i = 0; !agents_file && i < SET_USERS; i++)
		w->agents[w->n_agents++] = user_id("agent-", i, server);
	if (all_there(w->rooms, w->n_rooms) &&
		all_there(w->others, w->n_others) &&
		all_there(w->agents, w->n_agents))
		return true;
nomem:
	fputs("out of memory\n", stderr);
	return false;
}

static void free_names(char **names, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

void world_fini(struct world *w)
{
	free_names(w->rooms, w->n_rooms);
	free_names(w->others, w->n_others);
	free_names(w->agents, w->n_agents);
}

/* --- events --------------------------------------------------------------- */

static void add_content(struct buf *out, const char *user, const char *word)
{
	const char *server = strchr(user, ':');

	buf_add(out, "{\"avatar_url\":\"mxc://");
	buf_add(out, server + 1);
	buf_add(out, "/Qm3xVbnWzLkPcTeYhRuAsDfG\",\"displayname\":\"");
	buf_addn(out, user + 1, (size_t)(server - user) - 1);
	buf_add(out, "\",\"membership\":\"");
	buf_add(out, word);
	buf_add(out, "\"}");
}

static void add_common(
	struct world *w, const char *room, const char *sender, struct buf *out)
{
	buf_add(out, ",\"event_id\":\"$");
	add_id(out, &w->random, 43);
	buf_addf(out, "\",\"origin_server_ts\":%lld,\"room_id\":\"",
		(long long)clock_wall_ms());
	buf_add(out, room);
	buf_add(out, "\",\"sender\":\"");
	buf_add(out, sender);
}

static struct change add_member(
	struct world *w, struct change c, struct buf *out)
{
	struct random *r = &w->random;
	const char *user = c.agent ? w->agents[c.user] : w->others[c.user];
	bool own = c.word[0] == 'j' || c.word[0] == 'l';
	const char *sender =
		own ? user : w->others[random_number(r, w->n_others)];

	buf_add(out, "{\"content\":");
	add_content(out, user, c.word);
	add_common(w, w->rooms[c.room], sender, out);
	buf_add(out, "\",\"state_key\":\"");
	buf_add(out, user);
	buf_addf(out,
		"\",\"type\":\"m.room.member\",\"unsigned\":{\"age\":%u,"
		"\"prev_content\":",
		10 + random_number(r, 900));
	add_content(out, user, c.word[0] == 'j' ? "invite" : "join");
	buf_add(out, ",\"prev_sender\":\"");
	buf_add(out, sender);
	buf_add(out, "\",\"replaces_state\":\"$");
	add_id(out, r, 43);
	buf_add(out, "\"}}");
	return c;
}

/* Of twenty changes twelve are joins. */
static const char *random_word(struct random *r)
{
	uint32_t n = random_number(r, 20);

	return n < 12 ? "join" : n < 16 ? "leave" : n < 19 ? "invite" : "ban";
}

static struct change random_change(struct world *w, bool agent)
{
	struct random *r = &w->random;

	return (struct change){
		.room = random_number(r, w->n_rooms),
		.user = random_number(r, agent ? w->n_agents : w->n_others),
		.agent = agent,
		.word = random_word(r),
	};
}

static struct change next_change(struct world *w)
{
	uint64_t at = w->filled++;

	return (struct change){
		.room = (unsigned)(at / w->n_others % w->n_rooms),
		.user = (unsigned)(at % w->n_others),
		.word = "join",
	};
}

static struct change add_message(struct world *w, struct buf *out)
{
	static const char words[] =
		"I have read the report and put the three numbers that you "
		"asked for into the table; the second one looks wrong to me, "
		"since it is larger than the sum of the others. Shall I ask "
		"the desk?";
	struct random *r = &w->random;
	const char *sender = w->others[random_number(r, w->n_others)];
	const char *room = w->rooms[random_number(r, w->n_rooms)];

	buf_add(out, "{\"content\":{\"body\":\"");
	buf_addn(out, words, 40 + random_number(r, sizeof(words) - 41));
	buf_add(out, "\",\"m.mentions\":{},\"msgtype\":\"m.text\"}");
	add_common(w, room, sender, out);
	buf_addf(out,
		"\",\"type\":\"m.room.message\",\"unsigned\":{\"age\":%u}}",
		10 + random_number(r, 900));
	return (struct change){ .word = NULL };
}

/* Mixed: of ten events two are of agents, two of others, six are messages. */
struct change event_add(struct world *w, enum kind kind, struct buf *out)
{
	if (kind == KIND_MIXED) {
		uint32_t n = random_number(&w->random, 10);
		kind = n < 2    ? KIND_AGENTS
			: n < 4 ? KIND_OTHERS
				: KIND_MESSAGES;
	}
	if (kind == KIND_MESSAGES)
		return add_message(w, out);
	return add_member(w,
		kind == KIND_FILL ? next_change(w)
				  : random_change(w, kind == KIND_AGENTS),
		out);
}
