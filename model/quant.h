// quant.h: the number formats of weights on disk, as a table: block size and a reader to f32 for
// those that we compute with, a name for the others.
//
// A row of a tensor is a whole number of blocks. Values: F16 and BF16 convert exactly; Q8_0 is d *
// q; Q4_1 is d * q + m, rounded after each operation (what llama.cpp's own dequantiser gives). No
// CPU flag changes a bit: conversions are integer arithmetic, products are far from the subnormal
// range.
#ifndef CARAVAN_MODEL_QUANT_H
#define CARAVAN_MODEL_QUANT_H

#include <stddef.h>
#include <stdint.h>

struct quant {
    uint32_t ggml_id;    // type number in a GGUF file
    const char *name;    // "Q4_1"; also the dtype of safetensors where that has one
    size_t block;        // elements of a block; 0 = known by name only
    size_t block_bytes;
    // src needs no alignment; out (n_blocks * block) =
    void (*read)(const uint8_t *src, size_t n_blocks, float *out);
};

#define QUANT_SUPPORTED "F32, F16, BF16, Q8_0, Q4_1"    // for messages

const struct quant *quant_by_ggml(uint32_t id);         // NULL: no such type
const struct quant *quant_by_name(const char *name);    // only types with a reader; NULL otherwise

// Index of the first infinity or NaN of x, or n.
size_t quant_first_nonfinite(const float *x, size_t n);

#endif
