/*
 * base/yaml_write.c: the writer of YAML, on libyaml's emitter. Values are
 * quoted always: which plain words are no strings differs between readers.
 */
#include "base/yaml.h"

#include <yaml.h>

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#include "base/poison.h"

struct yaml_writer {
	yaml_emitter_t emitter;
	struct buf *out;
	enum rc rc;
};

static int write_out(void *arg, unsigned char *p, size_t n)
{
	struct yaml_writer *w = arg;

	buf_addn(w->out, p, n);
	return buf_rc(w->out) == RC_OK;
}

/* Takes the event; `made` is what its initialiser said. */
static void emit(struct yaml_writer *w, yaml_event_t *event, int made)
{
	if (w->rc != RC_OK) {
		if (made == 1)
			yaml_event_delete(event);
		return;
	}
	if (made == 1 && yaml_emitter_emit(&w->emitter, event) == 1)
		return;
	w->rc = buf_rc(w->out);
	if (w->rc == RC_OK && w->emitter.error == YAML_EMITTER_ERROR)
		w->rc = RC_INVALID;
	if (w->rc == RC_OK)
		w->rc = RC_NOMEM;
}

struct yaml_writer *yaml_writer_new(struct buf *out)
{
	struct yaml_writer *w = calloc(1, sizeof(*w));
	yaml_event_t event;

	if (!w)
		return NULL;
	w->out = out;
	if (yaml_emitter_initialize(&w->emitter) != 1) {
		free(w);
		return NULL;
	}
	yaml_emitter_set_output(&w->emitter, write_out, w);
	yaml_emitter_set_unicode(&w->emitter, 1);
	yaml_emitter_set_width(&w->emitter, -1);
	emit(w, &event,
		yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
	emit(w, &event,
		yaml_document_start_event_initialize(
			&event, NULL, NULL, NULL, 1));
	return w;
}

static void emit_scalar(
	struct yaml_writer *w, const char *text, yaml_scalar_style_t style)
{
	yaml_event_t event;

	/* libyaml does not say whether it was memory or the text. */
	if (w->rc == RC_OK && !utf8_valid(text, strlen(text), NULL))
		w->rc = RC_INVALID;
	if (w->rc != RC_OK)
		return;
	int made = yaml_scalar_event_initialize(
		&event, NULL, NULL, (const yaml_char_t *)text, -1, 1, 1, style);
	emit(w, &event, made);
}

static void emit_key(struct yaml_writer *w, const char *key)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ_";

	if (!key)
		return;
	bool word = *key && key[strspn(key, letters)] == '\0';
	emit_scalar(w, key,
		word ? YAML_PLAIN_SCALAR_STYLE
		     : YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}

void yw_map(struct yaml_writer *w, const char *key)
{
	yaml_event_t event;

	emit_key(w, key);
	emit(w, &event,
		yaml_mapping_start_event_initialize(
			&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE));
}

void yw_seq(struct yaml_writer *w, const char *key)
{
	yaml_event_t event;

	emit_key(w, key);
	emit(w, &event,
		yaml_sequence_start_event_initialize(
			&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE));
}

void yw_end_map(struct yaml_writer *w)
{
	yaml_event_t event;

	emit(w, &event, yaml_mapping_end_event_initialize(&event));
}

void yw_end_seq(struct yaml_writer *w)
{
	yaml_event_t event;

	emit(w, &event, yaml_sequence_end_event_initialize(&event));
}

void yw_str(struct yaml_writer *w, const char *key, const char *v)
{
	emit_key(w, key);
	if (v)
		emit_scalar(w, v, YAML_DOUBLE_QUOTED_SCALAR_STYLE);
	else
		emit_scalar(w, "null", YAML_PLAIN_SCALAR_STYLE);
}

void yw_bool(struct yaml_writer *w, const char *key, bool v)
{
	emit_key(w, key);
	emit_scalar(w, v ? "true" : "false", YAML_PLAIN_SCALAR_STYLE);
}

enum rc yaml_writer_finish(struct yaml_writer *w)
{
	yaml_event_t event;

	if (!w)
		return RC_NOMEM;
	emit(w, &event, yaml_document_end_event_initialize(&event, 1));
	emit(w, &event, yaml_stream_end_event_initialize(&event));
	enum rc rc = w->rc;
	if (rc == RC_OK && yaml_emitter_flush(&w->emitter) != 1)
		rc = buf_rc(w->out) == RC_OK ? RC_NOMEM : buf_rc(w->out);
	yaml_emitter_delete(&w->emitter);
	free(w);
	return rc;
}
