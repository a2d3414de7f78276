// pack.c: walks the tables of pack_table.c to encode, decode and check messages.
//
// Encoding: check the struct, then one pass with msgpack-c's packer into the caller's buffer.
// Decoding, for bytes that may have been built to hurt:
//   - a head's length never exceeds the bytes left (pack_cursor.c), and is compared with the
//     field's limit before anything is allocated for it; memory is therefore at most the message's
//     own size plus about 100 bytes per nested struct, of which the limits allow some thousands;
//   - keys must ascend in every map, so a repeated key cannot overwrite a checked one, "missing" is
//     known the moment a larger key is seen, and no message has two encodings of its keys;
//   - unknown keys are passed over, within LIMIT_DEPTH and LIMIT_MAP_KEYS;
//   - version, type and request id come first, so a message of another version is named as such
//     whatever else it holds.
// Arrays of numbers travel as one bin of little-endian values: a completion of n tokens costs 4n
// bytes, log-prob bits arrive as they left, and decoding is one memcpy. (x86 and ARM are
// little-endian; msg.c has the assertion.)
#include "proto/pack.h"

#include <math.h>
#include <msgpack/pack.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/pack_arena.h"
#include "proto/pack_cursor.h"
#include "proto/pack_table.h"

enum { KEY_VERSION = 0, KEY_TYPE = 1, KEY_REQUEST = 2, N_HEADER_KEYS = 3 };

// ---- arena ----
struct block {
    struct block *next;
    size_t used, cap;
    _Alignas(16) uint8_t bytes[];
};

void *pack_arena_alloc(void **arena, size_t size)
{
    struct block *b = *arena;
    size = (size + 15) & ~(size_t)15;
    if (b == NULL || b->cap - b->used < size) {
        size_t cap = MAX(size, (size_t)4096);
        b = calloc(1, sizeof *b + cap);
        if (b == NULL) {
            return NULL;
        }
        b->next = *arena;
        b->cap = cap;
        *arena = b;
    }
    void *p = b->bytes + b->used;
    b->used += size;
    return p;
}

void pack_arena_free(void *arena)
{
    for (struct block *b = arena; b != NULL;) {
        struct block *next = b->next;
        free(b);
        b = next;
    }
}

// ---- access to members by offset ----
static const void *member(const void *s, const struct pack_field *f)
{
    return (const char *)s + f->at;
}

static size_t member_count(const void *s, const struct pack_field *f)
{
    size_t n;
    memcpy(&n, (const char *)s + f->count_at, sizeof n);
    return n;
}

static const void *member_array(const void *s, const struct pack_field *f)
{
    const void *p;
    memcpy(&p, member(s, f), sizeof p);
    return p;
}

static size_t number_bytes(const struct pack_field *f)
{
    return f->kind == PACK_U64S ? 8 : 4;
}

static bool is_text(const struct pack_field *f)
{
    return f->kind == PACK_TEXT || f->kind == PACK_BLOB;
}

static bool is_array(const struct pack_field *f)
{
    return f->kind >= PACK_U32S && f->kind != PACK_STRUCT;
}

// ---- checks, the same for both directions ----
static enum err check_length(const struct pack_field *f, uint64_t n, struct why *why)
{
    if (n > f->limit) {
        return why_set(why, ERR_LIMIT, "%s: %llu %s, at most %u", f->name, (unsigned long long)n,
                       is_text(f) ? "bytes" : "elements", f->limit);
    }
    if (n == 0 && f->rule == PACK_SOME) {
        return why_set(why, ERR_INVALID, "%s: empty", f->name);
    }
    return ERR_OK;
}

static enum err check_integer(const struct pack_field *f, uint64_t v, struct why *why)
{
    uint64_t max = f->limit != 0 ? f->limit : f->kind == PACK_U32 ? UINT32_MAX : UINT64_MAX;
    uint64_t min = f->rule == PACK_SOME ? 1 : 0;
    if (v < min || v > max) {
        return why_set(why, ERR_INVALID, "%s: %llu is not in %llu..%llu", f->name,
                       (unsigned long long)v, (unsigned long long)min, (unsigned long long)max);
    }
    return ERR_OK;
}

static enum err check_float(const struct pack_field *f, double v, struct why *why)
{
    bool ok = true;
    const char *expected = "";
    switch ((enum pack_rule)f->rule) {
    case PACK_FINITE:
        ok = isfinite(v);
        expected = "a finite number";
        break;
    case PACK_NOT_NEGATIVE:
        ok = isfinite(v) && v >= 0;
        expected = "a finite number of at least 0";
        break;
    case PACK_UNIT:
        ok = v >= 0 && v <= 1;
        expected = "in 0..1";
        break;
    case PACK_PROBABILITY:
        ok = v > 0 && v <= 1;
        expected = "above 0 and at most 1";
        break;
    default:
        break;
    }
    return ok ? ERR_OK : why_set(why, ERR_INVALID, "%s: %g, expected %s", f->name, v, expected);
}

