// rope.c: a table that must not depend on whose libm is installed.
//
// Log-probs are compared bit for bit between machines, and the C library may choose its cos by CPU.
// So the few functions needed here are written out in double with + - * / only, which IEEE 754 pins
// down: log by the atanh series, exp and sin/cos by Taylor after reduction. Errors stay below 1e-14
// for angles up to 2^24, a hundred million times finer than a float's last digit, so the rounded
// table is the correctly rounded one but for rare ties.

#include "model/rope.h"

#include <math.h>

// pi/2 in three parts; the first two have 29 significant bits, so n * part is exact for n < 2^24.
#define PIO2_A 0x1.921fb54p+0
#define PIO2_B 0x1.10b4611p-30
#define PIO2_C 0x1.4c4c6628b80dcp-59
#define TWO_OVER_PI 0x1.45f306dc9c883p-1
#define TWO_PI 0x1.921fb54442d18p+2
#define LN2_HI 0x1.62e42feep-1
#define LN2_LO 0x1.a39ef35793c76p-33

static double natural_log(double x)
{
    int e = 0;
    double m = frexp(x, &e);    // [1/2, 1), exact
    if (m < 0x1.6a09e667f3bcdp-1) {
        m *= 2;
        e--;
    }
    double s = (m - 1) / (m + 1);    // |s| <= 0.172
    double s2 = s * s;
    double sum = 0;
    for (int k = 27; k >= 1; k -= 2) {
        sum = sum * s2 + 1.0 / k;
    }
    return e * LN2_HI + (e * LN2_LO + 2 * s * sum);
}

static double exponential(double y)
{
    double n = floor(y / (LN2_HI + LN2_LO) + 0.5);
    double r = (y - n * LN2_HI) - n * LN2_LO;    // |r| <= 0.35
    double sum = 1;
    for (int k = 17; k >= 1; k--) {
        sum = 1 + sum * r / k;
    }
    return ldexp(sum, (int)n);
}

static void cos_sin(double angle, double *c, double *s)
{
    double n = floor(angle * TWO_OVER_PI + 0.5);
    double r = ((angle - n * PIO2_A) - n * PIO2_B) - n * PIO2_C;    // |r| <= pi/4
    double r2 = r * r;
    double even = 1, odd = 1;
    for (int k = 18; k >= 2; k -= 2) {
        even = 1 - even * r2 / (k * (k - 1));
        odd = 1 - odd * r2 / (k * (k + 1));
    }
    odd *= r;
    switch ((long)n & 3) {
    case 0:
        *c = even;
        *s = odd;
        break;
    case 1:
        *c = -odd;
        *s = even;
        break;
    case 2:
        *c = -even;
        *s = -odd;
        break;
    default:
        *c = odd;
        *s = -even;
        break;
    }
}

static double frequency(size_t i, size_t D, double log_theta)
{
    return exponential(-(2.0 * (double)i / (double)D) * log_theta);
}

static double divisor(double freq, const struct rope_scaling *s)
{
    if (s->type == ROPE_DEFAULT) {
        return 1;
    }
    double factor = (double)s->factor, low = (double)s->low, high = (double)s->high;
    double periods = (double)s->original_positions * freq / TWO_PI;    // N / wavelength
    if (periods > high) {
        return 1;
    }
    if (periods < low) {
        return factor;
    }
    double share = (periods - low) / (high - low);
    return 1 / (share + (1 - share) / factor);
}

void rope_divisors(size_t D, double theta, const struct rope_scaling *s, double *out)
{
    double log_theta = natural_log(theta);
    for (size_t i = 0; i < D / 2; i++) {
        out[i] = divisor(frequency(i, D, log_theta), s);
    }
}

void rope_table(size_t positions, size_t D, double theta, const struct rope_scaling *scaling,
                float *out)
{
    double log_theta = natural_log(theta);
    size_t half = D / 2;
    for (size_t i = 0; i < half; i++) {
        double freq = frequency(i, D, log_theta);
        double inv_freq = freq / divisor(freq, scaling);
        for (size_t pos = 0; pos < positions; pos++) {
            double c = 0, s = 0;
            cos_sin((double)pos * inv_freq, &c, &s);
            out[(pos * half + i) * 2] = (float)c;
            out[(pos * half + i) * 2 + 1] = (float)s;
        }
    }
}
