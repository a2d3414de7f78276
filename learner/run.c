// run.c: opening a run, in the order in which mistakes are cheap to report: folder and lock, the
// ledger and its configuration (of a run that goes on), model, data, memory, weights.
#include "learner/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "learner/publish_slab.h"
#include "learner/recovery.h"
#include "proto/msg.h"

void run_checkpoint_dir(char *out, size_t cap, uint64_t version)
{
    snprintf(out, cap, "checkpoints/v%06llu", (unsigned long long)version);
}

// ---- model and data ----

static enum dtype published_dtype(const struct run *r)
{
    return r->conf.dtype == CONF_DTYPE_BF16 ? DTYPE_BF16 : DTYPE_F32;
}

static enum err open_model(struct run *r, struct why *why)
{
    enum err e = source_open(r->conf.model, &r->source, why);
    if (e) {
        return e;
    }
    e = source_set_template(r->source, r->conf.chat_template, why);
    e = e ? e : source_tokenizer(r->source, &r->tokenizer, why);
    if (e) {
        return e;
    }
    const struct model_config *mc = source_config(r->source);
    if (r->conf.max_prompt_tokens + r->conf.max_tokens > mc->max_positions) {
        return why_set(why, ERR_LIMIT,
                       "data.max_prompt_tokens %lld and rollout.max_tokens %lld exceed the model's "
                       "context of %d",
                       (long long)r->conf.max_prompt_tokens, (long long)r->conf.max_tokens,
                       mc->max_positions);
    }
    r->n_stop_ids = r->conf.ignore_eos
                        ? 0
                        : tokenizer_stop_ids(r->tokenizer, r->stop_ids, ARRAY_LEN(r->stop_ids));
    r->model_config = model_config_print(mc, published_dtype(r));
    return r->model_config ? ERR_OK : why_set(why, ERR_NOMEM, "out of memory");
}

static enum err open_data(struct run *r, struct why *why)
{
    struct tasks_limits all = {.max_prompt_tokens = (size_t)r->conf.max_prompt_tokens};
    struct tasks_limits some = {.max_prompt_tokens = (size_t)r->conf.max_prompt_tokens,
                                .max_rows = (size_t)r->conf.eval_n};
    enum taskgen_kind kind = TASKGEN_MIXED;
    enum err e = taskgen_kind_parse(r->conf.task_kind, &kind, why);
    if (e) {
        return e;
    }
    if (r->conf.train_file[0]) {
        e = tasks_load(r->conf.train_file, r->tokenizer, &all, &r->train, why);
    } else {
        e = tasks_generate(kind, (size_t)r->conf.task_n, r->conf.seed, false, r->tokenizer, &all,
                           &r->train, why);
    }
    if (e || r->conf.eval_n == 0) {
        return e;
    }
    if (r->conf.eval_file[0]) {
        e = tasks_load(r->conf.eval_file, r->tokenizer, &some, &r->eval, why);
    } else if (!r->conf.train_file[0]) {
        e = tasks_generate(kind, (size_t)r->conf.eval_n, RUN_EVAL_SEED, true, r->tokenizer, &all,
                           &r->eval, why);
    }
    if (!e && tasks_refused(r->train)) {
        LOG_WARN("PROMPTS_REFUSED", "n=%zu limit=%lld", tasks_refused(r->train),
                 (long long)r->conf.max_prompt_tokens);
    }
    return e;
}

// A live sample names versions at most staleness_max older than the one being trained; whatever
// keep_versions says, these stay.
static size_t versions_kept(const struct run *r)
{
    return (size_t)MAX(r->conf.keep_versions, r->conf.staleness_max + 2);
}

