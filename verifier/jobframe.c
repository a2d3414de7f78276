// jobframe.c: a bounded cursor in both directions.
//
// The format is ours and tiny on purpose: the worker's side runs beside untrusted work, so it
// carries no general decoder. Reading goes through one cursor that fails once and stays failed; a
// value read after a failure is 0, and the caller checks once at the end. A result is believed only
// as far as its shape goes: lengths within the structs, an outcome of the three, finite numbers,
// components in 0..1.
#include "verifier/jobframe.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ONLY_READ = 1, MAY_ASK = 2 };    // flags of a JOB

// ---- writing ----

static enum err put_u(struct buf *b, uint64_t v, size_t bytes)
{
    uint8_t raw[8];
    for (size_t i = 0; i < bytes; i++) {
        raw[i] = (uint8_t)(v >> (8 * i));
    }
    return buf_append(b, raw, bytes);
}

static enum err put_f64(struct buf *b, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return put_u(b, bits, 8);
}

static enum err put_text(struct buf *b, struct score_text t)
{
    enum err e = t.len > SCORE_TEXT_MAX ? ERR_LIMIT : put_u(b, t.len, 4);
    return e || t.len == 0 ? e : buf_append(b, t.data, t.len);
}

static enum err put_string(struct buf *b, const char *s)
{
    return put_text(b, (struct score_text){s, strlen(s)});
}

static enum err put_texts(struct buf *b, const struct score_text *texts, size_t n)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < n && !e; i++) {
        e = put_text(b, texts[i]);
    }
    return e;
}

// Opens a frame; close_frame fills in the length, or takes the frame back when e is an error.
static enum err open_frame(struct buf *b, size_t *head, enum jobframe_kind kind)
{
    *head = b->len;
    enum err e = put_u(b, 0, JOBFRAME_HEAD_BYTES);
    return e ? e : put_u(b, kind, 1);
}

static enum err close_frame(struct buf *b, size_t head, size_t max, enum err e)
{
    size_t len = b->len - head - JOBFRAME_HEAD_BYTES;
    if (e || len > max) {
        b->len = head;
        return e ? e : ERR_LIMIT;
    }
    for (size_t i = 0; i < JOBFRAME_HEAD_BYTES; i++) {
        b->data[head + i] = (uint8_t)(len >> (8 * i));
    }
    return ERR_OK;
}

enum err jobframe_put_job(struct buf *out, uint64_t job, const struct score_request *req)
{
    const struct score_text texts[] = {req->dataset, req->checks, req->ground_truth, req->reward,
                                       req->answers, req->prompt, req->response};
    size_t head;
    enum err e = open_frame(out, &head, JOBFRAME_JOB);
    e = e ? e : put_u(out, job, 8);
    e = e ? e : put_u(out, req->finish, 4);
    e = e ? e : put_u(out, (req->only_read ? ONLY_READ : 0u) | (req->may_ask ? MAY_ASK : 0u), 1);
    e = e ? e : put_texts(out, texts, ARRAY_LEN(texts));
    return close_frame(out, head, JOBFRAME_JOB_MAX, e);
}

enum err jobframe_put_call(struct buf *out, uint64_t job, struct score_text check,
                           const struct score_plugin_input *in)
{
    const struct score_text texts[] = {check, in->kwargs, in->ground_truth, in->prompt,
                                       in->response};
    size_t head;
    enum err e = open_frame(out, &head, JOBFRAME_CALL);
    e = e ? e : put_u(out, job, 8);
    e = e ? e : put_u(out, in->stopped, 1);
    e = e ? e : put_texts(out, texts, ARRAY_LEN(texts));
    return close_frame(out, head, JOBFRAME_JOB_MAX, e);
}

void jobframe_renumber(struct buf *b, uint64_t job)
{
    for (size_t i = 0; i < 8; i++) {
        b->data[JOBFRAME_HEAD_BYTES + 1 + i] = (uint8_t)(job >> (8 * i));
    }
}

enum err jobframe_put_ready(struct buf *out, uint8_t level, const struct jobframe_check *checks,
                            size_t n)
{
    size_t head;
    enum err e = open_frame(out, &head, JOBFRAME_READY);
    e = e ? e : put_u(out, level, 1);
    e = e ? e : put_u(out, n, 4);
    for (size_t i = 0; i < n && !e; i++) {
        e = put_string(out, checks[i].id);
        e = e ? e : put_string(out, checks[i].version);
        e = e ? e : put_string(out, checks[i].doc);
    }
    return close_frame(out, head, JOBFRAME_REPLY_MAX, e);
}

