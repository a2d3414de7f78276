// batcher.c: planning and filling of micro-batches.
//
// Groups are taken in order and never reordered, so that the sum of gradients has one order. A
// group that fits into an empty micro-batch is not torn: if it does not fit into what is left of
// the current one, a new one is begun. Only a group larger than a whole micro-batch is split, and
// pays for its prompt once per part. Next-fit leaves some room unused; rows are never padded, so an
// unfilled micro-batch costs only its share of the per-pass work.
//
// Everything that a step brings (token ids, log-probs, advantages) came over the wire or out of the
// ledger and is checked here before the first kernel sees it.
//
// Compute thread.

#include "learner/batcher.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

// ---- checks

static enum err check_hyper(const struct train_step *s, const struct batcher_limits *l,
                            struct why *why)
{
    const struct train_hyper *h = &s->hyper;
    if (!(h->temperature > 0)) {
        return why_set(why, ERR_INVALID,
                       "step %" PRIu64 ": temperature %g, expected more than 0 (greedy samples "
                       "cannot be trained on)",
                       s->step, h->temperature);
    }
    if (h->kl_beta != 0 && !l->reference) {
        return why_set(why, ERR_INVALID,
                       "step %" PRIu64 ": kl_beta %g, but the run was started with loss.kl_beta 0 "
                       "and holds no initial policy",
                       s->step, h->kl_beta);
    }
    if (h->micro_batch_tokens < 1 || (uint64_t)h->micro_batch_tokens > l->max_rows) {
        return why_set(why, ERR_LIMIT,
                       "step %" PRIu64 ": packed for micro-batches of %" PRId64
                       " tokens, but memory is planned for %zu: raise optim.micro_batch_tokens",
                       s->step, h->micro_batch_tokens, l->max_rows);
    }
    return ERR_OK;
}

static enum err check_tokens(const uint32_t *t, size_t n, uint32_t vocab, const char *what,
                             uint64_t id, struct why *why)
{
    for (size_t i = 0; i < n; i++) {
        if (t[i] >= vocab) {
            return why_set(why, ERR_INVALID,
                           "%s %" PRIu64 ": token %zu is %" PRIu32 ", the vocabulary has %" PRIu32,
                           what, id, i, t[i], vocab);
        }
    }
    return ERR_OK;
}

static enum err check_sample(const struct train_group *g, const struct train_sample *s,
                             const struct batcher_limits *l, struct why *why)
{
    size_t limit = MIN(l->max_rows, l->max_context);
    if (s->n_tokens > limit || g->n_prompt > limit - s->n_tokens) {
        return why_set(why, ERR_LIMIT,
                       "sample %" PRIu64
                       ": prompt of %zu and completion of %zu tokens, at most %zu "
                       "together fit a training pass",
                       s->sample_id, g->n_prompt, s->n_tokens, limit);
    }
    if (!isfinite(s->advantage)) {
        return why_set(why, ERR_INVALID, "sample %" PRIu64 ": advantage is %g, expected a number",
                       s->sample_id, s->advantage);
    }
    for (size_t i = 0; i < s->n_tokens; i++) {
        if (!isfinite(s->logprobs[i])) {
            return why_set(why, ERR_INVALID,
                           "sample %" PRIu64 ": log-prob of token %zu is %g, expected a number",
                           s->sample_id, i, (double)s->logprobs[i]);
        }
    }
    return check_tokens(s->tokens, s->n_tokens, l->vocab, "sample", s->sample_id, why);
}

static enum err check_step(const struct train_step *s, const struct batcher_limits *l,
                           struct why *why)
{
    enum err e = check_hyper(s, l, why);
    for (size_t i = 0; !e && i < s->n_groups; i++) {
        const struct train_group *g = &s->groups[i];
        if (g->n_prompt == 0) {
            return why_set(why, ERR_INVALID, "step %" PRIu64 ": group %zu has an empty prompt",
                           s->step, i);
        }
        e = check_tokens(g->prompt, g->n_prompt, l->vocab, "prompt of group", i, why);
        for (size_t j = 0; !e && j < g->n_samples; j++) {
            e = check_sample(g, &g->samples[j], l, why);
        }
    }
    return e;
}

// ---- planning

static bool carries_gradient(const struct train_hyper *h, const struct train_sample *s)
{
    return s->n_tokens > 0 && !s->masked && (s->advantage != 0 || h->kl_beta != 0);
}

