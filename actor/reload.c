// reload.c: the reload thread and its two mailboxes.
//
// Loop thread: reload_map / reload_begin / reload_chunk / reload_recycle, and the wake callback.
// Reload thread: reload_main, which maps and packs. A `struct job` crosses over and comes back as an
// outcome; every begin and every map is answered by exactly one outcome, an abort only brings it
// forward. A job takes the weights it works on along, so that they are one thread's at a time. One
// version is under way at a time. The mailbox holds a few chunks, so that packing and fetching
// overlap without a second copy of the model in memory; when it has been full, the thread says so as
// soon as a chunk is packed.
//
// Weights in a slab are summed before they are used: all of them (0.27 GB take about 20 ms) when the
// slab is new here, afterwards a sixteenth, another one with each version. Lock and seals say that
// nobody writes; the sums would show, in each MiB, that somebody did.
#include "actor/reload.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/mailbox.h"

enum {
    CHUNKS_WAITING = 4,
    IDLE_VIEWS = 4,    // as many slabs as a learner has
    SETS_MAX = RELOAD_SLABS + IDLE_VIEWS + 1,
};
enum job_kind { JOB_BEGIN, JOB_CHUNK, JOB_MAP, JOB_ABORT, JOB_OUTCOME, JOB_ROOM };

// Weights, and the slab that they stand in; view NULL: packed, in memory of their own.
struct set {
    struct weights *weights;
    struct weightview *view;
    bool summed;    // view: all of it, once, and nothing has been wrong since
    bool idle;
};

struct job {
    enum job_kind kind;
    uint64_t version;
    struct hash128 hash;
    struct set set;                 // JOB_BEGIN, JOB_MAP: zeroed = create one; JOB_OUTCOME
    struct weightslab_name name;    // JOB_MAP
    size_t total, len;
    struct reload_outcome outcome;
    uint8_t bytes[];
};

struct reload {
    struct model_config config;
    enum dtype dtype;
    struct device *device;
    struct weightslab_layout layout;
    struct mailbox *jobs, *outcomes;
    pthread_t thread;
    bool thread_runs;
    struct reload_events ev;
    atomic_bool wants_room;
    // loop thread only
    struct set sets[SETS_MAX];    // all but the one that a job has
    size_t n_sets;
    bool active, packing;    // a version is under way; it comes in chunks
};

static void set_destroy(struct set *s)
{
    weights_destroy(s->weights);
    weightview_unmap(s->view);
    *s = (struct set){0};
}

// ---- reload thread ----

struct filling {
    struct job *job;    // the begin job; NULL = nothing is being filled
    size_t fed;
};

// The job itself travels back as the outcome, so that answering needs no memory.
static void post_outcome(struct reload *r, struct job *j, enum err e, const char *text)
{
    j->kind = JOB_OUTCOME;
    j->outcome = (struct reload_outcome){
        .err = e, .weights = j->set.weights, .mapped = j->set.view != NULL, .version = j->version};
    snprintf(j->outcome.text, sizeof j->outcome.text, "%.250s", text);
    if (mailbox_send(r->outcomes, j)) {
        set_destroy(&j->set);    // closing
        free(j);
    }
}

static void fill_end(struct reload *r, struct filling *f, enum err e, const char *text)
{
    post_outcome(r, f->job, e, text);
    f->job = NULL;
}

static void fill_begin(struct reload *r, struct filling *f, struct job *j)
{
    struct why why = {0};
    enum err e = ERR_OK;
    *f = (struct filling){.job = j};
    if (!j->set.weights) {
        e = weights_create(r->device, &r->config, r->dtype, &j->set.weights, &why);
    }
    if (e) {
        fill_end(r, f, e, why.text);
        return;
    }
    weights_begin(j->set.weights);
}

static bool sums_agree(const struct weights *w, const struct weights_sums *sums, size_t first,
                       size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t stripe = (first + i) % WEIGHTS_STRIPES;
        if (weights_sum(w, stripe) != sums->stripe[stripe]) {
            return false;
        }
    }
    return true;
}