static enum err open_compute(struct run *r, struct why *why)
{
    char *weights = fs_path("%s/weights", r->dir);
    int threads = r->conf.learner_threads ? (int)r->conf.learner_threads : pool_cores();
    enum err e =
        weights ? pool_create(threads, &r->pool, why) : why_set(why, ERR_NOMEM, "out of memory");
    if (!e) {
        e = device_open(r->conf.learner_device, r->pool, &r->device, why);
        e = e ? why_prefix(why, e, "learner.device") : ERR_OK;
    }
    if (!e) {
        e = publish_create(weights, source_params(r->source), published_dtype(r), versions_kept(r),
                           NULL, NULL, &r->publish, why);
    }
    if (!e) {
        publish_hold(r->publish, true);    // until the service has pinned what is still needed
        LOG_INFO("LEARNER_MEMORY", "planned_mib=%zu rows=%lld recompute=%d",
                 trainer_memory(source_config(r->source), &r->conf) >> 20,
                 (long long)r->conf.micro_batch_tokens, r->conf.recompute);
        e = trainer_create(r->device, r->source, &r->conf, r->publish, &r->trainer, why);
        source_rest(r->source);    // read once; the tokenizer stands in memory of its own
    }
    if (!e && r->conf.slab == CONF_SLAB_AUTO) {
        struct why cannot = {""};
        if (publish_slabs_create(r->device, source_config(r->source), published_dtype(r), &r->slabs,
                                 &cannot)) {
            LOG_WARN("SLAB_UNAVAILABLE", "slabs=0 cause=\"%s\"", cannot.text);
        }
        trainer_share(r->trainer, r->slabs);
    }
    free(weights);
    return e;
}

// ---- the ledger's facts about the run ----

struct run_hashes {
    char model[HASH_HEX_LEN + 1], tokenizer[HASH_HEX_LEN + 1], train[HASH_HEX_LEN + 1],
        eval[HASH_HEX_LEN + 1];    // "" without evaluation
};

static void print_hashes(const struct run *r, struct run_hashes *h)
{
    h->eval[0] = '\0';
    hash_hex(r->model_hash, h->model);
    hash_hex(source_tokenizer_hash(r->source), h->tokenizer);
    hash_hex(tasks_hash(r->train), h->train);
    if (r->eval) {
        hash_hex(tasks_hash(r->eval), h->eval);
    }
}

static enum err put_run(struct run *r, struct why *why)
{
    char seed[32], created[32];
    struct run_hashes h;
    struct msg_incarnation id = msg_incarnation_random();
    struct hash128 id_hash;
    memcpy(id_hash.bytes, id.bytes, sizeof id_hash.bytes);
    hash_hex(id_hash, r->run_id);
    print_hashes(r, &h);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)r->conf.seed);
    snprintf(created, sizeof created, "%lld", (long long)clock_wall_ms());
    char *conf = conf_print(&r->conf);
    struct ledger_txn *t = conf ? ledger_txn_create(clock_wall_ms()) : NULL;
    if (!t) {
        free(conf);
        return why_set(why, ERR_NOMEM, "out of memory");
    }
    ledger_put_meta(t, "run_id", r->run_id);
    ledger_put_meta(t, "created_ms", created);
    ledger_put_meta(t, "seed", seed);
    ledger_put_meta(t, "model", r->conf.model);
    ledger_put_meta(t, "model_hash", h.model);
    ledger_put_meta(t, "tokenizer_hash", h.tokenizer);
    ledger_put_meta(t, "data_hash", h.train);
    ledger_put_meta(t, "eval_hash", h.eval);
    ledger_put_meta(t, "numerics_id", r->device->ops->numerics_id);
    ledger_put_meta(t, "dtype", r->conf.dtype == CONF_DTYPE_BF16 ? "bf16" : "f32");
    ledger_put_meta(t, "config", conf);
    ledger_put_version(t, 1, 0, 0, r->model_hash, 0);
    enum err e = ledger_write(r->ledger, t, why);
    ledger_txn_destroy(t);
    free(conf);
    return e;
}

