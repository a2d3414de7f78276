// jsonl.c: reading and writing of JSON lines.
//
// Lines are read with getc into a bounded buffer: a line over the limit costs itself and not the
// memory of the machine. Floats are printed with 9 digits, which brings back every bit of an f32.
#include "cli/jsonl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void jsonl_reader_init(struct jsonl_reader *r, FILE *in, const char *name)
{
    *r = (struct jsonl_reader){.in = in, .name = name};
    buf_init(&r->line, JSONL_LINE_MAX);
}

void jsonl_reader_fini(struct jsonl_reader *r)
{
    buf_fini(&r->line);
}

// Reads up to the end of the line, which is not kept. *more: there was a line.
static enum err read_line(struct jsonl_reader *r, bool *more)
{
    enum err e = ERR_OK;
    int c;
    *more = false;
    buf_clear(&r->line);
    while ((c = getc_unlocked(r->in)) != EOF) {
        *more = true;
        if (c == '\n') {
            break;
        }
        char byte = (char)c;
        e = e ? e : buf_append(&r->line, &byte, 1);
    }
    r->number += *more;
    return e;
}

static bool is_blank(const struct buf *b)
{
    for (size_t i = 0; i < b->len; i++) {
        if (!strchr(" \t\r", b->data[i]) || b->data[i] == '\0') {
            return false;
        }
    }
    return true;
}

enum err jsonl_next(struct jsonl_reader *r, json_t **out, struct why *why)
{
    char where[600];
    for (;;) {
        bool more;
        enum err e = read_line(r, &more);
        snprintf(where, sizeof where, "%.560s:%zu", r->name, r->number);
        if (e) {
            return why_set(why, e, "%s: a line of more than %zu bytes", where, r->line.max);
        }
        if (!more) {
            return ERR_CLOSED;
        }
        if (!is_blank(&r->line)) {
            break;
        }
    }
    json_t *v;
    enum err e = json_parse((const char *)r->line.data, r->line.len, where, &v, why);
    if (!e && !json_is_object(v)) {
        json_decref(v);
        e = why_set(why, ERR_INVALID, "%s: expected an object", where);
    }
    if (!e) {
        *out = v;
    }
    return e;
}

bool jsonl_print(json_t *v, const struct why *why)
{
    if (!v) {
        v = json_pack("{s:s}", "error", why->text);
        v = v ? v : json_pack("{s:s}", "error", "the cause is not valid UTF-8");
    }
    char *text = v ? json_dumps(v, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    bool ok = text && puts(text) >= 0 && fflush(stdout) == 0;
    free(text);
    json_decref(v);
    return ok;
}

int jsonl_run(jsonl_fn *fn, void *arg)
{
    struct jsonl_reader r;
    struct why why;
    int rc = 0;
    jsonl_reader_init(&r, stdin, "stdin");
    for (;;) {
        json_t *in, *out = NULL;
        enum err e = jsonl_next(&r, &in, &why);
        if (e == ERR_CLOSED) {
            break;
        }
        if (!e) {
            char where[64];
            snprintf(where, sizeof where, "%s:%zu", r.name, r.number);
            out = fn(arg, in, where, &why);
            json_decref(in);
        }
        rc = out ? rc : 1;
        if (!jsonl_print(out, &why)) {
            rc = 1;
            break;
        }
    }
    jsonl_reader_fini(&r);
    return rc;
}

enum err jsonl_get_ids(const json_t *in, const char *where, size_t vocab, size_t least,
                       uint32_t **ids, size_t *n, struct why *why)
{
    const json_t *list = json_object_get(in, "ids"), *v;
    size_t i, count = json_array_size(list);
    if (!json_is_array(list) || count < least) {
        return why_set(why, ERR_INVALID, "%s: ids: expected a list of at least %zu token ids",
                       where, least);
    }
    uint32_t *out = calloc(count + 1, sizeof *out);
    if (!out) {
        return why_set(why, ERR_NOMEM, "%s: out of memory", where);
    }
    json_array_foreach(list, i, v)
    {
        json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || (size_t)id >= vocab) {
            free(out);
            return why_set(why, ERR_INVALID, "%s: ids[%zu]: expected an integer in 0..%zu", where,
                           i, vocab - 1);
        }
        out[i] = (uint32_t)id;
    }
    *ids = out;
    *n = count;
    return ERR_OK;
}

json_t *jsonl_ids(const uint32_t *ids, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++) {
        if (json_array_append_new(list, json_integer(ids[i]))) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *jsonl_floats(const float *x, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++) {
        if (json_array_append_new(list, isfinite(x[i]) ? json_real((double)x[i]) : json_null())) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *jsonl_text(const char *data, size_t len)
{
    return json_stringn(data ? data : "", len);
}
