// jinja_ops.c: arithmetic, comparison, items, slices and attributes, as Python has them.

#include <math.h>
#include <string.h>

#include "model/jinja_run.h"

// ---- arithmetic ----

static _Noreturn void fail_operands(struct jinja_work *w, int op, struct jinja_value a,
                                    struct jinja_value b)
{
    if (a.kind == JINJA_UNDEFINED || b.kind == JINJA_UNDEFINED) {
        jinja_fail_undefined(w, a.kind == JINJA_UNDEFINED ? a : b);
    }
    char name[3] = {(char)(op > 0xff ? op >> 8 : op), (char)(op > 0xff ? op & 0xff : '\0'), '\0'};
    jinja_fail(w, ERR_INVALID, "%s %s %s: no such operation", jinja_type(a), name, jinja_type(b));
}

static _Noreturn void fail_overflow(struct jinja_work *w)
{
    jinja_fail(w, ERR_UNSUPPORTED, "an integer of more than 64 bits is not supported");
}

static struct jinja_value power(struct jinja_work *w, int64_t base, int64_t exponent)
{
    int64_t result = 1;
    if (exponent < 0) {
        if (base == 0) {
            jinja_fail(w, ERR_INVALID, "division by zero");
        }
        return jinja_float(pow((double)base, (double)exponent));
    }
    if (base == 0 || base == 1 || base == -1) {
        return jinja_int(exponent == 0 ? 1 : base == -1 && exponent % 2 == 0 ? 1 : base);
    }
    for (; exponent > 0; exponent--) {    // at most 63 rounds
        if (__builtin_mul_overflow(result, base, &result)) {
            fail_overflow(w);
        }
    }
    return jinja_int(result);
}

static struct jinja_value divide_whole(struct jinja_work *w, int op, int64_t x, int64_t y)
{
    if (y == 0) {
        jinja_fail(w, ERR_INVALID, "division by zero");
    }
    if (y == -1) {
        if (x == INT64_MIN && op != '%') {
            fail_overflow(w);
        }
        return jinja_int(op == '%' ? 0 : -x);
    }
    int64_t quotient = x / y, rest = x % y;
    if (rest != 0 && (rest < 0) != (y < 0)) {    // rounds down, not towards zero
        quotient--;
        rest += y;
    }
    return jinja_int(op == '%' ? rest : quotient);
}

static struct jinja_value whole(struct jinja_work *w, int op, int64_t x, int64_t y)
{
    int64_t result = 0;
    switch (op) {
    case '+':
        if (__builtin_add_overflow(x, y, &result)) {
            fail_overflow(w);
        }
        return jinja_int(result);
    case '-':
        if (__builtin_sub_overflow(x, y, &result)) {
            fail_overflow(w);
        }
        return jinja_int(result);
    case '*':
        if (__builtin_mul_overflow(x, y, &result)) {
            fail_overflow(w);
        }
        return jinja_int(result);
    case JINJA_OP2('*', '*'):
        return power(w, x, y);
    default:
        return divide_whole(w, op, x, y);
    }
}

static struct jinja_value real(struct jinja_work *w, int op, double x, double y)
{
    bool divides = op == '/' || op == '%' || op == JINJA_OP2('/', '/');
    if ((divides && y == 0) || (op == JINJA_OP2('*', '*') && x == 0 && y < 0)) {
        jinja_fail(w, ERR_INVALID, "division by zero");
    }
    double rest = divides ? fmod(x, y) : 0, quotient;
    rest += rest != 0 && (rest < 0) != (y < 0) ? y : 0;
    rest = rest == 0 ? copysign(0, y) : rest;
    switch (op) {
    case '+':
        return jinja_float(x + y);
    case '-':
        return jinja_float(x - y);
    case '*':
        return jinja_float(x * y);
    case '/':
        return jinja_float(x / y);
    case '%':
        return jinja_float(rest);
    case JINJA_OP2('/', '/'):
        quotient = (x - rest) / y;
        return jinja_float(quotient == 0 ? copysign(0, x / y) : floor(quotient + 0.5));
    default:
        if (x < 0 && isfinite(y) && floor(y) != y) {
            jinja_fail(w, ERR_UNSUPPORTED, "complex numbers are not supported");
        }
        return jinja_float(pow(x, y));
    }
}

