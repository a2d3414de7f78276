// rope.h: the table of rotary embedding (Su et al., "RoFormer", 2021): cosine and sine for every
// position and pair.
//
// It is filled once when a model is created, for as many positions as its longest context, and read
// by every forward and backward pass. A pure function of its arguments.
#ifndef CARAVAN_MODEL_ROPE_H
#define CARAVAN_MODEL_ROPE_H

#include <stddef.h>

// out (positions, D/2, 2) =: cos and sin of position * theta^(-2i/D), D even. Computed in double
// from our own elementary functions and rounded once, so that the table has the same bits on every
// machine. theta >= 1.
void rope_table(size_t positions, size_t D, double theta, float *out);

#endif
