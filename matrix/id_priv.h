/*
 * matrix/id_priv.h: what id.c and lower.c share.
 */
#ifndef MATRIX_ID_PRIV_H
#define MATRIX_ID_PRIV_H

#include <stdint.h>

/* The simple lower-case mapping of a code point (Unicode 14), itself when it
 * has none. */
uint32_t lower_cp(uint32_t cp);

#endif
