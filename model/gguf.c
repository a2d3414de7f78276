// gguf.c: one bounded cursor walks the file once; everything kept afterwards is a view into the
// mapping.
//
// The counts at the front of a GGUF file are promises about what follows. None of them is used to
// allocate before it was held against the bytes that are left: a metadata entry takes at least 13
// bytes and a tensor entry at least 24, so a count that the rest of the file could not hold is
// refused first. Arrays of fixed-size elements are checked by one multiplication that cannot
// overflow (count is at most bytes left), arrays of strings by walking them, arrays of arrays not
// at all: no model uses them, and recursion on a stranger's say-so is how readers die.
//
// Tensors are sorted by name, which finds duplicates and serves lookups, and by offset, which finds
// overlaps. Types without a reader are refused here, by name, since their size is unknown.

#include "model/gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"

enum {
    MIN_ENTRY_BYTES = 8 + 4 + 1,
    MIN_TENSOR_BYTES = 8 + 4 + 4 + 8,
    MAX_KEY = 65535,
    DEFAULT_ALIGNMENT = 32,
    MAX_ALIGNMENT = 1 << 20,
};

struct gguf {
    struct fs_map map;    // zero when parsed from memory
    char *where;
    struct gguf_value *values;
    size_t n_values;
    struct gguf_tensor *tensors;    // by name
    size_t n_tensors;
};

struct cursor {
    const uint8_t *data;
    size_t len, pos;
    const char *where;
    struct why *why;
};

static const struct {
    const char *name;
    size_t bytes;    // 0: not of fixed size
} types[GGUF_N_TYPES] = {
    [GGUF_U8] = {"u8", 1},       [GGUF_I8] = {"i8", 1},     [GGUF_U16] = {"u16", 2},
    [GGUF_I16] = {"i16", 2},     [GGUF_U32] = {"u32", 4},   [GGUF_I32] = {"i32", 4},
    [GGUF_F32] = {"f32", 4},     [GGUF_BOOL] = {"bool", 1}, [GGUF_STRING] = {"string", 0},
    [GGUF_ARRAY] = {"array", 0}, [GGUF_U64] = {"u64", 8},   [GGUF_I64] = {"i64", 8},
    [GGUF_F64] = {"f64", 8},
};

// ---- cursor ----

static size_t left(const struct cursor *c)
{
    return c->len - c->pos;
}

static enum err truncated(const struct cursor *c, const char *what, uint64_t need)
{
    return why_set(c->why, ERR_CORRUPT,
                   "%s: %s at byte %zu needs %" PRIu64
                   " bytes, but only %zu are left (file truncated?)",
                   c->where, what, c->pos, need, left(c));
}

static enum err take(struct cursor *c, size_t n, const char *what, const uint8_t **out)
{
    if (n > left(c)) {
        return truncated(c, what, n);
    }
    *out = c->data + c->pos;
    c->pos += n;
    return ERR_OK;
}

static enum err take_u32(struct cursor *c, const char *what, uint32_t *out)
{
    const uint8_t *p = NULL;
    enum err e = take(c, sizeof *out, what, &p);
    if (e == ERR_OK) {
        memcpy(out, p, sizeof *out);
    }
    return e;
}

static enum err take_u64(struct cursor *c, const char *what, uint64_t *out)
{
    const uint8_t *p = NULL;
    enum err e = take(c, sizeof *out, what, &p);
    if (e == ERR_OK) {
        memcpy(out, p, sizeof *out);
    }
    return e;
}

static enum err take_text(struct cursor *c, const char *what, struct gguf_text *out)
{
    uint64_t len;
    enum err e = take_u64(c, what, &len);
    if (e != ERR_OK) {
        return e;
    }
    if (len > left(c)) {
        return truncated(c, what, len);
    }
    *out = (struct gguf_text){(const char *)c->data + c->pos, (size_t)len};
    c->pos += (size_t)len;
    return ERR_OK;
}

// ---- metadata ----

