// engine.c: the decode engine of engine.h.
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
// Thread: the actor's compute thread. Limits: proto/limits.h for what a lease may hold. It leaves
// transport, leases and loading of weights to actor/service.c and reload.c.
#include "actor/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "actor/pages.h"
#include "common/clock.h"
#include "common/rng.h"
#include "proto/limits.h"

enum { MAX_SLABS = 4 };

struct segments {
    struct msg_segment *seg;
    size_t n, cap;
};

enum sample_state { SAMPLE_PROMPT, SAMPLE_READY, SAMPLE_RUNNING, SAMPLE_OVER };

struct sample {
    uint64_t id;
    struct group *group;
    enum sample_state state;
    uint32_t *tokens;
    float *logprobs;
    size_t n, cap;
    struct segments segs;      // completion positions only; the prompt's stand in the group
    struct page_list pages;    // rows of completion positions
};

struct group {
    struct group *next;
    uint64_t id, pinned;
    uint32_t attempt;
    struct msg_sampling sampling;
    uint32_t *prompt;
    size_t n_prompt, prefilled;
    struct page_list pages;
    struct segments segs;
    uint32_t stop_ids[LIMIT_STOP_IDS];
    size_t n_stop;
    struct sample *samples;
    size_t n_samples, n_live;
};

struct slab {
    const struct weights *w;
    uint64_t version;
};

struct engine {
    struct model *model;
    struct kv_cache *kv;
    struct pages pages;
    struct engine_limits lim;
    uint64_t seed;
    engine_done_fn *done;
    void *done_arg;
    struct group *first, **last;    // FIFO of groups with live samples
    struct sample **running;        // (slots)
    size_t n_running, n_live;
    struct slab slab[MAX_SLABS];
    size_t n_slabs;
    uint64_t newest;
    // scratch of one pass
    struct batch batch;
    struct sample **out_sample;
    struct sample_spec *spec;
    struct sample_out *result;
    size_t max_outs;
    int32_t *index;    // (max_context)
    struct engine_stats stats;
};

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

static size_t completion_rows(const struct group *g)
{
    return g->sampling.max_tokens - 1;    // the last token is never a forward position
}

static void group_free(struct engine *e, struct group *g)
{
    if (!g) {
        return;
    }
    for (size_t i = 0; g->samples && i < g->n_samples; i++) {
        struct sample *s = &g->samples[i];
        pages_give(&e->pages, &s->pages);
        free(s->tokens);
        free(s->logprobs);
        free(s->segs.seg);
    }
    pages_give(&e->pages, &g->pages);
    free(g->segs.seg);
    free(g->samples);
    free(g->prompt);
    free(g);
}

static const struct slab *slab_find(const struct engine *e, uint64_t version)
{
    for (size_t i = 0; i < e->n_slabs; i++) {
        if (e->slab[i].version == version) {
            return &e->slab[i];
        }
    }
    return NULL;
}

static uint64_t group_version(const struct engine *e, const struct group *g)
{
    return g->pinned ? g->pinned : e->newest;
}

// A sample has ended, finished or abandoned: slot and pages go back at once; the group goes with
// its last sample (unlink_finished).
static void sample_end(struct engine *e, struct sample *s)
{
    if (s->state == SAMPLE_RUNNING) {
        for (size_t i = 0; i < e->n_running; i++) {
            if (e->running[i] == s) {
                memmove(&e->running[i], &e->running[i + 1],
                        (e->n_running - i - 1) * sizeof *e->running);
                e->n_running--;
                break;
            }
        }
    }
    pages_give(&e->pages, &s->pages);
    s->state = SAMPLE_OVER;
    s->group->n_live--;
    e->n_live--;
}

static void unlink_finished(struct engine *e)
{
    struct group **link = &e->first;
    while (*link) {
        struct group *g = *link;
        if (g->n_live == 0) {
            *link = g->next;
            group_free(e, g);
        } else {
            link = &g->next;
        }
    }
    e->last = link;
}

// ---- creation ----

