/*
 * base/json_write.c: the writer of JSON. It knows only where a comma is due;
 * errors stay in the buffer.
 */
#include "base/json.h"

#include <assert.h>
#include <inttypes.h>

#include "base/poison.h"

void jb_init(struct jb *b, struct buf *out)
{
	*b = (struct jb){ .out = out };
}

/* What stands before a value: a comma, a key. */
static void before(struct jb *b, const char *key)
{
	if (b->comma[b->depth])
		buf_addc(b->out, ',');
	b->comma[b->depth] = true;
	if (key) {
		buf_add_json_str(b->out, key);
		buf_addc(b->out, ':');
	}
}

static void open_with(struct jb *b, const char *key, char c)
{
	assert((size_t)b->depth + 1 < ARRAY_LEN(b->comma));
	before(b, key);
	buf_addc(b->out, c);
	b->depth++;
	b->comma[b->depth] = false;
}

static void close_with(struct jb *b, char c)
{
	assert(b->depth > 0);
	b->depth--;
	buf_addc(b->out, c);
}

void jb_obj(struct jb *b, const char *key)
{
	open_with(b, key, '{');
}

void jb_arr(struct jb *b, const char *key)
{
	open_with(b, key, '[');
}

void jb_end_obj(struct jb *b)
{
	close_with(b, '}');
}

void jb_end_arr(struct jb *b)
{
	close_with(b, ']');
}

void jb_str(struct jb *b, const char *key, const char *v)
{
	before(b, key);
	if (v)
		buf_add_json_str(b->out, v);
	else
		buf_add(b->out, "null");
}

void jb_int(struct jb *b, const char *key, int64_t v)
{
	before(b, key);
	buf_addf(b->out, "%" PRId64, v);
}

void jb_bool(struct jb *b, const char *key, bool v)
{
	before(b, key);
	buf_add(b->out, v ? "true" : "false");
}

void jb_null(struct jb *b, const char *key)
{
	before(b, key);
	buf_add(b->out, "null");
}

void jb_js(struct jb *b, const char *key, struct js v)
{
	before(b, key);
	js_write(v, b->out);
}

void jb_raw(struct jb *b, const char *key, const char *json)
{
	before(b, key);
	buf_add(b->out, json);
}