enum err jobframe_put_ask(struct buf *out, uint64_t job, const struct jobframe_call *calls,
                          size_t n)
{
    size_t head;
    enum err e = open_frame(out, &head, JOBFRAME_ASK);
    e = e ? e : put_u(out, job, 8);
    e = e ? e : put_u(out, n, 4);
    for (size_t i = 0; i < n && !e; i++) {
        const struct score_text texts[] = {calls[i].check, calls[i].kwargs, calls[i].ground_truth};
        e = put_texts(out, texts, ARRAY_LEN(texts));
    }
    return close_frame(out, head, JOBFRAME_REPLY_MAX, e);
}

enum err jobframe_put_failed(struct buf *out, const char *text)
{
    size_t head;
    enum err e = open_frame(out, &head, JOBFRAME_FAILED);
    e = e ? e : put_text(out, (struct score_text){text, MIN(strlen(text), SCORE_CAUSE_BYTES - 1)});
    return close_frame(out, head, JOBFRAME_REPLY_MAX, e);
}

enum err jobframe_put_result(struct buf *out, uint64_t job, const struct score_result *result)
{
    size_t head;
    enum err e = open_frame(out, &head, JOBFRAME_RESULT);
    e = e ? e : put_u(out, job, 8);
    e = e ? e : put_u(out, result->outcome, 1);
    e = e ? e : put_f64(out, result->reward);
    e = e ? e : put_string(out, result->cause);
    e = e ? e : put_u(out, result->n_components, 4);
    for (size_t i = 0; i < result->n_components && !e; i++) {
        const struct score_component *c = &result->components[i];
        e = put_string(out, c->id);
        e = e ? e : put_string(out, c->version);
        e = e ? e : put_f64(out, c->value);
        e = e ? e : put_f64(out, c->weight);
    }
    return close_frame(out, head, JOBFRAME_REPLY_MAX, e);
}

// ---- reading ----

struct cursor {
    const uint8_t *data;
    size_t left;
    bool bad;
};

uint32_t jobframe_length(const uint8_t head[JOBFRAME_HEAD_BYTES])
{
    return head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 24;
}

static uint64_t get_u(struct cursor *c, size_t bytes)
{
    if (c->bad || c->left < bytes) {
        c->bad = true;
        return 0;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++) {
        v |= (uint64_t)c->data[i] << (8 * i);
    }
    c->data += bytes;
    c->left -= bytes;
    return v;
}

static double get_f64(struct cursor *c, double low, double high)
{
    uint64_t bits = get_u(c, 8);
    double v;
    memcpy(&v, &bits, sizeof v);
    if (!isfinite(v) || v < low || v > high) {
        c->bad = true;
        return 0;
    }
    return v;
}

static struct score_text get_text(struct cursor *c, size_t max)
{
    size_t len = (size_t)get_u(c, 4);
    if (c->bad || len > max || len > c->left) {
        c->bad = true;
        return (struct score_text){"", 0};
    }
    struct score_text t = {(const char *)c->data, len};
    c->data += len;
    c->left -= len;
    return t;
}

// A text that must fit a struct's array with its NUL.
static void get_string(struct cursor *c, char *out, size_t cap)
{
    struct score_text t = get_text(c, cap - 1);
    memcpy(out, t.data, t.len);
    out[t.len] = 0;
}

enum err jobframe_get_job(const uint8_t *data, size_t len, uint64_t *job, struct score_request *out)
{
    struct cursor c = {.data = data, .left = len};
    struct score_request req;
    c.bad = get_u(&c, 1) != JOBFRAME_JOB || c.bad;
    uint64_t id = get_u(&c, 8);
    req.finish = (uint32_t)get_u(&c, 4);
    uint64_t flags = get_u(&c, 1);
    c.bad = c.bad || (flags & ~(uint64_t)(ONLY_READ | MAY_ASK)) != 0;
    req.only_read = (flags & ONLY_READ) != 0;
    req.may_ask = (flags & MAY_ASK) != 0;
    req.dataset = get_text(&c, SCORE_TEXT_MAX);
    req.checks = get_text(&c, SCORE_TEXT_MAX);
    req.ground_truth = get_text(&c, SCORE_TEXT_MAX);
    req.reward = get_text(&c, SCORE_TEXT_MAX);
    req.answers = get_text(&c, SCORE_TEXT_MAX);
    req.prompt = get_text(&c, SCORE_TEXT_MAX);
    req.response = get_text(&c, SCORE_TEXT_MAX);
    if (c.bad || c.left > 0) {
        return ERR_CORRUPT;
    }
    *job = id;
    *out = req;
    return ERR_OK;
}

