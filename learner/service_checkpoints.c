// service_checkpoints.c: when a checkpoint is due, and which ones stay.
//
// The order in which a crash at any moment leaves a checkpoint to resume from:
//
//   files durable (saver.c) -> ledger: the new one is there, the oldest is gone -> durable
//     -> the oldest one's folder is removed
//
// A folder that the ledger does not name is what a crash left, and is removed at the next start. A
// checkpoint that fails is logged and the run goes on: recovery has more to run again.
//
// Loop thread. Folders of gigabytes are removed on libuv's worker threads.
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "learner/service_internal.h"

static size_t keep(const struct service *s)
{
    return (size_t)MAX(1, s->run->conf.keep_checkpoints);
}

// Oldest first, so that the right ones go when a new one comes.
void service_list_checkpoints(struct service *s)
{
    struct ledger_checkpoint cp;
    size_t n = 0;
    while (n < SERVICE_KEPT_MAX && ledger_get_checkpoint(s->run->ledger, n, &cp, NULL) == ERR_OK) {
        n++;
    }
    for (size_t i = n; i-- > 0;) {
        if (ledger_get_checkpoint(s->run->ledger, i, &cp, NULL) == ERR_OK) {
            snprintf(s->kept[s->n_kept++], sizeof s->kept[0], "%.60s", cp.dir);
        }
    }
}

void service_maybe_checkpoint(struct service *s, bool force)
{
    const struct conf *c = &s->run->conf;
    if (s->checkpoint_runs || s->last_step <= s->checkpoint_step) {
        return;
    }
    bool by_steps = c->checkpoint_steps > 0 &&
                    s->last_step - s->checkpoint_step >= (uint64_t)c->checkpoint_steps;
    bool by_time =
        c->checkpoint_seconds > 0 && clock_mono_s() - s->checkpoint_s >= c->checkpoint_seconds;
    if (force || by_steps || by_time) {
        s->checkpoint_runs =
            train_thread_checkpoint(s->train, s->last_step, s->last_version) == ERR_OK;
    }
}

// ---- forgetting ----

struct removal {
    uv_work_t work;
    char *path;
    enum err err;
    struct why why;
};

static void remove_folder(uv_work_t *w)    // a worker thread
{
    struct removal *r = w->data;
    r->err = fs_remove_tree(r->path, &r->why);
}

static void on_removed(uv_work_t *w, int status)
{
    struct removal *r = w->data;
    if (status || r->err) {
        LOG_WARN("CHECKPOINT_NOT_REMOVED", "path=%s cause=\"%s\"", r->path,
                 status ? uv_strerror(status) : r->why.text);
    }
    free(r->path);
    free(r);
}

// The ledger has said durably that the folder is gone.
static void on_forgotten(void *arg, enum err e, const struct ledger_txn *t)
{
    struct removal *r = arg;
    (void)t;
    if (e || uv_queue_work(r->work.loop, &r->work, remove_folder, on_removed)) {
        free(r->path);
        free(r);
    }
}

// Completions come in the order of sending: when that of an empty transaction is called, all that
// was sent before it is durable.
static enum err forget_oldest(struct service *s)
{
    struct removal *r = calloc(1, sizeof *r);
    char *path = fs_path("%s/%s", s->run->dir, s->kept[0]);
    struct ledger_txn *fence = ledger_txn_create(clock_wall_ms());
    enum err e =
        r && path && fence ? coordinator_checkpoint_gone(s->coordinator, s->kept[0]) : ERR_NOMEM;
    if (!e) {
        *r = (struct removal){.work = {.data = r, .loop = &s->loop}, .path = path};
        e = journal_send(s->journal, fence, on_forgotten, r);
    }
    if (e) {
        ledger_txn_destroy(fence);
        free(path);
        free(r);
    }
    return e;
}

void service_on_checkpoint(struct service *s, const struct train_done *d)
{
    s->checkpoint_runs = false;
    s->checkpoint_s = clock_mono_s();
    if (d->err) {
        LOG_ERROR("CHECKPOINT_FAILED", "dir=%s cause=\"%s\"", d->dir, d->why.text);
        return;
    }
    s->checkpoint_step = d->at_step;
    if (coordinator_checkpoint(s->coordinator, d->at_step, d->at_version, d->dir)) {
        LOG_WARN("CHECKPOINT_NOT_RECORDED", "dir=%s", d->dir);
        return;
    }
    LOG_INFO("CHECKPOINT", "step=%llu dir=%s seconds=%.2f", (unsigned long long)d->at_step, d->dir,
             d->seconds);
    while (s->n_kept >= keep(s)) {
        if (forget_oldest(s)) {
            LOG_WARN("CHECKPOINT_NOT_FORGOTTEN", "dir=%s", s->kept[0]);
        }
        memmove(s->kept[0], s->kept[1], (s->n_kept - 1) * sizeof s->kept[0]);
        s->n_kept--;
    }
    snprintf(s->kept[s->n_kept++], sizeof s->kept[0], "%s", d->dir);
}
