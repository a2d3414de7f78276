// engine_pass.c: one forward pass of the engine.
//
// One pass = for every set of weights in use (normally one; a second while an evaluation is pinned
// to an older version): collect rows, run model_forward, apply the outcomes. Rows are prompt chunks
// of groups still prefilling plus one row for each running sample; because the forward pass is
// canonical, what stands beside what in a pass has no influence on any token.
//
// Space: a prompt's pages are taken only while, after taking them, one of its samples would fit
// too. So whenever nothing runs, the group whose prompt came last can run a sample, finish, and
// give its prompt back: waiting groups never block each other for good.
//
// Thread: the actor's compute thread.
#include <stdlib.h>

#include "actor/engine_internal.h"
#include "common/clock.h"
#include "common/rng.h"

// ---- small parts ----

static enum err segments_add(struct segments *s, uint64_t version, uint32_t end)
{
    if (s->n && s->seg[s->n - 1].version == version) {
        s->seg[s->n - 1].end = end;
        return ERR_OK;
    }
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 2;
        struct msg_segment *grown = realloc(s->seg, cap * sizeof *grown);
        if (!grown) {
            return ERR_NOMEM;
        }
        s->seg = grown;
        s->cap = cap;
    }
    s->seg[s->n++] = (struct msg_segment){.version = version, .end = end};
    return ERR_OK;
}

static enum err sample_push(struct sample *s, uint32_t token, float logprob)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 32;
        uint32_t *tokens = realloc(s->tokens, cap * sizeof *tokens);
        if (!tokens) {
            return ERR_NOMEM;
        }
        s->tokens = tokens;
        float *logprobs = realloc(s->logprobs, cap * sizeof *logprobs);
        if (!logprobs) {
            return ERR_NOMEM;
        }
        s->logprobs = logprobs;
        s->cap = cap;
    }
    s->tokens[s->n] = token;
    s->logprobs[s->n++] = logprob;
    return ERR_OK;
}

// ---- who takes part, and with which rows ----

static enum err add_index(struct engine *e, const struct group *g, const struct sample *s,
                          size_t n_own, int32_t *off)
{
    for (size_t i = 0; i < g->n_prompt; i++) {
        e->index[i] = page_row(&g->pages, i);
    }
    for (size_t i = 0; i < n_own; i++) {
        e->index[g->n_prompt + i] = page_row(&s->pages, i);
    }
    return batch_add_index(&e->batch, e->index, g->n_prompt + n_own, off);
}

static enum err add_out(struct engine *e, struct sample *s, int32_t row)
{
    const struct msg_sampling *p = &s->group->sampling;
    size_t i = e->batch.n_out;
    e->out_sample[i] = s;
    e->spec[i] = (struct sample_spec){.temperature = p->temperature,
                                      .top_p = p->top_p,
                                      .min_p = p->min_p,
                                      .top_k = (int32_t)p->top_k,
                                      .target = -1,
                                      .u = rng_token_uniform(e->seed, s->id, (uint32_t)s->n)};
    return batch_add_out(&e->batch, row, -1);
}

// Gives slots and pages to samples whose first token is drawn, oldest group first; takes prompt
// pages for groups that have none.
static enum err admit(struct engine *e)
{
    for (struct group *g = e->first; g; g = g->next) {
        if (!engine_find_slab(e, group_version(e, g))) {
            continue;
        }
        if (!g->pages.n) {
            if (pages_for(g->n_prompt) + pages_for(completion_rows(g)) > e->pages.n_free) {
                return ERR_OK;
            }
            enum err rc = pages_take(&e->pages, g->n_prompt, &g->pages);
            if (rc) {
                return rc;
            }
        }
        for (size_t i = 0; i < g->n_samples && e->n_running < e->lim.slots; i++) {
            struct sample *s = &g->samples[i];
            if (s->state != SAMPLE_READY) {
                continue;
            }
            enum err rc = pages_take(&e->pages, completion_rows(g), &s->pages);
            if (rc == ERR_FULL) {
                return ERR_OK;
            }
            if (rc) {
                return rc;
            }
            s->state = SAMPLE_RUNNING;
            e->running[e->n_running++] = s;
        }
    }
    return ERR_OK;
}

static enum err add_decode_rows(struct engine *e, uint64_t version)
{
    for (size_t i = 0; i < e->n_running; i++) {
        struct sample *s = e->running[i];
        struct group *g = s->group;
        if (group_version(e, g) != version) {
            continue;
        }
        int32_t off, row;
        size_t own = s->n - 1;    // this row's position among the completion's
        enum err rc = add_index(e, g, s, own + 1, &off);
        if (!rc) {
            rc = batch_add_row(&e->batch, (int32_t)s->tokens[own], (int32_t)(g->n_prompt + own),
                               page_row(&s->pages, own), off, (int32_t)(g->n_prompt + own + 1),
                               &row);
        }
        if (!rc) {
            rc = add_out(e, s, row);
        }
        if (!rc) {
            rc = segments_add(&s->segs, version, (uint32_t)(g->n_prompt + own + 1));
        }
        if (rc) {
            return rc;
        }
    }
    return ERR_OK;
}

static enum err add_prompt_rows(struct engine *e, struct group *g, uint64_t version, size_t n)
{
    int32_t off, row = 0;
    enum err rc = add_index(e, g, NULL, 0, &off);
    for (size_t i = 0; i < n && !rc; i++) {
        size_t p = g->prefilled + i;
        rc = batch_add_row(&e->batch, (int32_t)g->prompt[p], (int32_t)p, page_row(&g->pages, p),
                           off, (int32_t)(p + 1), &row);
    }
    if (rc) {
        return rc;
    }
    g->prefilled += n;
    rc = segments_add(&g->segs, version, (uint32_t)g->prefilled);
    for (size_t i = 0; i < g->n_samples && !rc && g->prefilled == g->n_prompt; i++) {
        if (g->samples[i].state == SAMPLE_PROMPT) {
            rc = add_out(e, &g->samples[i], row);
        }
    }
    return rc;
}

