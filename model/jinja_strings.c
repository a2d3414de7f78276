// jinja_strings.c: the methods of texts.

#include <string.h>

#include "model/jinja_run.h"

static bool is_given(struct jinja_value v)
{
    return v.kind != JINJA_ABSENT && v.kind != JINJA_NONE;
}

static const struct jinja_text *need_text(struct jinja_run *r, struct jinja_value v,
                                          const char *method)
{
    if (v.kind == JINJA_UNDEFINED) {
        jinja_fail_undefined(r->w, v);
    }
    if (v.kind != JINJA_TEXT) {
        jinja_fail(r->w, ERR_INVALID, "%s: a %s, expected a str", method, jinja_type(v));
    }
    return v.text;
}

static int64_t whole_or(struct jinja_run *r, struct jinja_value v, int64_t standard,
                        const char *method)
{
    int64_t x = standard;
    if (is_given(v) && !jinja_is_whole(v, &x)) {
        jinja_fail(r->w, ERR_INVALID, "%s: a %s, expected an integer", method, jinja_type(v));
    }
    return x;
}

static struct jinja_value part(struct jinja_run *r, const struct jinja_text *t, size_t from,
                               size_t to)
{
    return jinja_borrow(r->w, t->bytes + from, to - from);
}

// ---- stripping and case ----

static struct jinja_value strip(struct jinja_run *r, const struct jinja_value *a, bool left,
                                bool right)
{
    const struct jinja_text *chars = is_given(a[1]) ? need_text(r, a[1], "strip") : NULL;
    struct jinja_text t = jinja_strip(r->w, *a[0].text, chars, left, right);
    return jinja_borrow(r->w, t.bytes, t.len);
}

static struct jinja_value text_strip(struct jinja_run *r, const struct jinja_value *a)
{
    return strip(r, a, true, true);
}

static struct jinja_value text_lstrip(struct jinja_run *r, const struct jinja_value *a)
{
    return strip(r, a, true, false);
}

static struct jinja_value text_rstrip(struct jinja_run *r, const struct jinja_value *a)
{
    return strip(r, a, false, true);
}

static struct jinja_value take_case(struct jinja_run *r, struct jinja_value v, enum jinja_case how)
{
    struct jinja_out out = {.w = r->w};
    jinja_put_case(&out, *v.text, how);
    return jinja_out_take(&out);
}

static struct jinja_value text_lower(struct jinja_run *r, const struct jinja_value *a)
{
    return take_case(r, a[0], JINJA_LOWER);
}

static struct jinja_value text_upper(struct jinja_run *r, const struct jinja_value *a)
{
    return take_case(r, a[0], JINJA_UPPER);
}

static struct jinja_value text_title(struct jinja_run *r, const struct jinja_value *a)
{
    return take_case(r, a[0], JINJA_TITLE);
}

static struct jinja_value text_capitalize(struct jinja_run *r, const struct jinja_value *a)
{
    return take_case(r, a[0], JINJA_CAPITALIZE);
}

static struct jinja_value text_swapcase(struct jinja_run *r, const struct jinja_value *a)
{
    return take_case(r, a[0], JINJA_SWAP);
}

// ---- beginnings and ends ----

// One text, or a tuple of which any will do.
static bool has_end(struct jinja_run *r, const struct jinja_value *a, bool front)
{
    const char *name = front ? "startswith" : "endswith";
    const struct jinja_text *t = a[0].text;
    struct jinja_list one = {.items = (struct jinja_value[]){a[1]}, .n = 1};
    const struct jinja_list *ends = a[1].kind == JINJA_TUPLE ? a[1].list : &one;
    for (size_t i = 0; i < ends->n; i++) {
        const struct jinja_text *end = need_text(r, ends->items[i], name);
        jinja_step(r->w, 1);
        jinja_scan(r->w, end->len);
        if (end->len <= t->len &&
            memcmp(t->bytes + (front ? 0 : t->len - end->len), end->bytes, end->len) == 0) {
            return true;
        }
    }
    return false;
}

