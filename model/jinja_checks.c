// jinja_checks.c: the tests behind "is", by Jinja's and Python's idea of each type.
//
// A bool is a number but no integer; a str, a tuple and a dict are sequences; what is undefined is
// an empty sequence.

#include "model/jinja_run.h"

static struct jinja_value test_defined(struct jinja_run *r, const struct jinja_value *a)
{
    (void)r;
    return jinja_bool(a[0].kind != JINJA_UNDEFINED);
}

static struct jinja_value test_undefined(struct jinja_run *r, const struct jinja_value *a)
{
    (void)r;
    return jinja_bool(a[0].kind == JINJA_UNDEFINED);
}

static struct jinja_value test_none(struct jinja_run *r, const struct jinja_value *a)
{
    (void)r;
    return jinja_bool(a[0].kind == JINJA_NONE);
}

static struct jinja_value test_boolean(struct jinja_run *r, const struct jinja_value *a)
{
    (void)r;
    return jinja_bool(a[0].kind == JINJA_BOOL);
}

static struct jinja_value test_true(struct jinja_run *r, const struct jinja_value *a)
{
    (void)r;
    return jinja_bool(a[0].kind == JINJA_BOOL && a[0].truth);
}

static struct jinja_value test_false(struct jinja_run *r, const struct jinja_value *a)
{
    (void)r;
    return jinja_bool(a[0].kind == JINJA_BOOL && !a[0].truth);
}

static struct jinja_value test_integer(struct jinja_run *r, const struct jinja_value *a)
{
    (void)r;
    return jinja_bool(a[0].kind == JINJA_INT);
}

static struct jinja_value test_float(struct jinja_run *r, const struct jinja_value *a)
{
    (void)r;
    return jinja_bool(a[0].kind == JINJA_FLOAT);
}

static struct jinja_value test_number(struct jinja_run *r, const struct jinja_value *a)
{
    (void)r;
    return jinja_bool(jinja_is_number(a[0]));
}

static struct jinja_value test_string(struct jinja_run *r, const struct jinja_value *a)
{
    (void)r;
    return jinja_bool(a[0].kind == JINJA_TEXT);
}

static struct jinja_value test_mapping(struct jinja_run *r, const struct jinja_value *a)
{
    (void)r;
    return jinja_bool(a[0].kind == JINJA_DICT);
}

static struct jinja_value test_sequence(struct jinja_run *r, const struct jinja_value *a)
{
    (void)r;
    enum jinja_kind k = a[0].kind;
    return jinja_bool(k == JINJA_UNDEFINED || k == JINJA_TEXT || k == JINJA_LIST ||
                      k == JINJA_TUPLE || k == JINJA_RANGE || k == JINJA_DICT);
}

static struct jinja_value test_iterable(struct jinja_run *r, const struct jinja_value *a)
{
    bool row = jinja_is_row(a[0]) || a[0].kind == JINJA_LOOP;
    return jinja_bool(row || jinja_true(test_sequence(r, a)));
}

static struct jinja_value test_callable(struct jinja_run *r, const struct jinja_value *a)
{
    (void)r;
    enum jinja_kind k = a[0].kind;
    return jinja_bool(k == JINJA_MACRO || k == JINJA_METHOD || k == JINJA_FUNCTION ||
                      k == JINJA_LOOP || k == JINJA_UNDEFINED);
}

static bool divides(struct jinja_run *r, struct jinja_value v, int64_t by, int64_t rest)
{
    return jinja_equal(r->w, jinja_binary(r->w, '%', v, jinja_int(by)), jinja_int(rest));
}

static struct jinja_value test_even(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_bool(divides(r, a[0], 2, 0));
}

static struct jinja_value test_odd(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_bool(divides(r, a[0], 2, 1));
}

static struct jinja_value test_divisibleby(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_bool(jinja_equal(r->w, jinja_binary(r->w, '%', a[0], a[1]), jinja_int(0)));
}

