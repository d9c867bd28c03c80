/*
 * appservice/newtokens.h: another as_token and hs_token, while the service runs.
 *
 * `muster registration --new-tokens` writes them beside the registration, into
 * a file of the same name and ".next"; `muster register` makes them known to
 * the homeserver and puts that file into the place of the old one. The service
 * follows by itself: it lets in whoever has an hs_token of one of the two files,
 * so that nothing is refused meanwhile, and takes up what the homeserver takes
 * once that does not take the old as_token any more.
 */
#ifndef APPSERVICE_NEWTOKENS_H
#define APPSERVICE_NEWTOKENS_H

#include <pthread.h>
#include <sys/stat.h>

#include "appservice/app.h"

#define NEWTOKENS_FILES 2

/* What is known of the files. Any thread. */
struct newtokens {
	struct app *app;
	pthread_mutex_t lock;
	struct {
		struct stat seen;
		bool there;
		unsigned char digest[SHA256_LEN];
	} file[NEWTOKENS_FILES];
};

/* Before any other call; `app` is borrowed for n's life. */
void newtokens_init(struct newtokens *n, struct app *app);
void newtokens_fini(struct newtokens *n);
/* The digest is that of the hs_token in force, or of one in the files; for
 * http_server_options, with a struct newtokens. */
bool newtokens_is_right(
	void *newtokens, const unsigned char digest[SHA256_LEN]);

/* The path of the file beside; free it. NULL: out of memory. */
MUST_CHECK char *newtokens_path(const struct app *app);

/* Reads them from there. RC_NOT_FOUND: none wait; anything else failed, in words
 * that say what to do about the file. */
MUST_CHECK enum rc newtokens_read(
	const char *path, struct registration *ret, struct err *e);

/* The registration file is another than *seen, which it is from now on. */
bool newtokens_changed(const struct app *app, struct stat *seen);

/*
 * Perhaps the homeserver does not take the as_token in force: is there another
 * in the files, which it takes? Then *taken, and app->reg is that from now on; by the loop's thread,
 * while its workers rest.
 */
MUST_CHECK enum rc newtokens_take(struct app *app, bool *taken, struct err *e);

#endif
