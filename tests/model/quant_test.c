// quant_test.c: number formats, each against a second reading of its layout that takes one element at
// a time and knows nothing of loops over sub-blocks.
//
// Blocks are random bytes, so that every bit of every field matters; scales are kept finite.

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base.h"
#include "common/rng.h"
#include "model/quant.h"

static uint32_t bits(const uint8_t *p, size_t first, size_t n)
{
    uint32_t x = 0;
    for (size_t i = 0; i < n; i++) {
        x |= (uint32_t)(p[(first + i) / 8] >> (first + i) % 8 & 1) << i;
    }
    return x;
}

// A half by its definition: sign, exponent, mantissa.
static float half(const uint8_t *p)
{
    uint32_t exponent = bits(p, 10, 5), mantissa = bits(p, 0, 10);
    double x = (exponent == 0 ? mantissa : 1024 + mantissa) * 0x1p-24;
    for (uint32_t i = 1; i < exponent; i++) {
        x *= 2;
    }
    return (float)(bits(p, 15, 1) != 0 ? -x : x);
}

// ---- one element of a block ----

static float q8_0(const uint8_t *b, size_t i)
{
    return half(b) *
           (float)((int)bits(b + 2, 8 * i, 8) - (bits(b + 2, 8 * i + 7, 1) != 0 ? 256 : 0));
}

// Element i of 16 bytes of nibble pairs: bit 4 of the byte on for the second half.
static float nibble(const uint8_t *qs, size_t i)
{
    return (float)bits(qs, 8 * (i % 16) + 4 * (i / 16), 4);
}

static float q4_0(const uint8_t *b, size_t i)
{
    return half(b) * (nibble(b + 2, i) - 8);
}

static float q4_1(const uint8_t *b, size_t i)
{
    float product = half(b) * nibble(b + 4, i);
    return product + half(b + 2);
}

static float q5_0(const uint8_t *b, size_t i)
{
    return half(b) * (nibble(b + 6, i) + 16 * (float)bits(b + 2, i, 1) - 16);
}

static float q5_1(const uint8_t *b, size_t i)
{
    float product = half(b) * (nibble(b + 8, i) + 16 * (float)bits(b + 4, i, 1));
    return product + half(b + 2);
}

// Scale (or min) s of the 12 bytes: 6 bits at the start of byte s, or 4 in byte 4 + s and 2 on top
// of byte s - 4; mins lie 4 bytes, or 4 bits, further on.
static float scale6(const uint8_t *p, size_t s, bool min)
{
    size_t shift = min ? 4 : 0;
    if (s < 4) {
        return (float)bits(p + s + shift, 0, 6);
    }
    return (float)(bits(p + s + 4, shift, 4) | bits(p + s - 4 + shift, 6, 2) << 4);
}

static float k_value(const uint8_t *b, size_t i, uint32_t q)
{
    float d = half(b) * scale6(b + 4, i / 32, false), m = half(b + 2) * scale6(b + 4, i / 32, true);
    float product = d * (float)q;
    return product - m;
}

// Elements 64 j .. 64 j + 31 are the low nibbles of 32 bytes, the next 32 the high ones.
static uint32_t k_nibble(const uint8_t *qs, size_t i)
{
    return bits(qs + i / 64 * 32 + i % 32, i % 64 / 32 * 4, 4);
}

static float q4_k(const uint8_t *b, size_t i)
{
    return k_value(b, i, k_nibble(b + 16, i));
}

static float q5_k(const uint8_t *b, size_t i)
{
    return k_value(b, i, k_nibble(b + 48, i) + 16 * bits(b + 16 + i % 32, i / 32, 1));
}

static float q6_k(const uint8_t *b, size_t i)
{
    size_t within = i % 128, quarter = within / 32;
    uint32_t low = bits(b + i / 128 * 64 + within % 64, quarter / 2 * 4, 4);
    uint32_t high = bits(b + 128 + i / 128 * 32 + within % 32, quarter * 2, 2);
    int scale = (int)bits(b + 192 + i / 16, 0, 8);
    float d = half(b + 208) * (float)(scale < 128 ? scale : scale - 256);
    return d * ((float)(low + 16 * high) - 32);
}

