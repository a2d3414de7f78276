// rig.h: a tiny model on disk, a trainer over it, and what an actor would send it.
//
// The model has 2 layers, width 32, vocabulary 64; its masters come from Philox and are not
// representable in bf16. Behaviour log-probs are made as an actor makes them: from the published
// blob, with inference weights and a model of their own.
#ifndef CARAVAN_TESTS_LEARNER_RIG_H
#define CARAVAN_TESTS_LEARNER_RIG_H

#include <unistd.h>

#include "common/fs.h"
#include "common/pool.h"
#include "common/rng.h"
#include "learner/advantage.h"
#include "learner/publish.h"
#include "learner/publish_slab.h"
#include "learner/trainer.h"
#include "model/batch.h"
#include "model/model.h"
#include "reference.h"

enum {
    RIG_GROUPS = 3,
    RIG_SAMPLES = 4,
    RIG_PROMPT = 6,
    RIG_MAX_TOKENS = 12,
    RIG_VOCAB = 64,
};

static const struct model_config RIG_MODEL = {
    .family = "llama",
    .vocab = RIG_VOCAB,
    .hidden = 32,
    .ffn = 48,
    .layers = 2,
    .heads = 4,
    .kv_heads = 2,
    .head_dim = 8,
    .max_positions = 64,
    .rope_theta = 1e4F,
    .rms_eps = 1e-5F,
    .tied = true,
    .bos_id = 1,
    .pad_id = -1,
    .eos_ids = {2},
    .n_eos = 1,
};

#define MUST(call)                                                                                 \
    do {                                                                                           \
        struct why why = {""};                                                                     \
        enum err must_ = (call);                                                                   \
        if (must_) {                                                                               \
            fail_msg("%s: %s", err_text(must_), why.text);                                         \
        }                                                                                          \
    } while (0)

struct rig {
    char dir[64];
    struct conf conf;
    struct pool *pool;
    struct device *device;
    struct source *source;
    struct publish *publish;
    struct trainer *trainer;
    uint64_t version;       // newest
    struct hash128 hash;    // of it
};

// Writes the tiny model into dir; rounded: masters that bf16 can represent.
static inline void rig_write_model(const char *dir, bool rounded)
{
    struct param_table params;
    MUST(param_table_create(&RIG_MODEL, &params, &why));
    float *flat = calloc(params.total, sizeof *flat);
    struct rng r = rng_make(11, 0);
    for (size_t i = 0; i < params.n; i++) {
        const struct param *p = &params.params[i];
        for (size_t k = 0; k < p->count; k++) {
            double u = rng_f64(&r) - 0.5, x = p->rows == 1 ? 1 + 0.2 * u : 0.5 * u;
            float f = (float)x;
            flat[p->offset + k] = rounded ? bf16_to_f32(bf16_from_f32(f)) : f;
        }
    }
    char path[128], *json = model_config_print(&RIG_MODEL, DTYPE_F32);
    (void)snprintf(path, sizeof path, "%s/model.safetensors", dir);
    MUST(safetensors_write_flat(path, &params, DTYPE_F32, flat, NULL, &why));
    (void)snprintf(path, sizeof path, "%s/config.json", dir);
    MUST(fs_write_file(path, json, strlen(json), &why));
    free(json);
    free(flat);
    param_table_destroy(&params);
}

static inline void rig_conf(struct conf *c)
{
    conf_defaults(c);
    c->dtype = CONF_DTYPE_BF16;
    c->max_prompt_tokens = RIG_PROMPT;
    c->max_tokens = RIG_MAX_TOKENS;
    c->micro_batch_tokens = 256;
    c->temperature = 0.9;
    c->lr = 1e-2;
    c->warmup_steps = 0;
    c->grad_clip = 1;
    c->weight_decay = 0.01;
    c->kl_beta = 0;
    c->kl_estimator = CONF_KL_K3;
}