static int shown(struct gguf_text t)
{
    return (int)MIN(t.len, (size_t)80);
}

static enum err skip_payload(struct cursor *c, struct gguf_value *v)
{
    v->data = c->data + c->pos;
    if (v->type == GGUF_STRING) {
        for (uint64_t i = 0; i < v->count; i++) {
            struct gguf_text t = {NULL, 0};
            enum err e = take_text(c, "a string", &t);
            if (e != ERR_OK) {
                return why_prefix(c->why, e, "key %.*s", shown(v->key), v->key.ptr);
            }
        }
    } else {
        size_t each = types[v->type].bytes;
        if (v->count > left(c) / each) {
            return why_set(
                c->why, ERR_CORRUPT,
                "%s: key %.*s: %" PRIu64 " values of %s do not fit in the %zu bytes left", c->where,
                shown(v->key), v->key.ptr, v->count, types[v->type].name, left(c));
        }
        c->pos += (size_t)v->count * each;
    }
    v->bytes = (size_t)(c->data + c->pos - v->data);
    return ERR_OK;
}

static enum err take_type(struct cursor *c, const struct gguf_value *v, bool element,
                          enum gguf_type *out)
{
    uint32_t type;
    enum err e = take_u32(c, "a value type", &type);
    if (e != ERR_OK) {
        return e;
    }
    if (type >= GGUF_N_TYPES) {
        return why_set(c->why, ERR_CORRUPT, "%s: key %.*s: value type %" PRIu32 " is not in 0..%d",
                       c->where, shown(v->key), v->key.ptr, type, GGUF_N_TYPES - 1);
    }
    if (element && type == GGUF_ARRAY) {
        return why_set(c->why, ERR_UNSUPPORTED, "%s: key %.*s: an array of arrays is not supported",
                       c->where, shown(v->key), v->key.ptr);
    }
    *out = (enum gguf_type)type;
    return ERR_OK;
}

static enum err take_value(struct cursor *c, struct gguf_value *v)
{
    *v = (struct gguf_value){.count = 1};
    enum err e = take_text(c, "a metadata key", &v->key);
    if (e == ERR_OK && (v->key.len == 0 || v->key.len > MAX_KEY)) {
        e = why_set(c->why, ERR_CORRUPT, "%s: a metadata key of %zu bytes, expected 1..%d",
                    c->where, v->key.len, MAX_KEY);
    }
    if (e == ERR_OK) {
        e = take_type(c, v, false, &v->type);
    }
    if (e == ERR_OK && v->type == GGUF_ARRAY) {
        v->is_array = true;
        e = take_type(c, v, true, &v->type);
        if (e == ERR_OK) {
            e = take_u64(c, "an array length", &v->count);
        }
    }
    return e == ERR_OK ? skip_payload(c, v) : e;
}

static enum err check_count(const struct cursor *c, const char *what, uint64_t n, size_t least)
{
    if (n > GGUF_MAX_ENTRIES) {
        return why_set(c->why, ERR_LIMIT, "%s: %" PRIu64 " %s, at most %d", c->where, n, what,
                       GGUF_MAX_ENTRIES);
    }
    if (n > left(c) / least) {
        return why_set(c->why, ERR_CORRUPT, "%s: %" PRIu64 " %s do not fit in the %zu bytes left",
                       c->where, n, what, left(c));
    }
    return ERR_OK;
}