static struct jinja_value text_startswith(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_bool(has_end(r, a, true));
}

static struct jinja_value text_endswith(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_bool(has_end(r, a, false));
}

static struct jinja_value text_removeprefix(struct jinja_run *r, const struct jinja_value *a)
{
    size_t n = need_text(r, a[1], "removeprefix")->len;
    return has_end(r, a, true) ? part(r, a[0].text, n, a[0].text->len) : a[0];
}

static struct jinja_value text_removesuffix(struct jinja_run *r, const struct jinja_value *a)
{
    size_t n = need_text(r, a[1], "removesuffix")->len;
    return has_end(r, a, false) ? part(r, a[0].text, 0, a[0].text->len - n) : a[0];
}

// ---- searching ----

// The last place of `what`, or t->len + 1.
static size_t find_last(struct jinja_run *r, const struct jinja_text *t,
                        const struct jinja_text *what)
{
    jinja_scan(r->w, t->len);
    for (size_t at = t->len + 1; at-- > what->len;) {
        jinja_step(r->w, 1);
        jinja_scan(r->w, what->len);
        if (memcmp(t->bytes + at - what->len, what->bytes, what->len) == 0) {
            return at - what->len;
        }
    }
    return t->len + 1;
}

static int64_t find(struct jinja_run *r, const struct jinja_value *a, bool last)
{
    const struct jinja_text *t = a[0].text, *what = need_text(r, a[1], last ? "rfind" : "find");
    struct jinja_text within = *t;
    size_t skipped = 0;
    if (is_given(a[2]) || is_given(a[3])) {
        const struct jinja_text *cut = jinja_slice(r->w, a[0], a[2], a[3], jinja_int(1)).text;
        int64_t from = whole_or(r, a[2], 0, "find"),
                n = (int64_t)jinja_char_count(t->bytes, t->len);
        skipped = (size_t)(from < 0 ? MAX(from + n, 0) : from);
        if (from > n) {
            return -1;
        }
        within = *cut;
    }
    size_t at = last ? find_last(r, &within, what) : jinja_text_find(r->w, &within, what, 0);
    jinja_scan(r->w, within.len);
    return at > within.len ? -1 : (int64_t)(skipped + jinja_char_count(within.bytes, at));
}

static struct jinja_value text_find(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_int(find(r, a, false));
}

static struct jinja_value text_rfind(struct jinja_run *r, const struct jinja_value *a)
{
    return jinja_int(find(r, a, true));
}

static struct jinja_value text_index(struct jinja_run *r, const struct jinja_value *a)
{
    int64_t at = find(r, a, false);
    if (at < 0) {
        jinja_fail(r->w, ERR_INVALID, "index: the substring is not there");
    }
    return jinja_int(at);
}

static struct jinja_value text_count(struct jinja_run *r, const struct jinja_value *a)
{
    const struct jinja_text *t = a[0].text, *what = need_text(r, a[1], "count");
    int64_t n = 0;
    if (what->len == 0) {
        return jinja_int((int64_t)jinja_char_count(t->bytes, t->len) + 1);
    }
    for (size_t at = 0; (at = jinja_text_find(r->w, t, what, at)) <= t->len; at += what->len) {
        jinja_step(r->w, 1);
        n++;
    }
    return jinja_int(n);
}

static struct jinja_value text_replace(struct jinja_run *r, const struct jinja_value *a)
{
    const struct jinja_text *t = a[0].text, *old = need_text(r, a[1], "replace"),
                            *fresh = need_text(r, a[2], "replace");
    int64_t left = whole_or(r, a[3], -1, "replace");
    struct jinja_out out = {.w = r->w};
    size_t from = 0;
    while (left != 0 && from <= t->len) {
        size_t at = jinja_text_find(r->w, t, old, from);
        if (at > t->len) {
            break;
        }
        jinja_step(r->w, 1);
        jinja_put(&out, t->bytes + from, at - from);
        jinja_put(&out, fresh->bytes, fresh->len);
        from = at + old->len;
        if (old->len == 0) {    // between all characters: one of them moves on
            uint32_t cp;
            size_t n = at < t->len ? jinja_char(t->bytes + at, t->len - at, &cp) : 1;
            jinja_put(&out, t->bytes + at, at < t->len ? n : 0);
            from = at + n;
        }
        left--;
    }
    jinja_put(&out, t->bytes + MIN(from, t->len), t->len - MIN(from, t->len));
    return jinja_out_take(&out);
}

