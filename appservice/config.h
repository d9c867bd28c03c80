/*
 * appservice/config.h: the configuration: muster.yaml, overridden by
 * MUSTER_<SECTION>_<KEY> in the environment. Everything wrong with it becomes
 * a finding with file, line and column.
 *
 * A struct config owns its text; config_free(). Read-only once loaded: any
 * thread.
 */
#ifndef APPSERVICE_CONFIG_H
#define APPSERVICE_CONFIG_H

#include "appservice/settings.h"
#include "base/report.h"
#include "base/secret.h"
#include "base/yaml.h"

enum setting_source { FROM_DEFAULT, FROM_FILE, FROM_ENVIRONMENT };
enum secret_kind { SECRET_PLAIN, SECRET_FILE, SECRET_ENV };

struct setting_value {
	const char *text; /* NULL: not set; a secret's file or variable */
	const struct yaml_node *node; /* SETTING_NODE */
	enum setting_source source;
	enum secret_kind secret;
	const char *file; /* where it stands: our file or a variable; NULL */
	int line, column; /* 0: all of a variable */
	int overruled;  /* the file's line that a variable overrules; 0: none */
	bool wrong;     /* there is a finding about it; it is not set then */
	int64_t number; /* INT, DURATION (ms), BOOL (0, 1) */
	int64_t uid, gid; /* OWNER; -1: not set */
};

struct config {
	struct arena arena;
	struct yaml_doc doc;
	struct yaml_doc env_docs[SETTING_COUNT]; /* structures from there */
	const char *path;
	const char *dir;
	bool readable; /* the file was read; there may be findings */
	struct setting_value v[SETTING_COUNT];
};

/* Facts about a setting, from the table. */
struct setting_info {
	const char *path;
	enum setting_type type;
	const char *def, *allowed;
	enum setting_reload reload;
	const char *help;
};
extern const struct setting_info setting_infos[SETTING_COUNT];

/*
 * Reads the file. RC_NOT_FOUND: there is none; RC_INVALID: see the findings in
 * report; RC_NOMEM; what file_read() says. Each of them is a finding as well.
 *
 * Where single settings are wrong the others are in *ret all the same, and it
 * is `readable`: for whoever needs only one of them. Where the file is no YAML
 * there is in it what the environment and the defaults say. Free it in any case.
 */
MUST_CHECK enum rc config_load(const char *path, struct config *ret,
	struct report *report, struct err *e);
void config_free(struct config *c);

/*
 * What holds until the next start is as it is in `now`, whatever was read anew
 * into `next`: what differs is a warning with its place. `next` borrows from
 * the configuration that `now` has these from, which must outlive it.
 */
void config_hold(
	struct config *next, const struct config *now, struct report *r);

/* NULL when not set and without a default. Paths are joined with the file's
 * folder already. */
const char *config_text(const struct config *c, enum setting s);
int64_t config_int(const struct config *c, enum setting s);
bool config_bool(const struct config *c, enum setting s);
bool config_is_set(const struct config *c, enum setting s);

/* Where a setting stands, for findings; what nobody has set is told of at the
 * file's first line. */
struct place config_place(const struct config *c, enum setting s);

/*
 * The secret itself, read now. Unset in *ret when it is not configured.
 * RC_NOT_FOUND: its file does not exist, or its variable is not set (the text
 * names it); RC_INVALID: it is empty, has blanks around it, is JSON where a bare
 * value is expected (the text names its keys), or others can read or change its
 * file, or the configuration that it stands in. Newlines at its end are no part
 * of it; *trimmed says whether there were any.
 */
MUST_CHECK enum rc config_secret(const struct config *c, enum setting s,
	struct secret *ret, struct err *e);
MUST_CHECK enum rc config_secret_trimmed(const struct config *c, enum setting s,
	struct secret *ret, bool *trimmed, struct err *e);

/*
 * Findings about the secrets themselves, by what they are for: used, any is an
 * error that cannot be read; checked, it may be absent, since it is perhaps
 * elsewhere that they are used; shown, all are warnings. A file that
 * `muster register` would make may be absent always. Newlines that are no part of
 * a secret are warnings.
 */
enum secret_use { SECRETS_SHOWN, SECRETS_CHECKED, SECRETS_USED };
void config_check_secrets(
	const struct config *c, enum secret_use use, struct report *r);
/* Findings about homeserver.ca_file, which must be there where the homeserver
 * is asked. */
void config_check_ca_file(const struct config *c, struct report *r);

/* MUSTER_SECTION_KEY of a setting. */
void config_env_name(enum setting s, char out[64]);

/* What `muster config` shows: every setting, its value and where it is from;
 * secrets as fingerprints. */
void config_write_json(const struct config *c, struct buf *out);
/* What `muster init` knows of where it writes. */
struct config_known {
	const char *url, *server_name; /* NULL: an example */
	const char *org, *config;      /* the fleet's files; NULL: none */
	const char *admin;             /* a localpart; NULL: none is needed */
};
/* What it writes: every setting, commented; a configuration that can be
 * checked as it stands. Without files of a fleet it has one agent by hand. */
void config_write_template(const struct config_known *k, struct buf *out);
/* What is wrong with this text as a value of the setting, which is a URL or a
 * server's name; NULL: nothing. */
const char *config_fault(enum setting s, const char *text);

#endif
