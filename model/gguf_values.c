// gguf_values.c: metadata of a GGUF file by key and expected type (gguf.h). Values stand unaligned in
// the file and are copied out; what was not expected is named with what is there.

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/gguf.h"

static enum err wrong(const struct gguf *g, const char *key, const char *expected, struct why *why)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (v == NULL) {
        return why_set(why, ERR_NOT_FOUND, "%s: key %s is missing, expected %s", gguf_where(g), key,
                       expected);
    }
    return why_set(why, ERR_CORRUPT, "%s: key %s: %s%s, expected %s", gguf_where(g), key,
                   v->is_array ? "an array of " : "a value of type ", gguf_type_name(v->type),
                   expected);
}

// Any integer type as i64; false for other types and u64 past INT64_MAX.
static bool as_int(const struct gguf_value *v, int64_t *out)
{
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
    } x;
    if (v->is_array || v->bytes > sizeof x) {
        return false;
    }
    memcpy(&x, v->data, v->bytes);
    switch (v->type) {
    case GGUF_U8:
        *out = x.u8;
        return true;
    case GGUF_I8:
        *out = x.i8;
        return true;
    case GGUF_U16:
        *out = x.u16;
        return true;
    case GGUF_I16:
        *out = x.i16;
        return true;
    case GGUF_U32:
        *out = x.u32;
        return true;
    case GGUF_I32:
        *out = x.i32;
        return true;
    case GGUF_U64:
        *out = (int64_t)x.u64;
        return x.u64 <= INT64_MAX;
    case GGUF_I64:
        *out = x.i64;
        return true;
    default:
        return false;
    }
}

enum err gguf_get_int(const struct gguf *g, const char *key, int64_t min, int64_t max, int64_t *out,
                      struct why *why)
{
    const struct gguf_value *v = gguf_find(g, key);
    int64_t value;
    if (v == NULL || !as_int(v, &value)) {
        return wrong(g, key, "an integer", why);
    }
    if (value < min || value > max) {
        return why_set(why, ERR_CORRUPT, "%s: key %s: %" PRId64 " is not in %" PRId64 "..%" PRId64,
                       gguf_where(g), key, value, min, max);
    }
    *out = value;
    return ERR_OK;
}

enum err gguf_opt_int(const struct gguf *g, const char *key, int64_t min, int64_t max, int64_t *out,
                      struct why *why)
{
    return gguf_find(g, key) == NULL ? ERR_OK : gguf_get_int(g, key, min, max, out, why);
}

enum err gguf_get_num(const struct gguf *g, const char *key, double *out, struct why *why)
{
    const struct gguf_value *v = gguf_find(g, key);
    double value;
    if (v != NULL && !v->is_array && v->type == GGUF_F32) {
        float f;
        memcpy(&f, v->data, sizeof f);
        value = f;
    } else if (v != NULL && !v->is_array && v->type == GGUF_F64) {
        memcpy(&value, v->data, sizeof value);
    } else {
        return wrong(g, key, "a number of type f32 or f64", why);
    }
    if (!isfinite(value)) {
        return why_set(why, ERR_CORRUPT, "%s: key %s: %g, expected a finite number", gguf_where(g),
                       key, value);
    }
    *out = value;
    return ERR_OK;
}

enum err gguf_opt_num(const struct gguf *g, const char *key, double *out, struct why *why)
{
    return gguf_find(g, key) == NULL ? ERR_OK : gguf_get_num(g, key, out, why);
}

enum err gguf_get_text(const struct gguf *g, const char *key, struct gguf_text *out,
                       struct why *why)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (v == NULL || v->is_array || v->type != GGUF_STRING) {
        return wrong(g, key, "a string", why);
    }
    size_t pos = 0;
    *out = gguf_next_text(v, &pos);
    return ERR_OK;
}

enum err gguf_opt_text(const struct gguf *g, const char *key, struct gguf_text *out,
                       struct why *why)
{
    return gguf_find(g, key) == NULL ? ERR_OK : gguf_get_text(g, key, out, why);
}

enum err gguf_get_array(const struct gguf *g, const char *key, enum gguf_type element,
                        const struct gguf_value **out, struct why *why)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (v == NULL || !v->is_array || v->type != element) {
        char expected[48];
        (void)snprintf(expected, sizeof expected, "an array of %s", gguf_type_name(element));
        return wrong(g, key, expected, why);
    }
    *out = v;
    return ERR_OK;
}

struct gguf_text gguf_next_text(const struct gguf_value *v, size_t *pos)
{
    uint64_t len;
    CHECK(v->bytes - *pos >= sizeof len);
    memcpy(&len, v->data + *pos, sizeof len);
    struct gguf_text t = {(const char *)v->data + *pos + sizeof len, (size_t)len};
    *pos += sizeof len + (size_t)len;
    return t;
}
