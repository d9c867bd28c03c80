/*
 * registration/register_file.c: homeservers that read a registration from a
 * file, when they start: what the operator has to do there.
 */
#define _XOPEN_SOURCE 700 /* realpath() */
#include <stdlib.h>

#include "base/str.h"
#include "registration/registration_priv.h"

#include "base/poison.h"

static const struct {
	enum hs_kind kind;
	const char *where; /* what to do with the path that follows */
	const char *out;   /* the same, to take it back */
	const char *item;  /* what stands before the path */
	const char *again; /* how it comes to read the file */
} by_file[] = {
	{ HS_SYNAPSE,
		"Add this line to app_service_config_files in homeserver.yaml:",
		"Take this line out of app_service_config_files in "
		"homeserver.yaml:",
		"- ", "restart Synapse" },
	{ HS_DENDRITE,
		"Add this line to app_service_api.config_files in "
		"dendrite.yaml:",
		"Take this line out of app_service_api.config_files in "
		"dendrite.yaml:",
		"- ", "restart Dendrite" },
	{ HS_TUWUNEL,
		"Put this file into the directory that appservice_dir names in "
		"tuwunel.toml:",
		"Take this file out of the directory that appservice_dir names "
		"in tuwunel.toml:",
		"", "restart Tuwunel" },
	{ HS_UNKNOWN,
		"Give this file to the homeserver, where it takes "
		"registrations of application services (its kind is not known; "
		"homeserver.kind can say it):",
		"Take this file out of where the homeserver has its "
		"registrations of application services (its kind is not known; "
		"homeserver.kind can say it):",
		"", "restart it" },
};

static size_t file_kind(const struct register_options *o)
{
	size_t i = 0;

	while (by_file[i].kind != o->kind && by_file[i].kind != HS_UNKNOWN)
		i++;
	return i;
}

static enum rc tell_file(const struct register_options *o, bool out,
	const char *verb, struct err *e)
{
	char *path = realpath(o->registration_path, NULL);
	const char *shown = path ? path : o->registration_path;
	const size_t i = file_kind(o);
	enum rc rc;

	const char *where = out ? by_file[i].out : by_file[i].where;
	register_say(o, "%s", where);
	register_say(o, "  %s%s", by_file[i].item, shown);
	register_say(
		o, "then %s and run `muster %s` again", by_file[i].again, verb);
	if (!out)
		register_say(o,
			"(where its user is another than ours it may read the "
			"file by a group: chgrp, chmod 640)");
	if (dialect_of(o->kind) && !o->admin_user)
		register_say(o,
			"(or set homeserver.admin: what is registered in the "
			"admin room needs no file and no restart)");
	rc = err_set(e, RC_PENDING,
		"%s %s%s, then %s and run `muster %s` again", where,
		by_file[i].item, shown, by_file[i].again, verb);
	free(path);
	return rc;
}

enum rc register_by_file(const struct register_options *o, struct err *e)
{
	return tell_file(o, false, "register", e);
}

enum rc unregister_by_file(const struct register_options *o, struct err *e)
{
	return tell_file(o, true, "unregister", e);
}

enum rc register_by_restart(const struct register_options *o, struct err *e)
{
	char *path = realpath(o->registration_path, NULL);
	const char *shown = path ? path : o->registration_path;
	const char *again = by_file[file_kind(o)].again;

	register_say(
		o, "it has read %s as it was before, or another file", shown);
	enum rc rc = err_set(e, RC_PENDING,
		"%s, so that it reads %s as it is now, and run `muster "
		"register` again",
		again, shown);
	free(path);
	return rc;
}

const char *register_restart_words(const struct register_options *o)
{
	return by_file[file_kind(o)].again;
}
