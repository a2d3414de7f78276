// jinja_filters.c: filters over texts, numbers and single values.

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/jinja_run.h"

static bool is_given(struct jinja_value v)
{
    return v.kind != JINJA_ABSENT;
}

static struct jinja_value take_case(struct jinja_run *r, struct jinja_value v, enum jinja_case how)
{
    struct jinja_out out = {.w = r->w};
    jinja_put_case(&out, *jinja_str(r->w, v), how);
    return jinja_out_take(&out);
}

static struct jinja_value filter_lower(struct jinja_run *r, const struct jinja_value *a)
{
    return take_case(r, a[0], JINJA_LOWER);
}

static struct jinja_value filter_upper(struct jinja_run *r, const struct jinja_value *a)
{
    return take_case(r, a[0], JINJA_UPPER);
}

static struct jinja_value filter_capitalize(struct jinja_run *r, const struct jinja_value *a)
{
    return take_case(r, a[0], JINJA_CAPITALIZE);
}

// Words begin at the start and behind blanks, hyphens and opening brackets; unlike str.title(), not
// behind an apostrophe.
static struct jinja_value filter_title(struct jinja_run *r, const struct jinja_value *a)
{
    const struct jinja_text *t = jinja_str(r->w, a[0]);
    struct jinja_out out = {.w = r->w};
    bool start = true;
    for (size_t i = 0; i < t->len;) {
        uint32_t cp;
        size_t n = jinja_char(t->bytes + i, t->len - i, &cp);
        bool between = jinja_is_space(cp) || (cp < 0x80 && strchr("-({[<", (int)cp) != NULL && cp);
        jinja_put_case(&out, (struct jinja_text){t->bytes + i, n},
                       start ? JINJA_UPPER : JINJA_LOWER);
        start = between;
        i += n;
    }
    return jinja_out_take(&out);
}

static struct jinja_value filter_trim(struct jinja_run *r, const struct jinja_value *a)
{
    const struct jinja_text *chars =
        is_given(a[1]) && a[1].kind != JINJA_NONE ? jinja_str(r->w, a[1]) : NULL;
    struct jinja_text t = jinja_strip(r->w, *jinja_str(r->w, a[0]), chars, true, true);
    return jinja_borrow(r->w, t.bytes, t.len);
}

static struct jinja_value filter_string(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_from_text(jinja_str(r->w, a[0]));
}

static struct jinja_value filter_escape(struct jinja_run *r, const struct jinja_value *a)
{
    const struct jinja_text *t = jinja_str(r->w, a[0]);
    struct jinja_out out = {.w = r->w};
    for (size_t i = 0; i < t->len; i++) {
        char c = t->bytes[i];
        const char *as = c == '&'    ? "&amp;"
                         : c == '<'  ? "&lt;"
                         : c == '>'  ? "&gt;"
                         : c == '"'  ? "&#34;"
                         : c == '\'' ? "&#39;"
                                     : NULL;
        jinja_put(&out, as == NULL ? &c : as, as == NULL ? 1 : strlen(as));
    }
    return jinja_out_take(&out);
}

static struct jinja_value filter_replace(struct jinja_run *r, const struct jinja_value *a)
{
    static const struct jinja_text name = {"replace", 7};
    struct jinja_value text = jinja_from_text(jinja_str(r->w, a[0]));
    struct jinja_actuals args = {jinja_list_make(r->w, 3), jinja_dict_make(r->w)};
    jinja_list_push(r->w, args.positional, jinja_from_text(jinja_str(r->w, a[1])));
    jinja_list_push(r->w, args.positional, jinja_from_text(jinja_str(r->w, a[2])));
    if (is_given(a[3]) && a[3].kind != JINJA_NONE) {
        jinja_list_push(r->w, args.positional, a[3]);
    }
    return jinja_apply(r, jinja_find_method(text, &name), text, &args);
}

