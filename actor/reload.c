// reload.c: the reload thread and its two mailboxes.
//
// Loop thread: reload_begin / reload_chunk / reload_recycle, and the wake callback. Reload thread:
// reload_main, which packs. A `struct job` crosses over and comes back as an outcome; every begin
// is answered by exactly one outcome, an abort only brings it forward. One version is filled at a
// time. The mailbox holds a few chunks, so that packing and fetching overlap without a second copy
// of the model in memory; when it has been full, the thread says so as soon as a chunk is packed.
#include "actor/reload.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/mailbox.h"

enum { CHUNKS_WAITING = 4 };
enum job_kind { JOB_BEGIN, JOB_CHUNK, JOB_ABORT, JOB_OUTCOME, JOB_ROOM };

struct job {
    enum job_kind kind;
    uint64_t version;
    struct hash128 hash;
    struct weights *weights;    // JOB_BEGIN: the slab to fill; NULL = create one
    size_t total, len;
    struct reload_outcome outcome;
    uint8_t bytes[];
};

struct reload {
    struct model_config config;
    enum dtype dtype;
    struct device *device;
    struct mailbox *jobs, *outcomes;
    pthread_t thread;
    bool thread_runs;
    struct reload_events ev;
    atomic_bool wants_room;
    // loop thread only
    struct weights *all[RELOAD_SLABS], *idle[1];    // one spare; more are given back
    size_t n_all, n_idle, n_creating;
    bool active;
};

// ---- reload thread ----

struct filling {
    struct job *job;    // the begin job; NULL = nothing is being filled
    struct weights *w;
    size_t fed;
};

// The begin job itself travels back as the outcome, so that answering needs no memory.
static void post_outcome(struct reload *r, struct filling *f, enum err e, const char *text)
{
    struct job *j = f->job;
    f->job = NULL;
    j->kind = JOB_OUTCOME;
    j->outcome = (struct reload_outcome){.err = e, .weights = f->w, .version = j->version};
    snprintf(j->outcome.text, sizeof j->outcome.text, "%.250s", text);
    if (mailbox_send(r->outcomes, j)) {
        free(j);    // closing
    }
}

static void fill_begin(struct reload *r, struct filling *f, struct job *j)
{
    struct why why = {0};
    *f = (struct filling){.job = j, .w = j->weights};
    if (!f->w) {
        enum err e = weights_create(r->device, &r->config, r->dtype, false, &f->w, &why);
        if (e) {
            post_outcome(r, f, e, why.text);
            return;
        }
    }
    weights_begin(f->w);
}

static void fill_chunk(struct reload *r, struct filling *f, const struct job *j)
{
    struct why why = {0};
    if (!f->job) {
        return;
    }
    enum err e = weights_feed(f->w, j->bytes, j->len, &why);
    f->fed += j->len;
    if (!e && f->fed < f->job->total) {
        return;
    }
    struct hash128 hash;
    if (!e) {
        e = weights_end(f->w, &hash, &why);
    }
    if (!e && !hash_equal(hash, f->job->hash)) {
        char want[HASH_HEX_LEN + 1], have[HASH_HEX_LEN + 1];
        hash_hex(f->job->hash, want);
        hash_hex(hash, have);
        e = why_set(&why, ERR_CORRUPT, "version %llu: hash %s, announced %s",
                    (unsigned long long)f->job->version, have, want);
    }
    post_outcome(r, f, e, why.text);
}

static void post_room(struct reload *r)
{
    struct job *j = atomic_exchange(&r->wants_room, false) ? calloc(1, sizeof *j) : NULL;
    if (!j) {
        return;    // nobody asked, or no memory: the tick asks again
    }
    j->kind = JOB_ROOM;
    if (mailbox_send(r->outcomes, j)) {
        free(j);
    }
}

static void *reload_main(void *arg)
{
    struct reload *r = arg;
    struct filling f = {0};
    pool_set_fpu();
    for (struct job *j; (j = mailbox_wait(r->jobs, UINT64_MAX));) {
        if (j->kind == JOB_BEGIN) {
            fill_begin(r, &f, j);
            continue;
        }
        if (j->kind == JOB_CHUNK) {
            fill_chunk(r, &f, j);
            post_room(r);
        } else if (f.job) {
            post_outcome(r, &f, ERR_CANCELLED, "given up");
        }
        free(j);
    }
    if (f.job) {
        post_outcome(r, &f, ERR_CANCELLED, "closing");
    }
    return NULL;
}

// ---- loop thread ----

static void remember(struct reload *r, struct weights *w)
{
    for (size_t i = 0; i < r->n_all; i++) {
        if (r->all[i] == w) {
            return;
        }
    }
    r->all[r->n_all++] = w;
    r->n_creating--;
}

static void on_outcome(void *arg)
{
    struct reload *r = arg;
    for (struct job *j; (j = mailbox_try_recv(r->outcomes));) {
        if (j->kind == JOB_ROOM) {
            free(j);
            r->ev.room(r->ev.arg);
            continue;
        }
        struct weights *w = j->outcome.weights;
        if (w) {
            remember(r, w);
        } else {
            r->n_creating--;
        }
        if (w && j->outcome.err) {
            reload_recycle(r, w);
            j->outcome.weights = NULL;
        }
        r->active = false;
        r->ev.done(r->ev.arg, &j->outcome);
        free(j);
    }
}