// The micro-batch being filled.
struct room {
    size_t max_rows, max_index;
    size_t rows, index;
};

struct cost {
    size_t rows, index;
};

static struct cost prompt_cost(const struct train_group *g)
{
    return (struct cost){g->n_prompt, g->n_prompt};
}

static struct cost sample_cost(const struct train_group *g, const struct train_sample *s)
{
    return (struct cost){s->n_tokens, g->n_prompt + s->n_tokens};
}

static bool fits(const struct room *r, struct cost c)
{
    return r->rows + c.rows <= r->max_rows && r->index + c.index <= r->max_index;
}

static void take(struct room *r, struct cost c)
{
    r->rows += c.rows;
    r->index += c.index;
}

static struct cost add(struct cost a, struct cost b)
{
    return (struct cost){a.rows + b.rows, a.index + b.index};
}

static void begin_micro(struct batcher_plan *p, struct room *r, size_t n_pieces)
{
    r->rows = r->index = 0;
    p->micro[p->n_micro++] = n_pieces;
}

// Places the kept samples [first, end) of group g; returns the new number of pieces.
static size_t place_group(struct batcher_plan *p, struct room *r, size_t g, size_t first,
                          size_t end, size_t n_pieces)
{
    const struct train_group *group = &p->step->groups[g];
    struct cost prompt = prompt_cost(group), whole = prompt;
    for (size_t k = first; k < end; k++) {
        whole = add(whole, sample_cost(group, &group->samples[p->kept[k]]));
    }
    bool open = p->n_micro > 0 && fits(r, whole);    // else a new micro-batch
    bool standing = false;                           // the prompt stands in the current one
    for (size_t k = first; k < end; k++) {
        struct cost c = sample_cost(group, &group->samples[p->kept[k]]);
        if (standing && fits(r, c)) {
            take(r, c);
            p->pieces[n_pieces - 1].n++;
            continue;
        }
        if (!open || standing) {
            begin_micro(p, r, n_pieces);
            open = true;
        }
        // A single long sequence may pass max_rows: check_sample bounds it.
        take(r, add(prompt, c));
        p->pieces[n_pieces++] = (struct batcher_piece){g, k, 1};
        standing = true;
    }
    return n_pieces;
}

static void place_all(struct batcher_plan *p)
{
    const struct train_step *s = p->step;
    size_t rows = (size_t)s->hyper.micro_batch_tokens;
    struct room room = {.max_rows = rows, .max_index = rows * BATCHER_INDEX_PER_ROW};
    size_t n_kept = 0, n_pieces = 0;
    for (size_t g = 0; g < s->n_groups; g++) {
        size_t first = n_kept;
        for (size_t j = 0; j < s->groups[g].n_samples; j++) {
            const struct train_sample *sample = &s->groups[g].samples[j];
            p->tokens += sample->masked ? 0 : sample->n_tokens;
            p->samples += !sample->masked;
            if (carries_gradient(&s->hyper, sample)) {
                p->kept[n_kept++] = j;
            }
        }
        n_pieces = place_group(p, &room, g, first, n_kept, n_pieces);
    }
    p->micro[p->n_micro] = n_pieces;
}

enum err batcher_plan_create(const struct train_step *s, const struct batcher_limits *l,
                             struct batcher_plan *out, struct why *why)
{
    enum err e = check_step(s, l, why);
    if (e) {
        return e;
    }
    size_t n_samples = 0;
    for (size_t g = 0; g < s->n_groups; g++) {
        n_samples += s->groups[g].n_samples;
    }
    struct batcher_plan p = {.step = s};
    p.kept = calloc(n_samples + 1, sizeof *p.kept);
    p.pieces = calloc(n_samples + 1, sizeof *p.pieces);
    p.micro = calloc(n_samples + 1, sizeof *p.micro);
    if (!p.kept || !p.pieces || !p.micro) {
        batcher_plan_destroy(&p);
        return why_set(why, ERR_NOMEM, "step %" PRIu64 ": no memory to plan %zu samples", s->step,
                       n_samples);
    }
    place_all(&p);
    *out = p;
    return ERR_OK;
}