enum err jobframe_get_call(const uint8_t *data, size_t len, uint64_t *job, struct score_text *check,
                           struct score_plugin_input *out)
{
    struct cursor c = {.data = data, .left = len};
    struct score_plugin_input in;
    c.bad = get_u(&c, 1) != JOBFRAME_CALL || c.bad;
    uint64_t id = get_u(&c, 8);
    uint64_t stopped = get_u(&c, 1);
    struct score_text name = get_text(&c, SCORE_ID_BYTES - 1);
    in.kwargs = get_text(&c, SCORE_TEXT_MAX);
    in.ground_truth = get_text(&c, SCORE_TEXT_MAX);
    in.prompt = get_text(&c, SCORE_TEXT_MAX);
    in.response = get_text(&c, SCORE_TEXT_MAX);
    in.stopped = stopped == 1;
    if (c.bad || c.left > 0 || stopped > 1) {
        return ERR_CORRUPT;
    }
    *job = id;
    *check = name;
    *out = in;
    return ERR_OK;
}

static enum err get_ready(struct cursor *c, struct jobframe_reply *r)
{
    r->level = (uint8_t)get_u(c, 1);
    size_t n = (size_t)get_u(c, 4);
    if (c->bad || n > JOBFRAME_MAX_CHECKS) {
        return ERR_CORRUPT;
    }
    if (n > 0) {
        r->checks = calloc(n, sizeof *r->checks);
        if (!r->checks) {
            return ERR_NOMEM;
        }
    }
    r->n_checks = n;
    for (size_t i = 0; i < n; i++) {
        get_string(c, r->checks[i].id, sizeof r->checks[i].id);
        get_string(c, r->checks[i].version, sizeof r->checks[i].version);
        get_string(c, r->checks[i].doc, sizeof r->checks[i].doc);
    }
    return ERR_OK;
}

static enum err get_ask(struct cursor *c, struct jobframe_reply *r)
{
    r->job = get_u(c, 8);
    size_t n = (size_t)get_u(c, 4);
    if (c->bad || n == 0 || n > JOBFRAME_MAX_CALLS) {
        return ERR_CORRUPT;
    }
    r->n_calls = n;
    for (size_t i = 0; i < n; i++) {
        r->calls[i] = (struct jobframe_call){.check = get_text(c, SCORE_ID_BYTES - 1),
                                             .kwargs = get_text(c, JOBFRAME_REPLY_MAX),
                                             .ground_truth = get_text(c, JOBFRAME_REPLY_MAX)};
    }
    return ERR_OK;
}

static enum err get_result(struct cursor *c, struct jobframe_reply *r)
{
    r->job = get_u(c, 8);
    uint64_t outcome = get_u(c, 1);
    r->result.outcome = (enum score_outcome)outcome;
    r->result.reward = get_f64(c, -SCORE_REWARD_MAX, SCORE_REWARD_MAX);
    get_string(c, r->result.cause, sizeof r->result.cause);
    size_t n = (size_t)get_u(c, 4);
    bool coherent = outcome == SCORE_SCORED     ? r->result.reward != 0 && r->result.cause[0] == 0
                    : outcome == SCORE_ZERO     ? r->result.reward == 0 && r->result.cause[0] == 0
                    : outcome == SCORE_UNSCORED ? r->result.reward == 0 && r->result.cause[0] != 0
                                                : false;
    if (c->bad || !coherent || n > SCORE_MAX_COMPONENTS) {
        return ERR_CORRUPT;
    }
    if (n > 0) {
        r->result.components = calloc(n, sizeof *r->result.components);
        if (!r->result.components) {
            return ERR_NOMEM;
        }
    }
    r->result.n_components = n;
    for (size_t i = 0; i < n; i++) {
        struct score_component *out = &r->result.components[i];
        get_string(c, out->id, sizeof out->id);
        get_string(c, out->version, sizeof out->version);
        out->value = get_f64(c, 0, 1);
        out->weight = get_f64(c, -SCORE_REWARD_MAX, SCORE_REWARD_MAX);
    }
    return ERR_OK;
}

enum err jobframe_get_reply(const uint8_t *data, size_t len, struct jobframe_reply *out)
{
    struct cursor c = {.data = data, .left = len};
    struct jobframe_reply r = {.kind = (enum jobframe_kind)get_u(&c, 1)};
    enum err e = ERR_OK;
    switch (r.kind) {
    case JOBFRAME_READY:
        e = get_ready(&c, &r);
        break;
    case JOBFRAME_FAILED:
        get_string(&c, r.text, sizeof r.text);
        break;
    case JOBFRAME_RESULT:
        e = get_result(&c, &r);
        break;
    case JOBFRAME_ASK:
        e = get_ask(&c, &r);
        break;
    default:
        e = ERR_CORRUPT;
    }
    if (e || c.bad || c.left > 0) {
        jobframe_reply_fini(&r);
        return e ? e : ERR_CORRUPT;
    }
    *out = r;
    return ERR_OK;
}

void jobframe_reply_fini(struct jobframe_reply *r)
{
    score_result_fini(&r->result);
    free(r->checks);
    r->checks = NULL;
    r->n_checks = 0;
}