enum err reload_create(uv_loop_t *loop, const char *device_kind, const struct model_config *c,
                       enum dtype t, const struct reload_events *ev, struct reload **out,
                       struct why *why)
{
    struct reload *r = calloc(1, sizeof *r);
    if (!r) {
        return why_set(why, ERR_NOMEM, "reload: out of memory");
    }
    *r = (struct reload){.config = *c, .dtype = t, .ev = *ev};
    enum err e = device_open(device_kind, NULL, &r->device, why);
    if (e) {
        goto fail_device;
    }
    e = mailbox_create(CHUNKS_WAITING + 2, &r->jobs);
    if (e) {
        goto fail_jobs;
    }
    e = mailbox_create_uv(64, loop, on_outcome, r, &r->outcomes);
    if (e) {
        goto fail_outcomes;
    }
    if (pthread_create(&r->thread, NULL, reload_main, r)) {
        e = why_set(why, ERR_NOMEM, "reload: cannot start a thread");
        mailbox_close(r->outcomes);
        goto fail_outcomes;
    }
    r->thread_runs = true;
    *out = r;
    return ERR_OK;
fail_outcomes:
    mailbox_destroy(r->jobs);
fail_jobs:
    device_close(r->device);
fail_device:
    free(r);
    return e;
}

// Room for a whole slab set: in use, idle and being created.
static bool slab_available(const struct reload *r)
{
    return r->n_idle > 0 || reload_slabs(r) < RELOAD_SLABS;
}

enum err reload_begin(struct reload *r, uint64_t version, struct hash128 hash, struct why *why)
{
    if (r->active || !slab_available(r)) {
        return why_set(why, ERR_BUSY, "version %llu: %s", (unsigned long long)version,
                       r->active ? "another version is being loaded"
                                 : "all weight slabs are in use");
    }
    struct job *j = calloc(1, sizeof *j);
    if (!j) {
        return why_set(why, ERR_NOMEM, "reload: out of memory");
    }
    *j = (struct job){.kind = JOB_BEGIN,
                      .version = version,
                      .hash = hash,
                      .total = weights_blob_bytes(&r->config, r->dtype),
                      .weights = r->n_idle ? r->idle[r->n_idle - 1] : NULL};
    bool from_idle = j->weights != NULL;
    enum err e = mailbox_send(r->jobs, j);
    if (e) {
        free(j);
        return why_set(why, e, "reload: %s", err_text(e));
    }
    r->active = true;
    if (from_idle) {
        r->n_idle--;
    } else {
        r->n_creating++;
    }
    return ERR_OK;
}

bool reload_has_room(struct reload *r)
{
    if (mailbox_len(r->jobs) < CHUNKS_WAITING) {
        return true;
    }
    atomic_store(&r->wants_room, true);
    return mailbox_len(r->jobs) < CHUNKS_WAITING;    // the thread may have been quicker
}

enum err reload_chunk(struct reload *r, const void *bytes, size_t len)
{
    if (!r->active) {
        return ERR_CLOSED;
    }
    if (mailbox_len(r->jobs) >= CHUNKS_WAITING) {
        return ERR_FULL;    // the two places left are for begin and abort
    }
    struct job *j = malloc(sizeof *j + len);
    if (!j) {
        return ERR_NOMEM;
    }
    *j = (struct job){.kind = JOB_CHUNK, .len = len};
    memcpy(j->bytes, bytes, len);
    enum err e = mailbox_send(r->jobs, j);
    if (e) {
        free(j);
    }
    return e;
}

void reload_abort(struct reload *r)
{
    if (!r->active) {
        return;
    }
    struct job *j = calloc(1, sizeof *j);
    if (!j) {
        return;
    }
    j->kind = JOB_ABORT;
    if (mailbox_send(r->jobs, j)) {
        free(j);
    }
}

bool reload_active(const struct reload *r)
{
    return r->active;
}

void reload_recycle(struct reload *r, const struct weights *w)
{
    size_t i = 0;
    while (i < r->n_all && r->all[i] != w) {
        i++;
    }
    if (i == r->n_all) {
        return;
    }
    if (r->n_idle == 0) {
        r->idle[r->n_idle++] = r->all[i];
        return;
    }
    weights_destroy(r->all[i]);    // the third one: its evaluation is over
    r->all[i] = r->all[--r->n_all];
}

size_t reload_slabs(const struct reload *r)
{
    return r->n_all + r->n_creating;
}

void reload_close(struct reload *r)
{
    mailbox_close(r->jobs);
    if (r->thread_runs) {
        pthread_join(r->thread, NULL);
        r->thread_runs = false;
    }
    on_outcome(r);
    mailbox_close(r->outcomes);
}

void reload_destroy(struct reload *r)
{
    if (!r) {
        return;
    }
    for (size_t i = 0; i < r->n_all; i++) {
        weights_destroy(r->all[i]);
    }
    mailbox_destroy(r->jobs);
    mailbox_destroy(r->outcomes);
    device_close(r->device);
    free(r);
}