static struct jinja_value repeat(struct jinja_work *w, struct jinja_value v, int64_t times)
{
    size_t n = times < 0 ? 0 : (size_t)times;
    if (v.kind == JINJA_TEXT) {
        struct jinja_out out = {.w = w};
        for (size_t i = 0; v.text->len > 0 && i < n; i++) {
            jinja_step(w, 1);
            jinja_put(&out, v.text->bytes, v.text->len);
        }
        return jinja_out_take(&out);
    }
    struct jinja_list *list = jinja_list_make(w, 0);
    for (size_t i = 0; v.list->n > 0 && i < n; i++) {
        jinja_step(w, v.list->n);
        for (size_t k = 0; k < v.list->n; k++) {
            jinja_list_push(w, list, v.list->items[k]);
        }
    }
    return jinja_from_list(v.kind, list);
}

static struct jinja_value join(struct jinja_work *w, struct jinja_value a, struct jinja_value b)
{
    if (a.kind == JINJA_TEXT) {
        struct jinja_out out = {.w = w};
        char *bytes = jinja_alloc(w, a.text->len + b.text->len);
        out.bytes = bytes;
        out.cap = a.text->len + b.text->len;
        jinja_put(&out, a.text->bytes, a.text->len);
        jinja_put(&out, b.text->bytes, b.text->len);
        return jinja_out_take(&out);
    }
    struct jinja_list *list = jinja_list_make(w, a.list->n + b.list->n);
    jinja_step(w, a.list->n + b.list->n);
    for (size_t i = 0; i < a.list->n; i++) {
        jinja_list_push(w, list, a.list->items[i]);
    }
    for (size_t i = 0; i < b.list->n; i++) {
        jinja_list_push(w, list, b.list->items[i]);
    }
    return jinja_from_list(a.kind, list);
}

static bool is_row(struct jinja_value v)
{
    return v.kind == JINJA_TEXT || v.kind == JINJA_LIST || v.kind == JINJA_TUPLE;
}

struct jinja_value jinja_binary(struct jinja_work *w, int op, struct jinja_value a,
                                struct jinja_value b)
{
    int64_t x, y;
    bool a_whole = jinja_is_whole(a, &x), b_whole = jinja_is_whole(b, &y);
    if (a_whole && b_whole && op != '/') {
        return whole(w, op, x, y);
    }
    if (jinja_is_number(a) && jinja_is_number(b)) {
        return real(w, op, jinja_as_real(a), jinja_as_real(b));
    }
    if (op == '+' && a.kind == b.kind && is_row(a)) {
        return join(w, a, b);
    }
    if (op == '*' && is_row(a) && b_whole) {
        return repeat(w, a, y);
    }
    if (op == '*' && is_row(b) && a_whole) {
        return repeat(w, b, x);
    }
    if (op == '%' && a.kind == JINJA_TEXT) {
        return jinja_format(w, a.text, b);
    }
    fail_operands(w, op, a, b);
}

struct jinja_value jinja_sign(struct jinja_work *w, bool negative, struct jinja_value v)
{
    int64_t x;
    if (jinja_is_whole(v, &x)) {
        return negative ? whole(w, '-', 0, x) : jinja_int(x);
    }
    if (v.kind == JINJA_UNDEFINED) {
        jinja_fail_undefined(w, v);
    }
    if (v.kind != JINJA_FLOAT) {
        jinja_fail(w, ERR_INVALID, "a sign in front of a %s", jinja_type(v));
    }
    return jinja_float(negative ? -v.real : v.real);
}