static enum err map_slab(struct reload *r, struct job *j, struct why *why)
{
    struct set *s = &j->set;
    struct weights_sums sums;
    size_t stripes = s->summed ? 1 : WEIGHTS_STRIPES;
    enum err e = s->view ? ERR_OK : weightview_map(&j->name, &r->layout, &s->view, why);
    if (!e && !s->weights) {
        e = weights_create_in(r->device, &r->config, r->dtype, weightview_panels(s->view),
                              &s->weights, why);
    }
    e = e ? e : weightview_hold(s->view, j->version, j->hash, &sums, why);
    if (!e) {
        s->summed = sums_agree(s->weights, &sums, j->version % WEIGHTS_STRIPES, stripes);
    }
    if (!e && !s->summed) {
        weightview_drop(s->view);
        e = why_set(why, ERR_CORRUPT, "version %llu: the slab's bytes are not what was published",
                    (unsigned long long)j->version);
    }
    return e;
}

static void do_map(struct reload *r, struct job *j)
{
    struct why why = {""};
    enum err e = map_slab(r, j, &why);
    if (e && !j->set.weights) {
        set_destroy(&j->set);    // half made
    }
    post_outcome(r, j, e, why.text);
}

static void fill_chunk(struct reload *r, struct filling *f, const struct job *j)
{
    struct why why = {0};
    if (!f->job) {
        return;
    }
    struct weights *w = f->job->set.weights;
    enum err e = weights_feed(w, j->bytes, j->len, &why);
    f->fed += j->len;
    if (!e && f->fed < f->job->total) {
        return;
    }
    struct hash128 hash;
    if (!e) {
        e = weights_end(w, &hash, &why);
    }
    if (!e && !hash_equal(hash, f->job->hash)) {
        char want[HASH_HEX_LEN + 1], have[HASH_HEX_LEN + 1];
        hash_hex(f->job->hash, want);
        hash_hex(hash, have);
        e = why_set(&why, ERR_CORRUPT, "version %llu: hash %s, announced %s",
                    (unsigned long long)f->job->version, have, want);
    }
    fill_end(r, f, e, why.text);
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
        if (j->kind == JOB_MAP) {
            do_map(r, j);
            continue;
        }
        if (j->kind == JOB_CHUNK) {
            fill_chunk(r, &f, j);
            post_room(r);
        } else if (f.job) {
            fill_end(r, &f, ERR_CANCELLED, "given up");
        }
        free(j);
    }
    if (f.job) {
        fill_end(r, &f, ERR_CANCELLED, "closing");
    }
    return NULL;
}

// ---- loop thread ----

static void remove_set(struct reload *r, size_t i)
{
    set_destroy(&r->sets[i]);
    r->sets[i] = r->sets[--r->n_sets];
}

// Idle sets of one kind go: mapped ones, or the spare.
static void drop_idle(struct reload *r, bool mapped)
{
    for (size_t i = r->n_sets; i-- > 0;) {
        if (r->sets[i].idle && (r->sets[i].view != NULL) == mapped) {
            remove_set(r, i);
        }
    }
}

// Takes an idle set out of the list: the one that maps the named slab, or (NULL) the spare.
static struct set take_idle(struct reload *r, const struct weightslab_name *n)
{
    for (size_t i = 0; i < r->n_sets; i++) {
        struct set s = r->sets[i];
        if (s.idle && (n ? s.view && weightview_is(s.view, n) : !s.view)) {
            r->sets[i] = r->sets[--r->n_sets];
            s.idle = false;
            return s;
        }
    }
    return (struct set){0};
}

static size_t count_sets(const struct reload *r, bool idle, bool mapped)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_sets; i++) {
        n += r->sets[i].idle == idle && (r->sets[i].view != NULL) == mapped;
    }
    return n;
}

static void take_outcome(struct reload *r, struct job *j)
{
    if (j->set.weights) {
        CHECK(r->n_sets < SETS_MAX);
        r->sets[r->n_sets++] = j->set;
    }
    r->active = r->packing = false;
    if (j->outcome.err && j->outcome.weights) {
        reload_recycle(r, j->outcome.weights);
        j->outcome.weights = NULL;
    } else if (j->outcome.mapped) {
        drop_idle(r, false);    // chunks are not how weights come here
    }
    r->ev.done(r->ev.arg, &j->outcome);
    free(j);
}

