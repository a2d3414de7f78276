// quant.c: dequantisation, written so that gcc and clang vectorise the inner loops without help.
//
// A model of 135M parameters has to be read in a fraction of a second on one core, so nothing here
// branches per element: the half-precision conversion selects between its three cases, nibbles
// are split by two loops of 16, and the search for infinities ORs a flag over the row and looks for
// the culprit only when there is one.
//
// Block layouts (all little-endian, as the host must be):
//   Q8_0  34 bytes: f16 d, 32 int8 q                       x[i] = d * q[i]
//   Q4_1  20 bytes: f16 d, f16 m, 16 bytes of nibble pairs x[i] = d * q[i] + m; low nibbles are
//                                                          q[0..15], high nibbles q[16..31]

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

static void read_q4_1(const uint8_t *src, size_t n_blocks, float *out)
{
    for (size_t b = 0; b < n_blocks; b++, src += 20, out += 32) {
        float d = read_half(src), m = read_half(src + 2);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)(src[4 + i] & 0x0F) + m;
        }
        for (int i = 0; i < 16; i++) {
            out[16 + i] = d * (float)(src[4 + i] >> 4) + m;
        }
    }
}

static const struct quant table[] = {
    {0, "F32", 1, 4, read_f32},     {1, "F16", 1, 2, read_f16},     {30, "BF16", 1, 2, read_bf16},
    {8, "Q8_0", 32, 34, read_q8_0}, {3, "Q4_1", 32, 20, read_q4_1}, {2, "Q4_0", 0, 0, NULL},
    {6, "Q5_0", 0, 0, NULL},        {7, "Q5_1", 0, 0, NULL},        {9, "Q8_1", 0, 0, NULL},
    {10, "Q2_K", 0, 0, NULL},       {11, "Q3_K", 0, 0, NULL},       {12, "Q4_K", 0, 0, NULL},
    {13, "Q5_K", 0, 0, NULL},       {14, "Q6_K", 0, 0, NULL},       {15, "Q8_K", 0, 0, NULL},
    {16, "IQ2_XXS", 0, 0, NULL},    {17, "IQ2_XS", 0, 0, NULL},     {18, "IQ3_XXS", 0, 0, NULL},
    {19, "IQ1_S", 0, 0, NULL},      {20, "IQ4_NL", 0, 0, NULL},     {21, "IQ3_S", 0, 0, NULL},
    {22, "IQ2_S", 0, 0, NULL},      {23, "IQ4_XS", 0, 0, NULL},     {24, "I8", 0, 0, NULL},
    {25, "I16", 0, 0, NULL},        {26, "I32", 0, 0, NULL},        {27, "I64", 0, 0, NULL},
    {28, "F64", 0, 0, NULL},        {29, "IQ1_M", 0, 0, NULL},      {34, "TQ1_0", 0, 0, NULL},
    {35, "TQ2_0", 0, 0, NULL},      {39, "MXFP4", 0, 0, NULL},
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

static uint32_t is_nonfinite(float x)
{
    return (bits_of(x) & 0x7F800000u) == 0x7F800000u;
}

size_t quant_first_nonfinite(const float *x, size_t n)
{
    uint32_t any = 0;
    for (size_t i = 0; i < n; i++) {
        any |= is_nonfinite(x[i]);
    }
    if (any == 0) {
        return n;
    }
    size_t i = 0;
    while (is_nonfinite(x[i]) == 0) {
        i++;
    }
    return i;
}