// ---- splitting ----

static void push_part(struct jinja_run *r, struct jinja_list *list, const struct jinja_text *t,
                      size_t from, size_t to)
{
    jinja_step(r->w, 1);
    jinja_list_push(r->w, list, part(r, t, from, to));
}

// At blanks: runs of them separate, and none stand at the ends. A limit leaves the rest whole.
static struct jinja_list *split_blanks(struct jinja_run *r, const struct jinja_text *whole,
                                       int64_t limit, bool right)
{
    struct jinja_list *list = jinja_list_make(r->w, 0);
    struct jinja_text t = jinja_strip(r->w, *whole, NULL, true, true);
    while (t.len > 0 && limit != 0) {
        size_t at = right ? t.len : 0, n = 0;
        uint32_t cp = 'x';
        while (right ? at > 0 : at < t.len) {
            n = right ? jinja_char_before(t.bytes, at, &cp)
                      : jinja_char(t.bytes + at, t.len - at, &cp);
            if (jinja_is_space(cp)) {
                break;
            }
            at = right ? at - n : at + n;
        }
        push_part(r, list, &t, right ? at : 0, right ? t.len : at);
        t = right ? (struct jinja_text){t.bytes, at}
                  : (struct jinja_text){t.bytes + at, t.len - at};
        t = jinja_strip(r->w, t, NULL, !right, right);
        limit--;
    }
    if (t.len > 0) {
        push_part(r, list, &t, 0, t.len);
    }
    return list;
}

static struct jinja_list *split_at(struct jinja_run *r, const struct jinja_text *t,
                                   const struct jinja_text *by, int64_t limit, bool right)
{
    struct jinja_list *list = jinja_list_make(r->w, 0);
    struct jinja_text left = *t;
    if (by->len == 0) {
        jinja_fail(r->w, ERR_INVALID, "split: an empty separator");
    }
    for (; limit != 0; limit--) {
        size_t at = right ? find_last(r, &left, by) : jinja_text_find(r->w, &left, by, 0);
        if (at > left.len) {
            break;
        }
        size_t behind = at + by->len;
        push_part(r, list, &left, right ? behind : 0, right ? left.len : at);
        left = right ? (struct jinja_text){left.bytes, at}
                     : (struct jinja_text){left.bytes + behind, left.len - behind};
    }
    push_part(r, list, &left, 0, left.len);
    return list;
}

static struct jinja_value split(struct jinja_run *r, const struct jinja_value *a, bool right)
{
    int64_t limit = whole_or(r, a[2], -1, "split");
    struct jinja_list *list =
        is_given(a[1]) ? split_at(r, a[0].text, need_text(r, a[1], "split"), limit, right)
                       : split_blanks(r, a[0].text, limit, right);
    for (size_t i = 0; right && i < list->n / 2; i++) {    // found from the end
        struct jinja_value v = list->items[i];
        list->items[i] = list->items[list->n - 1 - i];
        list->items[list->n - 1 - i] = v;
    }
    return jinja_from_list(JINJA_LIST, list);
}

static struct jinja_value text_split(struct jinja_run *r, const struct jinja_value *a)
{
    return split(r, a, false);
}

static struct jinja_value text_rsplit(struct jinja_run *r, const struct jinja_value *a)
{
    return split(r, a, true);
}

static bool ends_line(uint32_t c)
{
    return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
}

