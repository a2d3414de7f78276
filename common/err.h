// err.h: the one list of error codes, and `struct why`, the text a tired human reads.
//
// Fallible functions return `enum err`, leave their outputs untouched on failure and, where a
// caller passes a non-NULL `struct why *`, say what was wrong: the thing, its value and what was
// expected (`config.yaml:14: staleness_max: -1 is not in 0..64`). Libraries never print and never
// exit.
#ifndef CARAVAN_COMMON_ERR_H
#define CARAVAN_COMMON_ERR_H

#include "common/base.h"

#define ERR_LIST(X)                                                                                \
    X(OK, "ok")                                                                                    \
    X(NOMEM, "out of memory")                                                                      \
    X(INVALID, "invalid value")                                                                    \
    X(IO, "input/output error")                                                                    \
    X(LIMIT, "over a limit")                                                                       \
    X(NOT_FOUND, "not found")                                                                      \
    X(EXISTS, "already exists")                                                                    \
    X(BUSY, "in use")                                                                              \
    X(TIMEOUT, "timed out")                                                                        \
    X(CLOSED, "closed")                                                                            \
    X(CORRUPT, "corrupt data")                                                                     \
    X(UNSUPPORTED, "not supported")                                                                \
    X(VERSION, "version mismatch")                                                                 \
    X(DENIED, "permission denied")                                                                 \
    X(CANCELLED, "cancelled")                                                                      \
    X(MISMATCH, "results differ")                                                                  \
    X(FULL, "queue or disk full")

enum err {
#define X(name, text) ERR_##name,
    ERR_LIST(X)
#undef X
};

struct why {
    char text[1024];    // NUL-terminated, one line, no trailing full stop
};

// Static text of a code ("out of memory"); never NULL.
const char *err_text(enum err e);

// Writes the text (if why is not NULL; truncated to fit) and returns e, so that a failing path
// reads
//   return why_set(why, ERR_LIMIT, "%s: %zu tokens, at most %zu", what, n, max);
enum err why_set(struct why *why, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);

// Puts "prefix: " in front of an existing text (a caller adding where it happened); returns e.
enum err why_prefix(struct why *why, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