static enum err take_header(struct cursor *c, uint64_t *n_tensors, uint64_t *n_values)
{
    const uint8_t *magic = NULL;
    enum err e = take(c, 4, "the magic number", &magic);
    if (e != ERR_OK) {
        return e;
    }
    if (memcmp(magic, "GGUF", 4) != 0) {
        return why_set(c->why, ERR_CORRUPT,
                       "%s: starts with bytes %02x %02x %02x %02x, expected \"GGUF\"", c->where,
                       magic[0], magic[1], magic[2], magic[3]);
    }
    uint32_t version;
    e = take_u32(c, "the version", &version);
    if (e != ERR_OK) {
        return e;
    }
    if (version == 0x03000000u) {
        return why_set(c->why, ERR_UNSUPPORTED,
                       "%s: a big-endian GGUF file, expected little-endian", c->where);
    }
    if (version != 3) {
        return why_set(c->why, ERR_VERSION, "%s: GGUF version %" PRIu32 ", expected 3", c->where,
                       version);
    }
    e = take_u64(c, "the tensor count", n_tensors);
    if (e == ERR_OK) {
        e = take_u64(c, "the metadata count", n_values);
    }
    if (e == ERR_OK) {
        e = check_count(c, "metadata entries", *n_values, MIN_ENTRY_BYTES);
    }
    return e == ERR_OK ? check_count(c, "tensors", *n_tensors, MIN_TENSOR_BYTES) : e;
}

static int compare_text(struct gguf_text a, struct gguf_text b)
{
    int order = memcmp(a.ptr, b.ptr, MIN(a.len, b.len));
    return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len;
}

static int by_key(const void *a, const void *b)
{
    return compare_text(((const struct gguf_value *)a)->key, ((const struct gguf_value *)b)->key);
}

static enum err read_values(struct cursor *c, struct gguf *g, size_t n)
{
    g->values = calloc(n == 0 ? 1 : n, sizeof *g->values);
    if (g->values == NULL) {
        return why_set(c->why, ERR_NOMEM, "%s: out of memory for %zu metadata entries", c->where,
                       n);
    }
    for (; g->n_values < n; g->n_values++) {
        enum err e = take_value(c, &g->values[g->n_values]);
        if (e != ERR_OK) {
            return e;
        }
    }
    qsort(g->values, n, sizeof *g->values, by_key);
    for (size_t i = 1; i < n; i++) {
        if (by_key(&g->values[i - 1], &g->values[i]) == 0) {
            return why_set(c->why, ERR_CORRUPT, "%s: key %.*s appears twice", c->where,
                           shown(g->values[i].key), g->values[i].key.ptr);
        }
    }
    return ERR_OK;
}

// ---- tensors ----

static enum err take_name(struct cursor *c, char name[GGUF_MAX_NAME + 1])
{
    struct gguf_text t = {NULL, 0};
    enum err e = take_text(c, "a tensor name", &t);
    if (e != ERR_OK) {
        return e;
    }
    if (t.len == 0 || t.len > GGUF_MAX_NAME || memchr(t.ptr, 0, t.len) != NULL) {
        return why_set(c->why, ERR_CORRUPT,
                       "%s: a tensor name of %zu bytes (%.*s), expected 1..%d bytes without NUL",
                       c->where, t.len, shown(t), t.ptr, GGUF_MAX_NAME);
    }
    memcpy(name, t.ptr, t.len);
    name[t.len] = '\0';
    return ERR_OK;
}

static enum err take_dims(struct cursor *c, struct gguf_tensor *t)
{
    enum err e = take_u32(c, "a dimension count", &t->n_dims);
    if (e != ERR_OK) {
        return e;
    }
    if (t->n_dims == 0 || t->n_dims > GGUF_MAX_DIMS) {
        return why_set(c->why, ERR_CORRUPT, "%s: tensor %s: %" PRIu32 " dimensions, expected 1..%d",
                       c->where, t->name, t->n_dims, GGUF_MAX_DIMS);
    }
    for (uint32_t i = 0; i < GGUF_MAX_DIMS; i++) {
        t->dims[i] = 1;
        if (i < t->n_dims && (e = take_u64(c, "a dimension", &t->dims[i])) != ERR_OK) {
            return e;
        }
        if (t->dims[i] == 0 || t->dims[i] > c->len * 2) {    // at least half a byte for an element
            return why_set(c->why, ERR_CORRUPT,
                           "%s: tensor %s: dimension %" PRIu32 " is %" PRIu64
                           ", expected at least 1 and no more than the file could hold",
                           c->where, t->name, i, t->dims[i]);
        }
    }
    return ERR_OK;
}

