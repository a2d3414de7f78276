// vec.h: sixteen float lanes, the unit in which every op of this back end is written.
//
// One type `v16` and one set of operations, in three widths: AVX-512 holds it in one register, AVX2
// in two, and the portable form in four vectors of four floats (SSE2 on any x86-64, NEON on
// aarch64). Every operation is either exact, correctly rounded lane by lane, or a selection, and
// v16_sum and v16_sum16 add in one fixed tree; so the same source gives the same bits in all three.
// That is the whole reason for the file: an op is written once and cannot drift between instruction
// sets.
//
// The including file is compiled with CPU_ISA_AVX512, CPU_ISA_AVX2 or CPU_ISA_PORTABLE defined and
// the matching -m flags (kernels/CMakeLists.txt); without any of them the portable form is meant.
// v16_max(a, b) and v16_min(a, b) return b when either is a NaN or both are equal.
#ifndef CARAVAN_KERNELS_CPU_VEC_H
#define CARAVAN_KERNELS_CPU_VEC_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(CPU_ISA_AVX512) || defined(CPU_ISA_AVX2)
#include <immintrin.h>
#endif

#include "kernels/cpu/turn.h"

enum { LANES = 16 };

// ---- AVX-512
#if defined(CPU_ISA_AVX512)

typedef __m512 v16;

static inline v16 v16_set1(float x)
{
    return _mm512_set1_ps(x);
}
static inline v16 v16_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void v16_store(float *p, v16 a)
{
    _mm512_storeu_ps(p, a);
}
static inline __mmask16 v16_first(size_t n)
{
    return (__mmask16)((1u << n) - 1u);
}
// The first n lanes (0..16) from memory, the others `fill`; nothing past p[n-1] is touched. Whole
// vectors go without a mask: a masked store costs Zen 5 tens of cycles.
static inline v16 v16_load_fill(const float *p, size_t n, float fill)
{
    if (n == LANES) {
        return v16_load(p);
    }
    return _mm512_mask_loadu_ps(_mm512_set1_ps(fill), v16_first(n), p);
}
static inline void v16_store_n(float *p, v16 a, size_t n)
{
    if (n == LANES) {
        v16_store(p, a);
        return;
    }
    _mm512_mask_storeu_ps(p, v16_first(n), a);
}
static inline v16 v16_add(v16 a, v16 b)
{
    return _mm512_add_ps(a, b);
}
static inline v16 v16_sub(v16 a, v16 b)
{
    return _mm512_sub_ps(a, b);
}
static inline v16 v16_mul(v16 a, v16 b)
{
    return _mm512_mul_ps(a, b);
}
static inline v16 v16_div(v16 a, v16 b)
{
    return _mm512_div_ps(a, b);
}
static inline v16 v16_sqrt(v16 a)
{
    return _mm512_sqrt_ps(a);
}
static inline v16 v16_fma(v16 a, v16 b, v16 c)    // a * b + c, rounded once
{
    return _mm512_fmadd_ps(a, b, c);
}
static inline v16 v16_fnma(v16 a, v16 b, v16 c)    // c - a * b, rounded once
{
    return _mm512_fnmadd_ps(a, b, c);
}
static inline v16 v16_max(v16 a, v16 b)
{
    return _mm512_max_ps(a, b);
}
static inline v16 v16_min(v16 a, v16 b)
{
    return _mm512_min_ps(a, b);
}
static inline v16 v16_zero_below(v16 x, float limit, v16 y)    // x < limit ? 0 : y
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(limit), _CMP_NLT_UQ), y);
}
// 2^n from the bits of n + 1.5 * 2^23
static inline v16 v16_pow2_from_magic(v16 t)
{
    __m512i i = _mm512_slli_epi32(_mm512_castps_si512(t), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(i, _mm512_set1_epi32(0x3f800000)));
}
// The 16 weights of the first or the second step of a line of bf16 (pack.c), widened.
static inline v16 v16_bf16_first(const uint16_t *line)
{
    __m512i l = _mm512_loadu_si512(line);
    return _mm512_castsi512_ps(_mm512_unpacklo_epi16(_mm512_setzero_si512(), l));
}
static inline v16 v16_bf16_second(const uint16_t *line)
{
    __m512i l = _mm512_loadu_si512(line);
    return _mm512_castsi512_ps(_mm512_unpackhi_epi16(_mm512_setzero_si512(), l));
}
static inline float v16_sum(v16 a)    // the tree 8, 4, 2, 1
{
    __m512 h = _mm512_shuffle_f32x4(a, a, 0xee);
    __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_castps512_ps256(h));
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}
static inline v16 v16_pair8(v16 a, v16 b)    // lanes i + i+8 of a, then of b
{
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}
static inline v16 v16_pair4(v16 x, v16 y)
{
    return _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xdd));
}
static inline v16 v16_pair2(v16 x, v16 y)
{
    return _mm512_add_ps(_mm512_shuffle_ps(x, y, 0x44), _mm512_shuffle_ps(x, y, 0xee));
}
// Lane i of the result is v16_sum(a[i]), in the same tree.
static inline v16 v16_sum16(const v16 a[16])
{
    v16 q0 = v16_pair4(v16_pair8(a[0], a[4]), v16_pair8(a[8], a[12]));
    v16 q1 = v16_pair4(v16_pair8(a[1], a[5]), v16_pair8(a[9], a[13]));
    v16 q2 = v16_pair4(v16_pair8(a[2], a[6]), v16_pair8(a[10], a[14]));
    v16 q3 = v16_pair4(v16_pair8(a[3], a[7]), v16_pair8(a[11], a[15]));
    v16 r0 = v16_pair2(q0, q1);
    v16 r1 = v16_pair2(q2, q3);
    return _mm512_add_ps(_mm512_shuffle_ps(r0, r1, 0x88), _mm512_shuffle_ps(r0, r1, 0xdd));
}

