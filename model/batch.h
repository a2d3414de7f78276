// batch.h: rows for one forward pass. A row is one token at one position of one sequence; which
// keys it sees is an index list (kernels/device.h, attn_keys).
//
// The builder packs whole sequences without padding and shares a group's prompt: the prompt's rows
// stand once, every completion lists them before its own rows.
//   prompt a b c, completions [x y] and [z]
//   rows    a0 b1 c2 x3    (number = position; y and z, as last tokens, are targets only)
//   keys    of x3: a b c x
//   scored  c->x, x->y, c->z
#ifndef CARAVAN_MODEL_BATCH_H
#define CARAVAN_MODEL_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

// All arrays on the host and owned. Capacity grows as needed; batch_clear keeps it.
struct batch {
    size_t n_rows;
    // (n_rows) each; kv_row: where the row's own K/V are stored (training: the row itself)
    int32_t *token, *pos, *kv_row, *kv_off, *kv_len;
    size_t n_index;
    int32_t *kv_index;    // (n_index)
    size_t n_out;
    // (n_out) row whose next-token distribution is scored or sampled; may repeat
    int32_t *out_row;
    int32_t *target;    // (n_out) token to score, -1 = draw (inference only)
    size_t cap_rows, cap_index, cap_out;
};

void batch_init(struct batch *b);
void batch_fini(struct batch *b);
void batch_clear(struct batch *b);
// Building blocks for the decode engine (kv rows are cache rows chosen by the caller). *off: where
// the list of keys starts; *row: the row that was added.
MUST_CHECK enum err batch_add_index(struct batch *b, const int32_t *kv_rows, size_t n,
                                    int32_t *off);
MUST_CHECK enum err batch_add_row(struct batch *b, int32_t token, int32_t pos, int32_t kv_row,
                                  int32_t kv_off, int32_t kv_len, int32_t *row);
MUST_CHECK enum err batch_add_out(struct batch *b, int32_t row, int32_t target);
// Adds a prompt once and any number of completions after it, for scoring or training. n_prompt is 1
// or more. Outs are appended in order: completion 0 token 0, 1, …, completion 1 token 0, …
struct batch_completion {
    const uint32_t *tokens;
    size_t n;
};
MUST_CHECK enum err batch_add_group(struct batch *b, const uint32_t *prompt, size_t n_prompt,
                                    const struct batch_completion *c, size_t n_completions);
// Rows that batch_add_group would add.
size_t batch_group_rows(size_t n_prompt, const struct batch_completion *c, size_t n_completions);

#endif
