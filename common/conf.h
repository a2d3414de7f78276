// conf.h: one YAML file per run, for all roles, read against one option table.
//
// The table in conf_rows.c (one row per key: dotted name, type, range, unit, default, help) drives
// parsing, range checks, the commented manual (`caravan config --print`), the diff at resume and
// the ledger's copy. Values are strict: `12abc`, `010`, `nan`, `maybe` for a flag, a duplicate or
// an unknown key are errors `FILE:LINE: key: value … expected …`. A role reads its own members
// only.
#ifndef CARAVAN_COMMON_CONF_H
#define CARAVAN_COMMON_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define CONF_STR 512    // bytes of a string value, NUL included

// mean: r - mean; mean_std: (r - mean) / (population std + 1e-8)
enum conf_advantage { CONF_ADV_MEAN, CONF_ADV_MEAN_STD };
// what a sample that hit max_tokens earns
enum conf_truncated { CONF_TRUNC_SCORE, CONF_TRUNC_ZERO, CONF_TRUNC_MASK, CONF_TRUNC_FIXED };
enum conf_combine { CONF_COMBINE_AUTO, CONF_COMBINE_ALL, CONF_COMBINE_MEAN, CONF_COMBINE_SUM };
enum conf_unscored { CONF_UNSCORED_DROP, CONF_UNSCORED_ZERO };
// after warm-up; the formulas stand in learner/train_hyper.h
enum conf_schedule { CONF_LR_CONSTANT, CONF_LR_LINEAR, CONF_LR_COSINE };
// how the importance ratio becomes a loss, and the share of a token in it; the formulas stand in
// learner/loss.h and learner/batcher.h
enum conf_policy { CONF_POLICY_CLIP, CONF_POLICY_CISPO, CONF_POLICY_GSPO };
enum conf_aggregate { CONF_AGG_TOKEN_MEAN, CONF_AGG_SEQ_MEAN, CONF_AGG_DR_GRPO };
// estimators of the KL divergence to the initial policy; the formulas stand in learner/loss.h
enum conf_kl { CONF_KL_K1, CONF_KL_K2, CONF_KL_K3, CONF_KL_K4 };
enum conf_dtype { CONF_DTYPE_BF16, CONF_DTYPE_F32 };    // of published weights
enum conf_sandbox { CONF_SANDBOX_AUTO, CONF_SANDBOX_FULL, CONF_SANDBOX_SECCOMP, CONF_SANDBOX_NONE };
enum conf_slab { CONF_SLAB_AUTO, CONF_SLAB_OFF };    // weights for actors of the same machine
enum conf_old { CONF_OLD_BEHAVIOUR };                // which policy the ratio is taken to

// Each member names its key; units, ranges and defaults stand in the table.
struct conf {
    // run
    char run_dir[CONF_STR];    // run_dir: "" = runs/NAME-of-config
    uint64_t seed;             // seed

    // model
    char model[CONF_STR];            // model.path: GGUF file or HF folder; required
    enum conf_dtype dtype;           // model.dtype
    char chat_template[CONF_STR];    // model.chat_template: name or file; "" = the model's own

    // data
    char train_file[CONF_STR];    // data.train: RLVR JSONL; "" = procedural tasks
    char eval_file[CONF_STR];     // data.eval
    char task_kind[32];           // data.tasks: math|constraints|mixed, used when data.train is ""
    int64_t task_n;               // data.tasks_n
    int64_t eval_n;               // data.eval_n: held-out tasks evaluated (0 = no evaluation);
                                  // procedural ones never equal a training row
    bool shuffle;                 // data.shuffle
    int64_t max_prompt_tokens;    // data.max_prompt_tokens: longer prompts are refused at load and
                                  // counted

    // rollouts
    int64_t group_size;           // rollout.group_size: samples per prompt
    int64_t groups_per_step;      // rollout.groups_per_step
    int64_t staleness_max;        // rollout.staleness_max, in versions
    int64_t max_tokens;           // rollout.max_tokens per completion
    double temperature, top_p;    // rollout.temperature, rollout.top_p
    int64_t top_k;                // rollout.top_k: 0 = off
    double min_p;                 // rollout.min_p: 0 = off
    bool ignore_eos;              // rollout.ignore_eos: answers are max_tokens long
    int64_t lease_ms;             // rollout.lease_ms

    // reward and loss
    enum conf_advantage advantage;    // loss.advantage
    enum conf_truncated truncated;    // reward.truncated
    double truncated_reward;          // reward.truncated_reward, with truncated: fixed
    enum conf_unscored unscored;      // reward.unscored
    enum conf_combine combine;        // reward.combine
    double reward_scale;              // reward.scale
    char shaping[CONF_STR];           // reward.shaping: JSON list of checks; "" = none
    enum conf_old old;                // loss.old
    enum conf_policy policy;          // loss.policy
    enum conf_aggregate aggregate;    // loss.aggregate
    double clip_low, clip_high;       // loss.clip_low, loss.clip_high
    double dual_clip;                 // loss.dual_clip: 0 = off
    double kl_beta;                   // loss.kl_beta: weight of the KL to the initial policy;
                                      // 0 = off, and no reference model is held
    enum conf_kl kl_estimator;        // loss.kl_estimator
    int64_t replace_max;              // loss.replace_max: batches' worth of zero-spread groups
                                      // replaced a step