static enum err take_quant(struct cursor *c, struct gguf_tensor *t)
{
    uint32_t id;
    enum err e = take_u32(c, "a tensor type", &id);
    if (e != ERR_OK) {
        return e;
    }
    t->type = quant_by_ggml(id);
    if (t->type == NULL || t->type->read == NULL) {
        return why_set(c->why, ERR_UNSUPPORTED,
                       "%s: tensor %s: type %" PRIu32 " (%s) cannot be read; supported are %s",
                       c->where, t->name, id, t->type == NULL ? "unknown" : t->type->name,
                       QUANT_SUPPORTED);
    }
    if (t->dims[0] % t->type->block != 0) {
        return why_set(c->why, ERR_CORRUPT,
                       "%s: tensor %s: rows of %" PRIu64
                       " elements are not whole blocks of %zu (%s)",
                       c->where, t->name, t->dims[0], t->type->block, t->type->name);
    }
    uint64_t blocks = t->dims[0] / t->type->block;
    for (uint32_t i = 1; i < GGUF_MAX_DIMS; i++) {
        if (t->dims[i] > c->len / blocks) {
            return why_set(c->why, ERR_CORRUPT,
                           "%s: tensor %s: more elements than the file could hold", c->where,
                           t->name);
        }
        blocks *= t->dims[i];
    }
    if (blocks > c->len / t->type->block_bytes) {
        return why_set(c->why, ERR_CORRUPT, "%s: tensor %s: more elements than the file could hold",
                       c->where, t->name);
    }
    t->bytes = (size_t)blocks * t->type->block_bytes;
    return take_u64(c, "a tensor offset", &t->offset);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct gguf_tensor *)a)->name, ((const struct gguf_tensor *)b)->name);
}

static int by_offset(const void *a, const void *b)
{
    uint64_t x = ((const struct gguf_tensor *)a)->offset,
             y = ((const struct gguf_tensor *)b)->offset;
    return x < y ? -1 : x > y;
}

// Sets data pointers; refuses tensors outside the file, misaligned, or overlapping.
static enum err place_tensors(struct cursor *c, struct gguf *g, size_t alignment)
{
    size_t start = (c->pos + alignment - 1) / alignment * alignment;
    if (start > c->len) {
        start = c->len;
    }
    size_t data_len = c->len - start;
    qsort(g->tensors, g->n_tensors, sizeof *g->tensors, by_offset);
    uint64_t end = 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        if (t->offset > data_len || t->bytes > data_len - t->offset) {
            return why_set(c->why, ERR_CORRUPT,
                           "%s: tensor %s: bytes %" PRIu64
                           "..+%zu lie outside the %zu bytes of tensor "
                           "data (file truncated?)",
                           c->where, t->name, t->offset, t->bytes, data_len);
        }
        if (t->offset % alignment != 0) {
            return why_set(c->why, ERR_CORRUPT,
                           "%s: tensor %s: offset %" PRIu64 " is not a multiple of %zu", c->where,
                           t->name, t->offset, alignment);
        }
        if (t->offset < end) {
            return why_set(c->why, ERR_CORRUPT,
                           "%s: tensor %s: offset %" PRIu64 " overlaps tensor %s", c->where,
                           t->name, t->offset, g->tensors[i - 1].name);
        }
        t->data = c->data + start + t->offset;
        end = t->offset + t->bytes;
    }
    return ERR_OK;
}