static void on_outcome(void *arg)
{
    struct reload *r = arg;
    for (struct job *j; (j = mailbox_try_recv(r->outcomes));) {
        if (j->kind == JOB_OUTCOME) {
            take_outcome(r, j);
        } else {
            free(j);
            r->ev.room(r->ev.arg);
        }
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
    r->layout = (struct weightslab_layout){r->device->ops->numerics_id, t,
                                           weights_panel_bytes(r->device, c, t)};
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

static enum err check_free(const struct reload *r, uint64_t version, struct why *why)
{
    size_t used = count_sets(r, false, false) + count_sets(r, false, true);
    if (r->active || used == RELOAD_SLABS) {
        return why_set(why, ERR_BUSY, "version %llu: %s", (unsigned long long)version,
                       r->active ? "another version is being loaded"
                                 : "all weight slabs are in use");
    }
    return ERR_OK;
}

// Sends a copy of the job with the set that it works on.
static enum err send_job(struct reload *r, const struct job *job, struct why *why)
{
    struct job *j = calloc(1, sizeof *j);
    if (!j) {
        return why_set(why, ERR_NOMEM, "reload: out of memory");
    }
    *j = *job;
    j->set = take_idle(r, j->kind == JOB_MAP ? &j->name : NULL);
    enum err e = mailbox_send(r->jobs, j);
    if (e) {
        set_destroy(&j->set);
        free(j);
        return why_set(why, e, "reload: %s", err_text(e));
    }
    r->active = true;
    r->packing = job->kind == JOB_BEGIN;
    return ERR_OK;
}

enum err reload_begin(struct reload *r, uint64_t version, struct hash128 hash, struct why *why)
{
    enum err e = check_free(r, version, why);
    if (e) {
        return e;
    }
    drop_idle(r,
              true);    // their learner may be gone, and with it the only other use of the memory
    return send_job(r,
                    &(struct job){.kind = JOB_BEGIN,
                                  .version = version,
                                  .hash = hash,
                                  .total = weights_blob_bytes(&r->config, r->dtype)},
                    why);
}

enum err reload_map(struct reload *r, uint64_t version, struct hash128 hash,
                    const struct weightslab_name *n, struct why *why)
{
    enum err e = check_free(r, version, why);
    if (!e && !r->device->ops->unified) {
        e = why_set(why, ERR_UNSUPPORTED, "the device cannot compute in a slab");
    }
    if (e) {
        return e;
    }
    for (size_t i = r->n_sets; i-- > 0;) {    // slabs of a former learner
        if (r->sets[i].idle && r->sets[i].view && !weightview_of(r->sets[i].view, n->owner)) {
            remove_set(r, i);
        }
    }
    return send_job(r, &(struct job){.kind = JOB_MAP, .version = version, .hash = hash, .name = *n},
                    why);
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
    if (!r->packing) {
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
    if (!r->packing) {    // a mapping ends by itself, soon
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
    while (i < r->n_sets && r->sets[i].weights != w) {
        i++;
    }
    if (i == r->n_sets || r->sets[i].idle) {
        return;
    }
    bool mapped = r->sets[i].view != NULL;
    if (mapped) {
        weightview_drop(r->sets[i].view);
    }
    if (count_sets(r, true, mapped) == (mapped ? IDLE_VIEWS : 1)) {
        remove_set(r, i);
    } else {
        r->sets[i].idle = true;
    }
}

size_t reload_packed(const struct reload *r)
{
    return count_sets(r, false, false) + count_sets(r, true, false) + (r->packing ? 1 : 0);
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
    while (r->n_sets) {
        remove_set(r, r->n_sets - 1);
    }
    mailbox_destroy(r->jobs);
    mailbox_destroy(r->outcomes);
    device_close(r->device);
    free(r);
}