enum err engine_create(struct device *d, const struct model_config *c,
                       const struct engine_limits *l, uint64_t seed, engine_done_fn *done,
                       void *arg, struct engine **out, struct why *why)
{
    struct engine *e = calloc(1, sizeof *e);
    if (!e) {
        return why_set(why, ERR_NOMEM, "engine: out of memory");
    }
    e->lim = *l;
    e->lim.max_context = MIN(l->max_context, (size_t)c->max_positions);
    e->seed = seed;
    e->done = done;
    e->done_arg = arg;
    e->last = &e->first;
    e->max_outs = l->slots + LIMIT_SAMPLES_PER_GROUP;
    batch_init(&e->batch);
    size_t rows = l->kv_bytes / kv_cache_row_bytes(c) / PAGE_ROWS * PAGE_ROWS;
    struct model_limits ml = {.max_rows = l->slots + l->prefill_rows,
                              .max_index = (l->slots + l->prefill_rows) * e->lim.max_context,
                              .max_outs = e->max_outs,
                              .max_context = e->lim.max_context};
    enum err rc = ERR_OK;
    if (rows < 2 * PAGE_ROWS) {
        rc = why_set(why, ERR_LIMIT,
                     "kv cache: %zu bytes hold %zu positions of %zu bytes, at least %d are needed",
                     l->kv_bytes, rows, kv_cache_row_bytes(c), 2 * PAGE_ROWS);
        goto fail;
    }
    rc = model_create(d, c, &ml, &e->model, why);
    if (rc) {
        goto fail;
    }
    rc = kv_cache_create(e->model, rows, &e->kv, why);
    if (rc) {
        goto fail;
    }
    rc = pages_init(&e->pages, rows);
    e->running = calloc(l->slots, sizeof *e->running);
    e->out_sample = calloc(e->max_outs, sizeof *e->out_sample);
    e->spec = calloc(e->max_outs, sizeof *e->spec);
    e->result = calloc(e->max_outs, sizeof *e->result);
    e->index = calloc(e->lim.max_context, sizeof *e->index);
    if (rc || !e->running || !e->out_sample || !e->spec || !e->result || !e->index) {
        rc = why_set(why, ERR_NOMEM, "engine: out of memory");
        goto fail;
    }
    e->stats.kv_pages_total = e->pages.n_total;
    *out = e;
    return ERR_OK;
fail:
    engine_destroy(e);
    return rc;
}

void engine_destroy(struct engine *e)
{
    if (!e) {
        return;
    }
    while (e->first) {
        struct group *g = e->first;
        e->first = g->next;
        group_free(e, g);
    }
    free(e->index);
    free(e->result);
    free(e->spec);
    free(e->out_sample);
    free(e->running);
    pages_fini(&e->pages);
    kv_cache_destroy(e->kv);
    model_destroy(e->model);
    batch_fini(&e->batch);
    free(e);
}

const struct engine_stats *engine_get_stats(const struct engine *e)
{
    return &e->stats;
}

size_t engine_live(const struct engine *e)
{
    return e->n_live;
}

// ---- work in ----

static enum err group_check(const struct engine *e, const struct msg_group *g, size_t n_stop,
                            struct why *why)
{
    const struct model_config *c = model_get_config(e->model);
    const struct msg_sampling *s = &g->sampling;
    if (g->n_prompt == 0 || g->n_samples == 0 || g->n_samples > LIMIT_SAMPLES_PER_GROUP ||
        n_stop > LIMIT_STOP_IDS) {
        return why_set(why, ERR_INVALID, "group %llu: %zu prompt tokens, %zu samples, %zu stop ids",
                       (unsigned long long)g->group_id, g->n_prompt, g->n_samples, n_stop);
    }
    if (!isfinite(s->temperature) || s->temperature < 0 || !(s->top_p > 0 && s->top_p <= 1) ||
        s->top_k > INT32_MAX || s->max_tokens < 1) {
        return why_set(why, ERR_INVALID,
                       "group %llu: temperature %g, top_p %g, top_k %u, max_tokens %u",
                       (unsigned long long)g->group_id, (double)s->temperature, (double)s->top_p,
                       s->top_k, s->max_tokens);
    }
    for (size_t i = 0; i < g->n_prompt; i++) {
        if (g->prompt[i] >= (uint32_t)c->vocab) {
            return why_set(why, ERR_INVALID,
                           "group %llu: prompt token %zu is %u, the vocabulary has %d",
                           (unsigned long long)g->group_id, i, g->prompt[i], c->vocab);
        }
    }
    if (g->n_prompt + s->max_tokens > e->lim.max_context) {
        return why_set(
            why, ERR_LIMIT, "group %llu: prompt of %zu and max_tokens %u exceed the context of %zu",
            (unsigned long long)g->group_id, g->n_prompt, s->max_tokens, e->lim.max_context);
    }
    size_t need = pages_for(g->n_prompt) + pages_for(s->max_tokens - 1);
    if (need > e->pages.n_total) {
        return why_set(why, ERR_LIMIT,
                       "group %llu: one sample needs %zu KV pages of %d positions, the cache has "
                       "%zu: raise actor.kv_mb",
                       (unsigned long long)g->group_id, need, PAGE_ROWS, e->pages.n_total);
    }
    return ERR_OK;
}

