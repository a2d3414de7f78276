// recovery.c: from a ledger and a checkpoint to the weights that were there before.
//
// A step is a deterministic function of the state before it and its batch; the ledger holds the
// batches and, after each step, the hash of the weights. So recovery runs the committed steps again
// and holds every hash against the recorded one. Equal: the same versions exist again. Unequal
// (another CPU family, another build): it stops and says so, and only a branch can go on, under
// version numbers that were never used.
//
// Blocking, before the daemon's loop runs. A step that was committed but not done is left to the
// coordinator.
#include "learner/recovery.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"

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
            r->checkpoint_step = r->last_step = *step = cp.step;
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
            r->last_step = step;
            r->steps_rerun++;
            LOG_INFO("STEP_RERUN", "step=%llu version=%llu", (unsigned long long)step,
                     (unsigned long long)*version);
        }
    }
    ledger_step_free(s);
    return e;
}

enum err recovery_resume(struct run *r, struct why *why)
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

enum err recovery_branch(struct run *r, struct why *why)
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

void recovery_remove_orphans(const struct run *r)
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
