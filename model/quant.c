// quant.c: dequantisation, written so that gcc and clang vectorise the inner loops without help.
//
// A model of 135M parameters has to be read in a fraction of a second on one core, so nothing here
// branches per element: half-precision conversions select between their cases, nibbles are split by
// two loops, and the search for infinities ORs a flag over a stretch and looks for the culprit only
// when there is one.
//
// Block layouts (all little-endian, as the host must be; d, m, dmin are f16):
//   Q8_0   34 bytes: d, 32 int8 q
//   Q4_0   18 bytes: d, 16 bytes of nibble pairs: low nibbles are q[0..15], high ones q[16..31]
//   Q4_1   20 bytes: d, m, nibbles as above
//   Q5_0   22 bytes: d, 32 fifth bits (bit i belongs to q[i]), nibbles as above
//   Q5_1   24 bytes: d, m, fifth bits, nibbles
//   Q4_K  144 bytes: d, dmin, 12 bytes of 6-bit scales and mins (unpack_scales), 128 bytes of nibble
//                    pairs: of each 32 bytes the low nibbles are one sub-block, the high the next
//   Q5_K  176 bytes: d, dmin, scales and mins, 32 bytes of fifth bits (bit s of byte i belongs to
//                    element i of sub-block s), nibbles as in Q4_K
//   Q6_K  210 bytes: 128 bytes of low nibbles, 64 bytes of bit pairs, 16 int8 scales, d. Each half of
//                    128 elements has 64 + 32 bytes: element 32 g + i of the half takes the low (g <
//                    2) or high nibble of byte 32 (g % 2) + i, and bits 2g, 2g + 1 of byte i

#include "model/quant.h"

#include <string.h>

#include "common/base.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "weights on disk are little-endian");

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 0x1Fu,
             mantissa = h & 0x3FFu;
    uint32_t normal = (exponent + 112u) << 23 | mantissa << 13;
    uint32_t special = 0x7F800000u | mantissa << 13;
    uint32_t small = bits_of((float)(int32_t)mantissa * 0x1p-24f);    // exact, and normal in f32
    uint32_t magnitude = exponent == 0 ? small : exponent == 31 ? special : normal;
    return float_of(sign | magnitude);
}

static float read_half(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return half_to_float(h);
}

static void read_f32(const uint8_t *src, size_t n, float *out)
{
    memcpy(out, src, n * sizeof *out);
}

static void read_f16(const uint8_t *src, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = read_half(src + 2 * i);
    }
}

static void read_bf16(const uint8_t *src, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, src + 2 * i, sizeof h);
        out[i] = float_of((uint32_t)h << 16);
    }
}

static void read_q8_0(const uint8_t *src, size_t n_blocks, float *out)
{
    for (size_t b = 0; b < n_blocks; b++, src += 34, out += 32) {
        float d = read_half(src);
        for (int i = 0; i < 32; i++) {
            out[i] = d * (float)(int8_t)src[2 + i];
        }
    }
}

// ---- blocks of 32 with 4 or 5 bits ----

// out[i] = d * q[i] + m, nibbles without a fifth bit.
static void nibbles(const uint8_t *qs, float d, float m, float *out)
{
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)(qs[i] & 0x0F) + m;
    }
    for (int i = 0; i < 16; i++) {
        out[16 + i] = d * (float)(qs[i] >> 4) + m;
    }
}

static void read_q4_0(const uint8_t *src, size_t n_blocks, float *out)
{
    for (size_t b = 0; b < n_blocks; b++, src += 18, out += 32) {
        float d = read_half(src);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((src[2 + i] & 0x0F) - 8);
        }
        for (int i = 0; i < 16; i++) {
            out[16 + i] = d * (float)((src[2 + i] >> 4) - 8);
        }
    }
}

static void read_q4_1(const uint8_t *src, size_t n_blocks, float *out)
{
    for (size_t b = 0; b < n_blocks; b++, src += 20, out += 32) {
        nibbles(src + 4, read_half(src), read_half(src + 2), out);
    }
}

// The 32 values 0..31 of a block with fifth bits.
static void five_bits(const uint8_t *high, const uint8_t *qs, int32_t q[32])
{
    uint32_t bits;
    memcpy(&bits, high, sizeof bits);
    for (int i = 0; i < 16; i++) {
        q[i] = (qs[i] & 0x0F) | (int32_t)(bits >> i << 4 & 0x10);
    }
    for (int i = 0; i < 16; i++) {
        q[16 + i] = qs[i] >> 4 | (int32_t)(bits >> (16 + i) << 4 & 0x10);
    }
}

