// compute.c: the compute thread's loop: read letters, run one pass, report. It sleeps in its
// mailbox when the engine has nothing to do.
#include "actor/compute.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/clock.h"
#include "common/mailbox.h"
#include "proto/limits.h"

enum letter_kind {
    LETTER_ADD,
    LETTER_ABANDON,
    LETTER_WEIGHTS,
    LETTER_SAMPLE,
    LETTER_RELEASED,
    LETTER_WANTS,
    LETTER_DECODED,
    LETTER_FAILED
};

struct letter {
    enum letter_kind kind;
    struct msg_group group;    // LETTER_ADD: arrays owned
    uint32_t stop_ids[LIMIT_STOP_IDS];
    size_t n_stop;
    uint64_t id;    // sample or version
    uint64_t at_us;
    const struct weights *weights;
    bool newest;
    struct outgoing *sample;
    enum err err;
    char text[512];
};

struct compute {
    struct pool *pool;
    struct device *device;
    struct engine *engine;
    struct mailbox *in, *out;
    pthread_t thread;
    bool thread_runs;
    atomic_bool cancel;
    struct compute_events ev;
    // compute thread
    uint64_t wanted;     // last version asked for
    uint64_t swapped;    // newest version, until it has decoded a token; 0 = it has
    uint64_t tokens_before;
};

static void letter_free(struct letter *l)
{
    if (!l) {
        return;
    }
    if (l->kind == LETTER_ADD) {
        free((void *)(uintptr_t)l->group.prompt);
        free((void *)(uintptr_t)l->group.sample_ids);
    }
    if (l->kind == LETTER_SAMPLE) {
        outgoing_free(l->sample);
    }
    free(l);
}

// ---- compute thread ----

// Reports wait for room: a loop that is behind slows decoding down (rule: a full queue slows its
// source).
static void report(struct compute *c, const struct letter *l)
{
    struct letter *copy = malloc(sizeof *copy);
    CHECK(copy);
    *copy = *l;
    for (;;) {
        enum err e = mailbox_send(c->out, copy);
        if (!e) {
            return;
        }
        if (e != ERR_FULL || atomic_load(&c->cancel)) {
            letter_free(copy);
            return;
        }
        uv_sleep(1);
    }
}

static void report_failure(struct compute *c, enum err e, const char *text)
{
    struct letter l = {.kind = LETTER_FAILED, .err = e};
    snprintf(l.text, sizeof l.text, "%.500s", text);
    report(c, &l);
}

static void on_engine_done(void *arg, const struct engine_sample *s)
{
    struct compute *c = arg;
    struct outgoing *o = outgoing_copy(s);
    if (!o) {
        report_failure(c, ERR_NOMEM, "a finished sample could not be copied: out of memory");
        return;
    }
    report(c, &(struct letter){.kind = LETTER_SAMPLE, .sample = o});
}

static enum err take_letter(struct compute *c, struct letter *l, struct why *why)
{
    enum err e = ERR_OK;
    if (l->kind == LETTER_ADD) {
        e = engine_add(c->engine, &l->group, l->stop_ids, l->n_stop, why);
    } else if (l->kind == LETTER_ABANDON) {
        engine_abandon(c->engine, l->id);
    } else if (l->newest) {
        engine_swap(c->engine, l->weights, l->id);
        // An engine without work has its first token late for another reason.
        c->swapped = atomic_load(&engine_get_stats(c->engine)->slots_busy) ? l->id : 0;
        c->tokens_before = atomic_load(&engine_get_stats(c->engine)->decode_tokens);
    } else {
        engine_pin(c->engine, l->weights, l->id);
    }
    letter_free(l);
    return e;
}

static void report_weights(struct compute *c)
{
    for (const struct weights *w; (w = engine_release(c->engine));) {
        report(c, &(struct letter){.kind = LETTER_RELEASED, .weights = w});
    }
    uint64_t wanted = engine_wants_version(c->engine);
    if (wanted && wanted != c->wanted) {
        report(c, &(struct letter){.kind = LETTER_WANTS, .id = wanted});
    }
    c->wanted = wanted;
}

static void report_first_token(struct compute *c)
{
    if (c->swapped && atomic_load(&engine_get_stats(c->engine)->decode_tokens) > c->tokens_before) {
        report(c, &(struct letter){
                      .kind = LETTER_DECODED, .id = c->swapped, .at_us = clock_wall_us()});
        c->swapped = 0;
    }
}

static void *compute_main(void *arg)
{
    struct compute *c = arg;
    struct why why = {0};
    enum err e = ERR_OK;
    pool_set_fpu();
    int worked = 0;
    while (!e && !atomic_load(&c->cancel)) {
        struct letter *l = worked ? mailbox_try_recv(c->in) : mailbox_wait(c->in, 1000);
        for (; l && !e; l = e ? NULL : mailbox_try_recv(c->in)) {
            e = take_letter(c, l, &why);
        }
        if (!e) {
            e = engine_step(c->engine, &c->cancel, &worked, &why);
        }
        report_first_token(c);
        report_weights(c);
    }
    if (e && e != ERR_CANCELLED) {
        report_failure(c, e, why.text);
    }
    return NULL;
}