enum err engine_add(struct engine *e, const struct msg_group *m, const uint32_t *stop_ids,
                    size_t n_stop, struct why *why)
{
    enum err rc = group_check(e, m, n_stop, why);
    if (rc) {
        return rc;
    }
    struct group *g = calloc(1, sizeof *g);
    uint32_t *prompt = calloc(m->n_prompt, sizeof *prompt);
    struct sample *samples = calloc(m->n_samples, sizeof *samples);
    if (!g || !prompt || !samples) {
        free(g);
        free(prompt);
        free(samples);
        return why_set(why, ERR_NOMEM, "group %llu: out of memory",
                       (unsigned long long)m->group_id);
    }
    memcpy(prompt, m->prompt, m->n_prompt * sizeof *prompt);
    *g = (struct group){.id = m->group_id,
                        .pinned = m->pinned_version,
                        .attempt = m->attempt,
                        .sampling = m->sampling,
                        .prompt = prompt,
                        .n_prompt = m->n_prompt,
                        .n_stop = n_stop,
                        .samples = samples,
                        .n_samples = m->n_samples,
                        .n_live = m->n_samples};
    if (n_stop) {
        memcpy(g->stop_ids, stop_ids, n_stop * sizeof *stop_ids);
    }
    for (size_t i = 0; i < m->n_samples; i++) {
        samples[i] = (struct sample){.id = m->sample_ids[i], .group = g, .state = SAMPLE_PROMPT};
    }
    *e->last = g;
    e->last = &g->next;
    e->n_live += m->n_samples;
    return ERR_OK;
}

void engine_abandon(struct engine *e, uint64_t sample_id)
{
    for (struct group *g = e->first; g; g = g->next) {
        for (size_t i = 0; i < g->n_samples; i++) {
            if (g->samples[i].id == sample_id && g->samples[i].state != SAMPLE_OVER) {
                sample_end(e, &g->samples[i]);
                atomic_fetch_add(&e->stats.samples_abandoned, 1);
            }
        }
    }
    unlink_finished(e);
}

// ---- weights ----

static void slab_add(struct engine *e, const struct weights *w, uint64_t version)
{
    if (slab_find(e, version)) {
        return;
    }
    CHECK(e->n_slabs < MAX_SLABS);
    e->slab[e->n_slabs++] = (struct slab){.w = w, .version = version};
}

void engine_swap(struct engine *e, const struct weights *w, uint64_t version)
{
    slab_add(e, w, version);
    e->newest = version;
    atomic_store(&e->stats.version, version);
    atomic_fetch_add(&e->stats.swaps, 1);
}

void engine_pin(struct engine *e, const struct weights *w, uint64_t version)
{
    slab_add(e, w, version);
}

const struct weights *engine_release(struct engine *e)
{
    for (size_t i = 0; i < e->n_slabs; i++) {
        bool used = e->slab[i].version == e->newest;
        for (const struct group *g = e->first; g && !used; g = g->next) {
            used = g->pinned == e->slab[i].version;
        }
        if (!used) {
            const struct weights *w = e->slab[i].w;
            e->slab[i] = e->slab[--e->n_slabs];
            return w;
        }
    }
    return NULL;
}

uint64_t engine_wants_version(const struct engine *e)
{
    for (const struct group *g = e->first; g; g = g->next) {
        if (g->pinned && !slab_find(e, g->pinned)) {
            return g->pinned;
        }
    }
    return 0;
}

// ---- one pass ----

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
        if (!slab_find(e, group_version(e, g))) {
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
    for (size_t i = 0; i < e->batch.n_out; i++) {
        struct sample *s = e->out_sample[i];
        uint32_t token = (uint32_t)e->result[i].token;
        enum err rc = sample_push(s, token, e->result[i].logp);
        if (rc) {
            return rc;
        }
        bool stop = is_stop(s->group, token);
        if (stop || s->n == s->group->sampling.max_tokens) {
            rc = deliver(e, s, stop ? MSG_FINISH_STOP : MSG_FINISH_LENGTH);
            if (rc) {
                return rc;
            }
            sample_end(e, s);
        } else if (s->state == SAMPLE_PROMPT) {
            s->state = SAMPLE_READY;
        }
    }
    atomic_fetch_add(&e->stats.decode_tokens, e->batch.n_out);
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
    unlink_finished(e);
    atomic_store(&e->stats.slots_busy, e->n_running);
    atomic_store(&e->stats.samples_waiting, e->n_live - e->n_running);
    atomic_store(&e->stats.kv_pages_used, e->pages.n_total - e->pages.n_free);
    return rc;
}
