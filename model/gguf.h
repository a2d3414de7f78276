// gguf.h: the GGUF v3 container: typed metadata and tensors of one file, checked, as views into its
// bytes. Knows nothing of models.
//
// Format (ggml/docs/gguf.md): magic "GGUF", u32 version, u64 tensor count, u64 metadata count;
// metadata entries (key string, u32 type, value); tensor entries (name, u32 dimensions, u64 sizes
// innermost first, u32 type, u64 offset); padding to general.alignment; tensor data. Strings are
// u64 length and bytes. Little-endian. Every count, length and offset is held against the bytes
// that are left before it is used.
#ifndef CARAVAN_MODEL_GGUF_H
#define CARAVAN_MODEL_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "model/quant.h"

enum { GGUF_MAX_DIMS = 4, GGUF_MAX_NAME = 64, GGUF_MAX_ENTRIES = 65536 };

enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_N_TYPES
};

struct gguf_text {
    const char *ptr;    // into the file, not NUL-terminated
    size_t len;
};

struct gguf_value {
    struct gguf_text key;
    enum gguf_type type;    // of the value, or of the elements of an array
    bool is_array;
    uint64_t count;         // elements of an array, else 1
    const uint8_t *data;    // first element
    size_t bytes;
};

struct gguf_tensor {
    char name[GGUF_MAX_NAME + 1];
    uint32_t n_dims;
    uint64_t dims[GGUF_MAX_DIMS];    // innermost (contiguous) first; 1 past n_dims
    const struct quant *type;        // one with a reader
    const uint8_t *data;             // inside the file, the whole tensor
    size_t bytes;
    uint64_t offset;    // as in the file, from the start of the data
};

struct gguf;

MUST_CHECK enum err gguf_open(const char *path, struct gguf **out, struct why *why);
// The same over memory that outlives the result. where: for messages.
MUST_CHECK enum err gguf_parse(const uint8_t *data, size_t len, const char *where,
                               struct gguf **out, struct why *why);
void gguf_rest(const struct gguf *g);    // fs_map_rest of its file
void gguf_close(struct gguf *g);         // NULL is fine
const char *gguf_where(const struct gguf *g);

size_t gguf_n_tensors(const struct gguf *g);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i);    // sorted by name
const struct gguf_tensor *gguf_tensor_find(const struct gguf *g, const char *name);

const char *gguf_type_name(enum gguf_type t);                                 // "u32"
const struct gguf_value *gguf_find(const struct gguf *g, const char *key);    // NULL: absent
// Typed readers. An absent key or a value of another type or out of range is an error naming file
// and key. Integers may be stored in any integer type. The _opt forms leave *out untouched when the
// key is absent.
MUST_CHECK enum err gguf_get_int(const struct gguf *g, const char *key, int64_t min, int64_t max,
                                 int64_t *out, struct why *why);
MUST_CHECK enum err gguf_opt_int(const struct gguf *g, const char *key, int64_t min, int64_t max,
                                 int64_t *out, struct why *why);
MUST_CHECK enum err gguf_get_num(const struct gguf *g, const char *key, double *out,
                                 struct why *why);
MUST_CHECK enum err gguf_opt_num(const struct gguf *g, const char *key, double *out,
                                 struct why *why);
MUST_CHECK enum err gguf_get_text(const struct gguf *g, const char *key, struct gguf_text *out,
                                  struct why *why);
MUST_CHECK enum err gguf_opt_text(const struct gguf *g, const char *key, struct gguf_text *out,
                                  struct why *why);
// An array of the given element type (GGUF_STRING: walk it with gguf_next_text; fixed-size
// elements: v->data).
MUST_CHECK enum err gguf_get_array(const struct gguf *g, const char *key, enum gguf_type element,
                                   const struct gguf_value **out, struct why *why);
// Walks a string array that gguf_get_array returned: *pos starts at 0. Call it v->count times.
struct gguf_text gguf_next_text(const struct gguf_value *v, size_t *pos);

#endif