// Are all cased characters of this case, and is there one?
static bool all_cased(struct jinja_run *r, struct jinja_value v, bool upper)
{
    const struct jinja_text *t = jinja_str(r->w, v);
    bool any = false;
    jinja_scan(r->w, t->len);
    for (size_t i = 0; i < t->len;) {
        uint32_t cp;
        i += jinja_char(t->bytes + i, t->len - i, &cp);
        if (jinja_is_cased(cp) && !(upper ? jinja_is_upper(cp) : jinja_is_lower(cp))) {
            return false;
        }
        any = any || jinja_is_cased(cp);
    }
    return any;
}

static struct jinja_value test_lower(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_bool(all_cased(r, a[0], false));
}

static struct jinja_value test_upper(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_bool(all_cased(r, a[0], true));
}

static struct jinja_value test_eq(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_bool(jinja_compares(r->w, JINJA_OP2('=', '='), a[0], a[1]));
}

static struct jinja_value test_ne(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_bool(jinja_compares(r->w, JINJA_OP2('!', '='), a[0], a[1]));
}

static struct jinja_value test_lt(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_bool(jinja_compares(r->w, '<', a[0], a[1]));
}

static struct jinja_value test_le(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_bool(jinja_compares(r->w, JINJA_OP2('<', '='), a[0], a[1]));
}

static struct jinja_value test_gt(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_bool(jinja_compares(r->w, '>', a[0], a[1]));
}

static struct jinja_value test_ge(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_bool(jinja_compares(r->w, JINJA_OP2('>', '='), a[0], a[1]));
}

static struct jinja_value test_in(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_bool(jinja_contains(r->w, a[1], a[0]));
}

static struct jinja_value test_sameas(struct jinja_run *r, const struct jinja_value *a)
{
    (void)r;
    return jinja_bool(jinja_same(a[0], a[1]));
}

static struct jinja_value test_filter(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_bool(jinja_find_filter(jinja_str(r->w, a[0])) != NULL);
}

static struct jinja_value test_test(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_bool(jinja_find_test(jinja_str(r->w, a[0])) != NULL);
}

static const struct jinja_builtin rows[] = {
    {"boolean", "", 0, test_boolean, NULL},
    {"callable", "", 0, test_callable, NULL},
    {"defined", "", 0, test_defined, NULL},
    {"divisibleby", "num", 1, test_divisibleby, NULL},
    {"eq", "other", 1, test_eq, NULL},
    {"equalto", "other", 1, test_eq, NULL},
    {"==", "other", 1, test_eq, NULL},
    {"even", "", 0, test_even, NULL},
    {"false", "", 0, test_false, NULL},
    {"filter", "", 0, test_filter, NULL},
    {"float", "", 0, test_float, NULL},
    {"ge", "other", 1, test_ge, NULL},
    {">=", "other", 1, test_ge, NULL},
    {"greaterthan", "other", 1, test_gt, NULL},
    {"gt", "other", 1, test_gt, NULL},
    {">", "other", 1, test_gt, NULL},
    {"in", "seq", 1, test_in, NULL},
    {"integer", "", 0, test_integer, NULL},
    {"iterable", "", 0, test_iterable, NULL},
    {"le", "other", 1, test_le, NULL},
    {"<=", "other", 1, test_le, NULL},
    {"lessthan", "other", 1, test_lt, NULL},
    {"lower", "", 0, test_lower, NULL},
    {"lt", "other", 1, test_lt, NULL},
    {"<", "other", 1, test_lt, NULL},
    {"mapping", "", 0, test_mapping, NULL},
    {"ne", "other", 1, test_ne, NULL},
    {"!=", "other", 1, test_ne, NULL},
    {"none", "", 0, test_none, NULL},
    {"number", "", 0, test_number, NULL},
    {"odd", "", 0, test_odd, NULL},
    {"sameas", "other", 1, test_sameas, NULL},
    {"sequence", "", 0, test_sequence, NULL},
    {"string", "", 0, test_string, NULL},
    {"test", "", 0, test_test, NULL},
    {"true", "", 0, test_true, NULL},
    {"undefined", "", 0, test_undefined, NULL},
    {"upper", "", 0, test_upper, NULL},
};

const struct jinja_builtin *jinja_find_test(const struct jinja_text *name)
{
    return jinja_find_in((struct jinja_builtins){rows, ARRAY_LEN(rows)}, name);
}
