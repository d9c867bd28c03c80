/*
 * appservice/fleet/names.c: names as people read them: in which order they
 * stand, how one is made of a localpart, which word was meant.
 */
#include "appservice/fleet/fleet_priv.h"

#include <string.h>

#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

const char *const fleet_levels[N_LEVELS] = { "VP", "Director", "Manager",
	"IC" };

/*
 * Base letters of U+00C0 to U+017F, sixteen a line. A capital stands for two
 * letters (see fold_pair), * for a sign that stays as it is.
 */
static const char fold_base[] = "aaaaaaAceeeeiiii"
				"dnooooo*ouuuuyTS"
				"aaaaaaAceeeeiiii"
				"dnooooo*ouuuuyTy"
				"aaaaaaccccccccdd"
				"ddeeeeeeeeeegggg"
				"gggghhhhiiiiiiii"
				"iiJJjjkkklllllll"
				"lllnnnnnnnnnoooo"
				"ooOOrrrrrrssssss"
				"ssttttttuuuuuuuu"
				"uuuuwwyyyzzzzzzs";

static const char *fold_pair(char c)
{
	switch (c) {
	case 'A':
		return "ae";
	case 'T':
		return "th";
	case 'S':
		return "ss";
	case 'J':
		return "ij";
	case 'O':
		return "oe";
	default:
		return NULL;
	}
}

static size_t fold_one(char *out, uint32_t cp)
{
	if (cp >= 'A' && cp <= 'Z')
		cp += 'a' - 'A';
	if (cp >= 0x300 && cp <= 0x36f) /* a mark that follows its letter */
		return 0;
	if (cp < 0xc0 || cp > 0x17f || fold_base[cp - 0xc0] == '*')
		return utf8_put(out, cp);
	char base = fold_base[cp - 0xc0];
	const char *pair = fold_pair(base);
	if (!pair) {
		out[0] = base;
		return 1;
	}
	memcpy(out, pair, 2);
	return 2;
}

int text_order(const char *a, const char *b)
{
	if (!a || !b)
		return (a != NULL) - (b != NULL);
	return strcmp(a, b);
}

char *name_fold(struct arena *a, const char *name)
{
	size_t n = strlen(name);
	/* Nothing gets longer: what folds to two letters had two bytes. */
	char *out = arena_alloc(a, n + 1);
	if (!out)
		return NULL;
	size_t used = 0;
	for (size_t i = 0; i < n;) {
		uint32_t cp;
		size_t len = utf8_next(name + i, n - i, &cp);
		if (!len)
			break;
		used += fold_one(out + used, cp);
		i += len;
	}
	return out;
}

char *name_of_localpart(struct arena *a, const char *localpart)
{
	char *out = arena_strdup(a, localpart);
	if (!out)
		return NULL;
	size_t n = 0;
	bool start = true;
	for (const char *p = localpart; *p; p++) {
		if (strchr("._-=/+", *p)) {
			start = true;
			continue;
		}
		if (start && n)
			out[n++] = ' ';
		bool raise = start && *p >= 'a' && *p <= 'z';
		out[n++] = (char)(raise ? *p - 'a' + 'A' : *p);
		start = false;
	}
	if (n)
		out[n] = '\0';
	return out;
}

void word_check(struct load *ld, struct place at, const char *label,
	const char *key, const char *text)
{
	uint32_t cp;
	size_t left = text ? strlen(text) : 0;
	for (size_t n; left > 0; text += n, left -= n) {
		n = utf8_next(text, left, &cp);
		if (!n)
			return;
		if (cp >= 0x20 && (cp < 0x7f || cp > 0x9f))
			continue;
		fault(ld, at, "%s.%s has a control character (U+%04X)", label,
			key, (unsigned int)cp);
		return;
	}
}

void name_check(struct load *ld, struct place at, const char *label,
	const char *key, const char *text)
{
	size_t n = 0;
	word_check(ld, at, label, key, text);
	for (const char *p = text; p && *p; p++)
		n += ((unsigned char)*p & 0xc0) != 0x80;
	if (n > LIMIT_NAME)
		fault(ld, at, "%s.%s is %zu characters long; %d are allowed",
			label, key, n, LIMIT_NAME);
}

const char *nearest_word(const char *word, const char *const *words, size_t n)
{
	const char *best = NULL;
	int least = 3;
	for (size_t i = 0; i < n; i++) {
		if (text_eq_nocase(word, words[i]))
			return words[i];
		int d = str_distance(word, words[i], least);
		if (d < least && (size_t)d < strlen(word)) {
			least = d;
			best = words[i];
		}
	}
	return best;
}

const char *level_of(struct load *ld, struct place at, const char *label,
	const char *text, bool chief)
{
	if (chief && text_eq(text, "CEO"))
		return "CEO";
	for (size_t i = 0; i < N_LEVELS; i++) {
		if (text_eq(text, fleet_levels[i]))
			return fleet_levels[i];
	}
	const char *near = nearest_word(text, fleet_levels, N_LEVELS);
	fault(ld, at,
		"%s.level: \"%s\" is no level: expected %sVP, Director, "
		"Manager or IC%s%s%s",
		label, text, chief ? "CEO, " : "",
		near ? " (did you mean " : "", near ? near : "",
		near ? "?)" : "");
	return NULL;
}
