/*
 * appservice/fleet/typo.c: keys of the fleet's own files that are not read,
 * but near to one that is and is missing. Those files belong to other programs
 * too, so that a key of which we know nothing is no mistake.
 */
#include "appservice/fleet/fleet_priv.h"

#include <string.h>

#include "base/str.h"

#include "base/poison.h"

#define SHOWN_MAX 10 /* a generator makes the same mistake a thousand times */
#define KEY_MAX 40   /* the longest that is read has 25 letters */

/* A key as people remember it: matrix_id, matrixID and matrixId are one. */
static bool squeeze(struct str key, char out[KEY_MAX + 1])
{
	size_t n = 0;
	if (key.n > KEY_MAX)
		return false;
	for (size_t i = 0; i < key.n; i++) {
		char c = key.p[i];
		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (c != '_' && c != '-' && c != ' ')
			out[n++] = c;
	}
	out[n] = '\0';
	return n > 0;
}

/* One slip, two in a long word: short ones are near to many. */
bool is_near_key(struct str word, const char *key)
{
	char a[KEY_MAX + 1], b[KEY_MAX + 1];
	if (!squeeze(word, a) || !squeeze(str_of(key), b))
		return false;
	int slips = strlen(b) > 7 ? 2 : 1;
	return str_distance(a, b, slips + 1) <= slips;
}

void typo_tell(struct load *ld, struct place at, const char *label,
	struct str word, const char *meant)
{
	if (++ld->n_typos > SHOWN_MAX)
		return;
	caution(ld, at, "%s%s\"%.*s\" is not read: did you mean %s?", label,
		*label ? ": " : "", (int)word.n, word.p, meant);
}

void typo_end(struct load *ld, const char *file)
{
	struct place at = { file, 0, 0 };
	if (ld->n_typos > SHOWN_MAX)
		caution(ld, at,
			"and %zu more keys that are not read, but near to one "
			"that is",
			ld->n_typos - SHOWN_MAX);
	ld->n_typos = 0;
}

void node_typos(struct load *ld, const char *file, const char *label,
	const struct yaml_node *map, const char *const *known, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		if (yaml_get(map, known[k]))
			continue;
		for (size_t i = 0; i < map->n; i++) {
			struct str word = str_of(map->keys[i]->text);
			if (is_near_key(word, known[k]))
				typo_tell(ld, node_place(file, map->keys[i]),
					label, word, known[k]);
		}
	}
}