// The lines of the text behind the first get the indent, blank ones only if asked for.
static struct jinja_value filter_indent(struct jinja_run *r, const struct jinja_value *a)
{
    if (a[0].kind != JINJA_TEXT) {
        jinja_fail(r->w, ERR_INVALID, "indent: a %s, expected a str", jinja_type(a[0]));
    }
    const struct jinja_text *t = a[0].text;
    struct jinja_out pad = {.w = r->w}, out = {.w = r->w};
    int64_t width = 4;
    if (a[1].kind == JINJA_TEXT) {
        jinja_put_value(&pad, a[1]);
    } else if (is_given(a[1]) && !jinja_is_whole(a[1], &width)) {
        jinja_fail(r->w, ERR_INVALID, "indent: a %s as width", jinja_type(a[1]));
    } else {
        for (; width > 0; width--) {
            jinja_step(r->w, 1);
            jinja_puts(&pad, " ");
        }
    }
    for (size_t i = 0; i <= t->len;) {
        const char *end = memchr(t->bytes + i, '\n', t->len - i);
        size_t n = end == NULL ? t->len - i : (size_t)(end - (t->bytes + i));
        bool first = i == 0;
        if (first ? jinja_true(a[2]) : n > 0 || jinja_true(a[3])) {
            jinja_put(&out, pad.bytes, pad.len);
        }
        jinja_put(&out, t->bytes + i, n);
        jinja_puts(&out, end == NULL ? "" : "\n");
        i += n + 1;
    }
    return jinja_out_take(&out);
}

static struct jinja_value filter_format(struct jinja_run *r, struct jinja_value subject,
                                        const struct jinja_actuals *args)
{
    if (args->named->n > 0 && args->positional->n > 0) {
        jinja_fail(r->w, ERR_INVALID, "format: positional and named arguments together");
    }
    struct jinja_value values = {.kind = JINJA_DICT, .dict = args->named};
    if (args->named->n == 0) {
        values = jinja_from_list(JINJA_TUPLE, args->positional);
    }
    return jinja_format(r->w, jinja_str(r->w, subject), values);
}

static struct jinja_value filter_wordcount(struct jinja_run *r, const struct jinja_value *a)
{
    const struct jinja_text *t = jinja_str(r->w, a[0]);
    int64_t n = 0;
    bool inside = false;
    jinja_scan(r->w, t->len);
    for (size_t i = 0; i < t->len;) {    // \w+ of Python's re
        uint32_t cp;
        i += jinja_char(t->bytes + i, t->len - i, &cp);
        bool word = cp == '_' || jinja_is_alpha(cp) || jinja_is_numeric(cp);
        n += word && !inside;
        inside = word;
    }
    return jinja_int(n);
}

// ---- numbers ----

static struct jinja_value filter_abs(struct jinja_run *r, const struct jinja_value *a)
{
    int64_t x;
    bool negative =
        jinja_is_whole(a[0], &x) ? x < 0 : a[0].kind == JINJA_FLOAT && signbit(a[0].real);
    return jinja_sign(r->w, negative, a[0]);
}

// Reads what float() of Python reads: blanks around, underscores between digits, inf and nan.
static bool read_real(struct jinja_run *r, const struct jinja_text *text, double *out)
{
    char digits[128];
    size_t n = 0;
    struct jinja_text t = jinja_strip(r->w, *text, NULL, true, true);
    for (size_t i = 0; i < t.len; i++) {
        bool between = i > 0 && i + 1 < t.len && t.bytes[i - 1] >= '0' && t.bytes[i - 1] <= '9' &&
                       t.bytes[i + 1] >= '0' && t.bytes[i + 1] <= '9';
        if (t.bytes[i] == '_' && between) {
            continue;
        }
        if (n == sizeof digits - 1 || strchr("xXpP(_", t.bytes[i]) != NULL) {
            return false;    // hexadecimal is C's, not Python's
        }
        digits[n++] = t.bytes[i];
    }
    digits[n] = '\0';
    char *end;
    *out = strtod(digits, &end);
    return n > 0 && *end == '\0';
}

// Reads what int() of Python reads: a sign, the prefix of the base, digits, underscores between.
static bool read_whole(struct jinja_run *r, const struct jinja_text *text, int64_t base,
                       int64_t *out)
{
    char digits[80], *end;
    size_t n = 0;
    struct jinja_text t = jinja_strip(r->w, *text, NULL, true, true);
    for (size_t i = 0; i < t.len; i++) {
        bool between = i > 0 && i + 1 < t.len && t.bytes[i - 1] != '_' && t.bytes[i + 1] != '_';
        if (t.bytes[i] == '_' && between) {
            continue;
        }
        if (n == sizeof digits - 1 || t.bytes[i] == '\0') {
            return false;
        }
        digits[n++] = t.bytes[i];
    }
    digits[n] = '\0';
    char *p = digits + (*digits == '-' || *digits == '+');
    char letter = base == 2 ? 'b' : base == 8 ? 'o' : '\0';    // strtoll knows 0x alone
    if (letter != '\0' && p[0] == '0' && (p[1] | 0x20) == letter) {
        memmove(p, p + 2, strlen(p + 2) + 1);
    }
    if (*p == '-' || *p == '+' || *p == ' ') {
        return false;
    }
    errno = 0;
    long long x = strtoll(digits, &end, (int)base);
    if (errno == ERANGE) {
        jinja_fail(r->w, ERR_UNSUPPORTED, "an integer of more than 64 bits is not supported");
    }
    *out = x;
    return end > digits && *end == '\0';
}

