// rope.h: the table of rotary embedding (Su et al., "RoFormer", 2021): cosine and sine for every
// position and pair, and how frequencies are changed for contexts longer than the pre-trained one.
//
// It is filled once when a model is created, for as many positions as its longest context, and read
// by every forward and backward pass. A pure function of its arguments.
#ifndef CARAVAN_MODEL_ROPE_H
#define CARAVAN_MODEL_ROPE_H

#include <stddef.h>
#include <stdint.h>

enum rope_type { ROPE_DEFAULT, ROPE_LLAMA3 };

// How the frequency f of a pair is changed, by its wavelength 2 pi / f in positions.
//   ROPE_LLAMA3 (Llama 3.1), N = original_positions: shorter than N / high: f; longer than N / low:
//   f / factor; between them s f + (1 - s) f / factor, s = (N / wavelength - low) / (high - low)
struct rope_scaling {
    enum rope_type type;
    float factor, low, high;       // factor >= 1, 0 < low < high; 0 for ROPE_DEFAULT
    int32_t original_positions;    // context of pre-training
};

// out (D/2) =: what each pair's frequency theta^(-2i/D) is divided by; 1 where it stays.
void rope_divisors(size_t D, double theta, const struct rope_scaling *s, double *out);
// out (positions, D/2, 2) =: cos and sin of position * theta^(-2i/D) / divisor[i], D even. Computed
// in double from our own elementary functions and rounded once, so that the table has the same bits
// on every machine. theta >= 1.
void rope_table(size_t positions, size_t D, double theta, const struct rope_scaling *scaling,
                float *out);

#endif