static struct jinja_value text_splitlines(struct jinja_run *r, const struct jinja_value *a)
{
    const struct jinja_text *t = a[0].text;
    struct jinja_list *list = jinja_list_make(r->w, 0);
    bool keep = jinja_true(a[1]);
    size_t from = 0;
    for (size_t i = 0; i < t->len;) {
        uint32_t cp;
        size_t n = jinja_char(t->bytes + i, t->len - i, &cp);
        if (ends_line(cp)) {
            n += cp == '\r' && i + 1 < t->len && t->bytes[i + 1] == '\n';
            push_part(r, list, t, from, keep ? i + n : i);
            from = i + n;
        }
        i += n;
    }
    if (from < t->len) {
        push_part(r, list, t, from, t->len);
    }
    return jinja_from_list(JINJA_LIST, list);
}

static struct jinja_value partition(struct jinja_run *r, const struct jinja_value *a, bool last)
{
    const struct jinja_text *t = a[0].text, *by = need_text(r, a[1], "partition");
    struct jinja_list *list = jinja_list_make(r->w, 3);
    if (by->len == 0) {
        jinja_fail(r->w, ERR_INVALID, "partition: an empty separator");
    }
    size_t at = last ? find_last(r, t, by) : jinja_text_find(r->w, t, by, 0);
    bool found = at <= t->len;
    push_part(r, list, t, 0, found ? at : last ? 0 : t->len);
    push_part(r, list, found ? by : t, 0, found ? by->len : 0);
    push_part(r, list, t, found ? at + by->len : last ? 0 : t->len, t->len);
    return jinja_from_list(JINJA_TUPLE, list);
}

static struct jinja_value text_partition(struct jinja_run *r, const struct jinja_value *a)
{
    return partition(r, a, false);
}

static struct jinja_value text_rpartition(struct jinja_run *r, const struct jinja_value *a)
{
    return partition(r, a, true);
}

static struct jinja_value text_join(struct jinja_run *r, const struct jinja_value *a)
{
    const struct jinja_list *list = jinja_iterate(r->w, a[1]);
    struct jinja_out out = {.w = r->w};
    for (size_t i = 0; i < list->n; i++) {
        const struct jinja_text *t = need_text(r, list->items[i], "join");
        jinja_step(r->w, 1);
        jinja_put(&out, a[0].text->bytes, i > 0 ? a[0].text->len : 0);
        jinja_put(&out, t->bytes, t->len);
    }
    return jinja_out_take(&out);
}

// ---- padding ----

static struct jinja_value pad(struct jinja_run *r, const struct jinja_value *a, bool before)
{
    const struct jinja_text *t = a[0].text;
    int64_t width = whole_or(r, a[1], 0, "ljust"), n = (int64_t)jinja_char_count(t->bytes, t->len);
    struct jinja_text fill = {" ", 1};
    fill = is_given(a[2]) ? *need_text(r, a[2], "ljust") : fill;
    struct jinja_out out = {.w = r->w};
    if (jinja_char_count(fill.bytes, fill.len) != 1) {
        jinja_fail(r->w, ERR_INVALID, "ljust: the fill is not one character");
    }
    jinja_put(&out, t->bytes, before ? 0 : t->len);
    for (; n < width; n++) {
        jinja_step(r->w, 1);
        jinja_put(&out, fill.bytes, fill.len);
    }
    jinja_put(&out, t->bytes, before ? t->len : 0);
    return jinja_out_take(&out);
}

static struct jinja_value text_ljust(struct jinja_run *r, const struct jinja_value *a)
{
    return pad(r, a, false);
}

static struct jinja_value text_rjust(struct jinja_run *r, const struct jinja_value *a)
{
    return pad(r, a, true);
}

// ---- classes of characters ----

static struct jinja_value all_are(struct jinja_run *r, struct jinja_value v, bool (*is)(uint32_t))
{
    const struct jinja_text *t = v.text;
    jinja_scan(r->w, t->len);
    for (size_t i = 0; i < t->len;) {
        uint32_t cp;
        i += jinja_char(t->bytes + i, t->len - i, &cp);
        if (!is(cp)) {
            return jinja_bool(false);
        }
    }
    return jinja_bool(t->len > 0);
}