// False for what is infinite or no number.
static bool real_to_whole(struct jinja_run *r, double x, int64_t *out)
{
    if (!isfinite(x)) {
        return false;
    }
    if (!(x >= -0x1p63 && x < 0x1p63)) {
        jinja_fail(r->w, ERR_UNSUPPORTED, "an integer of more than 64 bits is not supported");
    }
    *out = (int64_t)x;
    return true;
}

static struct jinja_value filter_int(struct jinja_run *r, const struct jinja_value *a)
{
    int64_t x = 0, base = 10;
    double real;
    if (a[0].kind == JINJA_UNDEFINED) {
        jinja_fail_undefined(r->w, a[0]);
    }
    if (is_given(a[2]) && (!jinja_is_whole(a[2], &base) || base < 2 || base > 36)) {
        jinja_fail(r->w, ERR_INVALID, "int: the base is not an integer in 2..36");
    }
    bool ok =
        jinja_is_whole(a[0], &x) || (a[0].kind == JINJA_FLOAT && real_to_whole(r, a[0].real, &x)) ||
        (a[0].kind == JINJA_TEXT && read_whole(r, a[0].text, base, &x)) ||
        (a[0].kind == JINJA_TEXT && read_real(r, a[0].text, &real) && real_to_whole(r, real, &x));
    return ok ? jinja_int(x) : is_given(a[1]) ? a[1] : jinja_int(0);
}

static struct jinja_value filter_float(struct jinja_run *r, const struct jinja_value *a)
{
    double x;
    if (a[0].kind == JINJA_UNDEFINED) {
        jinja_fail_undefined(r->w, a[0]);
    }
    if (jinja_is_number(a[0])) {
        return jinja_float(jinja_as_real(a[0]));
    }
    if (a[0].kind == JINJA_TEXT && read_real(r, a[0].text, &x)) {
        return jinja_float(x);
    }
    return is_given(a[1]) ? a[1] : jinja_float(0);
}

// Halves go to the even neighbour, as in round() of Python; so does printf.
static struct jinja_value filter_round(struct jinja_run *r, const struct jinja_value *a)
{
    int64_t precision = 0;
    char number[400];
    if (!jinja_is_number(a[0])) {
        if (a[0].kind == JINJA_UNDEFINED) {
            jinja_fail_undefined(r->w, a[0]);
        }
        jinja_fail(r->w, ERR_INVALID, "round: a %s is no number", jinja_type(a[0]));
    }
    if (is_given(a[1]) &&
        (!jinja_is_whole(a[1], &precision) || precision < -15 || precision > 15)) {
        jinja_fail(r->w, ERR_UNSUPPORTED, "round: the precision is not an integer in -15..15");
    }
    double x = jinja_as_real(a[0]), scale = pow(10, (double)precision);
    bool ceils = a[2].kind == JINJA_TEXT && jinja_text_is(a[2].text, "ceil");
    bool floors = a[2].kind == JINJA_TEXT && jinja_text_is(a[2].text, "floor");
    if (ceils || floors) {
        return jinja_float((ceils ? ceil(x * scale) : floor(x * scale)) / scale);
    }
    if (is_given(a[2]) && !(a[2].kind == JINJA_TEXT && jinja_text_is(a[2].text, "common"))) {
        jinja_fail(r->w, ERR_INVALID, "round: the method is not common, ceil or floor");
    }
    if (a[0].kind != JINJA_FLOAT && precision >= 0) {
        return a[0].kind == JINJA_INT ? a[0] : jinja_int(a[0].truth);
    }
    if (precision < 0) {
        double rounded = nearbyint(x * pow(10, (double)precision)) * pow(10, -(double)precision);
        return a[0].kind == JINJA_FLOAT ? jinja_float(rounded) : jinja_int((int64_t)rounded);
    }
    if (!isfinite(x)) {
        return a[0];
    }
    (void)snprintf(number, sizeof number, "%.*f", (int)precision, x);
    return jinja_float(strtod(number, NULL));
}