static enum err read_tensors(struct cursor *c, struct gguf *g, size_t n)
{
    g->tensors = calloc(n == 0 ? 1 : n, sizeof *g->tensors);
    if (g->tensors == NULL) {
        return why_set(c->why, ERR_NOMEM, "%s: out of memory for %zu tensors", c->where, n);
    }
    for (; g->n_tensors < n; g->n_tensors++) {
        struct gguf_tensor *t = &g->tensors[g->n_tensors];
        enum err e = take_name(c, t->name);
        if (e == ERR_OK) {
            e = take_dims(c, t);
        }
        if (e == ERR_OK) {
            e = take_quant(c, t);
        }
        if (e != ERR_OK) {
            return e;
        }
    }
    int64_t alignment = DEFAULT_ALIGNMENT;
    enum err e = gguf_opt_int(g, "general.alignment", 1, MAX_ALIGNMENT, &alignment, c->why);
    if (e == ERR_OK && (alignment & (alignment - 1)) != 0) {
        e = why_set(c->why, ERR_CORRUPT, "%s: general.alignment: %" PRId64 " is not a power of two",
                    c->where, alignment);
    }
    if (e == ERR_OK) {
        e = place_tensors(c, g, (size_t)alignment);
    }
    if (e != ERR_OK) {
        return e;
    }
    qsort(g->tensors, n, sizeof *g->tensors, by_name);
    for (size_t i = 1; i < n; i++) {
        if (by_name(&g->tensors[i - 1], &g->tensors[i]) == 0) {
            return why_set(c->why, ERR_CORRUPT, "%s: tensor %s appears twice", c->where,
                           g->tensors[i].name);
        }
    }
    return ERR_OK;
}

// ---- opening ----

static enum err read_all(struct gguf *g, const uint8_t *data, size_t len, struct why *why)
{
    struct cursor c = {.data = data, .len = len, .where = g->where, .why = why};
    uint64_t n_tensors = 0, n_values = 0;
    enum err e = take_header(&c, &n_tensors, &n_values);
    if (e == ERR_OK) {
        e = read_values(&c, g, (size_t)n_values);
    }
    return e == ERR_OK ? read_tensors(&c, g, (size_t)n_tensors) : e;
}

enum err gguf_parse(const uint8_t *data, size_t len, const char *where, struct gguf **out,
                    struct why *why)
{
    struct gguf *g = calloc(1, sizeof *g);
    if (g == NULL || (g->where = strdup(where)) == NULL) {
        free(g);
        return why_set(why, ERR_NOMEM, "%s: out of memory", where);
    }
    enum err e = read_all(g, data, len, why);
    if (e != ERR_OK) {
        gguf_close(g);
        return e;
    }
    *out = g;
    return ERR_OK;
}

enum err gguf_open(const char *path, struct gguf **out, struct why *why)
{
    struct fs_map map = {0};
    enum err e = fs_map_open(path, &map, why);
    if (e != ERR_OK) {
        return e;
    }
    struct gguf *g = NULL;
    e = gguf_parse(map.data, map.len, path, &g, why);
    if (e != ERR_OK) {
        fs_map_close(&map);
        return e;
    }
    g->map = map;
    *out = g;
    return ERR_OK;
}

void gguf_rest(const struct gguf *g)
{
    fs_map_rest(&g->map);
}

void gguf_close(struct gguf *g)
{
    if (g == NULL) {
        return;
    }
    free(g->values);
    free(g->tensors);
    free(g->where);
    fs_map_close(&g->map);
    free(g);
}

const char *gguf_where(const struct gguf *g)
{
    return g->where;
}

// ---- lookups ----

const char *gguf_type_name(enum gguf_type t)
{
    return types[t].name;
}

size_t gguf_n_tensors(const struct gguf *g)
{
    return g->n_tensors;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i)
{
    CHECK(i < g->n_tensors);
    return &g->tensors[i];
}

const struct gguf_tensor *gguf_tensor_find(const struct gguf *g, const char *name)
{
    size_t lo = 0, hi = g->n_tensors;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int order = strcmp(g->tensors[mid].name, name);
        if (order == 0) {
            return &g->tensors[mid];
        }
        if (order < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return NULL;
}

const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
    struct gguf_text wanted = {key, strlen(key)};
    for (size_t i = 0; i < g->n_values; i++) {
        if (compare_text(g->values[i].key, wanted) == 0) {
            return &g->values[i];
        }
    }
    return NULL;
}
