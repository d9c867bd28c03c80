/*
 * What is wrong with the hand-offs as they lie in the runtime directory: who can
 * see and change them, and whether they are what was handed over.
 */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appservice/ops/doctor_priv.h"
#include "appservice/tokens/tokens.h"
#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

/* A slow file system shall not keep whoever asks from an answer, which they
 * await for 30 s. */
#define LOOK_MS 20000
#define STICKY 01000 /* S_ISVTX */

/* --- looking ----------------------------------------------------------------- */

static void look_at_file(struct doctor *d, struct patient *p)
{
	struct err e = { 0 };
	int fd = -1;
	p->wrong = NULL;
	handoff_fini(&p->file);
	p->read = handoff_dir_find(p->path, &fd, &e);
	if (p->read == RC_OK)
		p->read = handoff_read(fd, &p->file, &e);
	if (fd >= 0)
		close(fd);
	if (p->read == RC_OK)
		p->wrong = tokens_wrong_with(
			&p->file, &p->row, d->public_url, d->device);
	p->read_why = p->read == RC_OK ? NULL : arena_strdup(d->a, e.text);
}

static void look_at_owners(struct doctor *d, struct patient *p)
{
	struct err e = { 0 };
	p->bits = 0;
	p->seen = handoff_inspect(p->path, d->uid, d->gid, &p->bits, &e);
	p->seen_why = p->seen == RC_OK ? NULL : arena_strdup(d->a, e.text);
}

/* Another token may have been handed over since the store was read. */
static bool has_moved_on(struct doctor *d, struct patient *p)
{
	struct store_agent row = { 0 };
	if (!d->app->store ||
		store_agent_get(d->app->store, p->row.user_id, d->a, &row,
			NULL) != RC_OK ||
		(row.state == p->row.state &&
			row.generation == p->row.generation))
		return false;
	p->row = row;
	return true;
}

void doctor_look(struct doctor *d)
{
	const int64_t until = clock_mono_ms() + LOOK_MS;
	for (size_t i = 0; i < d->n; i++) {
		struct patient *p = &d->patients[i];
		if (!p->path)
			continue;
		if (clock_mono_ms() > until) {
			d->unseen++;
			continue;
		}
		p->looked = true;
		look_at_file(d, p);
		if (patient_has_file(p) && (p->read != RC_OK || p->wrong) &&
			has_moved_on(d, p))
			look_at_file(d, p);
		look_at_owners(d, p);
	}
}

/* --- what is wrong with owners and modes -------------------------------------- */