static void read_q5_0(const uint8_t *src, size_t n_blocks, float *out)
{
    for (size_t b = 0; b < n_blocks; b++, src += 22, out += 32) {
        float d = read_half(src);
        int32_t q[32];
        five_bits(src + 2, src + 6, q);
        for (int i = 0; i < 32; i++) {
            out[i] = d * (float)(q[i] - 16);
        }
    }
}

static void read_q5_1(const uint8_t *src, size_t n_blocks, float *out)
{
    for (size_t b = 0; b < n_blocks; b++, src += 24, out += 32) {
        float d = read_half(src), m = read_half(src + 2);
        int32_t q[32];
        five_bits(src + 4, src + 8, q);
        for (int i = 0; i < 32; i++) {
            out[i] = d * (float)q[i] + m;
        }
    }
}

// ---- blocks of 256 ----

// Eight 6-bit scales and mins of a Q4_K or Q5_K block. Bytes 0..3 hold scales 0..3 and bytes 4..7
// mins 0..3 in their low 6 bits; bytes 8..11 the low 4 bits of scales 4..7 and, above, of mins 4..7,
// whose upper 2 bits are the top bits of bytes 0..3 and 4..7.
static void unpack_scales(const uint8_t *p, uint8_t scale[8], uint8_t min[8])
{
    for (int j = 0; j < 4; j++) {
        scale[j] = p[j] & 0x3F;
        min[j] = p[4 + j] & 0x3F;
        scale[4 + j] = (uint8_t)((p[8 + j] & 0x0F) | p[j] >> 6 << 4);
        min[4 + j] = (uint8_t)(p[8 + j] >> 4 | p[4 + j] >> 6 << 4);
    }
}

static void read_q4_k(const uint8_t *src, size_t n_blocks, float *out)
{
    for (size_t b = 0; b < n_blocks; b++, src += 144, out += 256) {
        float d = read_half(src), dmin = read_half(src + 2);
        uint8_t scale[8], min[8];
        unpack_scales(src + 4, scale, min);
        for (int s = 0; s < 8; s++) {
            const uint8_t *qs = src + 16 + s / 2 * 32;
            float ds = d * (float)scale[s], m = dmin * (float)min[s];
            int shift = s % 2 * 4;
            for (int i = 0; i < 32; i++) {
                out[s * 32 + i] = ds * (float)(qs[i] >> shift & 0x0F) - m;
            }
        }
    }
}

static void read_q5_k(const uint8_t *src, size_t n_blocks, float *out)
{
    for (size_t b = 0; b < n_blocks; b++, src += 176, out += 256) {
        float d = read_half(src), dmin = read_half(src + 2);
        uint8_t scale[8], min[8];
        unpack_scales(src + 4, scale, min);
        const uint8_t *high = src + 16;
        for (int s = 0; s < 8; s++) {
            const uint8_t *qs = src + 48 + s / 2 * 32;
            float ds = d * (float)scale[s], m = dmin * (float)min[s];
            int shift = s % 2 * 4;
            for (int i = 0; i < 32; i++) {
                int32_t q = (qs[i] >> shift & 0x0F) | (high[i] >> s & 1) << 4;
                out[s * 32 + i] = ds * (float)q - m;
            }
        }
    }
}

static void read_q6_k(const uint8_t *src, size_t n_blocks, float *out)
{
    for (size_t b = 0; b < n_blocks; b++, src += 210, out += 256) {
        float d = read_half(src + 208);
        for (int s = 0; s < 16; s++) {
            int half = s / 8, group = s % 8 / 2, first = s % 2 * 16;
            const uint8_t *low = src + 64 * half + group % 2 * 32 + first;
            const uint8_t *high = src + 128 + 32 * half + first;
            float ds = d * (float)(int8_t)src[192 + s];
            for (int i = 0; i < 16; i++) {
                int32_t q = (low[i] >> group / 2 * 4 & 0x0F) | (high[i] >> 2 * group & 3) << 4;
                out[s * 16 + i] = ds * (float)(q - 32);
            }
        }
    }
}

// ---- writing ----

static void write_f32(const float *x, size_t n, uint8_t *out)
{
    memcpy(out, x, n * sizeof *x);
}

// Adding 0.5 to a magnitude below 2^-14 leaves it rounded to a multiple of 2^-24, the step of
// subnormal halves, in the low bits of the sum.
static uint16_t half_from_float(float x)
{
    uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000u, size = bits & 0x7FFFFFFFu;
    uint32_t normal = (size - (112u << 23) + 0xFFFu + (size >> 13 & 1u)) >> 13;
    uint32_t small = bits_of(float_of(size) + 0.5f) - bits_of(0.5f);
    uint32_t special = size > 0x7F800000u ? 0x7E00u : 0x7C00u;    // NaN or past the largest half
    uint32_t half = size < 0x38800000u ? small : size >= 0x477FF000u ? special : normal;
    return (uint16_t)(sign | half);
}

