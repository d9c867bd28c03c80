/*
 * appservice/ops/rotation_words.h: how far a new token is, for people. JSON has
 * the names of store/store.h.
 */
#ifndef APPSERVICE_OPS_ROTATION_WORDS_H
#define APPSERVICE_OPS_ROTATION_WORDS_H

#include "store/store.h"

/* What a rotation in this state waits for or ended with, for people. */
const char *rotation_words(enum rotation_state st);
/* By its name, which is what JSON has; the name itself when it is none that this
 * version knows. */
const char *rotation_words_of(const char *name);
/* Nothing more comes of it: what has become of it stands in its error. */
bool rotation_is_over(const char *name);

#endif
