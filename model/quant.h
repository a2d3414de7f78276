// quant.h: the number formats of weights on disk, as a table: block size, a reader to f32 for those
// that we compute with, a writer for those that we write, a name for the others.
//
// A row of a tensor is a whole number of blocks. The block formats are those of the public ggml
// specification (ggml-common.h); values are computed in the order of operations of its reference
// dequantiser, each rounded to f32, so that both read a file to the same bits:
//   F16, BF16   exact
//   Q8_0        d * q
//   Q4_0, Q5_0  d * (q - 8), d * (q - 16)
//   Q4_1, Q5_1  d * q + m
//   Q4_K, Q5_K  (d * scale) * q - (dmin * min), 8 sub-blocks of 32
//   Q6_K        (d * scale) * (q - 32), 16 sub-blocks of 16
// No CPU flag changes a bit: conversions are integer arithmetic, products are far from the subnormal
// range.
#ifndef CARAVAN_MODEL_QUANT_H
#define CARAVAN_MODEL_QUANT_H

#include <stddef.h>
#include <stdint.h>

enum { QUANT_LARGEST_BLOCK = 256 };

struct quant {
    uint32_t ggml_id;    // type number in a GGUF file
    const char *name;    // "Q4_1"; also the dtype of safetensors where that has one
    size_t block;        // elements of a block; 0 = known by name only
    size_t block_bytes;
    // src needs no alignment; out (n_blocks * block) =
    void (*read)(const uint8_t *src, size_t n_blocks, float *out);
    // F32, F16, BF16; NULL for the others. Rounds to nearest even, NaN stays NaN; out needs no
    // alignment.
    void (*write)(const float *x, size_t n, uint8_t *out);
    // Index of the first infinity or NaN of n stored elements, or n. NULL where there is no write.
    size_t (*first_nonfinite)(const uint8_t *src, size_t n);
};

// For messages.
#define QUANT_SUPPORTED "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K"

const struct quant *quant_by_ggml(uint32_t id);         // NULL: no such type
const struct quant *quant_by_name(const char *name);    // only types with a reader; NULL otherwise

// Index of the first infinity or NaN of x, or n.
size_t quant_first_nonfinite(const float *x, size_t n);

#endif
