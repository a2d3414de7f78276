// gguf_write.c: see gguf_write.h. Little-endian as the host must be; alignment is the format's
// default, 32, so that no key has to name it.

#include "model/gguf_write.h"

#include <string.h>

enum { ALIGNMENT = 32 };

static void put(struct gguf_writer *w, struct buf *to, const void *bytes, size_t len)
{
    if (w->failed == ERR_OK && len > 0) {
        w->failed = buf_append(to, bytes, len);
    }
}

static void put_u32(struct gguf_writer *w, struct buf *to, uint32_t value)
{
    put(w, to, &value, sizeof value);
}

static void put_u64(struct gguf_writer *w, struct buf *to, uint64_t value)
{
    put(w, to, &value, sizeof value);
}

static void put_text(struct gguf_writer *w, struct buf *to, const char *text, size_t len)
{
    put_u64(w, to, len);
    put(w, to, text, len);
}

void gguf_writer_init(struct gguf_writer *w)
{
    *w = (struct gguf_writer){0};
    buf_init(&w->values, 0);
    buf_init(&w->tensors, 0);
}

void gguf_writer_fini(struct gguf_writer *w)
{
    buf_fini(&w->values);
    buf_fini(&w->tensors);
}

// ---- metadata ----

static void begin_value(struct gguf_writer *w, const char *key, enum gguf_type type)
{
    put_text(w, &w->values, key, strlen(key));
    put_u32(w, &w->values, type);
    w->n_values++;
}

void gguf_writer_u32(struct gguf_writer *w, const char *key, uint32_t value)
{
    begin_value(w, key, GGUF_U32);
    put_u32(w, &w->values, value);
}

void gguf_writer_f32(struct gguf_writer *w, const char *key, float value)
{
    begin_value(w, key, GGUF_F32);
    put(w, &w->values, &value, sizeof value);
}

void gguf_writer_bool(struct gguf_writer *w, const char *key, bool value)
{
    begin_value(w, key, GGUF_BOOL);
    uint8_t byte = value;
    put(w, &w->values, &byte, 1);
}

void gguf_writer_text(struct gguf_writer *w, const char *key, const char *text, size_t len)
{
    begin_value(w, key, GGUF_STRING);
    put_text(w, &w->values, text, len);
}

void gguf_writer_array(struct gguf_writer *w, const char *key, enum gguf_type element, uint64_t n)
{
    begin_value(w, key, GGUF_ARRAY);
    put_u32(w, &w->values, element);
    put_u64(w, &w->values, n);
}

void gguf_writer_add_text(struct gguf_writer *w, const char *text, size_t len)
{
    put_text(w, &w->values, text, len);
}

void gguf_writer_add(struct gguf_writer *w, const void *element, size_t bytes)
{
    put(w, &w->values, element, bytes);
}

// ---- tensors ----

static uint64_t padded(uint64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

void gguf_writer_tensor(struct gguf_writer *w, const char *name, const struct quant *type,
                        uint64_t rows, uint64_t cols)
{
    put_text(w, &w->tensors, name, strlen(name));
    put_u32(w, &w->tensors, rows == 1 ? 1 : 2);
    put_u64(w, &w->tensors, cols);
    if (rows != 1) {
        put_u64(w, &w->tensors, rows);
    }
    put_u32(w, &w->tensors, type->ggml_id);
    put_u64(w, &w->tensors, w->data_bytes);
    w->data_bytes += padded(rows * cols / type->block * type->block_bytes);
    w->n_tensors++;
}

enum err gguf_writer_pad(struct fs_writer *f, uint64_t bytes, struct why *why)
{
    static const uint8_t zeros[ALIGNMENT];
    return fs_writer_write(f, zeros, (size_t)(padded(bytes) - bytes), why);
}

enum err gguf_writer_begin(const struct gguf_writer *w, struct fs_writer *f, struct why *why)
{
    if (w->failed != ERR_OK) {
        return why_set(why, w->failed, "GGUF metadata: %s", err_text(w->failed));
    }
    struct {
        char magic[4];
        uint32_t version;
        uint64_t n_tensors, n_values;
    } head = {{'G', 'G', 'U', 'F'}, 3, w->n_tensors, w->n_values};
    _Static_assert(sizeof head == 24, "no holes");
    enum err e = fs_writer_write(f, &head, sizeof head, why);
    e = e ? e : fs_writer_write(f, w->values.data, w->values.len, why);
    e = e ? e : fs_writer_write(f, w->tensors.data, w->tensors.len, why);
    return e ? e : gguf_writer_pad(f, sizeof head + w->values.len + w->tensors.len, why);
}