    // optimiser: optim.lr … optim.grad_clip (0 = no clipping)
    double lr, beta1, beta2, eps, weight_decay, grad_clip;
    enum conf_schedule schedule;    // optim.schedule
    double lr_min_ratio;            // optim.lr_min_ratio: share of lr that a schedule falls to
    int64_t warmup_steps;           // optim.warmup_steps
    int64_t micro_batch_tokens;     // optim.micro_batch_tokens: rows of one forward/backward

    // stop, evaluate, save: 0 = never / no limit
    int64_t stop_steps, stop_epochs;    // stop.steps, stop.epochs
    double stop_minutes;                // stop.minutes, from the first lease
    int64_t eval_every;                 // eval.every_steps; evaluation also runs before the first
                                        // and after the last step
    int64_t eval_max_tokens;            // eval.max_tokens: 0 = rollout.max_tokens
    int64_t checkpoint_steps;           // checkpoint.every_steps
    double checkpoint_seconds;          // checkpoint.every_s
    int64_t keep_checkpoints;           // checkpoint.keep
    int64_t keep_versions;              // checkpoint.keep_versions: newest weights kept on disk

    // learner
    int64_t learner_threads;      // learner.threads: 0 = cores
    char learner_device[32];      // learner.device: device_open kind
    char listen[CONF_STR];        // learner.listen: "" = ipc://RUN_DIR/bus; or tcp://HOST:PORT (the
                                  // next port is used too)
    char token_file[CONF_STR];    // learner.token_file: required for any address that is neither
                                  // ipc nor loopback
    char http[CONF_STR];          // learner.http: HOST:PORT of the status server, port 0 = any free
                                  // one; always also on RUN_DIR/http.sock
    enum conf_slab slab;          // learner.slab: auto = memory that actors of this machine map

    // actor
    int64_t actor_count;           // actor.count: processes that `caravan run` starts
    int64_t actor_threads;         // actor.threads
    char actor_device[32];         // actor.device: device_open kind
    int64_t actor_slots;           // actor.slots: samples decoded at once
    int64_t actor_kv_mb;           // actor.kv_mb: KV cache, MiB
    int64_t actor_prefill_rows;    // actor.prefill_rows: prompt tokens per forward pass

    // verifier
    int64_t verifier_count;          // verifier.count
    int64_t verifier_workers;        // verifier.workers per verifier process
    enum conf_sandbox sandbox;       // verifier.sandbox
    int64_t verifier_deadline_ms;    // verifier.deadline_ms: wall time of one job, then SIGKILL
    char plugins[CONF_STR];          // verifier.plugins: folder of plug-ins, "" = none
    int64_t verifier_recycle;        // verifier.recycle_jobs: a worker is replaced after so many
};

// Fills *c with the defaults of the table.
void conf_defaults(struct conf *c);
// Reads a file over the defaults; relative paths stay relative to the working folder. The rules
// between keys are applied, but model.path may still be unset, since a command line can give it:
// call conf_check once every override is in. On failure *c is untouched.
MUST_CHECK enum err conf_load(const char *path, struct conf *c, struct why *why);
// The same from memory; name: what messages call it.
MUST_CHECK enum err conf_parse(const char *text, size_t len, const char *name, struct conf *c,
                               struct why *why);
// One override as on a command line: key "rollout.group_size", value "8".
MUST_CHECK enum err conf_set(struct conf *c, const char *key, const char *value, const char *where,
                             struct why *why);
// Rules between keys (a non-loopback listen address needs a token file, a falling schedule an end,
// …), and that model.path is set.
MUST_CHECK enum err conf_check(const struct conf *c, const char *name, struct why *why);
// The commented manual: every key with type, range, unit, default and help, as a YAML file that
// parses to the defaults (free()).
char *conf_manual(void);
// The configuration as YAML that parses back to an equal struct (free()).
char *conf_print(const struct conf *c);
// The value of one key as text ("0.2", "bf16"); ERR_NOT_FOUND for an unknown key.
MUST_CHECK enum err conf_get(const struct conf *c, const char *key, char *out, size_t cap);
// Calls fn for every key that differs, frozen = the key may not change at resume (model, data,
// seed, group size, dtype).
typedef void conf_diff_fn(void *arg, const char *key, const char *was, const char *now,
                          bool frozen);
void conf_diff(const struct conf *was, const struct conf *now, conf_diff_fn *fn, void *arg);
// The values of verifier.sandbox, which command lines take too.
const char *conf_sandbox_name(enum conf_sandbox s);
bool conf_sandbox_parse(const char *name, enum conf_sandbox *out);

#endif
