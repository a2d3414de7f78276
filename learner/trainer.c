// trainer.c: one optimiser step, from groups of scored samples to a published version.
//
//   plan      micro-batches, the divisors, all checks                          batcher.c
//   per micro-batch:  [log-probs of the initial policy]  forward, loss, backward   model/, loss.c
//   update    global norm, clipping, AdamW on the f32 masters                   optim.c
//   publish   masters rounded and packed into a slab, piece by piece while they are in cache
//             (struct draft); hash; hand-over                                   publish.c, publish_slab.c
//
// Forward and backward use the *rounded* weights, packed from the very bytes that actors fetch, or
// standing in the very slab that actors map; only the optimiser sees masters. That is what makes the
// learner's log-probs of a fresh sample equal the actor's bit for bit, which every step counts.
//
// The bytes of a version that is not a file yet are the masters, rounded whenever they are asked
// for: the masters stand still from one update to the next, and the update waits until the version
// is a file. A copy of the rounded weights is kept only where the masters are not in host memory.
//
// Whatever can fail (bad samples, memory, cancellation, a gradient that is not finite, a disk that
// does not take the version before) fails before the update. After it the new version exists.
//
// Memory that a start need not wait for is taken by the first step: activations, gradients, moments
// and packed training weights; faulting it in takes longer than reading the model does. With 135
// million parameters in bf16: masters 0.54 GB, gradients 0.54, moments 1.08, packed weights 0.27 in
// each of two slabs, and what model_memory counts, activations by train_rows.
//
// Compute thread. A checkpoint is written beside it (saver.c) and only read by it: the state
// changes in one place, the update, which waits.

#include "learner/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "learner/batcher.h"
#include "learner/checkpoint.h"
#include "learner/loss.h"
#include "learner/optim.h"
#include "learner/publish.h"
#include "learner/publish_slab.h"
#include "model/model.h"

struct trainer {
    struct device *device;          // borrowed
    struct publish *publish;        // borrowed
    struct publish_slabs *slabs;    // borrowed; NULL = none
    struct model_config config;
    struct param_table params;
    struct model_limits plan;
    enum dtype dtype;
    struct batcher_limits limits;
    struct model *model;        // NULL until the first step, as are:
    float *grads;               // device, flat
    struct weights *weights;    // rounded masters; NULL until a slab or a step needs it
    bool packed;                // weights hold the present masters
    struct weights *initial;    // the initial policy, when kl_beta > 0
    struct optim optim;
    float *masters;    // device, flat
    void *copy;        // host: the rounded masters, where the device's memory is another
    struct micro_batch micro;
    struct saver saver;    // reads masters and optim; whoever changes them waits for it first
};

// ---- planning

static enum dtype published_dtype(const struct conf *c)
{
    return c->dtype == CONF_DTYPE_F32 ? DTYPE_F32 : DTYPE_BF16;
}

static struct model_limits plan_limits(const struct model_config *m, const struct conf *c)
{
    size_t longest = (size_t)MIN(c->max_prompt_tokens + c->max_tokens, (int64_t)m->max_positions);
    size_t rows = MAX((size_t)c->micro_batch_tokens, longest);
    return (struct model_limits){
        .max_rows = rows,
        .max_index = rows * BATCHER_INDEX_PER_ROW,
        .max_outs = rows,
        .train_rows = rows,
        .weights = published_dtype(c),
        .max_context = longest,
        .recompute = c->recompute,
    };
}

size_t trainer_copy_memory(const struct model_config *m, const struct conf *c)
{
    return strcmp(c->learner_device, "cuda") == 0 ? weights_blob_bytes(m, published_dtype(c)) : 0;
}

size_t trainer_memory(const struct model_config *m, const struct conf *c)
{
    enum dtype t = published_dtype(c);
    struct model_limits l = plan_limits(m, c);
    size_t values = weights_blob_bytes(m, DTYPE_F32);    // masters; as much each: gradients, m, v
    return 4 * values + trainer_copy_memory(m, c) + weights_memory(m, t) +
           (c->kl_beta != 0 ? weights_memory(m, t) : 0) +
           (c->slab == CONF_SLAB_AUTO ? weights_panel_bytes(NULL, m, t) : 0) + model_memory(m, &l);
}

// ---- create and destroy

struct masters {
    struct trainer *t;
    size_t done;    // floats
};

