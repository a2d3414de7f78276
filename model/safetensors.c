// safetensors.c: the reader of the container.
//
// The header is JSON from a stranger: its length is held against the file and a limit before it is
// parsed, nesting and duplicate names are refused by common/json, and every number in it is
// compared with the bytes that exist before it becomes a pointer. Element counts are multiplied
// with an overflow check.

#include "model/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "common/json.h"
#include "model/source_impl.h"

#define MAX_TENSORS 1000000

struct safetensors {
    struct fs_map map;    // zero when parsed from memory
    char *where;
    struct safetensors_tensor *tensors;    // by name
    size_t n;
    const uint8_t *data;    // of all tensors
    size_t data_len;
};

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
    {"F32", 4}, {"BF16", 2}, {"F16", 2},  {"F64", 8},     {"I64", 8},
    {"I32", 4}, {"I16", 2},  {"I8", 1},   {"U64", 8},     {"U32", 4},
    {"U16", 2}, {"U8", 1},   {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1},
};

struct reader {
    const char *where;
    const uint8_t *data;    // first byte after the header
    size_t data_len;
    struct why *why;
};

// ---- one tensor ----

static enum err bad_tensor(const struct reader *r, const char *name, const char *what)
{
    return why_set(r->why, ERR_CORRUPT, "%s: tensor %.200s: %s", r->where, name, what);
}

static enum err read_dtype(const struct reader *r, const json_t *entry,
                           struct safetensors_tensor *t, size_t *each)
{
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    for (size_t i = 0; dtype != NULL && i < ARRAY_LEN(dtypes); i++) {
        if (strcmp(dtypes[i].name, dtype) == 0) {
            (void)snprintf(t->dtype, sizeof t->dtype, "%s", dtype);
            *each = dtypes[i].bytes;
            return ERR_OK;
        }
    }
    if (dtype == NULL) {
        return bad_tensor(r, t->name, "dtype is not a string");
    }
    return why_set(r->why, ERR_UNSUPPORTED, "%s: tensor %.200s: unknown dtype \"%.40s\"", r->where,
                   t->name, dtype);
}

static enum err read_shape(const struct reader *r, const json_t *entry,
                           struct safetensors_tensor *t, size_t each)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape) || json_array_size(shape) > SAFETENSORS_MAX_DIMS) {
        return bad_tensor(r, t->name, "shape is not a list of at most 8 sizes");
    }
    t->n_dims = json_array_size(shape);
    t->bytes = each;
    for (size_t i = 0; i < t->n_dims; i++) {
        const json_t *size = json_array_get(shape, i);
        if (!json_is_integer(size) || json_integer_value(size) < 0) {
            return bad_tensor(r, t->name, "shape holds something that is not a size");
        }
        t->shape[i] = (uint64_t)json_integer_value(size);
        if (t->shape[i] != 0 && t->bytes > r->data_len / t->shape[i]) {
            return bad_tensor(r, t->name, "its shape is larger than the file (file truncated?)");
        }
        t->bytes *= (size_t)t->shape[i];
    }
    return ERR_OK;
}

static enum err read_range(const struct reader *r, const json_t *entry,
                           struct safetensors_tensor *t)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (!json_is_integer(first) || !json_is_integer(last) || json_array_size(offsets) != 2) {
        return bad_tensor(r, t->name, "data_offsets is not a pair of integers");
    }
    json_int_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || end < begin || (uint64_t)end > r->data_len) {
        return why_set(r->why, ERR_CORRUPT,
                       "%s: tensor %.200s: data_offsets %" JSON_INTEGER_FORMAT
                       "..%" JSON_INTEGER_FORMAT
                       " lie outside the %zu bytes of data (file truncated?)",
                       r->where, t->name, begin, end, r->data_len);
    }
    if ((uint64_t)(end - begin) != t->bytes) {
        return why_set(r->why, ERR_CORRUPT,
                       "%s: tensor %.200s: data_offsets span %" JSON_INTEGER_FORMAT
                       " bytes, but shape and dtype make %zu",
                       r->where, t->name, end - begin, t->bytes);
    }
    t->data = r->data + begin;
    return ERR_OK;
}

static enum err read_tensor(const struct reader *r, const char *name, const json_t *entry,
                            struct safetensors_tensor *t)
{
    t->name = strdup(name);
    if (t->name == NULL) {
        return why_set(r->why, ERR_NOMEM, "%s: out of memory for tensor names", r->where);
    }
    if (!json_is_object(entry)) {
        return bad_tensor(r, name, "expected an object with dtype, shape and data_offsets");
    }
    size_t each = 0;
    enum err e = read_dtype(r, entry, t, &each);
    if (e == ERR_OK) {
        e = read_shape(r, entry, t, each);
    }
    return e == ERR_OK ? read_range(r, entry, t) : e;
}

// ---- all of them ----

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct safetensors_tensor *)a)->name,
                  ((const struct safetensors_tensor *)b)->name);
}

