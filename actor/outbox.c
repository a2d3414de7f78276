// outbox.c: two small collections; linear searches are fine for the few hundred samples one actor
// holds.
#include "actor/outbox.h"

#include <stdlib.h>
#include <string.h>

static void *copy_array(const void *src, size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);
    if (p && n) {
        memcpy(p, src, n * size);
    }
    return p;
}

struct outgoing *outgoing_copy(const struct engine_sample *s)
{
    struct outgoing *o = calloc(1, sizeof *o);
    if (!o) {
        return NULL;
    }
    uint32_t *tokens = copy_array(s->tokens, s->n_tokens, sizeof *tokens);
    float *logprobs = copy_array(s->logprobs, s->n_tokens, sizeof *logprobs);
    struct msg_segment *segments = copy_array(s->segments, s->n_segments, sizeof *segments);
    o->msg = (struct msg_submit_sample){.sample_id = s->sample_id,
                                        .attempt = s->attempt,
                                        .tokens = tokens,
                                        .n_tokens = s->n_tokens,
                                        .logprobs = logprobs,
                                        .n_logprobs = s->n_tokens,
                                        .segments = segments,
                                        .n_segments = s->n_segments,
                                        .finish = s->finish,
                                        .pinned_version = s->pinned_version};
    if (!tokens || !logprobs || !segments) {
        outgoing_free(o);
        return NULL;
    }
    return o;
}

void outgoing_free(struct outgoing *o)
{
    if (!o) {
        return;
    }
    free((void *)(uintptr_t)o->msg.tokens);
    free((void *)(uintptr_t)o->msg.logprobs);
    free((void *)(uintptr_t)o->msg.segments);
    free(o);
}

void outbox_fini(struct outbox *b)
{
    while (b->first) {
        struct outgoing *o = b->first;
        b->first = o->next;
        outgoing_free(o);
    }
    free(b->held);
    *b = (struct outbox){0};
}

enum err outbox_hold(struct outbox *b, const uint64_t *ids, size_t n)
{
    if (b->n_held + n > b->cap_held) {
        size_t cap = (b->n_held + n) * 2;
        uint64_t *grown = realloc(b->held, cap * sizeof *grown);
        if (!grown) {
            return ERR_NOMEM;
        }
        b->held = grown;
        b->cap_held = cap;
    }
    for (size_t i = 0; i < n; i++) {
        if (!outbox_holds(b, ids[i])) {
            b->held[b->n_held++] = ids[i];
        }
    }
    return ERR_OK;
}

bool outbox_holds(const struct outbox *b, uint64_t id)
{
    for (size_t i = 0; i < b->n_held; i++) {
        if (b->held[i] == id) {
            return true;
        }
    }
    return false;
}

static void unhold(struct outbox *b, uint64_t id)
{
    for (size_t i = 0; i < b->n_held; i++) {
        if (b->held[i] == id) {
            b->held[i] = b->held[--b->n_held];
            return;
        }
    }
}

static void unlink_outgoing(struct outbox *b, struct outgoing *o)
{
    for (struct outgoing **link = &b->first; *link; link = &(*link)->next) {
        if (*link == o) {
            *link = o->next;
            b->n_outgoing--;
            return;
        }
    }
}

void outbox_drop(struct outbox *b, uint64_t id)
{
    unhold(b, id);
    for (struct outgoing *o = b->first; o; o = o->next) {
        if (o->msg.sample_id == id && !o->in_flight) {
            unlink_outgoing(b, o);
            outgoing_free(o);
            return;
        }
    }
}

bool outbox_put(struct outbox *b, struct outgoing *o)
{
    if (!outbox_holds(b, o->msg.sample_id)) {
        outgoing_free(o);
        return false;
    }
    struct outgoing **link = &b->first;
    while (*link) {
        link = &(*link)->next;
    }
    *link = o;
    b->n_outgoing++;
    return true;
}

struct outgoing *outbox_next(struct outbox *b)
{
    for (struct outgoing *o = b->first; o; o = o->next) {
        if (!o->in_flight) {
            return o;
        }
    }
    return NULL;
}

void outbox_done(struct outbox *b, struct outgoing *o)
{
    unhold(b, o->msg.sample_id);
    unlink_outgoing(b, o);
    outgoing_free(o);
}
