// reference.h: golden numbers for tests, from tests/data or from the folder that the environment
// variable CARAVAN_REFERENCE names (large sets; tests that need them skip when it is unset).
#ifndef CARAVAN_TESTS_LEARNER_REFERENCE_H
#define CARAVAN_TESTS_LEARNER_REFERENCE_H

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static inline json_t *golden_load(const char *path)
{
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    if (!root) {
        fail_msg("%s:%d: %s", path, error.line, error.text);
    }
    return root;
}

// $CARAVAN_REFERENCE/name, or skips the test.
static inline json_t *reference_load(const char *name)
{
    const char *folder = getenv("CARAVAN_REFERENCE");
    if (!folder) {
        skip();
    }
    char path[1024];
    assert_true(snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path);
    return golden_load(path);
}

// Numbers may be the strings "nan", "inf", "-inf".
static inline double golden_number(const json_t *v)
{
    if (json_is_string(v)) {
        return strtod(json_string_value(v), NULL);
    }
    assert_true(json_is_number(v));
    return json_number_value(v);
}

static inline double golden_get(const json_t *obj, const char *key)
{
    return golden_number(json_object_get(obj, key));
}

// Appends all numbers of a nested array to out (at most cap); returns how many.
static inline size_t golden_flatten(const json_t *v, double *out, size_t cap)
{
    if (!json_is_array(v)) {
        assert_true(cap > 0);
        *out = golden_number(v);
        return 1;
    }
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(v); i++) {
        n += golden_flatten(json_array_get(v, i), out + n, cap - n);
    }
    return n;
}

// |is - want| <= tolerance * max(1, |want|); the message names the place.
static inline void assert_close(double is, double want, double tolerance, const char *what,
                                size_t index)
{
    if (!(fabs(is - want) <= tolerance * fmax(1, fabs(want)))) {
        fail_msg("%s[%zu] is %.17g, expected %.17g (tolerance %g)", what, index, is, want,
                 tolerance);
    }
}

#endif
