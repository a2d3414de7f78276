// advantage.c: group-relative advantages.
//
// A group is the samples of one prompt. What a sample teaches is how much better or worse than its
// siblings it did: r_i - mean(r). Dividing by the group's standard deviation (mean_std) gives easy
// and hard prompts equal weight; leaving it out (mean) lets prompts near a success rate of one half
// count most. Both are offered, the arithmetic is double throughout.
//
// Equal rewards are found by comparison and not by a small deviation: six rewards of 0.1 have a
// rounded mean that is not 0.1, and dividing that dust by a deviation of 1e-17 + 1e-8 would train
// on noise. Such a group gets exact zeros, which later stages may leave out.
//
// Pure functions, any thread.

#include "learner/advantage.h"

#include <math.h>

static bool all_equal(const double *r, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (r[i] != r[0]) {
            return false;
        }
    }
    return true;
}

bool advantage_group(enum conf_advantage kind, const double *rewards, size_t n, double *out)
{
    CHECK(n >= 1);
    if (all_equal(rewards, n)) {
        for (size_t i = 0; i < n; i++) {
            out[i] = 0;
        }
        return false;
    }
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += rewards[i];
    }
    double mean = sum / (double)n;
    double squares = 0;
    for (size_t i = 0; i < n; i++) {
        out[i] = rewards[i] - mean;
        squares += out[i] * out[i];
    }
    if (kind == CONF_ADV_MEAN_STD) {
        double scale = sqrt(squares / (double)n) + 1e-8;
        for (size_t i = 0; i < n; i++) {
            out[i] /= scale;
        }
    }
    return true;
}
