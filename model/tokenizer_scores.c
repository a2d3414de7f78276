// tokenizer_scores.c: merges for a vocabulary that has scores in their place.
//
// SentencePiece keeps no list of merges: of all neighbours whose concatenation is a token, those
// with the best score of that token are joined first. The same is said by a list of merges that has
// every cut of every token into two tokens, ordered by the score of the token; among cuts of one
// token, and among equal scores, the longer left part comes first, as in published conversions of
// such models to tokenizer.json.
//
// Special tokens are no one's sum: text must not arrive at them by merging.
//
// Looking up all cuts of a token costs the square of its length, which is nothing for words and too
// much for a hostile file of long ones, so the whole is bounded.

#include <math.h>
#include <stdlib.h>

#include "model/token_index.h"
#include "model/tokenizer_spec.h"

#define MAX_WORK ((uint64_t)1 << 31)    // bytes hashed: about a second

struct cut {
    struct spec_merge merge;
    float score;
    uint32_t left, right;    // lengths in characters
};

struct cuts {
    struct cut *at;
    size_t n, cap;
};

static enum err push(struct cuts *c, struct cut cut)
{
    if (c->n == SPEC_MAX_MERGES) {
        return ERR_LIMIT;
    }
    if (c->n == c->cap) {
        size_t cap = c->cap == 0 ? 1024 : c->cap * 2;
        struct cut *at = realloc(c->at, cap * sizeof *at);
        if (at == NULL) {
            return ERR_NOMEM;
        }
        c->at = at;
        c->cap = cap;
    }
    c->at[c->n++] = cut;
    return ERR_OK;
}

static bool continues(uint8_t byte)
{
    return (byte & 0xC0) == 0x80;
}

static uint32_t chars(const uint8_t *p, size_t n)
{
    uint32_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += !continues(p[i]);
    }
    return count;
}

static enum err cut_token(const struct tokenizer_spec *s, const struct token_index *x, uint32_t id,
                          float score, struct cuts *out)
{
    size_t len;
    const uint8_t *text = (const uint8_t *)tokenizer_spec_text(s, id, &len);
    enum err e = ERR_OK;
    for (size_t i = 1; e == ERR_OK && i < len; i++) {
        if (continues(text[i])) {
            continue;
        }
        int32_t left = token_index_find(x, text, i);
        int32_t right = left < 0 ? -1 : token_index_find(x, text + i, len - i);
        if (right >= 0) {
            struct spec_merge m = {(uint32_t)left, (uint32_t)right, id};
            e = push(out, (struct cut){m, score, chars(text, i), chars(text + i, len - i)});
        }
    }
    return e;
}

// Best score first, then the longer left part, the longer right part, and last the ids, which leave
// no two equal.
static int compare(const void *a, const void *b)
{
    const struct cut *x = a, *y = b;
    if (x->score != y->score) {
        return x->score > y->score ? -1 : 1;
    }
    if (x->left != y->left) {
        return x->left > y->left ? -1 : 1;
    }
    if (x->right != y->right) {
        return x->right > y->right ? -1 : 1;
    }
    if (x->merge.result != y->merge.result) {
        return x->merge.result < y->merge.result ? -1 : 1;
    }
    return x->merge.left < y->merge.left ? -1 : x->merge.left > y->merge.left;
}

static enum err find_cuts(const struct tokenizer_spec *s, const struct token_index *x,
                          const float *scores, struct cuts *cuts, const char *where,
                          struct why *why)
{
    uint64_t work = 0;
    enum err e = ERR_OK;
    for (uint32_t id = 0; e == ERR_OK && id < s->n_tokens; id++) {
        const struct spec_token *t = &s->tokens[id];
        if (isnan(scores[id])) {
            return why_set(why, ERR_CORRUPT, "%s: the score of token %u is not a number", where,
                           (unsigned)id);
        }
        if ((t->flags & (SPEC_VOCAB | SPEC_ADDED)) != SPEC_VOCAB) {
            continue;
        }
        work += (uint64_t)t->len * t->len;
        e = work > MAX_WORK ? ERR_LIMIT : cut_token(s, x, id, scores[id], cuts);
    }
    return e == ERR_OK ? e
                       : why_set(why, e, "%s: merges of %zu scored tokens: %s", where, s->n_tokens,
                                 err_text(e));
}

enum err tokenizer_spec_merges_by_score(struct tokenizer_spec *s, const float *scores,
                                        const char *where, struct why *why)
{
    struct token_index *x = NULL;
    struct cuts cuts = {0};
    enum err e = tokenizer_spec_index(s, &x, where, why);
    if (e == ERR_OK) {
        e = find_cuts(s, x, scores, &cuts, where, why);
    }
    if (e == ERR_OK) {
        e = tokenizer_spec_reserve_merges(s, cuts.n, where, why);
    }
    if (e == ERR_OK && cuts.n > 0) {
        qsort(cuts.at, cuts.n, sizeof *cuts.at, compare);
        for (size_t i = 0; i < cuts.n; i++) {
            s->merges[s->n_merges++] = cuts.at[i].merge;
        }
    }
    free(cuts.at);
    token_index_destroy(x);
    return e;
}
