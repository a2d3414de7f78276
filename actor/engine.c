// engine.c: the decode engine of engine.h.
//
// Its life: groups come in (checked, copied), weights come and go, samples end. What one forward
// pass does stands in engine_pass.c.
//
// Thread: the actor's compute thread. Limits: proto/limits.h for what a lease may hold. It leaves
// transport, leases and loading of weights to actor/service.c and reload.c.
#include "actor/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "actor/engine_internal.h"

// ---- small parts ----

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

const struct slab *engine_find_slab(const struct engine *e, uint64_t version)
{
    for (size_t i = 0; i < e->n_slabs; i++) {
        if (e->slab[i].version == version) {
            return &e->slab[i];
        }
    }
    return NULL;
}

void engine_end_sample(struct engine *e, struct sample *s)
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

void engine_unlink_finished(struct engine *e)
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
        !(s->min_p >= 0 && s->min_p <= 1) || s->top_k > INT32_MAX || s->max_tokens < 1) {
        return why_set(why, ERR_INVALID,
                       "group %llu: temperature %g, top_p %g, min_p %g, top_k %u, max_tokens %u",
                       (unsigned long long)g->group_id, (double)s->temperature, (double)s->top_p,
                       (double)s->min_p, s->top_k, s->max_tokens);
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
                engine_end_sample(e, &g->samples[i]);
                atomic_fetch_add(&e->stats.samples_abandoned, 1);
            }
        }
    }
    engine_unlink_finished(e);
}

// ---- weights ----

static void slab_add(struct engine *e, const struct weights *w, uint64_t version)
{
    if (engine_find_slab(e, version)) {
        return;
    }
    CHECK(e->n_slabs < ENGINE_SLABS);
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
        if (g->pinned && !engine_find_slab(e, g->pinned)) {
            return g->pinned;
        }
    }
    return 0;
}