static enum err add_prefill_rows(struct engine *e, uint64_t version)
{
    size_t left = e->lim.prefill_rows;
    for (struct group *g = e->first; g && left; g = g->next) {
        if (!g->pages.n || g->prefilled == g->n_prompt || group_version(e, g) != version) {
            continue;
        }
        size_t n = MIN(left, g->n_prompt - g->prefilled);
        if (g->prefilled + n == g->n_prompt && e->batch.n_out + g->n_samples > e->max_outs) {
            break;
        }
        enum err rc = add_prompt_rows(e, g, version, n);
        if (rc) {
            return rc;
        }
        atomic_fetch_add(&e->stats.prefill_tokens, n);
        left -= n;
    }
    return ERR_OK;
}

// ---- what follows from it ----

static bool is_stop(const struct group *g, uint32_t token)
{
    for (size_t i = 0; i < g->n_stop; i++) {
        if (g->stop_ids[i] == token) {
            return true;
        }
    }
    return false;
}

// Reports a finished sample: the prompt's segments, then its own, joined where the version is the
// same.
static enum err deliver(struct engine *e, struct sample *s, enum msg_finish finish)
{
    struct group *g = s->group;
    struct segments all = {0};
    enum err rc = ERR_OK;
    for (size_t i = 0; i < g->segs.n && !rc; i++) {
        rc = segments_add(&all, g->segs.seg[i].version, g->segs.seg[i].end);
    }
    for (size_t i = 0; i < s->segs.n && !rc; i++) {
        rc = segments_add(&all, s->segs.seg[i].version, s->segs.seg[i].end);
    }
    if (!rc) {
        atomic_fetch_add(&e->stats.samples_finished, 1);
        if (all.n > 1) {
            atomic_fetch_add(&e->stats.straddling, 1);
        }
        e->done(e->done_arg, &(struct engine_sample){.sample_id = s->id,
                                                     .group_id = g->id,
                                                     .attempt = g->attempt,
                                                     .tokens = s->tokens,
                                                     .logprobs = s->logprobs,
                                                     .n_tokens = s->n,
                                                     .kept_mass = s->kept_mass / (double)s->n,
                                                     .segments = all.seg,
                                                     .n_segments = all.n,
                                                     .finish = (uint32_t)finish,
                                                     .pinned_version = g->pinned});
    }
    free(all.seg);
    return rc;
}

static enum err apply(struct engine *e)
{
    double kept = 0.0;
    for (size_t i = 0; i < e->batch.n_out; i++) {
        struct sample *s = e->out_sample[i];
        uint32_t token = (uint32_t)e->result[i].token;
        enum err rc = sample_push(s, token, e->result[i].logp);
        if (rc) {
            return rc;
        }
        s->kept_mass += (double)e->result[i].kept;
        kept += (double)e->result[i].kept;
        bool stop = is_stop(s->group, token);
        if (stop || s->n == s->group->sampling.max_tokens) {
            rc = deliver(e, s, stop ? MSG_FINISH_STOP : MSG_FINISH_LENGTH);
            if (rc) {
                return rc;
            }
            engine_end_sample(e, s);
        } else if (s->state == SAMPLE_PROMPT) {
            s->state = SAMPLE_READY;
        }
    }
    atomic_fetch_add(&e->stats.decode_tokens, e->batch.n_out);
    atomic_fetch_add(&e->stats.kept_mass_e6, (uint64_t)(kept * 1e6 + 0.5));
    return ERR_OK;
}

static enum err run_version(struct engine *e, const struct slab *slab, const atomic_bool *cancel,
                            int *worked, struct why *why)
{
    batch_clear(&e->batch);
    enum err rc = add_decode_rows(e, slab->version);
    if (!rc) {
        rc = add_prefill_rows(e, slab->version);
    }
    if (rc) {
        return why_set(why, rc, "decode batch: %s", err_text(rc));
    }
    if (!e->batch.n_rows) {
        return ERR_OK;
    }
    uint64_t start = clock_mono_ns();
    rc = model_forward(e->model, slab->w, e->kv, &e->batch, e->spec, e->result, cancel, why);
    if (rc) {
        return rc;
    }
    atomic_fetch_add(&e->stats.busy_us, (clock_mono_ns() - start) / 1000);
    atomic_fetch_add(&e->stats.passes, 1);
    *worked = 1;
    rc = apply(e);
    return rc ? why_set(why, rc, "decode outcome: %s", err_text(rc)) : ERR_OK;
}

enum err engine_step(struct engine *e, const atomic_bool *cancel, int *worked, struct why *why)
{
    *worked = 0;
    enum err rc = admit(e);
    if (rc) {
        return why_set(why, rc, "admitting samples: %s", err_text(rc));
    }
    for (size_t i = 0; i < e->n_slabs && !rc; i++) {
        rc = run_version(e, &e->slab[i], cancel, worked, why);
    }
    engine_unlink_finished(e);
    for (size_t i = 0; i < ENGINE_SLABS; i++) {
        atomic_store(&e->stats.held[i], i < e->n_slabs ? e->slab[i].version : 0);
    }
    atomic_store(&e->stats.slots_busy, e->n_running);
    atomic_store(&e->stats.samples_waiting, e->n_live - e->n_running);
    atomic_store(&e->stats.kv_pages_used, e->pages.n_total - e->pages.n_free);
    return rc;
}
