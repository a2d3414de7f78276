// run.c: opening a run, in the order in which mistakes are cheap to report: folder and lock,
// configuration, model, data, ledger, memory, weights.
#include "learner/run.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
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
    e = source_tokenizer(r->source, &r->tokenizer, why);
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
    r->n_stop_ids = tokenizer_stop_ids(r->tokenizer, r->stop_ids, ARRAY_LEN(r->stop_ids));
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
        e = device_open("cpu", r->pool, &r->device, why);
    }
    if (!e) {
        e = publish_create(weights, source_params(r->source), published_dtype(r), versions_kept(r),
                           NULL, NULL, &r->publish, why);
    }
    if (!e) {
        publish_hold(r->publish, true);    // until the service has pinned what is still needed
        e = trainer_create(r->device, r->source, &r->conf, r->publish, &r->trainer, why);
        source_rest(r->source);    // read once; the tokenizer stands in memory of its own
    }
    free(weights);
    return e;
}

// ---- the ledger's facts about the run ----

static void data_hash_text(const struct run *r, char out[HASH_HEX_LEN + 1])
{
    hash_hex(tasks_hash(r->train), out);
}

static enum err put_run(struct run *r, struct why *why)
{
    char tokenizer[HASH_HEX_LEN + 1], data[HASH_HEX_LEN + 1], model[HASH_HEX_LEN + 1], seed[32],
        created[32];
    struct msg_incarnation id = msg_incarnation_random();
    struct hash128 id_hash;
    memcpy(id_hash.bytes, id.bytes, sizeof id_hash.bytes);
    hash_hex(id_hash, r->run_id);
    hash_hex(source_tokenizer_hash(r->source), tokenizer);
    hash_hex(r->model_hash, model);
    data_hash_text(r, data);
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
    ledger_put_meta(t, "model_hash", model);
    ledger_put_meta(t, "tokenizer_hash", tokenizer);
    ledger_put_meta(t, "data_hash", data);
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
    char *was;
    enum err e = ledger_get_meta(l, key, &was, why);
    if (!e && strcmp(was, now) != 0) {
        e = why_set(why, ERR_MISMATCH,
                    "%s: this run was started with %s, now it is %s; a resumed run keeps model, "
                    "tokenizer and data",
                    key, was, now);
    }
    if (!e) {
        free(was);
    }
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
    if (frozen) {
        if (!c->frozen[0]) {
            snprintf(c->frozen, sizeof c->frozen,
                     "%s: this run was started with %.200s, now it is %.200s; it cannot change at "
                     "resume",
                     key, was, now);
        }
        return;
    }
    LOG_INFO("CONFIG_CHANGED", "key=%s was=\"%s\" now=\"%s\"", key, was, now);
    ledger_put_config_change(c->txn, key, was, now);
}

static enum err check_run(struct run *r, struct why *why)
{
    char tokenizer[HASH_HEX_LEN + 1], data[HASH_HEX_LEN + 1], model[HASH_HEX_LEN + 1], *id, *text;
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
    struct conf_changes changes = {.txn = ledger_txn_create(clock_wall_ms())};
    char *now = conf_print(&r->conf);
    if (!e && (!changes.txn || !now)) {
        e = why_set(why, ERR_NOMEM, "out of memory");
    }
    if (!e) {
        conf_diff(&was, &r->conf, on_conf_change, &changes);
        ledger_put_meta(changes.txn, "config", now);
        e = changes.frozen[0] ? why_set(why, ERR_MISMATCH, "%s", changes.frozen) : ERR_OK;
    }
    e = e ? e : trainer_hash(r->trainer, &r->model_hash, why);    // as read, before any checkpoint
    hash_hex(r->model_hash, model);
    hash_hex(source_tokenizer_hash(r->source), tokenizer);
    data_hash_text(r, data);
    e = e ? e : must_equal(r->ledger, "model_hash", model, why);
    e = e ? e : must_equal(r->ledger, "tokenizer_hash", tokenizer, why);
    e = e ? e : must_equal(r->ledger, "data_hash", data, why);
    e = e ? e : must_equal(r->ledger, "numerics_id", r->device->ops->numerics_id, why);
    e = e ? e : ledger_write(r->ledger, changes.txn, why);
    ledger_txn_destroy(changes.txn);
    free(now);
    return e;
}

// ---- weights: the first version, or recovery ----

static enum err start_fresh(struct run *r, struct why *why)
{
    enum err e = trainer_publish(r->trainer, 1, &r->model_hash, why);
    return e ? e : put_run(r, why);
}

// Loads the newest checkpoint that can be read; there may be none: then the model itself stands, at
// the step and version that the present branch begins with. Not published yet. The version is the
// ledger's: a branch gives the checkpoint that it starts from another one than its files say.
static enum err load_newest(struct run *r, const struct ledger_heads *h, uint64_t *step,
                            uint64_t *version, struct why *why)
{
    struct ledger_checkpoint cp;
    for (size_t before = 0;; before++) {
        enum err e = ledger_get_checkpoint(r->ledger, before, &cp, why);
        if (e == ERR_NOT_FOUND && h->base_step > 0) {
            return why_set(why, e, "%s: branch %llu begins at step %llu, and no checkpoint is left",
                           r->dir, (unsigned long long)h->branch, (unsigned long long)h->base_step);
        }
        if (e == ERR_NOT_FOUND) {
            *step = 0;
            *version = h->base_version;
            return ERR_OK;
        }
        if (e) {
            return e;
        }
        uint64_t saved_step = 0, saved_version;
        char *dir = fs_path("%s/%s", r->dir, cp.dir);
        e = dir ? trainer_load(r->trainer, dir, &saved_step, &saved_version, why) : ERR_NOMEM;
        free(dir);
        if (!e && saved_step == cp.step) {
            r->checkpoint_step = *step = cp.step;
            *version = cp.version;
            return ERR_OK;
        }
        LOG_WARN("CHECKPOINT_UNUSABLE", "dir=%s cause=\"%s\"", cp.dir,
                 e ? why->text : "its state names another step");
    }
}