static enum err upload_masters(void *arg, const void *bytes, size_t len, struct why *why)
{
    (void)why;
    struct masters *m = arg;
    struct device *d = m->t->device;
    d->ops->upload(d, m->t->masters + m->done, bytes, len);
    m->done += len / sizeof(float);
    return ERR_OK;
}

static enum err read_masters(struct trainer *t, const struct source *s, struct why *why)
{
    struct masters m = {.t = t};
    return source_stream(s, DTYPE_F32, t->device->pool, upload_masters, &m, why);
}

// Packs what comes.
struct packing {
    struct weights *weights;
    enum err err;
    struct why why;
};

static void pack_piece(void *arg, const void *bytes, size_t n)
{
    struct packing *p = arg;
    p->err = p->err ? p->err : weights_feed(p->weights, bytes, n, &p->why);
}

static enum err pack_from_masters(struct trainer *t, struct weights *w, struct why *why)
{
    struct packing p = {.weights = w};
    const struct optim_sink sink = {pack_piece, &p};
    struct hash128 hash;
    weights_begin(w);
    enum err e = optim_round(&t->optim, t->masters, t->dtype, NULL, &sink, why);
    if (!e && p.err) {
        e = why_set(why, p.err, "%s", p.why.text);
    }
    return e ? e : weights_end(w, &hash, why);
}

static enum err create_parts(struct trainer *t, const struct source *s, const struct conf *c,
                             struct why *why)
{
    struct device *d = t->device;
    enum err e = param_table_create(&t->config, &t->params, why);
    e = e ? e : optim_init(&t->optim, d, &t->params, why);
    void *masters = NULL;
    e = e ? e : d->ops->alloc(d, t->params.total * sizeof(float), &masters, why);
    t->masters = masters;
    if (!e && !d->ops->unified && !(t->copy = malloc(t->params.total * dtype_size(t->dtype)))) {
        e = why_set(why, ERR_NOMEM, "no memory for a copy of the rounded weights");
    }
    e = e ? e : read_masters(t, s, why);
    if (!e && c->kl_beta != 0) {
        e = weights_create(d, &t->config, t->dtype, &t->initial, why);
        e = e ? e : pack_from_masters(t, t->initial, why);
    }
    return e;
}

enum err trainer_create(struct device *d, const struct source *s, const struct conf *c,
                        struct publish *p, struct trainer **out, struct why *why)
{
    struct trainer *t = calloc(1, sizeof *t);
    if (!t) {
        return why_set(why, ERR_NOMEM, "trainer: out of memory");
    }
    pool_set_fpu();
    t->device = d;
    t->publish = p;
    t->config = *source_config(s);
    t->plan = plan_limits(&t->config, c);
    t->dtype = published_dtype(c);
    t->limits = (struct batcher_limits){
        .max_rows = t->plan.train_rows,
        .max_context = t->plan.max_context,
        .vocab = (uint32_t)t->config.vocab,
        .reference = c->kl_beta != 0,
    };
    micro_batch_init(&t->micro);
    enum err e = create_parts(t, s, c, why);
    if (e) {
        trainer_destroy(t);
        return why_prefix(why, e, "trainer");
    }
    *out = t;
    return ERR_OK;
}

void trainer_share(struct trainer *t, struct publish_slabs *s)
{
    t->slabs = s;
}

void trainer_destroy(struct trainer *t)
{
    if (!t) {
        return;
    }
    saver_wait(&t->saver);
    while (publish_detach(t->publish, NULL)) {    // the writer still reads the masters
        LOG_WARN("WEIGHTS_WAIT", "the newest weights are not written yet");
    }
    micro_batch_fini(&t->micro);
    t->device->ops->release(t->device, t->grads);
    t->device->ops->release(t->device, t->masters);
    free(t->copy);
    optim_fini(&t->optim);
    weights_destroy(t->initial);
    weights_destroy(t->weights);
    model_destroy(t->model);
    param_table_destroy(&t->params);
    free(t);
}

// ---- a version in the making

struct draft {
    struct trainer *trainer;
    struct packing packing;     // weights NULL: nothing is packed; err: the next step packs again
    struct weightslab *slab;    // where its panels stand; NULL: in memory of the weights' own
    struct optim_sink sink;     // NULL piece: nobody wants any
};

// Of publish's: the version's bytes, as long as the masters stand still.
static void copy_version(void *arg, uint64_t offset, size_t n, void *out)
{
    const struct trainer *t = arg;
    if (t->copy) {
        memcpy(out, (const char *)t->copy + offset, n);
    } else {
        optim_copy_rounded(t->masters, t->dtype, offset, n, out);
    }
}