double batcher_divisor(const struct batcher_plan *p, const struct train_sample *s)
{
    switch (p->step->hyper.aggregate) {
    case CONF_AGG_TOKEN_MEAN:
        return (double)p->tokens;
    case CONF_AGG_SEQ_MEAN:
        return (double)p->samples * (double)s->n_tokens;
    case CONF_AGG_DR_GRPO:
        return (double)p->samples * (double)p->step->hyper.max_tokens;
    }
    CHECK(false);
    return 1;
}

void batcher_plan_destroy(struct batcher_plan *p)
{
    free(p->kept);
    free(p->pieces);
    free(p->micro);
    *p = (struct batcher_plan){0};
}

// ---- filling

void micro_batch_init(struct micro_batch *m)
{
    *m = (struct micro_batch){0};
    batch_init(&m->rows);
}

static void free_columns(struct micro_batch *m)
{
    free(m->behaviour);
    free(m->ref);
    free(m->policy);
    free(m->advantage);
    free(m->divisor);
    free(m->row_tokens);
    free(m->row_log_ratio);
    free(m->fresh);
    m->behaviour = m->ref = m->policy = NULL;
    m->advantage = m->divisor = m->row_log_ratio = NULL;
    m->row_tokens = NULL;
    m->fresh = NULL;
    m->cap = 0;
}

void micro_batch_fini(struct micro_batch *m)
{
    batch_fini(&m->rows);
    free_columns(m);
}

static bool reserve_columns(struct micro_batch *m, size_t n)
{
    if (n <= m->cap) {
        return true;
    }
    free_columns(m);
    m->behaviour = calloc(n, sizeof *m->behaviour);
    m->ref = calloc(n, sizeof *m->ref);
    m->policy = calloc(n, sizeof *m->policy);
    m->advantage = calloc(n, sizeof *m->advantage);
    m->divisor = calloc(n, sizeof *m->divisor);
    m->row_tokens = calloc(n, sizeof *m->row_tokens);
    m->row_log_ratio = calloc(n, sizeof *m->row_log_ratio);
    m->fresh = calloc(n, sizeof *m->fresh);
    bool ok = m->behaviour && m->ref && m->policy && m->advantage && m->divisor && m->row_tokens &&
              m->row_log_ratio && m->fresh;
    m->cap = ok ? n : 0;
    return ok;
}

static const struct train_sample *kept_sample(const struct batcher_plan *p,
                                              const struct batcher_piece *piece, size_t i)
{
    return &p->step->groups[piece->group].samples[p->kept[piece->first + i]];
}

static enum err fill_piece(struct micro_batch *m, const struct batcher_plan *p,
                           const struct batcher_piece *piece)
{
    const struct train_group *g = &p->step->groups[piece->group];
    struct batch_completion *c = calloc(piece->n, sizeof *c);
    if (!c) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < piece->n; i++) {
        const struct train_sample *s = kept_sample(p, piece, i);
        c[i] = (struct batch_completion){s->tokens, s->n_tokens};
        for (size_t t = 0; t < s->n_tokens; t++) {
            m->behaviour[m->n] = s->logprobs[t];
            m->advantage[m->n] = s->advantage;
            m->divisor[m->n] = batcher_divisor(p, s);
            m->row_tokens[m->n] = s->n_tokens;
            m->fresh[m->n++] = s->fresh;
        }
    }
    enum err e = batch_add_group(&m->rows, g->prompt, g->n_prompt, c, piece->n);
    free(c);
    return e;
}

enum err micro_batch_fill(struct micro_batch *m, const struct batcher_plan *p, size_t index,
                          struct why *why)
{
    CHECK(index < p->n_micro);
    size_t outs = 0;
    for (size_t i = p->micro[index]; i < p->micro[index + 1]; i++) {
        for (size_t k = 0; k < p->pieces[i].n; k++) {
            outs += kept_sample(p, &p->pieces[i], k)->n_tokens;
        }
    }
    batch_clear(&m->rows);
    m->n = 0;
    enum err e = reserve_columns(m, outs) ? ERR_OK : ERR_NOMEM;
    for (size_t i = p->micro[index]; !e && i < p->micro[index + 1]; i++) {
        e = fill_piece(m, p, &p->pieces[i]);
    }
    if (e) {
        return why_set(why, e, "step %" PRIu64 ": micro-batch %zu of %zu outs: %s", p->step->step,
                       index, outs, err_text(e));
    }
    CHECK(m->rows.n_out == m->n);
    return ERR_OK;
}