static int by_place(const void *a, const void *b)
{
    const struct safetensors_tensor *x = a, *y = b;
    if (x->data != y->data) {
        return x->data < y->data ? -1 : 1;
    }
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static enum err check_places(const struct reader *r, struct safetensors *s)
{
    qsort(s->tensors, s->n, sizeof *s->tensors, by_place);
    const uint8_t *end = r->data;
    for (size_t i = 0; i < s->n; i++) {
        if (s->tensors[i].data != end) {
            return bad_tensor(r, s->tensors[i].name,
                              s->tensors[i].data < end ? "overlaps another tensor"
                                                       : "unused bytes stand before its data");
        }
        end += s->tensors[i].bytes;
    }
    size_t used = (size_t)(end - r->data);
    if (used != r->data_len) {
        return why_set(r->why, ERR_CORRUPT, "%s: %zu bytes after the last tensor", r->where,
                       r->data_len - used);
    }
    qsort(s->tensors, s->n, sizeof *s->tensors, by_name);
    return ERR_OK;
}

static enum err read_header(const struct reader *r, const json_t *header, struct safetensors *s)
{
    if (!json_is_object(header)) {
        return why_set(r->why, ERR_CORRUPT, "%s: the header is not a JSON object", r->where);
    }
    size_t n = json_object_size(header);
    if (n > MAX_TENSORS) {
        return why_set(r->why, ERR_LIMIT, "%s: %zu tensors, at most %d", r->where, n, MAX_TENSORS);
    }
    s->tensors = calloc(n + 1, sizeof *s->tensors);
    if (s->tensors == NULL) {
        return why_set(r->why, ERR_NOMEM, "%s: out of memory for %zu tensors", r->where, n);
    }
    const char *name;
    json_t *entry;
    json_object_foreach((json_t *)(uintptr_t)header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0) {
            continue;
        }
        enum err e = read_tensor(r, name, entry, &s->tensors[s->n++]);
        if (e != ERR_OK) {
            return e;
        }
    }
    return check_places(r, s);
}

static enum err parse(struct safetensors *s, const uint8_t *data, size_t len, struct why *why)
{
    uint64_t header_len;
    if (len < sizeof header_len) {
        return why_set(why, ERR_CORRUPT, "%s: %zu bytes, too short for a safetensors file",
                       s->where, len);
    }
    memcpy(&header_len, data, sizeof header_len);
    if (header_len > SAFETENSORS_MAX_HEADER) {
        return why_set(why, ERR_LIMIT,
                       "%s: a header of %" PRIu64 " bytes, at most %d (not a safetensors file?)",
                       s->where, header_len, SAFETENSORS_MAX_HEADER);
    }
    if (header_len > len - sizeof header_len) {
        return why_set(why, ERR_CORRUPT,
                       "%s: a header of %" PRIu64 " bytes in a file of %zu (file truncated?)",
                       s->where, header_len, len);
    }
    struct reader r = {s->where, data + sizeof header_len + header_len,
                       len - sizeof header_len - (size_t)header_len, why};
    s->data = r.data;
    s->data_len = r.data_len;
    json_t *header = NULL;
    enum err e = json_parse((const char *)data + sizeof header_len, (size_t)header_len, s->where,
                            &header, why);
    if (e == ERR_OK) {
        e = read_header(&r, header, s);
        json_decref(header);
    }
    return e;
}

enum err safetensors_parse(const uint8_t *data, size_t len, const char *where,
                           struct safetensors **out, struct why *why)
{
    struct safetensors *s = calloc(1, sizeof *s);
    if (s == NULL || (s->where = strdup(where)) == NULL) {
        free(s);
        return why_set(why, ERR_NOMEM, "%s: out of memory", where);
    }
    enum err e = parse(s, data, len, why);
    if (e != ERR_OK) {
        safetensors_close(s);
        return e;
    }
    *out = s;
    return ERR_OK;
}

enum err safetensors_open(const char *path, struct safetensors **out, struct why *why)
{
    struct fs_map map = {0};
    enum err e = fs_map_open(path, &map, why);
    if (e != ERR_OK) {
        return e;
    }
    struct safetensors *s = NULL;
    e = safetensors_parse(map.data, map.len, path, &s, why);
    if (e != ERR_OK) {
        fs_map_close(&map);
        return e;
    }
    s->map = map;
    *out = s;
    return ERR_OK;
}

void safetensors_rest(const struct safetensors *s)
{
    fs_map_rest(&s->map);
}

void safetensors_close(struct safetensors *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        free(s->tensors[i].name);
    }
    free(s->tensors);
    free(s->where);
    fs_map_close(&s->map);
    free(s);
}

const char *safetensors_where(const struct safetensors *s)
{
    return s->where;
}

bool safetensors_holds(const struct safetensors *s, const uint8_t *byte)
{
    return byte >= s->data && byte < s->data + s->data_len;
}

size_t safetensors_n_tensors(const struct safetensors *s)
{
    return s->n;
}

const struct safetensors_tensor *safetensors_tensor_at(const struct safetensors *s, size_t i)
{
    CHECK(i < s->n);
    return &s->tensors[i];
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *s, const char *name)
{
    struct safetensors_tensor key = {.name = (char *)(uintptr_t)name};
    return bsearch(&key, s->tensors, s->n, sizeof *s->tensors, by_name);
}

enum err safetensors_check_shape(const struct safetensors *s, const struct safetensors_tensor *t,
                                 const struct param *p, struct why *why)
{
    bool vector = param_is_vector(p);
    bool same = vector ? t->n_dims == 1 && t->shape[0] == p->count
                       : t->n_dims == 2 && t->shape[0] == p->rows && t->shape[1] == p->cols;
    if (same) {
        return ERR_OK;
    }
    char found[SAFETENSORS_MAX_DIMS * 22 + 1] = "", expected[48];
    for (size_t i = 0, n = 0; i < t->n_dims; i++) {
        n += (size_t)snprintf(found + n, sizeof found - n, "%s%" PRIu64, i == 0 ? "" : ", ",
                              t->shape[i]);
    }
    if (vector) {
        (void)snprintf(expected, sizeof expected, "%zu", p->count);
    } else {
        (void)snprintf(expected, sizeof expected, "%zu, %zu", p->rows, p->cols);
    }
    return why_set(why, ERR_CORRUPT, "%s: tensor %s: shape [%s], expected [%s]", s->where, p->name,
                   found, expected);
}