static enum err check_struct(const struct pack_table *t, const void *s, struct why *why);

static enum err check_structs(const struct pack_field *f, const void *s, struct why *why)
{
    const char *p = member_array(s, f);
    for (size_t i = 0, n = member_count(s, f); i < n; i++) {
        enum err e = check_struct(f->sub, p + i * f->sub->size, why);
        if (e != ERR_OK) {
            return why_prefix(why, e, "%s[%zu]", f->name, i);
        }
    }
    return ERR_OK;
}

static enum err check_field(const struct pack_field *f, const void *s, struct why *why)
{
    if (is_text(f)) {
        const struct msg_text *t = member(s, f);
        if (f->rule == PACK_NO_NUL && t->len > 0 && memchr(t->data, 0, t->len) != NULL) {
            return why_set(why, ERR_INVALID, "%s: has a NUL byte", f->name);
        }
        return check_length(f, t->len, why);
    }
    if (is_array(f)) {
        enum err e = check_length(f, member_count(s, f), why);
        return e != ERR_OK || f->kind != PACK_STRUCTS ? e : check_structs(f, s, why);
    }
    switch ((enum pack_kind)f->kind) {
    case PACK_U32:
        return check_integer(f, *(const uint32_t *)member(s, f), why);
    case PACK_U64:
        return check_integer(f, *(const uint64_t *)member(s, f), why);
    case PACK_F32:
        return check_float(f, (double)*(const float *)member(s, f), why);
    case PACK_F64:
        return check_float(f, *(const double *)member(s, f), why);
    case PACK_STRUCT: {
        enum err e = check_struct(f->sub, member(s, f), why);
        return e == ERR_OK ? e : why_prefix(why, e, "%s", f->name);
    }
    default:
        return ERR_OK;
    }
}

static enum err check_struct(const struct pack_table *t, const void *s, struct why *why)
{
    for (size_t i = 0; i < t->n_fields; i++) {
        enum err e = check_field(&t->fields[i], s, why);
        if (e != ERR_OK) {
            return e;
        }
    }
    return t->check != NULL ? t->check(s, why) : ERR_OK;
}

// ---- encode ----
static int write_buf(void *data, const char *bytes, size_t len)
{
    return buf_append(data, bytes, len) == ERR_OK ? 0 : -1;
}

static int pack_bytes(msgpack_packer *pk, const void *data, size_t len)
{
    int rc = msgpack_pack_bin(pk, len);
    return rc != 0 || len == 0 ? rc : msgpack_pack_bin_body(pk, data, len);
}

static int pack_text(msgpack_packer *pk, const struct msg_text *t)
{
    int rc = msgpack_pack_str(pk, t->len);
    return rc != 0 || t->len == 0 ? rc : msgpack_pack_str_body(pk, t->data, t->len);
}

static int pack_fields(msgpack_packer *pk, const struct pack_table *t, const void *s);

static int pack_structs(msgpack_packer *pk, const struct pack_field *f, const void *s)
{
    const char *p = member_array(s, f);
    size_t n = member_count(s, f);
    int rc = msgpack_pack_array(pk, n);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = msgpack_pack_map(pk, f->sub->n_fields);
        rc = rc != 0 ? rc : pack_fields(pk, f->sub, p + i * f->sub->size);
    }
    return rc;
}

static int pack_value(msgpack_packer *pk, const struct pack_field *f, const void *s)
{
    const void *v = member(s, f);
    switch ((enum pack_kind)f->kind) {
    case PACK_U32:
        return msgpack_pack_uint32(pk, *(const uint32_t *)v);
    case PACK_U64:
        return msgpack_pack_uint64(pk, *(const uint64_t *)v);
    case PACK_F32:
        return msgpack_pack_float(pk, *(const float *)v);
    case PACK_F64:
        return msgpack_pack_double(pk, *(const double *)v);
    case PACK_BOOL:
        return *(const bool *)v ? msgpack_pack_true(pk) : msgpack_pack_false(pk);
    case PACK_TEXT:
        return pack_text(pk, v);
    case PACK_BLOB:
        return pack_bytes(pk, ((const struct msg_text *)v)->data,
                          ((const struct msg_text *)v)->len);
    case PACK_BYTES16:
        return pack_bytes(pk, v, 16);
    case PACK_U32S:
    case PACK_U64S:
    case PACK_F32S:
        return pack_bytes(pk, member_array(s, f), member_count(s, f) * number_bytes(f));
    case PACK_STRUCT: {
        int rc = msgpack_pack_map(pk, f->sub->n_fields);
        return rc != 0 ? rc : pack_fields(pk, f->sub, v);
    }
    case PACK_STRUCTS:
        return pack_structs(pk, f, s);
    }
    return -1;
}