// ---- AVX2
#elif defined(CPU_ISA_AVX2)

typedef struct {
    __m256 a, b;    // lanes 0..7, 8..15
} v16;

static inline v16 v16_set1(float x)
{
    __m256 v = _mm256_set1_ps(x);
    return (v16){v, v};
}
static inline v16 v16_load(const float *p)
{
    return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
static inline void v16_store(float *p, v16 x)
{
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
static inline v16 v16_load_fill(const float *p, size_t n, float fill)
{
    if (n == LANES) {
        return v16_load(p);
    }
    float t[16];
    for (size_t i = 0; i < 16; i++) {
        t[i] = fill;
    }
    memcpy(t, p, n * sizeof *p);
    return v16_load(t);
}
static inline void v16_store_n(float *p, v16 x, size_t n)
{
    if (n == LANES) {
        v16_store(p, x);
        return;
    }
    float t[16];
    v16_store(t, x);
    memcpy(p, t, n * sizeof *p);
}
static inline v16 v16_add(v16 x, v16 y)
{
    return (v16){_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
static inline v16 v16_sub(v16 x, v16 y)
{
    return (v16){_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
static inline v16 v16_mul(v16 x, v16 y)
{
    return (v16){_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
static inline v16 v16_div(v16 x, v16 y)
{
    return (v16){_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
static inline v16 v16_sqrt(v16 x)
{
    return (v16){_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)};
}
static inline v16 v16_fma(v16 x, v16 y, v16 z)
{
    return (v16){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
static inline v16 v16_fnma(v16 x, v16 y, v16 z)
{
    return (v16){_mm256_fnmadd_ps(x.a, y.a, z.a), _mm256_fnmadd_ps(x.b, y.b, z.b)};
}
static inline v16 v16_max(v16 x, v16 y)
{
    return (v16){_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
static inline v16 v16_min(v16 x, v16 y)
{
    return (v16){_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
}
static inline v16 v16_zero_below(v16 x, float limit, v16 y)
{
    __m256 l = _mm256_set1_ps(limit);
    return (v16){_mm256_and_ps(_mm256_cmp_ps(x.a, l, _CMP_NLT_UQ), y.a),
                 _mm256_and_ps(_mm256_cmp_ps(x.b, l, _CMP_NLT_UQ), y.b)};
}
static inline __m256 vec_pow2(__m256 t)
{
    __m256i i = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(i, _mm256_set1_epi32(0x3f800000)));
}
static inline v16 v16_pow2_from_magic(v16 t)
{
    return (v16){vec_pow2(t.a), vec_pow2(t.b)};
}
static inline __m256 vec_bf16_first(const uint16_t *p)
{
    __m256i l = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_unpacklo_epi16(_mm256_setzero_si256(), l));
}
static inline __m256 vec_bf16_second(const uint16_t *p)
{
    __m256i l = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_unpackhi_epi16(_mm256_setzero_si256(), l));
}
static inline v16 v16_bf16_first(const uint16_t *line)
{
    return (v16){vec_bf16_first(line), vec_bf16_first(line + 16)};
}
static inline v16 v16_bf16_second(const uint16_t *line)
{
    return (v16){vec_bf16_second(line), vec_bf16_second(line + 16)};
}
static inline float v16_sum(v16 x)
{
    __m256 s8 = _mm256_add_ps(x.a, x.b);
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}
static inline __m256
vec_pair4(v16 x, v16 y)    // lanes summed to 4: of x in the low half, of y in the high
{
    __m256 p = _mm256_add_ps(x.a, x.b);
    __m256 q = _mm256_add_ps(y.a, y.b);
    return _mm256_add_ps(_mm256_permute2f128_ps(p, q, 0x20), _mm256_permute2f128_ps(p, q, 0x31));
}
static inline __m256 vec_pair2(__m256 x, __m256 y)
{
    return _mm256_add_ps(_mm256_shuffle_ps(x, y, 0x44), _mm256_shuffle_ps(x, y, 0xee));
}
static inline __m256 vec_sum8(const v16 a[8])
{
    __m256 r0 = vec_pair2(vec_pair4(a[0], a[4]), vec_pair4(a[1], a[5]));
    __m256 r1 = vec_pair2(vec_pair4(a[2], a[6]), vec_pair4(a[3], a[7]));
    return _mm256_add_ps(_mm256_shuffle_ps(r0, r1, 0x88), _mm256_shuffle_ps(r0, r1, 0xdd));
}
static inline v16 v16_sum16(const v16 a[16])
{
    return (v16){vec_sum8(a), vec_sum8(a + 8)};
}

// ---- portable
#else

typedef float vec4 __attribute__((vector_size(16)));
typedef struct {
    vec4 a, b, c, d;
} v16;

static inline vec4 vec4_load(const float *p)
{
    vec4 v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline vec4 vec4_fma(vec4 x, vec4 y, vec4 z)
{
    return (vec4){fmaf(x[0], y[0], z[0]), fmaf(x[1], y[1], z[1]), fmaf(x[2], y[2], z[2]),
                  fmaf(x[3], y[3], z[3])};
}
static inline vec4 vec4_sqrt(vec4 x)
{
    return (vec4){sqrtf(x[0]), sqrtf(x[1]), sqrtf(x[2]), sqrtf(x[3])};
}
static inline float vec_greater(float x, float y)
{
    return x > y ? x : y;
}
static inline float vec_less(float x, float y)
{
    return x < y ? x : y;
}
static inline vec4 vec4_max(vec4 x, vec4 y)
{
    return (vec4){vec_greater(x[0], y[0]), vec_greater(x[1], y[1]), vec_greater(x[2], y[2]),
                  vec_greater(x[3], y[3])};
}
static inline vec4 vec4_min(vec4 x, vec4 y)
{
    return (vec4){vec_less(x[0], y[0]), vec_less(x[1], y[1]), vec_less(x[2], y[2]),
                  vec_less(x[3], y[3])};
}
static inline v16 v16_set1(float x)
{
    vec4 v = {x, x, x, x};
    return (v16){v, v, v, v};
}
static inline v16 v16_load(const float *p)
{
    return (v16){vec4_load(p), vec4_load(p + 4), vec4_load(p + 8), vec4_load(p + 12)};
}
static inline void v16_store(float *p, v16 x)
{
    memcpy(p, &x.a, sizeof x.a);
    memcpy(p + 4, &x.b, sizeof x.b);
    memcpy(p + 8, &x.c, sizeof x.c);
    memcpy(p + 12, &x.d, sizeof x.d);
}
static inline v16 v16_load_fill(const float *p, size_t n, float fill)
{
    if (n == LANES) {
        return v16_load(p);
    }
    float t[16];
    for (size_t i = 0; i < 16; i++) {
        t[i] = fill;
    }
    memcpy(t, p, n * sizeof *p);
    return v16_load(t);
}
static inline void v16_store_n(float *p, v16 x, size_t n)
{
    if (n == LANES) {
        v16_store(p, x);
        return;
    }
    float t[16];
    v16_store(t, x);
    memcpy(p, t, n * sizeof *p);
}
static inline v16 v16_add(v16 x, v16 y)
{
    return (v16){x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d};
}
static inline v16 v16_sub(v16 x, v16 y)
{
    return (v16){x.a - y.a, x.b - y.b, x.c - y.c, x.d - y.d};
}
static inline v16 v16_mul(v16 x, v16 y)
{
    return (v16){x.a * y.a, x.b * y.b, x.c * y.c, x.d * y.d};
}
static inline v16 v16_div(v16 x, v16 y)
{
    return (v16){x.a / y.a, x.b / y.b, x.c / y.c, x.d / y.d};
}
static inline v16 v16_sqrt(v16 x)
{
    return (v16){vec4_sqrt(x.a), vec4_sqrt(x.b), vec4_sqrt(x.c), vec4_sqrt(x.d)};
}
static inline v16 v16_fma(v16 x, v16 y, v16 z)
{
    return (v16){vec4_fma(x.a, y.a, z.a), vec4_fma(x.b, y.b, z.b), vec4_fma(x.c, y.c, z.c),
                 vec4_fma(x.d, y.d, z.d)};
}
static inline v16 v16_fnma(v16 x, v16 y, v16 z)
{
    return (v16){vec4_fma(-x.a, y.a, z.a), vec4_fma(-x.b, y.b, z.b), vec4_fma(-x.c, y.c, z.c),
                 vec4_fma(-x.d, y.d, z.d)};
}
static inline v16 v16_max(v16 x, v16 y)
{
    return (v16){vec4_max(x.a, y.a), vec4_max(x.b, y.b), vec4_max(x.c, y.c), vec4_max(x.d, y.d)};
}
static inline v16 v16_min(v16 x, v16 y)
{
    return (v16){vec4_min(x.a, y.a), vec4_min(x.b, y.b), vec4_min(x.c, y.c), vec4_min(x.d, y.d)};
}
static inline v16 v16_zero_below(v16 x, float limit, v16 y)
{
    float tx[16], ty[16];
    v16_store(tx, x);
    v16_store(ty, y);
    for (size_t i = 0; i < 16; i++) {
        ty[i] = tx[i] < limit ? 0.0f : ty[i];
    }
    return v16_load(ty);
}
static inline v16 v16_pow2_from_magic(v16 t)
{
    float f[16];
    uint32_t u[16];
    v16_store(f, t);
    memcpy(u, f, sizeof u);
    for (size_t i = 0; i < 16; i++) {
        u[i] = (u[i] << 23) + 0x3f800000u;
    }
    memcpy(f, u, sizeof f);
    return v16_load(f);
}
static inline vec4 vec4_bf16_first(const uint16_t *p)
{
    return (vec4)zip_first((halves8){0}, (halves8)load4(p));
}
static inline vec4 vec4_bf16_second(const uint16_t *p)
{
    return (vec4)zip_last((halves8){0}, (halves8)load4(p));
}
static inline v16 v16_bf16_first(const uint16_t *line)
{
    return (v16){vec4_bf16_first(line), vec4_bf16_first(line + 8), vec4_bf16_first(line + 16),
                 vec4_bf16_first(line + 24)};
}
static inline v16 v16_bf16_second(const uint16_t *line)
{
    return (v16){vec4_bf16_second(line), vec4_bf16_second(line + 8), vec4_bf16_second(line + 16),
                 vec4_bf16_second(line + 24)};
}
static inline float v16_sum(v16 x)
{
    vec4 s = (x.a + x.c) + (x.b + x.d);
    return (s[0] + s[2]) + (s[1] + s[3]);
}
static inline v16 v16_sum16(const v16 a[16])
{
    float t[16];
    for (size_t i = 0; i < 16; i++) {
        t[i] = v16_sum(a[i]);
    }
    return v16_load(t);
}

#endif

// ---- the same for all
// *c = x * y + *c, for register tiles. The same operation as v16_fma; on x86 the form of the
// instruction that adds in place is spelled out, because GCC 12, left to choose, lets the sum move
// to the register of a factor and then spills half of the accumulators in every step.
static inline void v16_accumulate(v16 *c, v16 x, v16 y)
{
#if defined(CPU_ISA_AVX512)
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(*c) : "v"(x), "v"(y));
#elif defined(CPU_ISA_AVX2)
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(c->a) : "x"(x.a), "x"(y.a));
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(c->b) : "x"(x.b), "x"(y.b));
#else
    *c = v16_fma(x, y, *c);
#endif
}
static inline float vec_from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
static inline v16 v16_zero(void)
{
    return v16_set1(0.0f);
}
static inline v16 v16_load_n(const float *p, size_t n)
{
    return v16_load_fill(p, n, 0.0f);
}
static inline float v16_hmax(v16 x)
{
    float t[16];
    v16_store(t, x);
    for (size_t step = 8; step > 0; step /= 2) {
        for (size_t i = 0; i < step; i++) {
            t[i] = t[i] > t[i + step] ? t[i] : t[i + step];
        }
    }
    return t[0];
}

#endif
