/*
 * What a transaction may have beside its events. Nothing of it is kept, but
 * how much came is counted (AS-72 to AS-79). Whatever is not of the shape that
 * it should have counts as far as it can be read: no transaction is refused
 * because of it.
 */
#include <string.h>

#include "appservice/intake/intake_priv.h"

#include "base/poison.h"

static size_t count_list(struct str value);
static size_t count_members(struct str value);
static size_t count_changes(struct str value);

/*
 * Of two names for the same thing the one that stands first here counts, and
 * the other not at all (AS-77, AS-79).
 */
static const struct extra {
	const char *name;
	enum extra_kind kind;
	size_t (*count)(struct str value);
} extras[] = {
	{ "ephemeral", EXTRA_EPHEMERAL, count_list },
	{ "de.sorunome.msc2409.ephemeral", EXTRA_EPHEMERAL, count_list },
	{ "to_device", EXTRA_TO_DEVICE, count_list },
	{ "de.sorunome.msc2409.to_device", EXTRA_TO_DEVICE, count_list },
	{ "device_lists", EXTRA_DEVICE_LISTS, count_changes },
	{ "org.matrix.msc3202.device_lists", EXTRA_DEVICE_LISTS,
		count_changes },
	{ "device_one_time_keys_count", EXTRA_KEY_COUNTS, count_members },
	{ "org.matrix.msc3202.device_one_time_keys_count", EXTRA_KEY_COUNTS,
		count_members },
	/* as it was written first; Synapse sends both */
	{ "org.matrix.msc3202.device_one_time_key_counts", EXTRA_KEY_COUNTS,
		count_members },
	{ "device_unused_fallback_key_types", EXTRA_FALLBACK_KEYS,
		count_members },
	{ "org.matrix.msc3202.device_unused_fallback_key_types",
		EXTRA_FALLBACK_KEYS, count_members },
};

/* What stands between the brackets; nothing where they are others. */
static struct str inside(struct str value, char open, char close)
{
	while (value.n && strchr(" \t\r\n", value.p[0])) {
		value.p++;
		value.n--;
	}
	if (value.n < 2 || value.p[0] != open || value.p[value.n - 1] != close)
		return (struct str){ value.p, 0 };
	return (struct str){ value.p + 1, value.n - 2 };
}

static size_t count_list(struct str value)
{
	struct str rest = inside(value, '[', ']'), element;
	size_t n = 0;

	while (split_next(&rest, &element))
		n++;
	return n;
}

/* Takes one member off an object's inside. */
static bool next_member(struct str *rest, struct str *key, struct str *value)
{
	if (!split_next(rest, key) || !key->n || key->p[0] != '"')
		return false;
	while (rest->n && strchr(" \t\r\n", rest->p[0])) {
		rest->p++;
		rest->n--;
	}
	if (!rest->n || rest->p[0] != ':')
		return false;
	rest->p++;
	rest->n--;
	return split_next(rest, value);
}

static size_t count_members(struct str value)
{
	struct str rest = inside(value, '{', '}'), key, member;
	size_t n = 0;

	while (next_member(&rest, &key, &member))
		n++;
	return n;
}

/* Of device_lists: users whose devices changed, and those who left. */
static size_t count_changes(struct str value)
{
	struct str rest = inside(value, '{', '}'), key, member;
	size_t n = 0;

	while (next_member(&rest, &key, &member))
		if (str_eq(key, "\"changed\"") || str_eq(key, "\"left\""))
			n += count_list(member);
	return n;
}

void extras_take(struct extras *x, struct str key, struct str value)
{
	if (key.n < 2)
		return;
	const struct str name = { key.p + 1, key.n - 2 };
	for (size_t i = 0; i < ARRAY_LEN(extras); i++) {
		const struct extra *e = &extras[i];
		size_t place = ARRAY_LEN(extras) - i;
		if (!str_eq(name, e->name) || place < x->place[e->kind])
			continue;
		x->place[e->kind] = place;
		x->n[e->kind] = e->count(value);
	}
}