// ---- any value ----

static struct jinja_value filter_default(struct jinja_run *r, const struct jinja_value *a)
{
    bool missing = a[0].kind == JINJA_UNDEFINED || (jinja_true(a[2]) && !jinja_true(a[0]));
    return !missing ? a[0] : is_given(a[1]) ? a[1] : jinja_borrow(r->w, "", 0);
}

static struct jinja_value filter_attr(struct jinja_run *r, const struct jinja_value *a)
{
    if (a[0].kind == JINJA_DICT) {    // attributes only, never the dict's keys
        const struct jinja_builtin *m = jinja_find_method(a[0], jinja_str(r->w, a[1]));
        return m != NULL ? jinja_bind_method(r, m, a[0])
                         : jinja_undefined(r->w, "dict object has no such attribute");
    }
    return jinja_attribute(r, a[0], jinja_str(r->w, a[1]));
}

static const struct jinja_text *separator(struct jinja_run *r, struct jinja_value pair,
                                          size_t which, const char *standard)
{
    if (pair.kind != JINJA_ABSENT && pair.kind != JINJA_NONE) {
        const struct jinja_list *l = jinja_iterate(r->w, pair);
        if (l->n != 2 || l->items[which].kind != JINJA_TEXT) {
            jinja_fail(r->w, ERR_INVALID, "tojson: separators are not two strings");
        }
        return l->items[which].text;
    }
    return jinja_borrow(r->w, standard, strlen(standard)).text;
}

static const struct jinja_text *level_indent(struct jinja_run *r, struct jinja_value v)
{
    struct jinja_out out = {.w = r->w};
    int64_t width;
    if (v.kind == JINJA_ABSENT || v.kind == JINJA_NONE) {
        return NULL;
    }
    if (v.kind == JINJA_TEXT) {
        return v.text;
    }
    if (!jinja_is_whole(v, &width)) {
        jinja_fail(r->w, ERR_INVALID, "tojson: a %s as indent", jinja_type(v));
    }
    for (; width > 0; width--) {
        jinja_step(r->w, 1);
        jinja_puts(&out, " ");
    }
    return jinja_out_take(&out).text;
}

static struct jinja_value filter_tojson(struct jinja_run *r, const struct jinja_value *a)
{
    struct jinja_out out = {.w = r->w};
    struct jinja_json how = {.ascii = jinja_true(a[1]), .indent = level_indent(r, a[2])};
    how.item = separator(r, a[3], 0, how.indent == NULL ? ", " : ",");
    how.key = separator(r, a[3], 1, ": ");
    how.sort = jinja_true(a[4]);
    jinja_put_json(&out, a[0], &how);
    return jinja_out_take(&out);
}

static const struct jinja_builtin rows[] = {
    {"abs", "", 0, filter_abs, NULL},
    {"attr", "name", 1, filter_attr, NULL},
    {"capitalize", "", 0, filter_capitalize, NULL},
    {"d", "default_value boolean", 0, filter_default, NULL},
    {"default", "default_value boolean", 0, filter_default, NULL},
    {"e", "", 0, filter_escape, NULL},
    {"escape", "", 0, filter_escape, NULL},
    {"float", "default", 0, filter_float, NULL},
    {"format", "", 0, NULL, filter_format},
    {"indent", "width first blank", 0, filter_indent, NULL},
    {"int", "default base", 0, filter_int, NULL},
    {"lower", "", 0, filter_lower, NULL},
    {"replace", "old new count", 2, filter_replace, NULL},
    {"round", "precision method", 0, filter_round, NULL},
    {"safe", "", 0, filter_string, NULL},    // nothing is escaped by itself, so nothing to mark
    {"string", "", 0, filter_string, NULL},
    {"title", "", 0, filter_title, NULL},
    {"tojson", "ensure_ascii indent separators sort_keys", 0, filter_tojson, NULL},
    {"trim", "chars", 0, filter_trim, NULL},
    {"upper", "", 0, filter_upper, NULL},
    {"wordcount", "", 0, filter_wordcount, NULL},
};
const struct jinja_builtins jinja_text_filters = {rows, ARRAY_LEN(rows)};