// Where the trainer's weights go for this version: a slab, or their own memory if they exist.
static enum err place_weights(struct trainer *t, struct weightslab *slab, struct why *why)
{
    void *panels = slab ? weightslab_panels(slab) : NULL;
    if (slab && !t->weights) {
        return weights_create_in(t->device, &t->config, t->dtype, panels, &t->weights, why);
    }
    return t->weights ? weights_place(t->weights, panels, why) : ERR_OK;
}

// Before anything of the version before is changed.
static enum err draft_begin(struct trainer *t, struct draft *d, struct why *why)
{
    *d = (struct draft){.trainer = t};
    enum err e = publish_detach(t->publish, why);
    if (e) {
        return e;
    }
    d->slab = t->slabs ? publish_slab_claim(t->slabs) : NULL;
    e = place_weights(t, d->slab, why);
    if (e) {
        if (d->slab) {
            weightslab_abandon(d->slab);
        }
        return e;
    }
    if (t->weights) {
        t->packed = false;
        weights_begin(t->weights);
        d->packing.weights = t->weights;
        d->sink = (struct optim_sink){pack_piece, &d->packing};
    }
    return ERR_OK;
}

static const struct optim_sink *draft_sink(const struct draft *d)
{
    return d->sink.piece ? &d->sink : NULL;
}

static void draft_cancel(struct draft *d)
{
    if (d->slab) {
        weightslab_abandon(d->slab);
    }
    d->trainer->packed = false;
}

static void hash_piece(void *arg, const void *bytes, size_t n)
{
    hash_update(arg, bytes, n);
}

enum err trainer_hash(struct trainer *t, struct hash128 *hash, struct why *why)
{
    struct hash_state *state = hash_create();
    if (!state) {
        return why_set(why, ERR_NOMEM, "hashing the weights: out of memory");
    }
    const struct optim_sink sink = {hash_piece, state};
    enum err e = optim_round(&t->optim, t->masters, t->dtype, NULL, &sink, why);
    if (!e) {
        *hash = hash_final(state);
    }
    hash_destroy(state);
    return e;
}

// The masters are those of the version, since updated_us (0 = not known). On failure the draft is
// gone.
static enum err draft_publish(struct draft *d, uint64_t version, uint64_t updated_us,
                              struct hash128 *hash, struct why *why)
{
    struct trainer *t = d->trainer;
    struct weights *w = d->packing.weights;
    t->packed = w && !d->packing.err && !weights_end(w, hash, NULL);
    enum err e = t->packed ? ERR_OK : trainer_hash(t, hash, why);
    const struct publish_version v = {.version = version, .hash = *hash, .updated_us = updated_us};
    e = e ? e : publish_add(t->publish, &v, copy_version, t, why);
    if (e) {
        draft_cancel(d);
        return e;
    }
    if (d->slab && !t->packed) {
        weightslab_abandon(d->slab);
        d->slab = NULL;
    }
    if (t->slabs) {
        publish_slab_finish(t->slabs, d->slab, version, *hash,
                            d->slab ? weights_fed_sums(w) : NULL);
    }
    return ERR_OK;
}

enum err trainer_publish(struct trainer *t, uint64_t version, struct hash128 *hash, struct why *why)
{
    struct draft d;
    struct hash128 h = {{0}};
    enum err e = draft_begin(t, &d, why);
    if (!e && (draft_sink(&d) || t->copy)) {
        e = optim_round(&t->optim, t->masters, t->dtype, t->copy, draft_sink(&d), why);
        if (e) {
            draft_cancel(&d);
        }
    }
    e = e ? e : draft_publish(&d, version, 0, &h, why);
    if (!e) {
        *hash = h;
    }
    return e ? why_prefix(why, e, "version %" PRIu64, version) : ERR_OK;
}

// ---- forward and backward

// One step's running figures; also what the model's loss callback sees.
struct pass {
    struct trainer *trainer;
    struct loss_params loss;
    struct loss_sums sums;
    uint64_t rows, compared, mismatched;
};

static void compare_fresh(struct pass *p, const struct micro_batch *m, size_t first, size_t n,
                          const float *logp)
{
    for (size_t i = 0; i < n; i++) {
        if (m->fresh[first + i]) {
            p->compared++;
            p->mismatched += memcmp(&logp[i], &m->behaviour[first + i], sizeof *logp) != 0;
        }
    }
}

