// model_files.h: model files made in memory, right or wrong on purpose.
//
// The tiny GGUF model: 2 layers, hidden 32, 2 heads of 16 over 1 key head, ffn 64, untied; tensors
// of each type that can be read, but for those with blocks of 256; a byte-level vocabulary of 3
// special tokens, 256 bytes and a few merges. The tiny folder: 1 layer, hidden 8, vocabulary 32, tied, tokenizer
// FILES_TOKENIZER_JSON.
#ifndef CARAVAN_TESTS_MODEL_MODEL_FILES_H
#define CARAVAN_TESTS_MODEL_MODEL_FILES_H

#include "common/buf.h"
#include "common/json.h"
#include "model/config.h"

// ---- GGUF, entry by entry ----
struct gguf_maker {
    struct buf values, infos, data;
    uint64_t n_values, n_tensors;
};
void gguf_maker_init(struct gguf_maker *m);
void gguf_maker_fini(struct gguf_maker *m);
void gguf_put_raw(struct gguf_maker *m, const char *key, uint32_t type, const void *bytes,
                  size_t len);
void gguf_put_u32(struct gguf_maker *m, const char *key, uint32_t value);
void gguf_put_f32(struct gguf_maker *m, const char *key, float value);
void gguf_put_text(struct gguf_maker *m, const char *key, const char *value);
void gguf_put_texts(struct gguf_maker *m, const char *key, const char *const *values, size_t n);
void gguf_put_i32s(struct gguf_maker *m, const char *key, const int32_t *values, size_t n);
void gguf_put_f32s(struct gguf_maker *m, const char *key, const float *values, size_t n);
void gguf_put_bool(struct gguf_maker *m, const char *key, bool value);
void gguf_put_tensor(struct gguf_maker *m, const char *name, uint32_t type, uint32_t n_dims,
                     const uint64_t *dims, const void *bytes, size_t len);
void gguf_make(const struct gguf_maker *m, struct buf *file);    // file: initialised, empty

// ---- the tiny models ----
struct files_change {
    const char *omit;       // key or tensor left out
    const char *reshape;    // tensor whose rows are one more
    const char *poison;     // tensor (F32) with a NaN at element 5
    const char *extra;      // one more tensor of this name
    const char *key;        // this u32 key gets `value`
    uint32_t value;
    const char *text_key;    // this string key gets `text`
    const char *text;
    const char *type;    // tensor whose type is ggml type 10 (Q2_K), or dtype I32 in a folder
};
void files_tiny_gguf(struct buf *file, const struct files_change *change);    // change may be NULL

extern const char FILES_TOKENIZER_JSON[];
extern const char FILES_SMOLLM2_TEMPLATE[];
// A safetensors file from header text and `zeros` bytes of data.
void files_safetensors(struct buf *file, const char *header, size_t zeros);
// Writes the tiny folder: dir exists. Values of tensor i count up from i in steps of 1/64.
void files_tiny_folder(const char *dir, const struct files_change *change);

// ---- around tests ----
char *files_temp_dir(void);      // a fresh folder (files_remove)
void files_remove(char *dir);    // removes it and frees the name
void files_write(const char *dir, const char *name, const void *data, size_t len);
char *files_path(const char *dir, const char *name);    // free()
const char *files_env(const char *name);                // value, or skips the test
// Calls fn for each line of a JSON-lines file below the folder in CARAVAN_REFERENCE; the line
// number is for messages.
void files_each_case(const char *relative, void (*fn)(void *arg, const json_t *line, int number),
                     void *arg);

#endif
