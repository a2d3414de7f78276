// check.h: cmocka with the headers it wants in front, and a scratch folder per test program.
#ifndef CARAVAN_TESTS_COMMON_CHECK_H
#define CARAVAN_TESTS_COMMON_CHECK_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fs.h"

#define assert_contains(text, part)                                                                \
    do {                                                                                           \
        if (strstr((text), (part)) == NULL) {                                                      \
            fail_msg("\"%s\" does not contain \"%s\"", (text), (part));                            \
        }                                                                                          \
    } while (0)

// Group set-up: makes a folder under $TMPDIR and enters it, so that tests use plain relative names.
static inline int scratch_enter(void **state)
{
    const char *base = getenv("TMPDIR");
    char *path = fs_path("%s/caravan-test-XXXXXX", base != NULL && base[0] != '\0' ? base : "/tmp");
    if (path == NULL || mkdtemp(path) == NULL || chdir(path) != 0) {
        return -1;
    }
    *state = path;
    return 0;
}

static inline int scratch_leave(void **state)
{
    struct why why;
    char *path = *state;
    int rc = chdir("/") == 0 && fs_remove_tree(path, &why) == ERR_OK ? 0 : -1;
    free(path);
    return rc;
}

#endif
