// jinja_json.c: values as JSON text, the way Python's json.dumps writes it, and from JSON values.

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/jinja_text.h"

static void put_escaped(struct jinja_out *out, uint32_t cp)
{
    static const char plain[] = "\"\\\n\r\t\b\f", letters[] = "\"\\nrtbf";
    const char *p = cp != 0 && cp < 0x80 ? strchr(plain, (int)cp) : NULL;
    if (p != NULL) {
        jinja_putf(out, "\\%c", letters[p - plain]);
    } else if (cp >= JINJA_RAW) {
        jinja_putf(out, "\\udc%02x", cp - JINJA_RAW);
    } else if (cp >= 0x10000) {
        uint32_t rest = cp - 0x10000;
        jinja_putf(out, "\\u%04x\\u%04x", 0xd800 + (rest >> 10), 0xdc00 + (rest & 0x3ff));
    } else {
        jinja_putf(out, "\\u%04x", cp);
    }
}

static void put_string(struct jinja_out *out, const struct jinja_text *t, bool ascii)
{
    jinja_puts(out, "\"");
    for (size_t i = 0; i < t->len;) {
        uint32_t cp;
        size_t n = jinja_char(t->bytes + i, t->len - i, &cp);
        if (cp < 0x20 || cp == '"' || cp == '\\' || (ascii && cp >= 0x7f + 1)) {
            put_escaped(out, cp);
        } else {
            jinja_put(out, t->bytes + i, n);
        }
        i += n;
    }
    jinja_puts(out, "\"");
}

static void put_line(struct jinja_out *out, const struct jinja_json *how, int level)
{
    if (how->indent != NULL) {
        jinja_puts(out, "\n");
        for (int i = 0; i < level; i++) {
            jinja_put(out, how->indent->bytes, how->indent->len);
        }
    }
}

static void put_number(struct jinja_out *out, struct jinja_value v)
{
    if (v.kind == JINJA_INT) {
        jinja_putf(out, "%" PRId64, v.integer);
    } else if (isfinite(v.real)) {
        jinja_put_float(out, v.real);
    } else {
        jinja_puts(out, isnan(v.real) ? "NaN" : v.real < 0 ? "-Infinity" : "Infinity");
    }
}

static void put_json(struct jinja_out *out, struct jinja_value v, const struct jinja_json *how,
                     int level);

static void put_list(struct jinja_out *out, const struct jinja_list *list,
                     const struct jinja_json *how, int level)
{
    jinja_puts(out, "[");
    for (size_t i = 0; i < list->n; i++) {
        jinja_put(out, how->item->bytes, i == 0 ? 0 : how->item->len);
        put_line(out, how, level + 1);
        put_json(out, list->items[i], how, level + 1);
    }
    if (list->n > 0) {
        put_line(out, how, level);
    }
    jinja_puts(out, "]");
}

static void put_key(struct jinja_out *out, struct jinja_value key, const struct jinja_json *how)
{
    if (key.kind == JINJA_TEXT) {
        put_string(out, key.text, how->ascii);
    } else if (key.kind == JINJA_BOOL || key.kind == JINJA_NONE || jinja_is_number(key)) {
        jinja_puts(out, "\"");
        put_json(out, key, how, 0);
        jinja_puts(out, "\"");
    } else {
        jinja_fail(out->w, ERR_INVALID, "tojson: a %s as a key", jinja_type(key));
    }
}

// Entries in order of their keys, by insertion: dicts are small, and each comparison is a step.
static struct jinja_entry *sorted(struct jinja_work *w, const struct jinja_dict *dict)
{
    struct jinja_entry *e = jinja_array(w, dict->n, sizeof *e);
    for (size_t i = 0; i < dict->n; i++) {
        size_t to = i;
        for (; to > 0 && jinja_compare(w, dict->entries[i].key, e[to - 1].key) < 0; to--) {
            e[to] = e[to - 1];
        }
        e[to] = dict->entries[i];
    }
    return e;
}

static void put_dict(struct jinja_out *out, const struct jinja_dict *dict,
                     const struct jinja_json *how, int level)
{
    const struct jinja_entry *e = how->sort ? sorted(out->w, dict) : dict->entries;
    jinja_puts(out, "{");
    for (size_t i = 0; i < dict->n; i++) {
        jinja_put(out, how->item->bytes, i == 0 ? 0 : how->item->len);
        put_line(out, how, level + 1);
        put_key(out, e[i].key, how);
        jinja_put(out, how->key->bytes, how->key->len);
        put_json(out, e[i].value, how, level + 1);
    }
    if (dict->n > 0) {
        put_line(out, how, level);
    }
    jinja_puts(out, "}");
}

static void put_json(struct jinja_out *out, struct jinja_value v, const struct jinja_json *how,
                     int level)
{
    jinja_enter(out->w);
    jinja_step(out->w, 1);
    switch (v.kind) {
    case JINJA_NONE:
        jinja_puts(out, "null");
        break;
    case JINJA_BOOL:
        jinja_puts(out, v.truth ? "true" : "false");
        break;
    case JINJA_INT:
    case JINJA_FLOAT:
        put_number(out, v);
        break;
    case JINJA_TEXT:
        put_string(out, v.text, how->ascii);
        break;
    case JINJA_LIST:
    case JINJA_TUPLE:
        put_list(out, v.list, how, level);
        break;
    case JINJA_DICT:
        put_dict(out, v.dict, how, level);
        break;
    default:
        jinja_fail(out->w, ERR_INVALID, "tojson: a %s has no JSON form", jinja_type(v));
    }
    jinja_leave(out->w);
}

void jinja_put_json(struct jinja_out *out, struct jinja_value v, const struct jinja_json *how)
{
    put_json(out, v, how, 0);
}

struct jinja_value jinja_from_json(struct jinja_work *w, const json_t *v)
{
    struct jinja_value out = jinja_none();
    jinja_enter(w);
    switch (json_typeof(v)) {
    case JSON_OBJECT: {
        struct jinja_dict *dict = jinja_dict_make(w);
        // jansson's iterators take objects that are not const, and change nothing
        for (void *it = json_object_iter((json_t *)(uintptr_t)v); it != NULL;
             it = json_object_iter_next((json_t *)(uintptr_t)v, it)) {
            const char *key = json_object_iter_key(it);
            dict->entries =
                jinja_grow(w, dict->entries, dict->n, &dict->cap, sizeof *dict->entries);
            dict->entries[dict->n++] = (struct jinja_entry){
                jinja_borrow(w, key, strlen(key)), jinja_from_json(w, json_object_iter_value(it))};
        }
        out = (struct jinja_value){.kind = JINJA_DICT, .dict = dict};
        break;
    }
    case JSON_ARRAY: {
        struct jinja_list *list = jinja_list_make(w, json_array_size(v));
        for (size_t i = 0; i < json_array_size(v); i++) {
            jinja_list_push(w, list, jinja_from_json(w, json_array_get(v, i)));
        }
        out = jinja_from_list(JINJA_LIST, list);
        break;
    }
    case JSON_STRING:
        out = jinja_borrow(w, json_string_value(v), json_string_length(v));
        break;
    case JSON_INTEGER:
        out = jinja_int(json_integer_value(v));
        break;
    case JSON_REAL:
        out = jinja_float(json_real_value(v));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        out = jinja_bool(json_is_true(v));
        break;
    case JSON_NULL:
        break;
    }
    jinja_leave(w);
    return out;
}
