// checkargs.c: typed arguments, or a sentence that says why not.
//
// The original checkers fill a missing or invalid argument with a random value; a reward must not
// depend on a die, so here both are errors and the verdict is unscored. Data sets often spell out
// every argument of every check with null for those that do not apply: null means absent.
#include "verifier/checkargs.h"

#include <math.h>
#include <string.h>

static const char *json_name(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        return "null";
    default:
        return "a flag";
    }
}

static void parse_integer(struct scratch *a, const char *name, const json_t *v,
                          struct check_arg *out)
{
    if (!json_is_number(v)) {
        scratch_fail(a, ERR_INVALID, "%s: %s, expected an integer", name, json_name(v));
    }
    double real = json_number_value(v);
    if (!(real >= 0 && real <= 1e15 && real == floor(real))) {
        scratch_fail(a, ERR_INVALID, "%s: %g is not an integer >= 0", name, real);
    }
    out->integer = json_is_integer(v) ? json_integer_value(v) : (int64_t)real;
}

static void parse_number(struct scratch *a, const char *name, const json_t *v,
                         struct check_arg *out)
{
    if (!json_is_number(v)) {
        scratch_fail(a, ERR_INVALID, "%s: %s, expected a number", name, json_name(v));
    }
    out->number = json_number_value(v);
}

static void parse_bool(struct scratch *a, const char *name, const json_t *v, struct check_arg *out)
{
    if (!json_is_boolean(v)) {
        scratch_fail(a, ERR_INVALID, "%s: %s, expected true or false", name, json_name(v));
    }
    out->integer = json_is_true(v);
}

static struct pyspan parse_string(struct scratch *a, const char *name, const json_t *v)
{
    if (!json_is_string(v)) {
        scratch_fail(a, ERR_INVALID, "%s: %s, expected a string", name, json_name(v));
    }
    return pytext_decode(a, json_string_value(v), json_string_length(v));
}

static struct pylist parse_list(struct scratch *a, const char *name, const json_t *v)
{
    size_t n = json_array_size(v);
    if (!json_is_array(v) || n == 0 || n > CHECK_MAX_LIST) {
        scratch_fail(a, ERR_INVALID, "%s: expected a list of 1..%d strings", name, CHECK_MAX_LIST);
    }
    struct pylist list = {scratch_array(a, n, sizeof *list.v), n};
    for (size_t i = 0; i < n; i++) {
        list.v[i] = parse_string(a, name, json_array_get(v, i));
    }
    return list;
}

static void parse_relation(struct scratch *a, const char *name, const json_t *v,
                           struct check_arg *out)
{
    const char *s = json_is_string(v) ? json_string_value(v) : "";
    if (strcmp(s, "less than") != 0 && strcmp(s, "at least") != 0) {
        scratch_fail(a, ERR_INVALID, "%s: expected \"less than\" or \"at least\"", name);
    }
    out->relation = s[0] == 'l' ? CHECK_LESS_THAN : CHECK_AT_LEAST;
}

static void parse_value(struct scratch *a, const struct check_arg_spec *spec, const json_t *v,
                        struct check_arg *out)
{
    switch (spec->type) {
    case CHECK_ARG_INT:
        parse_integer(a, spec->name, v, out);
        break;
    case CHECK_ARG_NUMBER:
        parse_number(a, spec->name, v, out);
        break;
    case CHECK_ARG_BOOL:
        parse_bool(a, spec->name, v, out);
        break;
    case CHECK_ARG_STR:
        out->text = parse_string(a, spec->name, v);
        break;
    case CHECK_ARG_STR_LIST:
        out->list = parse_list(a, spec->name, v);
        break;
    case CHECK_ARG_RELATION:
        parse_relation(a, spec->name, v, out);
        break;
    case CHECK_ARG_END:
        break;
    }
}

static void parse_one(struct scratch *a, const struct check_arg_spec *spec, const json_t *kwargs,
                      struct check_arg *out)
{
    const json_t *v = json_object_get(kwargs, spec->name);
    if (v && !json_is_null(v)) {
        parse_value(a, spec, v, out);
        return;
    }
    if (!spec->fallback) {
        scratch_fail(a, ERR_INVALID, "%s: missing", spec->name);
    }
    json_t *fallback = json_loads(spec->fallback, JSON_DECODE_ANY, NULL);
    if (!fallback) {
        scratch_fail(a, ERR_NOMEM, "out of memory");
    }
    parse_value(a, spec, fallback, out);
    json_decref(fallback);
}

static void refuse_unknown(struct scratch *a, const struct check_row *row, const json_t *kwargs)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)kwargs, key, value)
    {
        bool known = json_is_null(value);
        for (const struct check_arg_spec *spec = row->args; spec->type != CHECK_ARG_END; spec++) {
            known = known || strcmp(key, spec->name) == 0;
        }
        if (!known) {
            scratch_fail(a, ERR_INVALID, "%.40s: unknown argument", key);
        }
    }
}

struct check_arg *checkargs_parse(struct scratch *a, const struct check_row *row,
                                  const json_t *kwargs)
{
    struct check_arg *args = scratch_zeroed(a, CHECK_MAX_ARGS * sizeof *args);
    if (kwargs && !json_is_object(kwargs) && !json_is_null(kwargs)) {
        scratch_fail(a, ERR_INVALID, "kwargs: %s, expected an object", json_name(kwargs));
    }
    if (json_is_object(kwargs)) {
        refuse_unknown(a, row, kwargs);
    }
    for (size_t i = 0; row->args[i].type != CHECK_ARG_END; i++) {
        parse_one(a, &row->args[i], kwargs, &args[i]);
    }
    return args;
}

const char *checkargs_type_name(enum check_arg_type type)
{
    static const char *const names[] = {
        [CHECK_ARG_INT] = "integer",
        [CHECK_ARG_NUMBER] = "number",
        [CHECK_ARG_BOOL] = "flag",
        [CHECK_ARG_STR] = "text",
        [CHECK_ARG_STR_LIST] = "list of texts",
        [CHECK_ARG_RELATION] = "\"less than\" or \"at least\"",
    };
    return (size_t)type < ARRAY_LEN(names) && names[type] ? names[type] : "";
}