static enum err compare_version(struct run *r, uint64_t version, struct hash128 have,
                                struct why *why)
{
    struct ledger_version v;
    char a[HASH_HEX_LEN + 1], b[HASH_HEX_LEN + 1];
    enum err e = ledger_get_version(r->ledger, version, &v, why);
    if (e || hash_equal(v.weights_hash, have)) {
        return e;
    }
    hash_hex(v.weights_hash, a);
    hash_hex(have, b);
    return why_set(
        why, ERR_MISMATCH,
        "version %llu: the ledger has weights %s, this machine computes %s (another CPU family or "
        "build); go back, or go on from the newest checkpoint with --resume branch",
        (unsigned long long)version, a, b);
}

static enum err rerun_step(struct run *r, uint64_t branch, uint64_t step, uint64_t *version,
                           struct why *why)
{
    struct ledger_step *s;
    struct train_result result;
    enum err e = ledger_load_step(r->ledger, branch, step, &s, why);
    if (e) {
        return e;
    }
    if (!s->no_signal) {
        e = trainer_step(r->trainer, &s->train, &result, NULL, why);
        e = e ? e : compare_version(r, s->train.new_version, result.weights_hash, why);
        if (!e) {
            *version = s->train.new_version;
            r->steps_rerun++;
            LOG_INFO("STEP_RERUN", "step=%llu version=%llu", (unsigned long long)step,
                     (unsigned long long)*version);
        }
    }
    ledger_step_free(s);
    return e;
}

static enum err recover(struct run *r, struct why *why)
{
    struct ledger_heads h;
    struct hash128 hash;
    uint64_t step = 0, version = 0;
    double start = clock_mono_s();
    enum err e = ledger_get_heads(r->ledger, &h, why);
    e = e ? e : load_newest(r, &h, &step, &version, why);
    e = e ? e : trainer_publish(r->trainer, version, &hash, why);
    e = e ? e : compare_version(r, version, hash, why);
    for (uint64_t s = step + 1; !e && s <= h.last_done; s++) {
        e = rerun_step(r, h.branch, s, &version, why);
    }
    if (!e && version != h.newest_version) {
        e = why_set(why, ERR_CORRUPT, "ledger: the newest version is %llu, its steps lead to %llu",
                    (unsigned long long)h.newest_version, (unsigned long long)version);
    }
    r->recovery_s = clock_mono_s() - start;
    return e;
}

static enum err branch_off(struct run *r, struct why *why)
{
    struct ledger_heads h;
    struct hash128 hash;
    uint64_t step = 0, version = 0;
    enum err e = ledger_get_heads(r->ledger, &h, why);
    e = e ? e : load_newest(r, &h, &step, &version, why);
    e = e ? e : trainer_publish(r->trainer, h.next_version, &hash, why);
    if (e) {
        return e;
    }
    struct ledger_txn *t = ledger_txn_create(clock_wall_ms());
    if (!t) {
        return why_set(why, ERR_NOMEM, "out of memory");
    }
    ledger_put_branch(t, step, version, h.branch + 1, h.next_version, hash);
    e = ledger_write(r->ledger, t, why);
    ledger_txn_destroy(t);
    LOG_INFO("BRANCH", "branch=%llu step=%llu version=%llu", (unsigned long long)h.branch + 1,
             (unsigned long long)step, (unsigned long long)h.next_version);
    return e;
}

// Folders under checkpoints/ that the ledger does not name are what a crash left of a checkpoint
// being written.
static void remove_orphans(struct run *r)
{
    char *folder = fs_path("%s/checkpoints", r->dir);
    DIR *d = folder ? opendir(folder) : NULL;
    for (struct dirent *entry; d && (entry = readdir(d));) {
        struct ledger_checkpoint cp;
        bool known = entry->d_name[0] == '.' && (!entry->d_name[1] || entry->d_name[1] == '.');
        for (size_t i = 0; !known && ledger_get_checkpoint(r->ledger, i, &cp, NULL) == ERR_OK;
             i++) {
            known = strcmp(cp.dir + strlen("checkpoints/"), entry->d_name) == 0;
        }
        char *path = known ? NULL : fs_path("%s/%s", folder, entry->d_name);
        if (path && fs_remove_tree(path, NULL) == ERR_OK) {
            LOG_INFO("ORPHAN_REMOVED", "path=%s", path);
        }
        free(path);
    }
    if (d) {
        closedir(d);
    }
    free(folder);
}

// ---- the whole ----

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

enum err run_open(const struct conf *c, enum run_mode mode, struct run *out, struct why *why)
{
    struct run r = {.conf = *c, .lock_fd = -1};
    snprintf(r.dir, sizeof r.dir, "%s", c->run_dir);
    enum err e = open_folder(&r, mode, why);
    e = e ? e : open_model(&r, why);
    e = e ? e : open_data(&r, why);
    e = e ? e : open_compute(&r, why);
    e = e ? e : open_ledger(&r, why);
    if (!e && ledger_is_empty(&r)) {
        e = start_fresh(&r, why);
    } else if (!e) {
        e = check_run(&r, why);
        e = e ? e : mode == RUN_BRANCH ? branch_off(&r, why) : recover(&r, why);
    }
    if (e) {
        run_close(&r);
        return e;
    }
    remove_orphans(&r);
    *out = r;
    return ERR_OK;
}

void run_close(struct run *r)
{
    ledger_close(r->ledger);
    trainer_destroy(r->trainer);
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