bool jinja_compares(struct jinja_work *w, int op, struct jinja_value a, struct jinja_value b)
{
    switch (op) {
    case JINJA_OP2('=', '='):
        return jinja_equal(w, a, b);
    case JINJA_OP2('!', '='):
        return !jinja_equal(w, a, b);
    case JINJA_OP_IN:
        return jinja_contains(w, b, a);
    case JINJA_OP_NOT_IN:
        return !jinja_contains(w, b, a);
    default:
        break;
    }
    int order = jinja_compare(w, a, b);
    switch (op) {
    case '<':
        return order == -1;
    case JINJA_OP2('<', '='):
        return order == -1 || order == 0;
    case '>':
        return order == 1;
    default:
        return order == 1 || order == 0;
    }
}

// ---- items and slices ----

static bool is_given(struct jinja_value v)
{
    return v.kind != JINJA_ABSENT && v.kind != JINJA_NONE;
}

static int64_t bound(struct jinja_work *w, struct jinja_value v, int64_t standard)
{
    int64_t x = standard;
    if (v.kind == JINJA_UNDEFINED) {
        jinja_fail_undefined(w, v);
    }
    if (is_given(v) && !jinja_is_whole(v, &x)) {
        jinja_fail(w, ERR_INVALID, "a %s in a slice, expected an integer", jinja_type(v));
    }
    return x;
}

// Where a slice begins or ends among n items: negative counts from the end, all is clamped.
static int64_t clamp(int64_t x, int64_t n, bool backwards)
{
    if (x < 0) {
        x = x + n < 0 ? (backwards ? -1 : 0) : x + n;
    } else if (x >= n) {
        x = backwards ? n - 1 : n;
    }
    return x;
}

struct jinja_value jinja_slice(struct jinja_work *w, struct jinja_value v, struct jinja_value from,
                               struct jinja_value to, struct jinja_value by)
{
    if (v.kind == JINJA_UNDEFINED) {
        jinja_fail_undefined(w, v);
    }
    if (!is_row(v) && v.kind != JINJA_RANGE) {
        jinja_fail(w, ERR_INVALID, "a slice of a %s", jinja_type(v));
    }
    int64_t step = bound(w, by, 1);
    if (step == 0) {
        jinja_fail(w, ERR_INVALID, "a slice with a step of 0");
    }
    bool back = step < 0, text = v.kind == JINJA_TEXT;
    const struct jinja_list *items = jinja_iterate(w, v);
    int64_t n = (int64_t)items->n;
    int64_t i = is_given(from) ? clamp(bound(w, from, 0), n, back) : back ? n - 1 : 0;
    int64_t end = is_given(to) ? clamp(bound(w, to, 0), n, back) : back ? -1 : n;
    struct jinja_list *list = jinja_list_make(w, 0);
    struct jinja_out out = {.w = w};
    list->start = v.kind == JINJA_RANGE ? v.list->start + i * v.list->step : 0;
    list->stop = v.kind == JINJA_RANGE ? v.list->start + end * v.list->step : 0;
    list->step = v.kind == JINJA_RANGE ? v.list->step * step : 0;
    while (back ? i > end : i < end) {
        jinja_step(w, 1);
        if (text) {
            jinja_put_value(&out, items->items[i]);
        } else {
            jinja_list_push(w, list, items->items[i]);
        }
        if (__builtin_add_overflow(i, step, &i)) {
            break;
        }
    }
    return text ? jinja_out_take(&out) : jinja_from_list(v.kind, list);
}

static struct jinja_value character(struct jinja_work *w, const struct jinja_text *t, size_t at)
{
    uint32_t cp;
    size_t offset = jinja_text_offset(w, t, at);
    return jinja_borrow(w, t->bytes + offset, jinja_char(t->bytes + offset, t->len - offset, &cp));
}

