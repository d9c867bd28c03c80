/*
 * appservice/fleet/stray.c: ids that are of another server. One is a mistake
 * in the file; when most are, it is homeserver.server_name that is wrong, or
 * the whole file, and one finding says it.
 */
#include "appservice/fleet/fleet_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#include "base/poison.h"

void stray_add(struct load *ld, const char *id, const char *server,
	struct place at, const char *label)
{
	struct stray *s = arena_push(&ld->scratch, &ld->strays, &ld->n_strays,
		&ld->strays_cap, sizeof(*s));
	const char *copy = arena_strdup(&ld->scratch, label);
	if (s && copy)
		*s = (struct stray){ id, server, copy, at };
}

static int by_server(const void *a, const void *b)
{
	const struct stray *x = *(struct stray *const *)a;
	const struct stray *y = *(struct stray *const *)b;
	return strcmp(x->server, y->server);
}

/* The server that most of the strays are of. */
static const char *main_server(struct load *ld, size_t *ret_n)
{
	const char *server = NULL;
	struct stray **list =
		arena_array(&ld->scratch, ld->n_strays, sizeof(struct stray *));
	*ret_n = 0;
	if (!list || !ld->n_strays)
		return NULL;
	for (size_t i = 0; i < ld->n_strays; i++)
		list[i] = &ld->strays[i];
	qsort(list, ld->n_strays, sizeof(struct stray *), by_server);
	for (size_t i = 0, end; i < ld->n_strays; i = end) {
		for (end = i + 1; end < ld->n_strays; end++) {
			if (by_server(&list[i], &list[end]))
				break;
		}
		if (end - i > *ret_n) {
			*ret_n = end - i;
			server = list[i]->server;
		}
	}
	return server;
}

static void tell_main(struct load *ld, const struct stray *first, size_t n)
{
	fault(ld, first->place,
		"%zu of %zu user ids are of the server %s, this one first, but "
		"homeserver.server_name is %s: correct homeserver.server_name, "
		"or the ids in the file",
		n, ld->n_ours, first->server, ld->src->server_name);
}

void strays_tell(struct load *ld)
{
	size_t n;
	const char *server = main_server(ld, &n);
	bool most = n > 1 && n > ld->n_ours / 2, told = false;
	for (size_t i = 0; server && i < ld->n_strays; i++) {
		const struct stray *s = &ld->strays[i];
		if (!most || !text_eq(s->server, server)) {
			fault(ld, s->place,
				"%s: \"%s\" is not of this server: expected "
				"@...:%s (homeserver.server_name)",
				s->label, s->id, ld->src->server_name);
		} else if (!told) {
			tell_main(ld, s, n);
			told = true;
		}
	}
}