static void on_logprobs(void *arg, size_t first, size_t n, const float *logp, const float *entropy,
                        float *coef)
{
    struct pass *p = arg;
    const struct micro_batch *m = &p->trainer->micro;
    compare_fresh(p, m, first, n, logp);
    struct loss_rows rows = {.logp = logp,
                             .behaviour = m->behaviour + first,
                             .ref = m->ref + first,
                             .entropy = entropy,
                             .advantage = m->advantage + first,
                             .divisor = m->divisor + first,
                             .row_log_ratio = m->row_log_ratio + first};
    loss_tokens(&p->loss, n, &rows, coef, &p->sums);
}

static enum err run_micro_batch(struct trainer *t, const struct batcher_plan *plan, size_t index,
                                struct pass *p, const atomic_bool *cancel, struct why *why)
{
    float temperature = (float)plan->step->hyper.temperature;
    struct batch *rows = &t->micro.rows;
    enum err e = micro_batch_fill(&t->micro, plan, index, why);
    if (!e && p->loss.kl_beta != 0) {
        e = model_score(t->model, t->initial, rows, temperature, t->micro.ref, NULL, cancel, why);
    }
    if (!e && p->loss.policy == CONF_POLICY_GSPO) {
        // A token's gradient depends on all of its completion, which the training pass sees in parts.
        struct micro_batch *m = &t->micro;
        e = model_score(t->model, t->weights, rows, temperature, m->policy, NULL, cancel, why);
        if (!e) {
            loss_row_ratios(m->n, m->policy, m->behaviour, m->row_tokens, m->row_log_ratio);
        }
    }
    if (!e) {
        e = model_train(t->model, t->weights, rows, temperature, on_logprobs, p, t->grads, cancel,
                        why);
    }
    p->rows += rows->n_rows;
    return e;
}

// What the first step makes.
static enum err allocate(struct trainer *t, struct why *why)
{
    struct device *d = t->device;
    enum err e = ERR_OK;
    if (!t->model) {
        e = model_create(d, &t->config, &t->plan, &t->model, why);
    }
    if (!e && !t->weights) {
        e = weights_create(d, &t->config, t->dtype, &t->weights, why);
    }
    if (!e && !t->grads) {
        void *grads = NULL;
        e = d->ops->alloc(d, t->params.total * sizeof(float), &grads, why);
        t->grads = grads;
    }
    if (!e && t->slabs) {
        publish_slab_reserve(t->slabs);
    }
    return e ? e : optim_reserve(&t->optim, why);
}

// Ready for a pass: the present masters are packed. Without slabs the first step finds them not to
// be, and the first one after a load. They go to memory of the trainer's: a slab that they may stand
// in belongs to a version that others read.
static enum err prepare(struct trainer *t, struct why *why)
{
    enum err e = allocate(t, why);
    if (!e && !t->packed) {
        e = weights_place(t->weights, NULL, why);
        e = e ? e : pack_from_masters(t, t->weights, why);
        t->packed = !e;
    }
    return e;
}

static enum err accumulate(struct trainer *t, const struct batcher_plan *plan, struct pass *p,
                           const atomic_bool *cancel, struct why *why)
{
    enum err e = prepare(t, why);
    if (!e) {
        t->device->ops->zero(t->device, t->grads, t->params.total * sizeof(float));
    }
    for (size_t i = 0; !e && i < plan->n_micro; i++) {
        if (cancel && atomic_load(cancel)) {
            return why_set(why, ERR_CANCELLED, "cancelled");
        }
        e = run_micro_batch(t, plan, i, p, cancel, why);
    }
    return e;
}

// ---- update and publication

// A checkpoint of the state before may still be on its way to disk.
static enum err wait_for_save(struct trainer *t, struct train_result *r, const atomic_bool *cancel,
                              struct why *why)
{
    double start = clock_mono_s();
    saver_wait(&t->saver);
    r->save_wait_s = clock_mono_s() - start;
    return cancel && atomic_load(cancel) ? why_set(why, ERR_CANCELLED, "cancelled") : ERR_OK;
}