struct jinja_value jinja_item(struct jinja_run *r, struct jinja_value of, struct jinja_value at)
{
    int64_t i;
    size_t n;
    if (of.kind == JINJA_UNDEFINED) {
        jinja_fail_undefined(r->w, of);
    }
    if (of.kind == JINJA_DICT) {
        const struct jinja_value *v = jinja_dict_get(r->w, of.dict, at);
        if (v != NULL) {
            return *v;
        }
    }
    bool row = is_row(of) || of.kind == JINJA_RANGE;
    if (row && jinja_is_whole(at, &i) && jinja_length(r->w, of, &n)) {
        i += i < 0 ? (int64_t)n : 0;
        if (i >= 0 && i < (int64_t)n) {
            return of.kind == JINJA_TEXT ? character(r->w, of.text, (size_t)i) : of.list->items[i];
        }
    }
    if (at.kind == JINJA_TEXT) {
        return jinja_attribute(r, of, at.text);
    }
    struct jinja_out name = {.w = r->w};
    jinja_put_repr(&name, at);
    return jinja_undefined(r->w, "%s object has no element %.*s", jinja_type(of),
                           (int)MIN(name.len, (size_t)80), name.bytes);
}

// ---- attributes ----

static struct jinja_value neighbour(struct jinja_run *r, const struct jinja_loop *l, bool next)
{
    bool there = next ? l->at + 1 < l->items->n : l->at > 0;
    return there ? l->items->items[next ? l->at + 1 : l->at - 1]
                 : jinja_undefined(r->w, "there is no %s item", next ? "next" : "previous");
}

static bool loop_attribute(struct jinja_run *r, const struct jinja_loop *l,
                           const struct jinja_text *name, struct jinja_value *out)
{
    const struct {
        const char *name;
        struct jinja_value value;
    } attributes[] = {
        {"index", jinja_int((int64_t)l->at + 1)},
        {"index0", jinja_int((int64_t)l->at)},
        {"revindex", jinja_int((int64_t)(l->items->n - l->at))},
        {"revindex0", jinja_int((int64_t)(l->items->n - l->at) - 1)},
        {"first", jinja_bool(l->at == 0)},
        {"last", jinja_bool(l->at + 1 == l->items->n)},
        {"length", jinja_int((int64_t)l->items->n)},
        {"depth", jinja_int(1)},
        {"depth0", jinja_int(0)},
    };
    for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
        if (jinja_text_is(name, attributes[i].name)) {
            *out = attributes[i].value;
            return true;
        }
    }
    bool next = jinja_text_is(name, "nextitem");
    if (!next && !jinja_text_is(name, "previtem")) {
        return false;
    }
    *out = neighbour(r, l, next);
    return true;
}

struct jinja_value jinja_attribute(struct jinja_run *r, struct jinja_value of,
                                   const struct jinja_text *name)
{
    struct jinja_value found;
    if (of.kind == JINJA_UNDEFINED) {
        jinja_fail_undefined(r->w, of);
    }
    const struct jinja_builtin *method = jinja_find_method(of, name);
    if (method != NULL) {
        return jinja_bind_method(r, method, of);
    }
    if (of.kind == JINJA_DICT || of.kind == JINJA_NAMESPACE) {
        const struct jinja_value *v = jinja_dict_named(r->w, of.dict, name);
        if (v != NULL) {
            return *v;
        }
    }
    if (of.kind == JINJA_LOOP && loop_attribute(r, of.loop, name, &found)) {
        return found;
    }
    if (of.kind == JINJA_MACRO && jinja_text_is(name, "name")) {
        return jinja_from_text(of.macro->code->name);
    }
    if (jinja_is_mutator(of, name)) {
        return jinja_undefined(r->w, "%s.%.*s would change the %s: templates cannot",
                               jinja_type(of), (int)name->len, name->bytes, jinja_type(of));
    }
    return jinja_undefined(r->w, "%s object has no attribute '%.*s'", jinja_type(of),
                           (int)MIN(name->len, (size_t)80), name->bytes);
}