static bool is_alnum(uint32_t cp)
{
    return jinja_is_alpha(cp) || jinja_is_numeric(cp);
}

static struct jinja_value text_isdigit(struct jinja_run *r, const struct jinja_value *a)
{
    return all_are(r, a[0], jinja_is_digit);
}

static struct jinja_value text_isnumeric(struct jinja_run *r, const struct jinja_value *a)
{
    return all_are(r, a[0], jinja_is_numeric);
}

static struct jinja_value text_isalpha(struct jinja_run *r, const struct jinja_value *a)
{
    return all_are(r, a[0], jinja_is_alpha);
}

static struct jinja_value text_isalnum(struct jinja_run *r, const struct jinja_value *a)
{
    return all_are(r, a[0], is_alnum);
}

static struct jinja_value text_isspace(struct jinja_run *r, const struct jinja_value *a)
{
    return all_are(r, a[0], jinja_is_space);
}

static struct jinja_value same_as_test(struct jinja_run *r, struct jinja_value v, const char *test)
{
    const struct jinja_text name = {test, strlen(test)};
    const struct jinja_actuals none = {jinja_list_make(r->w, 0), jinja_dict_make(r->w)};
    return jinja_apply(r, jinja_find_test(&name), v, &none);
}

static struct jinja_value text_islower(struct jinja_run *r, const struct jinja_value *a)
{
    return same_as_test(r, a[0], "lower");
}

static struct jinja_value text_isupper(struct jinja_run *r, const struct jinja_value *a)
{
    return same_as_test(r, a[0], "upper");
}

static const struct jinja_builtin text_rows[] = {
    {"capitalize", "", 0, text_capitalize, NULL},
    {"count", "sub", 1, text_count, NULL},
    {"endswith", "suffix", 1, text_endswith, NULL},
    {"find", "sub start end", 1, text_find, NULL},
    {"index", "sub start end", 1, text_index, NULL},
    {"isalnum", "", 0, text_isalnum, NULL},
    {"isalpha", "", 0, text_isalpha, NULL},
    {"isdigit", "", 0, text_isdigit, NULL},
    {"islower", "", 0, text_islower, NULL},
    {"isnumeric", "", 0, text_isnumeric, NULL},
    {"isspace", "", 0, text_isspace, NULL},
    {"isupper", "", 0, text_isupper, NULL},
    {"join", "iterable", 1, text_join, NULL},
    {"ljust", "width fillchar", 1, text_ljust, NULL},
    {"lower", "", 0, text_lower, NULL},
    {"lstrip", "chars", 0, text_lstrip, NULL},
    {"partition", "sep", 1, text_partition, NULL},
    {"removeprefix", "prefix", 1, text_removeprefix, NULL},
    {"removesuffix", "suffix", 1, text_removesuffix, NULL},
    {"replace", "old new count", 2, text_replace, NULL},
    {"rfind", "sub start end", 1, text_rfind, NULL},
    {"rjust", "width fillchar", 1, text_rjust, NULL},
    {"rpartition", "sep", 1, text_rpartition, NULL},
    {"rsplit", "sep maxsplit", 0, text_rsplit, NULL},
    {"rstrip", "chars", 0, text_rstrip, NULL},
    {"split", "sep maxsplit", 0, text_split, NULL},
    {"splitlines", "keepends", 0, text_splitlines, NULL},
    {"startswith", "prefix", 1, text_startswith, NULL},
    {"strip", "chars", 0, text_strip, NULL},
    {"swapcase", "", 0, text_swapcase, NULL},
    {"title", "", 0, text_title, NULL},
    {"upper", "", 0, text_upper, NULL},
};
const struct jinja_builtins jinja_text_methods = {text_rows, ARRAY_LEN(text_rows)};