static enum err update_and_publish(struct trainer *t, const struct train_step *s, double norm,
                                   bool signal, struct train_result *r, struct why *why)
{
    struct draft d;
    double start = clock_mono_s();
    enum err e = draft_begin(t, &d, why);
    if (e) {
        return e;
    }
    double begun = clock_mono_s();
    if (signal) {
        double scale = optim_clip_scale(norm, s->hyper.grad_clip);
        optim_step(&t->optim, &s->hyper, scale, t->masters, t->grads, t->dtype, t->copy,
                   draft_sink(&d));
    } else if ((e = optim_round(&t->optim, t->masters, t->dtype, t->copy, draft_sink(&d), why))) {
        draft_cancel(&d);
        return e;
    }
    double updated = clock_mono_s();
    r->updated_us = clock_wall_us();
    e = draft_publish(&d, s->new_version, r->updated_us, &r->weights_hash, why);
    r->optimiser_s += updated - begun;
    r->publish_s = clock_mono_s() - updated + (begun - start);
    return e;
}

static void fill_result(struct train_result *r, const struct batcher_plan *plan,
                        const struct pass *p, double norm)
{
    double n = p->sums.tokens ? (double)p->sums.tokens : 1;
    r->loss = p->sums.loss;
    r->grad_norm = norm;
    r->entropy = p->sums.entropy / n;
    r->kl = p->sums.kl / n;
    r->ratio_mean = p->sums.ratio / n;
    r->ratio_max = p->sums.ratio_max;
    r->clip_fraction = (double)p->sums.clipped / n;
    r->tokens = plan->tokens;
    r->scored_tokens = p->sums.tokens;
    r->rows = p->rows;
    r->compared_tokens = p->compared;
    r->mismatched_tokens = p->mismatched;
}

static enum err run_plan(struct trainer *t, const struct batcher_plan *plan, struct train_result *r,
                         const atomic_bool *cancel, struct why *why)
{
    const struct train_step *s = plan->step;
    struct pass p = {
        .trainer = t,
        .loss = {.clip_low = s->hyper.clip_low,
                 .clip_high = s->hyper.clip_high,
                 .kl_beta = s->hyper.kl_beta,
                 .kl = s->hyper.kl_estimator,
                 .policy = s->hyper.policy,
                 .dual_clip = s->hyper.dual_clip},
    };
    bool signal = plan->n_micro > 0;
    double norm = 0, start = clock_mono_s();
    if (signal) {
        enum err e = accumulate(t, plan, &p, cancel, why);
        if (e) {
            return e;
        }
        r->forward_backward_s = clock_mono_s() - start;
        norm = optim_grad_norm(&t->optim, t->grads);
        r->optimiser_s = clock_mono_s() - start - r->forward_backward_s;
    }
    if (!isfinite(norm)) {
        return why_set(why, ERR_INVALID, "gradient norm is %g, expected a finite number", norm);
    }
    fill_result(r, plan, &p, norm);
    enum err e = signal ? wait_for_save(t, r, cancel, why) : ERR_OK;
    return e ? e : update_and_publish(t, s, norm, signal, r, why);
}

enum err trainer_step(struct trainer *t, const struct train_step *s, struct train_result *out,
                      const atomic_bool *cancel, struct why *why)
{
    struct batcher_plan plan;
    struct train_result r = {0};
    pool_set_fpu();
    if (s->new_version <= publish_newest(t->publish)) {
        return why_set(why, ERR_INVALID, "step %" PRIu64 ": version %" PRIu64 " exists already",
                       s->step, s->new_version);
    }
    enum err e = batcher_plan_create(s, &t->limits, &plan, why);
    if (e) {
        return e;
    }
    e = run_plan(t, &plan, &r, cancel, why);
    batcher_plan_destroy(&plan);
    if (e) {
        return why_prefix(why, e, "step %" PRIu64, s->step);
    }
    *out = r;
    return ERR_OK;
}

// ---- checkpoints

enum err trainer_save_begin(struct trainer *t, const char *dir, uint64_t step, uint64_t version,
                            const atomic_bool *cancel, saver_done_fn *done, void *arg,
                            struct why *why)
{
    struct checkpoint c = {&t->optim, t->masters, step, version};
    return saver_begin(&t->saver, &c, dir, cancel, done, arg, why);
}

void trainer_save_wait(struct trainer *t)
{
    saver_wait(&t->saver);
}

enum err trainer_load(struct trainer *t, const char *dir, uint64_t *step, uint64_t *version,
                      struct why *why)
{
    struct checkpoint c = {&t->optim, t->masters, 0, 0};
    saver_wait(&t->saver);
    enum err e = publish_detach(t->publish, why);
    e = e ? e : checkpoint_load(&c, dir, why);
    if (!e) {
        t->packed = false;
        *step = c.step;
        *version = c.version;
    }
    return e;
}