static bool is_writable(const char *path, bool root)
{
	struct stat st;
	if (lstat(path, &st) != 0)
		return false;
	return root ? (st.st_mode & S_IWOTH) && !(st.st_mode & STICKY)
		    : (st.st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

static const char *fix_writable(struct doctor *d, const struct patient *p)
{
	const char *end = strrchr(p->path, '/');
	const char *department =
		arena_strndup(d->a, p->path, end ? (size_t)(end - p->path) : 0);
	const char *const dirs[] = { p->path, department, d->root };
	const char *fix = "`chmod go-w";
	for (size_t i = 0; i < ARRAY_LEN(dirs) && fix; i++)
		if (dirs[i] && is_writable(dirs[i], dirs[i] == d->root))
			fix = arena_printf(d->a, "%s %s", fix,
				doctor_quote(d->a, dirs[i]));
	return fix ? arena_printf(d->a, "%s`", fix) : NULL;
}

static const char *fix_device(struct doctor *d, const struct patient *p)
{
	return arena_printf(d->a, "`umount %s`", doctor_quote(d->a, p->path));
}

static const char *fix_owner(struct doctor *d, const struct patient *p)
{
	return arena_printf(d->a, "`chown %lld:%lld %s`", (long long)d->uid,
		(long long)d->gid, doctor_quote(d->a, p->path));
}

static const char *file_of(struct doctor *d, const struct patient *p)
{
	const char *path = arena_printf(d->a, "%s/" HANDOFF_FILE, p->path);
	return path ? doctor_quote(d->a, path) : NULL;
}

/* The service makes another at its next look. */
static const char *fix_kind(struct doctor *d, const struct patient *p)
{
	return arena_printf(d->a, "`rm -r %s`: %s", file_of(d, p),
		d->serving ? "the service writes a new one at its next look"
			   : "`muster serve` writes a new one");
}

static const char *fix_linked(struct doctor *d, const struct patient *p)
{
	return arena_printf(d->a,
		"`find %s -samefile %s` finds the other name; then %s",
		doctor_quote(d->a, d->root), file_of(d, p),
		doctor_verb(d, "rotate", p->row.user_id, " --now"));
}

static const char *fix_by_rotating(struct doctor *d, const struct patient *p)
{
	return doctor_verb(d, "rotate", p->row.user_id, " --now");
}

static const struct {
	bool of_directory;
	const char *why;
	const char *(*fix)(struct doctor *d, const struct patient *p);
} by_finding[HANDOFF_FINDINGS] = {
	[HANDOFF_DIR_DEVICE] = { true,
		"what is mounted there can go away by itself, and who sees the "
		"root need not see it",
		fix_device },
	[HANDOFF_DIR_WRITABLE] = { true,
		"others can put a file of theirs in the place of its token's",
		fix_writable },
	[HANDOFF_DIR_OWNER] = { true,
		"the agent cannot answer there, and nobody knows whether it "
		"has its token",
		fix_owner },
	[HANDOFF_FILE_KIND] = { false, "the agent has no token to read",
		fix_kind },
	[HANDOFF_FILE_VISIBLE] = { false,
		"who has read it can act as the agent", fix_by_rotating },
	[HANDOFF_FILE_UNREADABLE] = { false, "the agent cannot read its token",
		fix_by_rotating },
	[HANDOFF_FILE_OWNER] = { false,
		"the agent cannot read its token, and somebody else may",
		fix_by_rotating },
	[HANDOFF_FILE_LINKED] = { false,
		"by its other name others may read it and keep it",
		fix_linked },
};

/* What is said of it there, without the remedy. */
static const char *words_of(struct doctor *d, enum handoff_finding f)
{
	const char *words = handoff_finding_words(f);
	const char *end = strstr(words, ": ");
	return end ? arena_strndup(d->a, words, (size_t)(end - words)) : words;
}

static void find_bits(struct doctor *d, const struct patient *p, bool directory)
{
	for (int f = 0; f < HANDOFF_FINDINGS; f++)
		if ((p->bits & UINT32_C(1) << f) && by_finding[f].fix &&
			by_finding[f].of_directory == directory)
			doctor_find(d, p->row.user_id,
				words_of(d, (enum handoff_finding)f),
				by_finding[f].why, by_finding[f].fix(d, p));
}

/* --- directories ---------------------------------------------------------------- */

static bool is_inspected(const struct patient *p)
{
	return p->looked && (patient_has_file(p) || patient_is_without(p));
}

static void check_directory(struct doctor *d, struct patient *p)
{
	if (!is_inspected(p) || p->seen == RC_NOT_FOUND)
		return;
	if (p->seen == RC_OK) {
		find_bits(d, p, true);
		return;
	}
	doctor_find(d, p->row.user_id,
		arena_printf(d->a, "its directory cannot be looked at: %s",
			p->seen_why),
		"what is in it nobody knows, and the agent may not find its "
		"token",
		arena_printf(d->a,
			"make %s a directory that the service and the agent "
			"may enter",
			doctor_quote(d->a, p->path)));
}

void check_directories(struct doctor *d)
{
	doctor_each(d, check_directory);
	if (d->unseen > 0)
		doctor_find(d, d->root,
			arena_printf(d->a,
				"%zu of %zu directories were not looked at: "
				"it took longer than %d s",
				d->unseen, d->n, LOOK_MS / 1000),
			"the file system is slow, or hangs, and agents wait "
			"for it as well",
			"see to the file system of handoff.root");
}

/* --- files ------------------------------------------------------------------------- */

/* What the service does by itself, sooner or later. */
static const char *fix_by_service(struct doctor *d, const struct patient *p)
{
	if (!d->serving)
		return "`muster serve` writes a new one";
	return arena_printf(d->a,
		"the service writes a new one at its next look, and at once "
		"with `muster rotate %s --now`",
		p->row.user_id);
}

static const char *wrong_words(struct doctor *d, const struct patient *p)
{
	if (p->file.generation == p->row.generation)
		return p->wrong;
	return arena_printf(d->a, "%s: %lld, and not %lld", p->wrong,
		(long long)p->file.generation, (long long)p->row.generation);
}

/* A file that should be as it was handed over. */
static void check_content(struct doctor *d, struct patient *p)
{
	const char *who = p->row.user_id;
	const char *none = "without it the agent has no token that works";
	switch (p->read) {
	case RC_OK:
		if (p->wrong)
			doctor_find(d, who, wrong_words(d, p), none,
				fix_by_service(d, p));
		break;
	case RC_NOT_FOUND:
		doctor_find(
			d, who, "its file is gone", none, fix_by_service(d, p));
		break;
	case RC_REVOKED:
		doctor_find(d, who, "a tombstone is in the place of its file",
			none, fix_by_service(d, p));
		break;
	case RC_VERSION:
		doctor_find(d, who, p->read_why,
			"nothing can be said of the token in it",
			"run the version of muster that wrote it");
		break;
	case RC_CORRUPT:
	case RC_TOO_LARGE:
		doctor_find(d, who,
			arena_printf(d->a, "its file cannot be used: %s",
				p->read_why),
			none, fix_by_service(d, p));
		break;
	default:
		doctor_find(d, who,
			arena_printf(d->a, "its file cannot be read: %s",
				p->read_why),
			"nothing can be said of the token in it",
			"let the service's user read it, and run `muster "
			"doctor` as that user");
	}
}

/* An agent could put its old file there again. */
static void check_buried(struct doctor *d, struct patient *p)
{
	if (p->looked && p->read == RC_OK)
		doctor_find(d, p->row.user_id,
			"its tokens were taken away, and there is a file with "
			"one",
			"its agent goes on trying with it",
			arena_printf(d->a, "`rm %s`", file_of(d, p)));
}

/* By owner and mode alone the file is none that could be looked into. */
#define NOT_TO_BE_READ                                                         \
	(UINT32_C(1) << HANDOFF_FILE_KIND |                                    \
		UINT32_C(1) << HANDOFF_FILE_UNREADABLE |                       \
		UINT32_C(1) << HANDOFF_FILE_OWNER |                            \
		UINT32_C(1) << HANDOFF_FILE_LINKED)

/* It is private by now; who has read it has read it. */
static void check_exposed(struct doctor *d, const struct patient *p)
{
	const struct store_agent *row = &p->row;
	if (row->exposed_ms == 0 || !patient_has_file(p))
		return;
	doctor_find(d, row->user_id,
		arena_printf(d->a,
			"others could read its file, as was seen at %s: it is "
			"private again",
			doctor_time(d->a, row->exposed_ms)),
		"whoever has read it can act as the agent",
		doctor_verb(d, "rotate", row->user_id, " --now"));
}

static void check_file(struct doctor *d, struct patient *p)
{
	check_exposed(d, p);
	if (p->row.state == AGENT_BLOCKED)
		check_buried(d, p);
	if (!is_inspected(p))
		return;
	if (p->seen == RC_OK)
		find_bits(d, p, false);
	if (patient_has_file(p) &&
		(p->seen == RC_NOT_FOUND ||
			(p->seen == RC_OK && !(p->bits & NOT_TO_BE_READ))))
		check_content(d, p);
}

void check_files(struct doctor *d)
{
	doctor_each(d, check_file);
}