static inline void rig_start(struct rig *r)
{
    char weights[96];
    (void)snprintf(weights, sizeof weights, "%s/weights", r->dir);
    MUST(publish_create(weights, source_params(r->source),
                        r->conf.dtype == CONF_DTYPE_F32 ? DTYPE_F32 : DTYPE_BF16, 8, NULL, NULL,
                        &r->publish, &why));
    MUST(trainer_create(r->device, r->source, &r->conf, r->publish, &r->trainer, &why));
}

static inline void rig_stop(struct rig *r)
{
    trainer_destroy(r->trainer);
    publish_destroy(r->publish);
}

static inline void rig_open_model(struct rig *r, const char *model, int threads)
{
    MUST(pool_create(threads, &r->pool, &why));
    MUST(device_open("cpu", r->pool, &r->device, &why));
    MUST(source_open(model, &r->source, &why));
    rig_start(r);
}

static inline void rig_make_dir(struct rig *r)
{
    strcpy(r->dir, "/tmp/caravan-rig-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
}

// A rig whose first version is published. c NULL = rig_conf.
static inline void rig_open(struct rig *r, int threads, const struct conf *c)
{
    *r = (struct rig){.version = 1};
    rig_make_dir(r);
    rig_write_model(r->dir, false);
    if (c) {
        r->conf = *c;
    } else {
        rig_conf(&r->conf);
    }
    rig_open_model(r, r->dir, threads);
    MUST(trainer_publish(r->trainer, 1, &r->hash, &why));
}

static inline void rig_close(struct rig *r)
{
    rig_stop(r);
    source_close(r->source);
    device_close(r->device);
    pool_destroy(r->pool);
    MUST(fs_remove_tree(r->dir, &why));
}

// The blob of a version, as an actor gets it (free()).
static inline void *rig_blob(struct rig *r, uint64_t version, size_t *bytes)
{
    size_t len = 0;
    struct publish_version v;
    MUST(publish_find(r->publish, version, &v, &why));
    void *blob = malloc(v.bytes);
    assert_non_null(blob);
    MUST(publish_read(r->publish, version, 0, v.bytes, blob, &len, &v, &why));
    assert_int_equal(len, v.bytes);
    *bytes = len;
    return blob;
}

// ---- samples

struct rollouts {
    uint32_t prompts[RIG_GROUPS][RIG_PROMPT];
    uint32_t tokens[RIG_GROUPS][RIG_SAMPLES][RIG_MAX_TOKENS];
    float logprobs[RIG_GROUPS][RIG_SAMPLES][RIG_MAX_TOKENS];
    struct train_sample samples[RIG_GROUPS][RIG_SAMPLES];
    struct train_group groups[RIG_GROUPS];
};

// Log-probs of every sample under a blob, written into out->logprobs.
static inline void rig_score_blob(struct rig *r, const void *blob, size_t bytes,
                                  struct rollouts *out)
{
    const struct model_config *m = source_config(r->source);
    struct model_limits l = {.max_rows = 256,
                             .max_index = 4096,
                             .max_outs = 256,
                             .max_context = RIG_PROMPT + RIG_MAX_TOKENS};
    struct model *model = NULL;
    struct weights *w = NULL;
    struct hash128 hash;
    MUST(model_create(r->device, m, &l, &model, &why));
    MUST(weights_create(r->device, m, r->conf.dtype == CONF_DTYPE_F32 ? DTYPE_F32 : DTYPE_BF16, &w,
                        &why));
    weights_begin(w);
    MUST(weights_feed(w, blob, bytes, &why));
    MUST(weights_end(w, &hash, &why));
    struct batch b;
    batch_init(&b);
    for (size_t g = 0; g < RIG_GROUPS; g++) {
        for (size_t s = 0; s < RIG_SAMPLES; s++) {    // one by one: neighbours change no bit
            const struct train_sample *t = &out->samples[g][s];
            struct batch_completion c = {t->tokens, t->n_tokens};
            batch_clear(&b);
            assert_int_equal(batch_add_group(&b, out->prompts[g], RIG_PROMPT, &c, 1), ERR_OK);
            MUST(model_score(model, w, &b, (float)r->conf.temperature, out->logprobs[g][s], NULL,
                             NULL, &why));
        }
    }
    batch_fini(&b);
    weights_destroy(w);
    model_destroy(model);
}

static inline void rig_score(struct rig *r, uint64_t version, struct rollouts *out)
{
    size_t bytes = 0;
    void *blob = rig_blob(r, version, &bytes);
    rig_score_blob(r, blob, bytes, out);
    free(blob);
}

// Random tokens, rewards 1 for the first sample of a group and 0 for the others, fresh log-probs
// under the newest version.
static inline void rig_roll(struct rig *r, uint64_t seed, struct rollouts *out)
{
    struct rng rng = rng_make(seed, 1);
    for (uint32_t g = 0; g < RIG_GROUPS; g++) {
        double rewards[RIG_SAMPLES] = {1}, advantages[RIG_SAMPLES];
        assert_true(advantage_group(CONF_ADV_MEAN_STD, rewards, RIG_SAMPLES, advantages));
        for (size_t i = 0; i < RIG_PROMPT; i++) {
            out->prompts[g][i] = rng_below(&rng, RIG_VOCAB);
        }
        for (uint32_t s = 0; s < RIG_SAMPLES; s++) {
            for (size_t i = 0; i < RIG_MAX_TOKENS; i++) {
                out->tokens[g][s][i] = rng_below(&rng, RIG_VOCAB);
            }
            out->samples[g][s] = (struct train_sample){
                .sample_id = 10 * g + s,
                .tokens = out->tokens[g][s],
                .logprobs = out->logprobs[g][s],
                .n_tokens = RIG_MAX_TOKENS - (g + s) % 5,
                .advantage = advantages[s],
                .fresh = true,
            };
        }
        out->groups[g] =
            (struct train_group){out->prompts[g], RIG_PROMPT, out->samples[g], RIG_SAMPLES};
    }
    rig_score(r, r->version, out);
}

static inline struct train_step rig_step_of(const struct rig *r, const struct rollouts *rolls)
{
    struct train_step s = {.step = r->version,
                           .version = r->version,
                           .new_version = r->version + 1,
                           .groups = rolls->groups,
                           .n_groups = RIG_GROUPS};
    train_hyper_at(&r->conf, s.step, &s.hyper);
    return s;
}

// Runs one step on rolls; the rig's version and hash move on.
static inline struct train_result rig_step(struct rig *r, const struct rollouts *rolls)
{
    struct train_step s = rig_step_of(r, rolls);
    struct train_result result;
    MUST(trainer_step(r->trainer, &s, &result, NULL, &why));
    r->version++;
    r->hash = result.weights_hash;
    return result;
}

static inline double rig_logp(const struct rollouts *rolls, size_t g, size_t s)
{
    double sum = 0;
    for (size_t i = 0; i < rolls->samples[g][s].n_tokens; i++) {
        sum += (double)rolls->logprobs[g][s][i];
    }
    return sum;
}

struct rig_saved {
    enum err err;
    struct why why;
};

static inline void rig_on_saved(void *arg, enum err e, const struct why *why)
{
    struct rig_saved *s = arg;
    *s = (struct rig_saved){e, *why};
}

// A checkpoint of the present state, saved and waited for.
static inline void rig_save(struct rig *r, const char *path, uint64_t step, uint64_t version)
{
    struct rig_saved s = {.err = ERR_TIMEOUT};
    MUST(trainer_save_begin(r->trainer, path, step, version, NULL, rig_on_saved, &s, &why));
    trainer_save_wait(r->trainer);
    if (s.err) {
        fail_msg("%s: %s", err_text(s.err), s.why.text);
    }
}

#endif
