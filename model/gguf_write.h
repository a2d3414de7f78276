// gguf_write.h: the GGUF v3 container, written: metadata and tensor entries are collected, then the
// file's head is written and tensors follow in the order in which they were named.
//
// A failure to grow is remembered and told by gguf_writer_begin, so that a long list of entries needs
// no checks between them. Keys and names are the caller's and within the limits of gguf.h.
#ifndef CARAVAN_MODEL_GGUF_WRITE_H
#define CARAVAN_MODEL_GGUF_WRITE_H

#include "common/buf.h"
#include "common/fs.h"
#include "model/gguf.h"

struct gguf_writer {
    struct buf values, tensors;
    uint64_t n_values, n_tensors;
    uint64_t data_bytes;    // of the tensors named so far, each padded
    enum err failed;
};

void gguf_writer_init(struct gguf_writer *w);
void gguf_writer_fini(struct gguf_writer *w);

void gguf_writer_u32(struct gguf_writer *w, const char *key, uint32_t value);
void gguf_writer_f32(struct gguf_writer *w, const char *key, float value);
void gguf_writer_bool(struct gguf_writer *w, const char *key, bool value);
void gguf_writer_text(struct gguf_writer *w, const char *key, const char *text, size_t len);
// An array: the head, then exactly n elements.
void gguf_writer_array(struct gguf_writer *w, const char *key, enum gguf_type element, uint64_t n);
void gguf_writer_add_text(struct gguf_writer *w, const char *text, size_t len);
void gguf_writer_add(struct gguf_writer *w, const void *element, size_t bytes);

// rows = 1: one dimension.
void gguf_writer_tensor(struct gguf_writer *w, const char *name, const struct quant *type,
                        uint64_t rows, uint64_t cols);

// Writes everything before the tensor data, padding included.
MUST_CHECK enum err gguf_writer_begin(const struct gguf_writer *w, struct fs_writer *f,
                                      struct why *why);
// Writes the padding after a tensor of so many bytes.
MUST_CHECK enum err gguf_writer_pad(struct fs_writer *f, uint64_t bytes, struct why *why);

#endif