// ---- loop thread ----

static void on_letters(void *arg)
{
    struct compute *c = arg;
    for (struct letter *l; (l = mailbox_try_recv(c->out));) {
        switch (l->kind) {
        case LETTER_SAMPLE:
            c->ev.sample(c->ev.arg, l->sample);
            l->sample = NULL;
            break;
        case LETTER_RELEASED:
            c->ev.released(c->ev.arg, l->weights);
            break;
        case LETTER_WANTS:
            c->ev.wants(c->ev.arg, l->id);
            break;
        case LETTER_DECODED:
            c->ev.decoded(c->ev.arg, l->id, l->at_us);
            break;
        default:
            c->ev.failed(c->ev.arg, l->err, l->text);
            break;
        }
        letter_free(l);
    }
}

enum err compute_create(uv_loop_t *loop, const struct compute_options *o,
                        const struct compute_events *ev, struct compute **out, struct why *why)
{
    struct compute *c = calloc(1, sizeof *c);
    if (!c) {
        return why_set(why, ERR_NOMEM, "compute: out of memory");
    }
    c->ev = *ev;
    enum err e = pool_create(o->threads > 0 ? o->threads : pool_cores(), &c->pool, why);
    if (!e) {
        e = device_open(o->device_kind, c->pool, &c->device, why);
    }
    if (!e) {
        e = engine_create(c->device, &o->config, &o->limits, o->seed, on_engine_done, c, &c->engine,
                          why);
    }
    if (!e) {
        e = mailbox_create(4096, &c->in);
    }
    if (!e) {
        e = mailbox_create_uv(1024, loop, on_letters, c, &c->out);
    }
    if (!e && pthread_create(&c->thread, NULL, compute_main, c)) {
        e = why_set(why, ERR_NOMEM, "compute: cannot start a thread");
    }
    if (e) {
        if (c->out) {
            mailbox_close(c->out);
        }
        engine_destroy(c->engine);
        device_close(c->device);
        pool_destroy(c->pool);
        mailbox_destroy(c->in);
        free(
            c);    // an open uv mailbox is leaked to the loop that is about to end with the process
        return e;
    }
    c->thread_runs = true;
    *out = c;
    return ERR_OK;
}

static enum err send_letter(struct compute *c, struct letter *l)
{
    enum err e = mailbox_send(c->in, l);
    if (e) {
        letter_free(l);
    }
    return e;
}

enum err compute_add(struct compute *c, const struct msg_group *g, const uint32_t *stop_ids,
                     size_t n_stop)
{
    if (n_stop > LIMIT_STOP_IDS || g->n_prompt == 0 || g->n_samples == 0) {
        return ERR_INVALID;
    }
    struct letter *l = calloc(1, sizeof *l);
    uint32_t *prompt = malloc(g->n_prompt * sizeof *prompt);
    uint64_t *ids = malloc(g->n_samples * sizeof *ids);
    if (!l || !prompt || !ids) {
        free(l);
        free(prompt);
        free(ids);
        return ERR_NOMEM;
    }
    memcpy(prompt, g->prompt, g->n_prompt * sizeof *prompt);
    memcpy(ids, g->sample_ids, g->n_samples * sizeof *ids);
    l->kind = LETTER_ADD;
    l->group = *g;
    l->group.prompt = prompt;
    l->group.sample_ids = ids;
    l->n_stop = n_stop;
    if (n_stop) {
        memcpy(l->stop_ids, stop_ids, n_stop * sizeof *stop_ids);
    }
    return send_letter(c, l);
}

enum err compute_abandon(struct compute *c, uint64_t sample_id)
{
    struct letter *l = calloc(1, sizeof *l);
    if (!l) {
        return ERR_NOMEM;
    }
    l->kind = LETTER_ABANDON;
    l->id = sample_id;
    return send_letter(c, l);
}

enum err compute_weights(struct compute *c, const struct weights *w, uint64_t version, bool newest)
{
    struct letter *l = calloc(1, sizeof *l);
    if (!l) {
        return ERR_NOMEM;
    }
    l->kind = LETTER_WEIGHTS;
    l->weights = w;
    l->id = version;
    l->newest = newest;
    return send_letter(c, l);
}

const struct engine_stats *compute_stats(const struct compute *c)
{
    return engine_get_stats(c->engine);
}

void compute_close(struct compute *c)
{
    atomic_store(&c->cancel, true);
    mailbox_close(c->in);
    if (c->thread_runs) {
        pthread_join(c->thread, NULL);
        c->thread_runs = false;
    }
    mailbox_close(c->out);
}

void compute_destroy(struct compute *c)
{
    if (!c) {
        return;
    }
    for (struct letter *l; (l = mailbox_try_recv(c->in));) {
        letter_free(l);
    }
    for (struct letter *l; (l = mailbox_try_recv(c->out));) {
        letter_free(l);
    }
    mailbox_destroy(c->in);
    mailbox_destroy(c->out);
    engine_destroy(c->engine);
    device_close(c->device);
    pool_destroy(c->pool);
    free(c);
}
