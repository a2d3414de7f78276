// tiny.h: models small enough to differentiate by brute force, and a second implementation of the
// same mathematics.
//
// The naive model shares nothing with model/: it runs one whole sequence in double, by loops over
// the formulas, from a flat array of parameters. Sizes are odd on purpose (vocabulary, widths and
// heads that are no multiples of 16).
#ifndef CARAVAN_TESTS_MODEL_TINY_H
#define CARAVAN_TESTS_MODEL_TINY_H

#include "model/model.h"

struct tiny {
    struct model_config config;
    struct param_table params;
    float *masters;     // (total) f32, not representable in bf16
    double *rounded;    // (total) what the weights of dtype t mean
    void *blob;         // (total) of dtype t
    enum dtype t;
};

// heads 3 of size 6 over 1 key head, hidden 20, ffn 24, vocabulary 37, 2 layers. Everything from
// `seed`.
void tiny_init(struct tiny *t, bool tied, enum dtype dt, uint64_t seed);
// The same model as another family, with what that has: a window of 4 positions, biases, norms of q
// and k, norms behind the branches, three bands of rotary frequencies.
struct tiny_variant {
    const char *label, *family;
    int32_t window, window_from;
    bool scaled;
    int32_t vocab;    // 0 = 37
};
enum { TINY_VARIANTS = 7 };
extern const struct tiny_variant tiny_variants[TINY_VARIANTS];    // the first is tiny_init's
void tiny_init_as(struct tiny *t, const struct tiny_variant *v, bool tied, enum dtype dt,
                  uint64_t seed);
void tiny_fini(struct tiny *t);
// Weights made from t->blob; fails the test if anything goes wrong.
struct weights *tiny_weights(const struct tiny *t, struct device *d);
// n tokens below the vocabulary size, from a seed.
void tiny_tokens(const struct tiny *t, uint64_t seed, uint32_t *out, size_t n);

// logits (n, V) = of one sequence alone.
void naive_logits(const struct model_config *c, const struct param_table *p, const double *params,
                  const uint32_t *tokens, size_t n, double *logits);
// log softmax(logits / T)[token], and the entropy of softmax(logits / T) if entropy is not NULL.
double naive_logp(const double *logits, size_t V, double temperature, uint32_t token,
                  double *entropy);

#endif