static int pack_fields(msgpack_packer *pk, const struct pack_table *t, const void *s)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < t->n_fields; i++) {
        rc = msgpack_pack_uint8(pk, t->fields[i].key);
        rc = rc != 0 ? rc : pack_value(pk, &t->fields[i], s);
    }
    return rc;
}

static int pack_message(const struct pack_table *t, const struct msg *m, struct buf *out)
{
    msgpack_packer pk;
    msgpack_packer_init(&pk, out, write_buf);
    int rc = msgpack_pack_map(&pk, N_HEADER_KEYS + t->n_fields);
    const uint64_t header[N_HEADER_KEYS] = {PROTO_WIRE_VERSION, m->type, m->request_id};
    for (uint8_t key = 0; rc == 0 && key < N_HEADER_KEYS; key++) {
        rc = msgpack_pack_uint8(&pk, key);
        rc = rc != 0 ? rc : msgpack_pack_uint64(&pk, header[key]);
    }
    return rc != 0 ? rc : pack_fields(&pk, t, &m->hello);
}

enum err pack_encode(const struct msg *m, struct buf *out, struct why *why)
{
    const struct pack_table *t = pack_table_of((uint32_t)m->type);
    if (t == NULL) {
        return why_set(why, ERR_INVALID, "type %d is no message", (int)m->type);
    }
    enum err e = check_struct(t, &m->hello, why);    // all members of the union share its address
    if (e != ERR_OK) {
        return why_prefix(why, e, "%s", msg_type_name(m->type));
    }
    size_t before = out->len;
    if (pack_message(t, m, out) != 0) {
        out->len = before;
        return why_set(why, ERR_LIMIT, "%s: does not fit a buffer of %zu bytes",
                       msg_type_name(m->type), out->max);
    }
    size_t len = out->len - before;
    if (len > LIMIT_MESSAGE_BYTES) {
        out->len = before;
        return why_set(why, ERR_LIMIT, "%s: %zu bytes, at most %d", msg_type_name(m->type), len,
                       LIMIT_MESSAGE_BYTES);
    }
    return ERR_OK;
}

// ---- decode ----
struct decoder {
    struct pack_cursor c;
    void *arena;
    struct why *why;
};

static enum err no_memory(struct decoder *d, const struct pack_field *f)
{
    return why_set(d->why, ERR_NOMEM, "%s: out of memory", f->name);
}

static enum err decode_text(struct decoder *d, const struct pack_field *f, struct msg_text *out)
{
    uint64_t len;
    enum pack_class want = f->kind == PACK_TEXT ? PACK_IS_STR : PACK_IS_BIN;
    enum err e = pack_take(&d->c, want, &len, d->why);
    if (e != ERR_OK) {
        return why_prefix(d->why, e, "%s", f->name);
    }
    if ((e = check_length(f, len, d->why)) != ERR_OK) {
        return e;
    }
    char *copy = pack_arena_alloc(&d->arena, (size_t)len + 1);
    if (copy == NULL) {
        return no_memory(d, f);
    }
    memcpy(copy, pack_take_bytes(&d->c, (size_t)len), (size_t)len);
    *out = (struct msg_text){copy, (size_t)len};
    return ERR_OK;
}

static enum err decode_bytes16(struct decoder *d, const struct pack_field *f, void *out)
{
    uint64_t len;
    enum err e = pack_take(&d->c, PACK_IS_BIN, &len, d->why);
    if (e != ERR_OK) {
        return why_prefix(d->why, e, "%s", f->name);
    }
    if (len != 16) {
        return why_set(d->why, ERR_CORRUPT, "%s: %llu bytes, expected 16", f->name,
                       (unsigned long long)len);
    }
    memcpy(out, pack_take_bytes(&d->c, 16), 16);
    return ERR_OK;
}

