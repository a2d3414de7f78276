// checkargs.c: typed arguments, or a sentence that says why not.
//
// The original checkers fill a missing or invalid argument with a random value; a reward must not
// depend on a die, so here both are errors and the verdict is unscored. Data sets often spell out
// every argument of every check with null for those that do not apply: null means absent.
#include "verifier/checkargs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *type_name(const json_t *v)
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

static enum err parse_integer(const char *name, const json_t *v, struct check_arg *out,
                              struct why *why)
{
    double real = json_is_number(v) ? json_number_value(v) : -1;
    if (!json_is_number(v)) {
        return why_set(why, ERR_INVALID, "%s: %s, expected an integer", name, type_name(v));
    }
    if (real < 0 || real > 1e15 || real != floor(real)) {
        return why_set(why, ERR_INVALID, "%s: %g is not an integer >= 0", name, real);
    }
    out->integer = json_is_integer(v) ? json_integer_value(v) : (int64_t)real;
    return ERR_OK;
}

static enum err parse_string(const char *name, const json_t *v, struct pytext *out, struct why *why)
{
    if (!json_is_string(v)) {
        return why_set(why, ERR_INVALID, "%s: %s, expected a string", name, type_name(v));
    }
    return pytext_decode(json_string_value(v), json_string_length(v), out);
}

static enum err parse_list(const char *name, const json_t *v, struct check_arg *out,
                           struct why *why)
{
    size_t n = json_array_size(v);
    if (!json_is_array(v) || n == 0 || n > CHECK_MAX_LIST) {
        return why_set(why, ERR_INVALID, "%s: expected a list of 1..%d strings", name,
                       CHECK_MAX_LIST);
    }
    out->list = calloc(n, sizeof *out->list);
    if (!out->list) {
        return ERR_NOMEM;
    }
    enum err e = ERR_OK;
    for (size_t i = 0; i < n && !e; i++) {
        e = parse_string(name, json_array_get(v, i), &out->list[i], why);
        out->n_list = i + 1;
    }
    return e;
}

static enum err parse_relation(const char *name, const json_t *v, struct check_arg *out,
                               struct why *why)
{
    const char *s = json_is_string(v) ? json_string_value(v) : "";
    if (strcmp(s, "less than") != 0 && strcmp(s, "at least") != 0) {
        return why_set(why, ERR_INVALID, "%s: expected \"less than\" or \"at least\"", name);
    }
    out->relation = s[0] == 'l' ? CHECK_LESS_THAN : CHECK_AT_LEAST;
    return ERR_OK;
}

static enum err parse_value(const struct check_arg_spec *spec, const json_t *v,
                            struct check_arg *out, struct why *why)
{
    switch (spec->type) {
    case CHECK_ARG_INT:
        return parse_integer(spec->name, v, out, why);
    case CHECK_ARG_STR:
        return parse_string(spec->name, v, &out->text, why);
    case CHECK_ARG_STR_LIST:
        return parse_list(spec->name, v, out, why);
    case CHECK_ARG_RELATION:
        return parse_relation(spec->name, v, out, why);
    case CHECK_ARG_END:
        break;
    }
    return ERR_INVALID;
}

static enum err parse_one(const struct check_arg_spec *spec, const json_t *kwargs,
                          struct check_arg *out, struct why *why)
{
    const json_t *v = json_object_get(kwargs, spec->name);
    if (v && !json_is_null(v)) {
        return parse_value(spec, v, out, why);
    }
    if (!spec->fallback) {
        return why_set(why, ERR_INVALID, "%s: missing", spec->name);
    }
    json_t *fallback = json_loads(spec->fallback, JSON_DECODE_ANY, NULL);
    enum err e = fallback ? parse_value(spec, fallback, out, why) : ERR_NOMEM;
    json_decref(fallback);
    return e;
}

static enum err refuse_unknown(const struct check_row *row, const json_t *kwargs, struct why *why)
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
            return why_set(why, ERR_INVALID, "%.40s: unknown argument", key);
        }
    }
    return ERR_OK;
}

enum err checkargs_parse(const struct check_row *row, const json_t *kwargs,
                         struct check_arg args[CHECK_MAX_ARGS], struct why *why)
{
    memset(args, 0, CHECK_MAX_ARGS * sizeof *args);
    if (kwargs && !json_is_object(kwargs) && !json_is_null(kwargs)) {
        return why_set(why, ERR_INVALID, "kwargs: %s, expected an object", type_name(kwargs));
    }
    enum err e = json_is_object(kwargs) ? refuse_unknown(row, kwargs, why) : ERR_OK;
    for (size_t i = 0; row->args[i].type != CHECK_ARG_END && !e; i++) {
        e = parse_one(&row->args[i], kwargs, &args[i], why);
    }
    if (e) {
        checkargs_fini(args);
    }
    return e;
}

void checkargs_fini(struct check_arg args[CHECK_MAX_ARGS])
{
    for (size_t i = 0; i < CHECK_MAX_ARGS; i++) {
        pytext_fini(&args[i].text);
        for (size_t k = 0; k < args[i].n_list; k++) {
            pytext_fini(&args[i].list[k]);
        }
        free(args[i].list);
        args[i] = (struct check_arg){0};
    }
}