static void write_f16(const float *x, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h = half_from_float(x[i]);
        memcpy(out + 2 * i, &h, sizeof h);
    }
}

static void write_bf16(const float *x, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = bits_of(x[i]), rounded = bits + 0x7FFFu + (bits >> 16 & 1u);
        uint32_t nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
        uint16_t h = (uint16_t)((nan ? bits | 0x400000u : rounded) >> 16);
        memcpy(out + 2 * i, &h, sizeof h);
    }
}

// ---- infinities and NaNs ----

static size_t nonfinite_f32(const uint8_t *src, size_t n)
{
    uint32_t any = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, src + 4 * i, sizeof bits);
        any |= (bits & 0x7F800000u) == 0x7F800000u;
    }
    for (size_t i = 0; any != 0 && i < n; i++) {
        uint32_t bits;
        memcpy(&bits, src + 4 * i, sizeof bits);
        if ((bits & 0x7F800000u) == 0x7F800000u) {
            return i;
        }
    }
    return n;
}

// exponent: the bits that are all set in infinities and NaNs.
static size_t nonfinite_16(const uint8_t *src, size_t n, uint16_t exponent)
{
    uint16_t any = 0;
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, src + 2 * i, sizeof bits);
        any |= (bits & exponent) == exponent;
    }
    for (size_t i = 0; any != 0 && i < n; i++) {
        uint16_t bits;
        memcpy(&bits, src + 2 * i, sizeof bits);
        if ((bits & exponent) == exponent) {
            return i;
        }
    }
    return n;
}

static size_t nonfinite_f16(const uint8_t *src, size_t n)
{
    return nonfinite_16(src, n, 0x7C00);
}

static size_t nonfinite_bf16(const uint8_t *src, size_t n)
{
    return nonfinite_16(src, n, 0x7F80);
}

size_t quant_first_nonfinite(const float *x, size_t n)
{
    return nonfinite_f32((const uint8_t *)x, n);
}

// ---- the table ----

static const struct quant table[] = {
    {0, "F32", 1, 4, read_f32, write_f32, nonfinite_f32},
    {1, "F16", 1, 2, read_f16, write_f16, nonfinite_f16},
    {30, "BF16", 1, 2, read_bf16, write_bf16, nonfinite_bf16},
    {2, "Q4_0", 32, 18, .read = read_q4_0},
    {3, "Q4_1", 32, 20, .read = read_q4_1},
    {6, "Q5_0", 32, 22, .read = read_q5_0},
    {7, "Q5_1", 32, 24, .read = read_q5_1},
    {8, "Q8_0", 32, 34, .read = read_q8_0},
    {12, "Q4_K", 256, 144, .read = read_q4_k},
    {13, "Q5_K", 256, 176, .read = read_q5_k},
    {14, "Q6_K", 256, 210, .read = read_q6_k},
    {.ggml_id = 9, .name = "Q8_1"},
    {.ggml_id = 10, .name = "Q2_K"},
    {.ggml_id = 11, .name = "Q3_K"},
    {.ggml_id = 15, .name = "Q8_K"},
    {.ggml_id = 16, .name = "IQ2_XXS"},
    {.ggml_id = 17, .name = "IQ2_XS"},
    {.ggml_id = 18, .name = "IQ3_XXS"},
    {.ggml_id = 19, .name = "IQ1_S"},
    {.ggml_id = 20, .name = "IQ4_NL"},
    {.ggml_id = 21, .name = "IQ3_S"},
    {.ggml_id = 22, .name = "IQ2_S"},
    {.ggml_id = 23, .name = "IQ4_XS"},
    {.ggml_id = 24, .name = "I8"},
    {.ggml_id = 25, .name = "I16"},
    {.ggml_id = 26, .name = "I32"},
    {.ggml_id = 27, .name = "I64"},
    {.ggml_id = 28, .name = "F64"},
    {.ggml_id = 29, .name = "IQ1_M"},
    {.ggml_id = 34, .name = "TQ1_0"},
    {.ggml_id = 35, .name = "TQ2_0"},
    {.ggml_id = 39, .name = "MXFP4"},
};

const struct quant *quant_by_ggml(uint32_t id)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (table[i].ggml_id == id) {
            return &table[i];
        }
    }
    return NULL;
}

const struct quant *quant_by_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (table[i].read != NULL && strcmp(table[i].name, name) == 0) {
            return &table[i];
        }
    }
    return NULL;
}