static enum err decode_numbers(struct decoder *d, const struct pack_field *f, void *s)
{
    uint64_t len;
    size_t width = number_bytes(f);
    enum err e = pack_take(&d->c, PACK_IS_BIN, &len, d->why);
    if (e != ERR_OK) {
        return why_prefix(d->why, e, "%s", f->name);
    }
    if (len % width != 0) {
        return why_set(d->why, ERR_CORRUPT, "%s: %llu bytes are no array of %zu-byte numbers",
                       f->name, (unsigned long long)len, width);
    }
    size_t n = (size_t)len / width;
    if ((e = check_length(f, n, d->why)) != ERR_OK) {
        return e;
    }
    void *copy = pack_arena_alloc(&d->arena, (size_t)len);
    if (copy == NULL) {
        return no_memory(d, f);
    }
    memcpy(copy, pack_take_bytes(&d->c, (size_t)len), (size_t)len);
    memcpy((char *)s + f->at, &copy, sizeof copy);
    memcpy((char *)s + f->count_at, &n, sizeof n);
    return ERR_OK;
}

static enum err decode_map(struct decoder *d, const struct pack_table *t, unsigned depth, void *s);

static enum err decode_structs(struct decoder *d, const struct pack_field *f, unsigned depth,
                               void *s)
{
    uint64_t n64;
    enum err e = pack_take(&d->c, PACK_IS_ARRAY, &n64, d->why);
    if (e != ERR_OK) {
        return why_prefix(d->why, e, "%s", f->name);
    }
    if ((e = check_length(f, n64, d->why)) != ERR_OK) {
        return e;
    }
    size_t n = (size_t)n64;
    char *items = pack_arena_alloc(&d->arena, n * f->sub->size);
    if (items == NULL) {
        return no_memory(d, f);
    }
    for (size_t i = 0; i < n; i++) {
        e = decode_map(d, f->sub, depth + 1, items + i * f->sub->size);
        if (e != ERR_OK) {
            return why_prefix(d->why, e, "%s[%zu]", f->name, i);
        }
    }
    memcpy((char *)s + f->at, &items, sizeof items);
    memcpy((char *)s + f->count_at, &n, sizeof n);
    return ERR_OK;
}

// Integers, floats and flags: one head each, its class and width given by the kind.
static enum err decode_scalar(struct decoder *d, const struct pack_field *f, void *out)
{
    static const uint8_t classes[] = {
        [PACK_U32] = PACK_IS_UINT, [PACK_U64] = PACK_IS_UINT,  [PACK_F32] = PACK_IS_F32,
        [PACK_F64] = PACK_IS_F64,  [PACK_BOOL] = PACK_IS_BOOL,
    };
    uint64_t v;
    enum err e = pack_take(&d->c, classes[f->kind], &v, d->why);
    if (e != ERR_OK) {
        return why_prefix(d->why, e, "%s", f->name);
    }
    if (f->kind == PACK_BOOL) {
        *(bool *)out = v != 0;
    } else if (f->kind == PACK_U64 || f->kind == PACK_F64) {
        memcpy(out, &v, 8);
    } else {
        if (f->kind == PACK_U32 && (e = check_integer(f, v, d->why)) != ERR_OK) {
            return e;
        }
        uint32_t narrow = (uint32_t)v;
        memcpy(out, &narrow, 4);
    }
    return ERR_OK;
}

static enum err decode_value(struct decoder *d, const struct pack_field *f, unsigned depth, void *s)
{
    void *out = (char *)s + f->at;
    switch ((enum pack_kind)f->kind) {
    case PACK_TEXT:
    case PACK_BLOB:
        return decode_text(d, f, out);
    case PACK_BYTES16:
        return decode_bytes16(d, f, out);
    case PACK_U32S:
    case PACK_U64S:
    case PACK_F32S:
        return decode_numbers(d, f, s);
    case PACK_STRUCTS:
        return decode_structs(d, f, depth + 1, s);
    case PACK_STRUCT: {
        enum err e = decode_map(d, f->sub, depth + 1, out);
        return e == ERR_OK ? e : why_prefix(d->why, e, "%s", f->name);
    }
    default:
        return decode_scalar(d, f, out);
    }
}

// The pairs of a map after its head and any header keys; prev is the last key taken, -1 for none.
static enum err decode_pairs(struct decoder *d, const struct pack_table *t, uint64_t n_pairs,
                             int64_t prev, unsigned depth, void *s)
{
    size_t next = 0;
    for (uint64_t i = 0; i < n_pairs; i++) {
        uint64_t key;
        enum err e = pack_take(&d->c, PACK_IS_UINT, &key, d->why);
        if (e != ERR_OK) {
            return why_prefix(d->why, e, "key");
        }
        if (key > INT64_MAX || (int64_t)key <= prev) {
            return why_set(d->why, ERR_CORRUPT, "key %llu after key %lld: keys must ascend",
                           (unsigned long long)key, (long long)prev);
        }
        prev = (int64_t)key;
        if (next < t->n_fields && key > t->fields[next].key) {
            break;    // missing: said below
        }
        if (next < t->n_fields && key == t->fields[next].key) {
            e = decode_value(d, &t->fields[next++], depth, s);
        } else if ((e = pack_skip(&d->c, depth, d->why)) != ERR_OK) {
            why_prefix(d->why, e, "unknown key %llu", (unsigned long long)key);
        }
        if (e != ERR_OK) {
            return e;
        }
    }
    return next == t->n_fields ? ERR_OK
                               : why_set(d->why, ERR_CORRUPT, "%s: missing", t->fields[next].name);
}