static const struct {
    const char *name;
    size_t block, bytes;
    float (*element)(const uint8_t *b, size_t i);
    size_t halves[2];    // where the block's scales lie
} formats[] = {
    {"Q8_0", 32, 34, q8_0, {0, 0}},   {"Q4_0", 32, 18, q4_0, {0, 0}},
    {"Q4_1", 32, 20, q4_1, {0, 2}},   {"Q5_0", 32, 22, q5_0, {0, 0}},
    {"Q5_1", 32, 24, q5_1, {0, 2}},   {"Q4_K", 256, 144, q4_k, {0, 2}},
    {"Q5_K", 256, 176, q5_k, {0, 2}}, {"Q6_K", 256, 210, q6_k, {208, 208}},
};

static uint8_t *random_blocks(uint64_t seed, size_t n, size_t bytes, const size_t halves[2])
{
    uint8_t *data = malloc(n * bytes);
    assert_non_null(data);
    struct rng r = rng_make(seed, bytes);
    for (size_t i = 0; i < n * bytes; i++) {
        data[i] = (uint8_t)rng_u32(&r);
    }
    for (size_t i = 0; i < n; i++) {
        for (int k = 0; k < 2; k++) {
            uint8_t *high = data + i * bytes + halves[k] + 1;
            if ((*high & 0x7C) == 0x7C) {
                *high &= 0xBF;    // an infinite scale becomes a finite one
            }
        }
    }
    return data;
}

static void every_block_format_reads_as_its_layout_says(void **state)
{
    (void)state;
    enum { BLOCKS = 200 };
    for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
        const struct quant *q = quant_by_name(formats[f].name);
        assert_non_null(q);
        assert_int_equal(q->block, formats[f].block);
        assert_int_equal(q->block_bytes, formats[f].bytes);
        uint8_t *data = random_blocks(f, BLOCKS, q->block_bytes, formats[f].halves);
        float *x = malloc(BLOCKS * q->block * sizeof *x);
        assert_non_null(x);
        q->read(data, BLOCKS, x);
        for (size_t i = 0; i < BLOCKS * q->block; i++) {
            float want = formats[f].element(data + i / q->block * q->block_bytes, i % q->block);
            if (!(x[i] == want)) {
                fail_msg("%s: block %zu element %zu: %.9g, expected %.9g", q->name, i / q->block,
                         i % q->block, (double)x[i], (double)want);
            }
        }
        free(x);
        free(data);
    }
}

static void types_are_found_by_number_and_name(void **state)
{
    (void)state;
    static const struct {
        uint32_t id;
        const char *name;
    } types[] = {{0, "F32"},  {1, "F16"},  {30, "BF16"}, {2, "Q4_0"},  {3, "Q4_1"}, {6, "Q5_0"},
                 {7, "Q5_1"}, {8, "Q8_0"}, {12, "Q4_K"}, {13, "Q5_K"}, {14, "Q6_K"}};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        assert_ptr_equal(quant_by_ggml(types[i].id), quant_by_name(types[i].name));
        assert_non_null(strstr(QUANT_SUPPORTED, types[i].name));
    }
    assert_string_equal(quant_by_ggml(10)->name, "Q2_K");    // known, but not read
    assert_null(quant_by_name("Q2_K"));
    assert_null(quant_by_ggml(1000));
}

// ---- halves and bfloat16 ----

static float of_f16(uint16_t h)
{
    float x;
    quant_by_name("F16")->read((const uint8_t *)&h, 1, &x);
    return x;
}

static uint16_t to_16(const char *type, float x)
{
    uint16_t h;
    quant_by_name(type)->write(&x, 1, (uint8_t *)&h);
    return h;
}

