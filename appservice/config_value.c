/*
 * One value of the configuration by its type.
 */
#include <string.h>

#include "appservice/config_priv.h"
#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

static bool word_allowed(const char *allowed, const char *word)
{
	struct str rest = str_of(allowed);
	while (rest.n > 0)
		if (str_eq(str_cut(&rest, '|', NULL), word))
			return true;
	return false;
}

static bool in_range(const struct setting_info *info, int64_t v)
{
	if (!info->allowed)
		return true;
	struct str max = str_of(info->allowed);
	struct str min = str_cut(&max, '.', NULL);
	max.p += 1;
	max.n -= 1;
	int64_t lo = 0, hi = 0;
	if (info->type == SETTING_INT)
		return str_i64(min, INT64_MIN, INT64_MAX, &lo) &&
			str_i64(max, INT64_MIN, INT64_MAX, &hi) && v >= lo &&
			v <= hi;
	return str_duration(min, INT64_MAX, &lo) &&
		str_duration(max, INT64_MAX, &hi) && v >= lo && v <= hi;
}

/* A path may follow, but no query, and no password stands before the host. */
static bool is_of_base_url(unsigned char c)
{
	return c > ' ' && c <= 126 && !strchr("\"?#@", c);
}

static const char *check_url(const char *text)
{
	size_t scheme = text_starts(text, "https://") ? 8
		: text_starts(text, "http://")        ? 7
						      : 0;
	if (scheme == 0)
		return "must begin with http:// or https://";
	const char *host = text + scheme;
	if (*host == '\0' || *host == '/' || *host == ':')
		return "has no host";
	for (const char *p = text; *p; p++)
		if (!is_of_base_url((unsigned char)*p))
			return "has a character that a base URL may not have";
	return NULL;
}

const char *config_fault(enum setting s, const char *text)
{
	return setting_infos[s].type == SETTING_URL ? check_url(text)
		: id_server_ok(text)
		? NULL
		: "is no server name (a host name, perhaps with a port)";
}

static const char *check_address(const char *text)
{
	const char *colon = strrchr(text, ':');
	int64_t port = 0;
	if (!colon || colon == text ||
		!str_i64(str_of(colon + 1), 0, 65535, &port))
		return "must be host:port, such as 127.0.0.1:29400";
	return NULL;
}

static const char *check_owner(struct setting_value *v)
{
	struct str gid = str_of(v->text);
	bool found = false;
	struct str uid = str_cut(&gid, ':', &found);
	if (!found || !str_i64(uid, 0, INT32_MAX, &v->uid) ||
		!str_i64(gid, 0, INT32_MAX, &v->gid))
		return "must be \"uid:gid\" in numbers, such as \"1000:1000\"";
	return NULL;
}

const char *config_check_value(struct arena *a, const struct setting_info *info,
	struct setting_value *v)
{
	switch (info->type) {
	case SETTING_URL:
		return check_url(v->text);
	case SETTING_SERVER:
		return id_server_ok(v->text)
			? NULL
			: "is no server name (a host name, perhaps with a "
			  "port)";
	case SETTING_ADDRESS:
		return check_address(v->text);
	case SETTING_OWNER:
		return check_owner(v);
	case SETTING_WORD:
		return word_allowed(info->allowed, v->text)
			? NULL
			: arena_printf(a, "must be one of %s, not \"%s\"",
				  info->allowed, v->text);
	case SETTING_BOOL:
		v->number = text_eq(v->text, "true");
		return v->number || text_eq(v->text, "false")
			? NULL
			: "must be true or false";
	case SETTING_INT:
		return str_i64(str_of(v->text), INT64_MIN, INT64_MAX,
			       &v->number) &&
				in_range(info, v->number)
			? NULL
			: arena_printf(
				  a, "must be a number in %s", info->allowed);
	case SETTING_DURATION:
		return str_duration(str_of(v->text), INT64_MAX, &v->number) &&
				in_range(info, v->number)
			? NULL
			: arena_printf(a,
				  "must be a duration in %s, such as %s",
				  info->allowed, info->def);
	case SETTING_TEXT:
	case SETTING_PATH:
	case SETTING_SECRET:
		return *v->text ? NULL : "must not be empty";
	case SETTING_NODE:
		break;
	}
	return NULL;
}
