/*
 * tests/unit/folder.h: a folder for one test, and the files in it.
 */
#ifndef TESTS_UNIT_FOLDER_H
#define TESTS_UNIT_FOLDER_H

#include "tests/unit/test.h"

/* For cmocka_unit_test_setup_teardown: a new folder, and its end. */
int folder_make(void **state);
int folder_remove(void **state);
/* Any folder, with all that is in it. */
void folder_remove_all(const char *path);

/* The path of a name in it; valid until four calls later. */
const char *in_folder(const char *name);
/* Writes a file; its folder is made. */
void put_file(const char *name, const char *text);
/* The text of a file, NULL: there is none; valid until the next call. */
const char *file_text(const char *name);
unsigned file_mode(const char *name);

#endif
