// json.c: jansson with the doors closed.
//
// jansson parses by recursion and its own depth limit (2048) is generous, so the nesting is counted
// first by a scan that only knows strings and brackets. Duplicate keys are refused because two
// readers that each pick another one of them disagree about what was said. A reader never
// guesses: 1.0 is not an integer, "1" is not a number, and a message shows what stood there.

#include "common/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_BYTES 40    // of an offending value, in a message

static enum err check_depth(const char *text, size_t len, const char *where, struct why *why)
{
    int depth = 0;
    bool in_string = false;
    size_t line = 1;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '\n') {
            line++;
        }
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > JSON_MAX_DEPTH) {
                return why_set(why, ERR_LIMIT, "%s: line %zu: JSON nested deeper than %d levels",
                               where, line, JSON_MAX_DEPTH);
            }
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return ERR_OK;
}

enum err json_parse(const char *text, size_t len, const char *where, json_t **out, struct why *why)
{
    enum err e = check_depth(text, len, where, why);
    if (e != ERR_OK) {
        return e;
    }
    json_error_t error;
    size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY;
    json_t *value = json_loadb(text, len, flags, &error);
    if (value == NULL) {
        if (json_error_code(&error) == json_error_out_of_memory) {
            return why_set(why, ERR_NOMEM, "%s: out of memory for %zu bytes of JSON", where, len);
        }
        return why_set(why, ERR_INVALID, "%s: not valid JSON: line %d column %d: %s", where,
                       error.line, error.column, error.text);
    }
    *out = value;
    return ERR_OK;
}

// What stands in a field, for a message: `the number 12`, `the string "abc…"`, `an object`.
static const char *describe(const json_t *value, char *out, size_t cap)
{
    if (value == NULL) {
        (void)snprintf(out, cap, "missing");
        return out;
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        (void)snprintf(out, cap, "an object");
        break;
    case JSON_ARRAY:
        (void)snprintf(out, cap, "a list");
        break;
    case JSON_STRING: {
        size_t len = json_string_length(value);
        (void)snprintf(out, cap, "the string \"%.*s%s\"", (int)MIN(len, (size_t)SHOWN_BYTES),
                       json_string_value(value), len > SHOWN_BYTES ? "..." : "");
        break;
    }
    case JSON_INTEGER:
        (void)snprintf(out, cap, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        (void)snprintf(out, cap, "%.17g", json_real_value(value));
        break;
    case JSON_TRUE:
        (void)snprintf(out, cap, "true");
        break;
    case JSON_FALSE:
        (void)snprintf(out, cap, "false");
        break;
    case JSON_NULL:
        (void)snprintf(out, cap, "null");
        break;
    }
    return out;
}

static enum err wrong(const json_t *obj, const char *key, const char *where, const char *expected,
                      struct why *why)
{
    char shown[SHOWN_BYTES + 64];
    if (!json_is_object(obj)) {
        return why_set(why, ERR_INVALID, "%s: %s, expected an object with \"%s\"", where,
                       describe(obj, shown, sizeof shown), key);
    }
    return why_set(why, ERR_INVALID, "%s: \"%s\": %s, expected %s", where, key,
                   describe(json_object_get(obj, key), shown, sizeof shown), expected);
}

static bool absent(const json_t *obj, const char *key)
{
    const json_t *value = json_object_get(obj, key);
    return json_is_object(obj) && (value == NULL || json_is_null(value));
}

enum err json_get_str(const json_t *obj, const char *key, const char *where, const char **out,
                      struct why *why)
{
    const json_t *value = json_object_get(obj, key);
    if (!json_is_string(value)) {
        return wrong(obj, key, where, "a string", why);
    }
    *out = json_string_value(value);
    return ERR_OK;
}

enum err json_get_int(const json_t *obj, const char *key, int64_t min, int64_t max,
                      const char *where, int64_t *out, struct why *why)
{
    const json_t *value = json_object_get(obj, key);
    if (!json_is_integer(value) || json_integer_value(value) < min ||
        json_integer_value(value) > max) {
        char expected[96];
        (void)snprintf(expected, sizeof expected, "an integer in %" PRId64 "..%" PRId64, min, max);
        return wrong(obj, key, where, expected, why);
    }
    *out = json_integer_value(value);
    return ERR_OK;
}

enum err json_get_num(const json_t *obj, const char *key, double min, double max, const char *where,
                      double *out, struct why *why)
{
    const json_t *value = json_object_get(obj, key);
    double x = json_number_value(value);
    if (!json_is_number(value) || !(x >= min && x <= max)) {
        char expected[96];
        (void)snprintf(expected, sizeof expected, "a number in %g..%g", min, max);
        return wrong(obj, key, where, expected, why);
    }
    *out = x;
    return ERR_OK;
}

enum err json_opt_str(const json_t *obj, const char *key, const char *where, const char **out,
                      struct why *why)
{
    return absent(obj, key) ? ERR_OK : json_get_str(obj, key, where, out, why);
}

enum err json_opt_int(const json_t *obj, const char *key, int64_t min, int64_t max,
                      const char *where, int64_t *out, struct why *why)
{
    return absent(obj, key) ? ERR_OK : json_get_int(obj, key, min, max, where, out, why);
}

enum err json_opt_num(const json_t *obj, const char *key, double min, double max, const char *where,
                      double *out, struct why *why)
{
    return absent(obj, key) ? ERR_OK : json_get_num(obj, key, min, max, where, out, why);
}

enum err json_opt_bool(const json_t *obj, const char *key, const char *where, bool *out,
                       struct why *why)
{
    if (absent(obj, key)) {
        return ERR_OK;
    }
    const json_t *value = json_object_get(obj, key);
    if (!json_is_boolean(value)) {
        return wrong(obj, key, where, "true or false", why);
    }
    *out = json_is_true(value);
    return ERR_OK;
}