static void every_half_converts_exactly_and_back(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        uint16_t stored = (uint16_t)h;
        float x = of_f16(stored);
        if ((h & 0x7C00) == 0x7C00) {
            assert_int_equal(quant_first_nonfinite(&x, 1), 0);
            assert_true((h & 0x3FF) == 0 ? x == (h >> 15 ? -1.0f : 1.0f) / 0.0f : x != x);
        } else if (x != half((const uint8_t *)&stored)) {
            fail_msg("half %04x: %g", h, (double)x);
        }
        if ((h & 0x7FFF) <= 0x7C00) {
            assert_int_equal(to_16("F16", x), h);
        } else {
            assert_int_equal(to_16("F16", x) & 0x7E00, 0x7E00);
        }
    }
}

// Between two neighbours, the middle goes to the even one and everything else to the nearer.
static void floats_round_to_the_nearest_half(void **state)
{
    (void)state;
    for (uint16_t h = 0; h < 0x7BFF; h++) {
        float a = of_f16(h), b = of_f16((uint16_t)(h + 1)), middle = a + (b - a) / 2;
        uint32_t around;
        memcpy(&around, &middle, sizeof around);
        assert_int_equal(to_16("F16", middle), h % 2 == 0 ? h : h + 1);
        float above, below;
        around++;
        memcpy(&above, &around, sizeof above);
        around -= 2;
        memcpy(&below, &around, sizeof below);
        assert_int_equal(to_16("F16", above), h + 1);
        assert_int_equal(to_16("F16", -below), 0x8000 | h);
    }
    assert_int_equal(to_16("F16", 65519.996f), 0x7BFF);    // the last that is not infinite
    assert_int_equal(to_16("F16", 65520), 0x7C00);
    assert_int_equal(to_16("F16", -1e30f), 0xFC00);
    assert_int_equal(to_16("F16", 0x1p-25f), 0);
    assert_int_equal(to_16("F16", -1e-30f), 0x8000);
}

static void floats_round_to_the_nearest_bf16(void **state)
{
    (void)state;
    static const struct {
        uint32_t bits;
        uint16_t want;
    } cases[] = {
        {0x3F800000, 0x3F80}, {0x3F808000, 0x3F80}, {0x3F818000, 0x3F82}, {0x3F808001, 0x3F81},
        {0xBF807FFF, 0xBF80}, {0x7F7FFFFF, 0x7F80}, {0x7F800000, 0x7F80}, {0x7F800001, 0x7FC0},
        {0xFFC00000, 0xFFC0}, {0x00000001, 0x0000}, {0x80018000, 0x8002},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        float x;
        memcpy(&x, &cases[i].bits, sizeof x);
        assert_int_equal(to_16("BF16", x), cases[i].want);
    }
}

static void the_first_infinity_or_nan_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        uint32_t largest, infinity, nan;
    } types[] = {{"F32", 0xFF7FFFFF, 0xFF800000, 0x7FC00000},
                 {"F16", 0xFBFF, 0xFC00, 0x7C01},
                 {"BF16", 0xFF7F, 0xFF80, 0x7F81}};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        const struct quant *q = quant_by_name(types[i].type);
        uint8_t data[100 * 4 + 1], *x = data + 1;    // not aligned
        for (size_t k = 0; k < 100; k++) {
            memcpy(x + k * q->block_bytes, &types[i].largest, q->block_bytes);
        }
        assert_int_equal(q->first_nonfinite(x, 100), 100);
        memcpy(x + 99 * q->block_bytes, &types[i].infinity, q->block_bytes);
        assert_int_equal(q->first_nonfinite(x, 100), 99);
        assert_int_equal(q->first_nonfinite(x, 99), 99);
        memcpy(x + 37 * q->block_bytes, &types[i].nan, q->block_bytes);
        assert_int_equal(q->first_nonfinite(x, 100), 37);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_block_format_reads_as_its_layout_says),
        cmocka_unit_test(types_are_found_by_number_and_name),
        cmocka_unit_test(every_half_converts_exactly_and_back),
        cmocka_unit_test(floats_round_to_the_nearest_half),
        cmocka_unit_test(floats_round_to_the_nearest_bf16),
        cmocka_unit_test(the_first_infinity_or_nan_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
