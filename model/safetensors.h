// safetensors.h: the safetensors container: named tensors of one file, checked, as views into its
// bytes.
//
// Format: u64 length of the header (little-endian), a JSON object name -> {dtype, shape,
// data_offsets [begin, end)}, optional "__metadata__" of string pairs, then the data. As the format
// demands: names are unique, sizes agree with shapes, tensors neither overlap nor leave holes, and
// together they end where the file ends.
#ifndef CARAVAN_MODEL_SAFETENSORS_H
#define CARAVAN_MODEL_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum {
    SAFETENSORS_MAX_HEADER = 100 * 1000 * 1000,
    SAFETENSORS_MAX_DIMS = 8,
    SAFETENSORS_DTYPE = 16
};

struct safetensors_tensor {
    char *name;
    char dtype[SAFETENSORS_DTYPE];    // "BF16"
    size_t n_dims;
    uint64_t shape[SAFETENSORS_MAX_DIMS];    // outermost first
    const uint8_t *data;                     // not aligned
    size_t bytes;
};

struct safetensors;

MUST_CHECK enum err safetensors_open(const char *path, struct safetensors **out, struct why *why);
// The same over memory that outlives the result. where: for messages.
MUST_CHECK enum err safetensors_parse(const uint8_t *data, size_t len, const char *where,
                                      struct safetensors **out, struct why *why);
void safetensors_rest(const struct safetensors *s);    // fs_map_rest of its file
void safetensors_close(struct safetensors *s);         // NULL is fine
const char *safetensors_where(const struct safetensors *s);
bool safetensors_holds(const struct safetensors *s, const uint8_t *byte);    // of its data
size_t safetensors_n_tensors(const struct safetensors *s);
// Sorted by name.
const struct safetensors_tensor *safetensors_tensor_at(const struct safetensors *s, size_t i);
const struct safetensors_tensor *safetensors_find(const struct safetensors *s, const char *name);

#endif