static enum err must_equal(struct ledger *l, const char *key, const char *now, struct why *why)
{
    char *was = NULL;
    enum err e = ledger_get_meta(l, key, &was, why);
    if (!e && strcmp(was, now) != 0) {
        e = why_set(why, ERR_MISMATCH,
                    "%s: this run was started with %s, now it is %s; a resumed run keeps model, "
                    "tokenizer and data",
                    key, was, now);
    }
    free(was);
    return e;
}

struct conf_changes {
    struct ledger_txn *txn;
    char frozen[1024];
};

static void on_conf_change(void *arg, const char *key, const char *was, const char *now,
                           bool frozen)
{
    struct conf_changes *c = arg;
    if (!frozen) {
        LOG_INFO("CONFIG_CHANGED", "key=%s was=\"%s\" now=\"%s\"", key, was, now);
        ledger_put_config_change(c->txn, key, was, now);
    } else if (!c->frozen[0]) {
        snprintf(c->frozen, sizeof c->frozen,
                 "%s: this run was started with %.200s, now it is %.200s; it cannot change at "
                 "resume",
                 key, was, now);
    }
}

// Which run this is, and whether the configuration of now may go on with it; changes collects what
// is to be recorded once everything else fits, too.
static enum err check_conf(struct run *r, struct ledger_txn *changes, struct why *why)
{
    char *id, *text, *now;
    struct conf was;
    enum err e = ledger_get_meta(r->ledger, "run_id", &id, why);
    if (e) {
        return e;
    }
    snprintf(r->run_id, sizeof r->run_id, "%s", id);
    free(id);
    e = ledger_get_meta(r->ledger, "config", &text, why);
    if (e) {
        return e;
    }
    e = conf_parse(text, strlen(text), "configuration in the ledger", &was, why);
    free(text);
    if (e) {
        return e;
    }
    struct conf_changes c = {.txn = changes};
    conf_diff(&was, &r->conf, on_conf_change, &c);
    if (c.frozen[0]) {
        return why_set(why, ERR_MISMATCH, "%s", c.frozen);
    }
    now = conf_print(&r->conf);
    if (!now) {
        return why_set(why, ERR_NOMEM, "out of memory");
    }
    ledger_put_meta(changes, "config", now);
    free(now);
    return ERR_OK;
}

// Files may have changed under the same names.
static enum err check_files(struct run *r, struct why *why)
{
    struct run_hashes h;
    enum err e = trainer_hash(r->trainer, &r->model_hash, why);    // as read: no checkpoint yet
    if (e) {
        return e;
    }
    print_hashes(r, &h);
    e = must_equal(r->ledger, "model_hash", h.model, why);
    e = e ? e : must_equal(r->ledger, "tokenizer_hash", h.tokenizer, why);
    e = e ? e : must_equal(r->ledger, "data_hash", h.train, why);
    e = e ? e : must_equal(r->ledger, "eval_hash", h.eval, why);
    return e ? e : must_equal(r->ledger, "numerics_id", r->device->ops->numerics_id, why);
}

// ---- the whole ----

static enum err start_fresh(struct run *r, struct why *why)
{
    enum err e = trainer_publish(r->trainer, 1, &r->model_hash, why);
    return e ? e : put_run(r, why);
}

static enum err open_folder(struct run *r, enum run_mode mode, struct why *why)
{
    char *lock = fs_path("%s/lock", r->dir), *db = fs_path("%s/ledger.db", r->dir),
         *checkpoints = fs_path("%s/checkpoints", r->dir);
    enum err e = lock && db && checkpoints ? ERR_OK : why_set(why, ERR_NOMEM, "out of memory");
    if (!e && mode != RUN_START && !fs_exists(db)) {
        e = why_set(why, ERR_NOT_FOUND, "%s: there is no run to resume", r->dir);
    }
    e = e ? e : fs_make_dirs(checkpoints, why);
    e = e ? e : fs_lock(lock, &r->lock_fd, why);
    if (!e && mode == RUN_START && fs_exists(db)) {
        e = why_set(why, ERR_EXISTS,
                    "%s: there is a run already; resume it (caravan run --resume %s) or choose "
                    "another run_dir",
                    r->dir, r->dir);
    }
    free(lock);
    free(db);
    free(checkpoints);
    return e;
}

