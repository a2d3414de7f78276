// train_thread.c: jobs in, outcomes back, both through mailboxes. The thread owns the trainer; the
// loop never waits for it except in close, where the running step is cancelled between two layers
// (recovery runs it again from the ledger) and a checkpoint between two windows.
//
// A checkpoint is only begun here. It ends on the saver's thread, usually while the next step runs,
// and its outcome goes into the same mailbox from there.
#include "learner/train_thread.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/mailbox.h"

struct job {
    struct train_done done;
    struct train_thread *thread;
    double start_s;
};

struct train_thread {
    struct run *run;
    struct mailbox *in, *out;
    pthread_t thread;
    bool thread_runs;
    atomic_bool cancel;
    train_done_fn *fn;
    void *arg;
};

// ---- compute thread ----

static void post(struct job *j)
{
    j->done.seconds = clock_mono_s() - j->start_s;
    if (mailbox_send(j->thread->out, j)) {
        free(j);    // closing
    }
}

static void on_saved(void *arg, enum err e, const struct why *why)    // the saver's thread
{
    struct job *j = arg;
    j->done.err = e;
    j->done.why = *why;
    post(j);
}

static enum err begin_checkpoint(struct train_thread *t, struct job *j)
{
    struct train_done *d = &j->done;
    run_checkpoint_dir(d->dir, sizeof d->dir, d->at_version);
    char *path = fs_path("%s/%s", t->run->dir, d->dir);
    enum err e = path ? trainer_save_begin(t->run->trainer, path, d->at_step, d->at_version,
                                           &t->cancel, on_saved, j, &d->why)
                      : why_set(&d->why, ERR_NOMEM, "out of memory");
    free(path);
    return e;
}

// Of the newest version as it lies on disk: beside the state there is no room for one more copy of
// the weights.
static enum err do_export(struct train_thread *t, struct why *why)
{
    struct run *r = t->run;
    enum dtype dt = r->conf.dtype == CONF_DTYPE_BF16 ? DTYPE_BF16 : DTYPE_F32;
    struct fs_map map = {0};
    const void *blob = NULL;
    char *dir = fs_path("%s/model", r->dir);
    enum err e =
        dir ? publish_map(r->publish, &map, &blob, why) : why_set(why, ERR_NOMEM, "out of memory");
    const struct export_options as_published = {
        .type = dt == DTYPE_BF16 ? "BF16" : "F32", .flat = blob, .flat_dtype = dt};
    e = e ? e : source_export(r->source, dir, &as_published, why);
    fs_map_close(&map);
    free(dir);
    return e ? why_prefix(why, e, "export") : ERR_OK;
}

static void *thread_main(void *arg)
{
    struct train_thread *t = arg;
    pool_set_fpu();
    for (struct job *j; (j = mailbox_wait(t->in, UINT64_MAX));) {
        struct train_done *d = &j->done;
        j->thread = t;
        j->start_s = clock_mono_s();
        if (atomic_load(&t->cancel)) {
            d->err = ERR_CANCELLED;
        } else if (d->job == TRAIN_STEP) {
            d->err = trainer_step(t->run->trainer, d->step, &d->result, &t->cancel, &d->why);
        } else if (d->job == TRAIN_EXPORT) {
            d->err = do_export(t, &d->why);
        } else {
            d->err = begin_checkpoint(t, j);
            if (!d->err) {
                continue;    // on_saved has it now
            }
        }
        post(j);
    }
    trainer_save_wait(t->run->trainer);
    return NULL;
}

// ---- loop thread ----

static void on_done(void *arg)
{
    struct train_thread *t = arg;
    for (struct job *j; (j = mailbox_try_recv(t->out));) {
        t->fn(t->arg, &j->done);
        free(j);
    }
}

enum err train_thread_create(uv_loop_t *loop, struct run *r, train_done_fn *done, void *arg,
                             struct train_thread **out, struct why *why)
{
    struct train_thread *t = calloc(1, sizeof *t);
    if (!t) {
        return why_set(why, ERR_NOMEM, "train thread: out of memory");
    }
    *t = (struct train_thread){.run = r, .fn = done, .arg = arg};
    enum err e = mailbox_create(16, &t->in);
    e = e ? e : mailbox_create_uv(16, loop, on_done, t, &t->out);
    if (!e && pthread_create(&t->thread, NULL, thread_main, t)) {
        e = ERR_NOMEM;
    }
    if (e) {
        if (t->out) {
            mailbox_close(
                t->out);    // its handle closes with the loop; the process is about to end
        }
        mailbox_destroy(t->in);
        return why_set(why, e, "train thread: %s", err_text(e));
    }
    t->thread_runs = true;
    *out = t;
    return ERR_OK;
}

static enum err send_job(struct train_thread *t, const struct job *job)
{
    struct job *j = malloc(sizeof *j);
    if (!j) {
        return ERR_NOMEM;
    }
    *j = *job;
    enum err e = mailbox_send(t->in, j);
    if (e) {
        free(j);
    }
    return e;
}

enum err train_thread_step(struct train_thread *t, const struct train_step *s)
{
    return send_job(t, &(struct job){.done = {.job = TRAIN_STEP, .step = s}});
}

enum err train_thread_checkpoint(struct train_thread *t, uint64_t step, uint64_t version)
{
    return send_job(
        t,
        &(struct job){.done = {.job = TRAIN_CHECKPOINT, .at_step = step, .at_version = version}});
}

enum err train_thread_export(struct train_thread *t)
{
    return send_job(t, &(struct job){.done = {.job = TRAIN_EXPORT}});
}

void train_thread_close(struct train_thread *t)
{
    atomic_store(&t->cancel, true);
    mailbox_close(t->in);
    if (t->thread_runs) {
        pthread_join(t->thread, NULL);
        t->thread_runs = false;
    }
    mailbox_close(t->out);
}

void train_thread_destroy(struct train_thread *t)
{
    if (!t) {
        return;
    }
    for (struct job *j; (j = mailbox_try_recv(t->out));) {
        free(j);
    }
    mailbox_destroy(t->in);
    mailbox_destroy(t->out);
    free(t);
}