static enum err take_map(struct decoder *d, uint64_t *n_pairs)
{
    enum err e = pack_take(&d->c, PACK_IS_MAP, n_pairs, d->why);
    if (e == ERR_OK && *n_pairs > LIMIT_MAP_KEYS) {
        return why_set(d->why, ERR_LIMIT, "a map of %llu keys, at most %d",
                       (unsigned long long)*n_pairs, LIMIT_MAP_KEYS);
    }
    return e;
}

static enum err decode_map(struct decoder *d, const struct pack_table *t, unsigned depth, void *s)
{
    uint64_t n_pairs;
    enum err e = take_map(d, &n_pairs);
    return e != ERR_OK ? e : decode_pairs(d, t, n_pairs, -1, depth, s);
}

// One header pair: exactly this key, then a non-negative integer.
static enum err take_header(struct decoder *d, uint64_t key, const char *name, uint64_t *value)
{
    uint64_t got;
    enum err e = pack_take(&d->c, PACK_IS_UINT, &got, d->why);
    if (e == ERR_OK && got != key) {
        e = why_set(d->why, ERR_CORRUPT, "key %llu where %llu was expected",
                    (unsigned long long)got, (unsigned long long)key);
    }
    if (e == ERR_OK) {
        e = pack_take(&d->c, PACK_IS_UINT, value, d->why);
    }
    return e == ERR_OK ? e : why_prefix(d->why, e, "%s", name);
}

static enum err decode_message(struct decoder *d, struct msg *m)
{
    uint64_t n_pairs, version, type;
    enum err e = take_map(d, &n_pairs);
    if (e == ERR_OK && n_pairs < N_HEADER_KEYS) {
        e = why_set(d->why, ERR_CORRUPT, "a map of %llu keys has no header",
                    (unsigned long long)n_pairs);
    }
    if (e != ERR_OK || (e = take_header(d, KEY_VERSION, "wire version", &version)) != ERR_OK) {
        return why_prefix(d->why, e, "message");
    }
    if (version != PROTO_WIRE_VERSION) {
        return why_set(d->why, ERR_VERSION, "message: wire version %llu, this build speaks %d",
                       (unsigned long long)version, PROTO_WIRE_VERSION);
    }
    if ((e = take_header(d, KEY_TYPE, "type", &type)) != ERR_OK ||
        (e = take_header(d, KEY_REQUEST, "request id", &m->request_id)) != ERR_OK) {
        return why_prefix(d->why, e, "message");
    }
    const struct pack_table *t = type < MSG_TYPE_COUNT ? pack_table_of((uint32_t)type) : NULL;
    if (t == NULL) {
        return why_set(d->why, ERR_CORRUPT, "message: type %llu is unknown",
                       (unsigned long long)type);
    }
    m->type = (enum msg_type)type;
    e = decode_pairs(d, t, n_pairs - N_HEADER_KEYS, KEY_REQUEST, 1, &m->hello);
    if (e == ERR_OK && d->c.p != d->c.end) {
        e = why_set(d->why, ERR_CORRUPT, "%zu bytes left over", (size_t)(d->c.end - d->c.p));
    }
    if (e == ERR_OK) {
        e = check_struct(t, &m->hello, d->why);
    }
    return e == ERR_OK ? e : why_prefix(d->why, e, "%s", msg_type_name(m->type));
}

enum err pack_decode(const void *data, size_t len, struct msg *out, struct why *why)
{
    if (len > LIMIT_MESSAGE_BYTES) {
        return why_set(why, ERR_LIMIT, "message: %zu bytes, at most %d", len, LIMIT_MESSAGE_BYTES);
    }
    static const uint8_t nothing[1] = {0};
    const uint8_t *p = data != NULL ? data : nothing;
    struct decoder d = {.c = {p, p + len}, .why = why};
    struct msg m = {.type = MSG_NONE};
    enum err e = decode_message(&d, &m);
    if (e != ERR_OK) {
        pack_arena_free(d.arena);
        return e;
    }
    m.arena = d.arena;
    *out = m;
    return ERR_OK;
}