static enum err open_ledger(struct run *r, struct why *why)
{
    char *db = fs_path("%s/ledger.db", r->dir);
    enum err e = db ? ledger_open(db, &r->ledger, why) : why_set(why, ERR_NOMEM, "out of memory");
    free(db);
    return e;
}

// A crash between creating the database and its first transaction leaves a ledger without a run: it
// starts fresh.
static bool ledger_is_empty(struct run *r)
{
    char *id;
    if (ledger_get_meta(r->ledger, "run_id", &id, NULL) == ERR_NOT_FOUND) {
        return true;
    }
    free(id);
    return false;
}

// A run that goes on: its ledger and its configuration come first, since they cost nothing to
// check; then files against hashes, then weights.
static enum err open_existing(struct run *r, enum run_mode mode, struct why *why)
{
    struct ledger_txn *changes = ledger_txn_create(clock_wall_ms());
    enum err e = changes ? check_conf(r, changes, why) : why_set(why, ERR_NOMEM, "out of memory");
    e = e ? e : open_model(r, why);
    e = e ? e : open_data(r, why);
    e = e ? e : open_compute(r, why);
    e = e ? e : check_files(r, why);
    e = e ? e : ledger_write(r->ledger, changes, why);
    ledger_txn_destroy(changes);
    return e ? e : mode == RUN_BRANCH ? recovery_branch(r, why) : recovery_resume(r, why);
}

// A new run gets a ledger only when everything else is there: a mistake leaves nothing behind that
// would have to be resumed or removed.
static enum err open_new(struct run *r, struct why *why)
{
    enum err e = open_model(r, why);
    e = e ? e : open_data(r, why);
    e = e ? e : open_compute(r, why);
    e = e || r->ledger ? e : open_ledger(r, why);
    return e ? e : start_fresh(r, why);
}

enum err run_open(const struct conf *c, enum run_mode mode, struct run *out, struct why *why)
{
    struct run r = {.conf = *c, .lock_fd = -1};
    snprintf(r.dir, sizeof r.dir, "%s", c->run_dir);
    enum err e = open_folder(&r, mode, why);
    if (!e && mode != RUN_START) {
        e = open_ledger(&r, why);
    }
    if (!e) {
        e = r.ledger && !ledger_is_empty(&r) ? open_existing(&r, mode, why) : open_new(&r, why);
    }
    if (e) {
        run_close(&r);
        return e;
    }
    recovery_remove_orphans(&r);
    *out = r;
    return ERR_OK;
}

void run_close(struct run *r)
{
    ledger_close(r->ledger);
    trainer_destroy(r->trainer);
    publish_slabs_destroy(r->slabs);
    publish_destroy(r->publish);
    device_close(r->device);
    pool_destroy(r->pool);
    tasks_destroy(r->train);
    tasks_destroy(r->eval);
    tokenizer_destroy(r->tokenizer);
    source_close(r->source);
    free(r->model_config);
    if (r->lock_fd >= 0) {
        fs_unlock(r->lock_fd);
    }
    *r = (struct run){.lock_fd = -1};
}

enum err run_stored_conf(const char *dir, struct conf *out, struct why *why)
{
    struct ledger *l;
    char *db = fs_path("%s/ledger.db", dir), *text;
    enum err e = db ? ledger_open_read(db, &l, why) : why_set(why, ERR_NOMEM, "out of memory");
    free(db);
    if (e) {
        return e;
    }
    e = ledger_get_meta(l, "config", &text, why);
    if (!e) {
        e = conf_parse(text, strlen(text), "configuration in the ledger", out, why);
        free(text);
    }
    ledger_close(l);
    return e;
}
