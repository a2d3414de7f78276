// json.h: strict readers over jansson for data from outside: every failure names the place, the
// field, the value's type and what was expected.
//
// In: bytes that nobody has checked. Out: a jansson value that the caller releases, or `why` in one
// line. Depth is bounded before the parser runs, so that no text can exhaust the stack; the size is
// the caller's to bound.
//
// Pure functions, any thread.
#ifndef CARAVAN_COMMON_JSON_H
#define CARAVAN_COMMON_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

// Deeper input is ERR_LIMIT (checked before parsing, so a 10,000-deep text cannot exhaust the
// stack).
#define JSON_MAX_DEPTH 64

// Parses one document of len bytes (duplicate keys refused, NUL in strings allowed). where:
// "tasks.jsonl:12", used in `why`.
MUST_CHECK enum err json_parse(const char *text, size_t len, const char *where, json_t **out,
                               struct why *why);
// Field readers; `obj` must be an object. The string points into obj. `_opt` forms leave *out
// untouched when the field is absent or null.
MUST_CHECK enum err json_get_str(const json_t *obj, const char *key, const char *where,
                                 const char **out, struct why *why);
MUST_CHECK enum err json_get_int(const json_t *obj, const char *key, int64_t min, int64_t max,
                                 const char *where, int64_t *out, struct why *why);
MUST_CHECK enum err json_get_num(const json_t *obj, const char *key, double min, double max,
                                 const char *where, double *out, struct why *why);
MUST_CHECK enum err json_opt_str(const json_t *obj, const char *key, const char *where,
                                 const char **out, struct why *why);
MUST_CHECK enum err json_opt_int(const json_t *obj, const char *key, int64_t min, int64_t max,
                                 const char *where, int64_t *out, struct why *why);
MUST_CHECK enum err json_opt_num(const json_t *obj, const char *key, double min, double max,
                                 const char *where, double *out, struct why *why);
MUST_CHECK enum err json_opt_bool(const json_t *obj, const char *key, const char *where, bool *out,
                                  struct why *why);

#endif
