/*
 * base/str.c: slices, numbers, durations, UTF-8 and the nearness of words.
 */
#include "base/str.h"

#include <string.h>

#include "base/poison.h"

struct str str_of(const char *s)
{
	return (struct str){ s, s ? strlen(s) : 0 };
}

bool str_eq(struct str a, const char *b)
{
	size_t n = strlen(b);

	return a.n == n && (n == 0 || memcmp(a.p, b, n) == 0);
}

bool str_starts(struct str s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s.n >= n && (n == 0 || memcmp(s.p, prefix, n) == 0);
}

struct str str_cut(struct str *rest, char c, bool *found)
{
	struct str head = *rest;
	const char *at = rest->n > 0 ? memchr(rest->p, c, rest->n) : NULL;

	if (found)
		*found = at != NULL;
	if (!at) {
		*rest = (struct str){ rest->n > 0 ? rest->p + rest->n : rest->p,
			0 };
		return head;
	}
	head.n = (size_t)(at - head.p);
	rest->p += head.n + 1;
	rest->n -= head.n + 1;
	return head;
}

bool text_eq(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return strcmp(a, b) == 0;
}

bool text_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool text_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s);
	size_t m = strlen(suffix);

	return n >= m && strcmp(s + (n - m), suffix) == 0;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

uint64_t text_hash(const char *s)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(1099511628211);
	return h ^ (h >> 32);
}

bool text_eq_nocase(const char *a, const char *b)
{
	while (*a && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return lower(*a) == lower(*b);
}

/* Digits without a sign and without leading zeros, as a negative number: the
 * smallest int64_t has no positive counterpart. */
static bool parse_negated(struct str s, int64_t *ret)
{
	if (s.n == 0 || (s.n > 1 && s.p[0] == '0'))
		return false;
	int64_t v = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		int digit = s.p[i] - '0';
		if (v < (INT64_MIN + digit) / 10)
			return false;
		v = v * 10 - digit;
	}
	*ret = v;
	return true;
}

bool str_i64(struct str s, int64_t min, int64_t max, int64_t *ret)
{
	bool negative = s.n > 0 && s.p[0] == '-';
	int64_t v;

	if (negative) {
		s.p++;
		s.n--;
	}
	if (!parse_negated(s, &v))
		return false;
	if (negative && v == 0)
		return false;
	if (!negative) {
		if (v == INT64_MIN)
			return false;
		v = -v;
	}
	if (v < min || v > max)
		return false;
	*ret = v;
	return true;
}

bool str_duration(struct str s, int64_t max_ms, int64_t *ret_ms)
{
	static const struct {
		const char *name;
		int64_t ms;
	} units[] = {
		{ "ms", 1 },
		{ "s", 1000 },
		{ "m", INT64_C(60000) },
		{ "h", INT64_C(3600000) },
		{ "d", INT64_C(86400000) },
	};
	size_t digits = 0;

	while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
		digits++;
	struct str number = { s.p, digits };
	struct str unit = { s.p + digits, s.n - digits };
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		int64_t v;
		if (!str_eq(unit, units[i].name))
			continue;
		if (!str_i64(number, 0, max_ms / units[i].ms, &v))
			return false;
		*ret_ms = v * units[i].ms;
		return true;
	}
	return false;
}

static size_t utf8_length(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xC2 && first <= 0xDF)
		return 2;
	if (first >= 0xE0 && first <= 0xEF)
		return 3;
	if (first >= 0xF0 && first <= 0xF4)
		return 4;
	return 0;
}

bool utf8_printable(const char *p, size_t n)
{
	for (size_t i = 0; i < n;) {
		uint32_t cp;
		size_t len = utf8_next(p + i, n - i, &cp);

		if (len == 0 || cp < 0x20 || (cp >= 0x7F && cp <= 0x9F))
			return false;
		i += len;
	}
	return true;
}

size_t utf8_next(const char *p, size_t n, uint32_t *cp)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *s = (const unsigned char *)p;

	if (n == 0)
		return 0;
	size_t len = utf8_length(s[0]);
	if (len == 0 || len > n)
		return 0;
	uint32_t v = len == 1 ? s[0] : s[0] & (0xFFu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xC0) != 0x80)
			return 0;
		v = v << 6 | (s[i] & 0x3Fu);
	}
	if (v < smallest[len] || v > 0x10FFFF || (v >= 0xD800 && v <= 0xDFFF))
		return 0;
	*cp = v;
	return len;
}

bool utf8_valid(const char *p, size_t n, size_t *bad)
{
	size_t i = 0;

	while (i < n) {
		uint64_t eight;
		/* Most text is ASCII: eight characters at a time. */
		if (n - i >= sizeof(eight)) {
			memcpy(&eight, p + i, sizeof(eight));
			if ((eight & UINT64_C(0x8080808080808080)) == 0) {
				i += sizeof(eight);
				continue;
			}
		}
		uint32_t cp;
		size_t len = utf8_next(p + i, n - i, &cp);
		if (len == 0) {
			if (bad)
				*bad = i;
			return false;
		}
		i += len;
	}
	return true;
}

size_t utf8_put(char *out, uint32_t cp)
{
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xC0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 0x3F));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (char)(0xE0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
		out[2] = (char)(0x80 | (cp & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | (cp >> 18 & 0x07));
	out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
	out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
	out[3] = (char)(0x80 | (cp & 0x3F));
	return 4;
}

void text_place(const char *p, size_t at, int *line, int *column)
{
	*line = 1;
	*column = 1;
	for (size_t i = 0; i < at; i++) {
		if (p[i] == '\n') {
			(*line)++;
			*column = 1;
		} else if (((unsigned char)p[i] & 0xC0) != 0x80) {
			(*column)++;
		}
	}
}

#define WORD_MAX 64

static int min3(int a, int b, int c)
{
	int ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Optimal string alignment; three rows of the table are enough. */
int str_distance(const char *a, const char *b, int max)
{
	size_t n = strlen(a);
	size_t m = strlen(b);
	int rows[3][WORD_MAX + 1];

	if (n > WORD_MAX || m > WORD_MAX)
		return strcmp(a, b) == 0 ? 0 : max;
	for (size_t j = 0; j <= m; j++)
		rows[0][j] = (int)j;
	for (size_t i = 1; i <= n; i++) {
		int *row = rows[i % 3];
		const int *up = rows[(i + 2) % 3];
		const int *up2 = rows[(i + 1) % 3];
		row[0] = (int)i;
		for (size_t j = 1; j <= m; j++) {
			int cost = a[i - 1] != b[j - 1];
			row[j] = min3(
				up[j] + 1, row[j - 1] + 1, up[j - 1] + cost);
			bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
				a[i - 2] == b[j - 1];
			if (swapped && up2[j - 2] + 1 < row[j])
				row[j] = up2[j - 2] + 1;
		}
	}
	return rows[n % 3][m] < max ? rows[n % 3][m] : max;
}
