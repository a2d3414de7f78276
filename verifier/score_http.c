// score_http.c: requests between the HTTP thread and the pool.
//
// A call (one POST /score) is made on the HTTP thread, goes through the mailbox, and is answered and
// freed on the loop thread. While it has items that the pool has not seen it stands in a ring, from
// which items are taken in turn: a request of thousands does not keep one of two waiting. The pool
// copies an item, so its texts are freed as soon as it is taken; what is kept is the verdict as the
// JSON text of the answer.
//
// The two threads share the mailbox and, under a lock held for a copy, the snapshot of the pages.
#include "verifier/score_http.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mailbox.h"
#include "proto/http.h"
#include "verifier/score_body.h"
#include "verifier/score_pages.h"

enum { UPLOAD_MS = 60000 };

struct call;

struct slot {
    struct call *call;
    char *verdict;    // JSON text; NULL: not done, or there was no memory for it
};

struct call {
    struct score_http *face;
    struct http_exchange *exchange;
    struct call *next;    // in the ring
    struct score_body body;
    size_t len_bytes;    // of the body's texts, as counted against SCORE_HTTP_TEXTS_MAX
    size_t n_begun, n_done;
    bool gone;    // nobody waits: only what is in the pool is seen to its end
    struct slot *slots;
};

struct score_http {
    struct workpool *pool;
    struct mailbox *box;    // set under the lock, once: a request may come before it
    struct http_server *server;
    uint32_t room, in_pool;
    struct call *first, *last;    // with items that the pool has not seen
    bool closing;
    pthread_mutex_t lock;    // guards what follows
    struct score_snapshot snapshot;
    size_t held_bytes;
};

#define WITH_LOCK(f, statement)                                                                    \
    do {                                                                                           \
        pthread_mutex_lock(&(f)->lock);                                                            \
        statement;                                                                                 \
        pthread_mutex_unlock(&(f)->lock);                                                          \
    } while (0)

// ---- answers, loop thread ----

static void free_call(struct call *c)
{
    for (size_t i = 0; i < c->body.n && c->slots; i++) {
        free(c->slots[i].verdict);
    }
    score_body_fini(&c->body);
    free(c->slots);
    free(c);
}

static bool put_results(const struct call *c, struct buf *b)
{
    enum err e = buf_printf(b, "{\"results\":[");
    for (size_t i = 0; i < c->body.n && !e; i++) {
        const char *v = c->slots[i].verdict;
        e = v == NULL ? ERR_NOMEM : i > 0 ? buf_append(b, ",", 1) : ERR_OK;
        e = e ? e : buf_append(b, v, strlen(v));
    }
    return !e && !buf_append(b, "]}\n", 3);
}

static void answer(struct call *c)
{
    struct score_http *f = c->face;
    struct http_reply r = {.status = 200, .content_type = "application/json"};
    struct buf b;
    buf_init(&b, 0);
    bool scored = c->n_done == c->body.n && !f->closing && put_results(c, &b);
    if (scored) {
        r.len = b.len;
        r.body = buf_take(&b);
        scored = r.body != NULL;
    }
    if (!scored) {    // a client that is gone does not read it
        score_pages_error(503, f->closing ? "the verifier stops" : "out of memory", &r);
    }
    buf_fini(&b);
    pthread_mutex_lock(&f->lock);
    f->held_bytes -= c->len_bytes;
    f->snapshot.requests_waiting--;
    *(scored    ? &f->snapshot.requests_scored
      : c->gone ? &f->snapshot.requests_gone
                : &f->snapshot.requests_busy) += 1;
    f->snapshot.items_total += scored ? c->body.n : 0;
    pthread_mutex_unlock(&f->lock);
    http_exchange_reply(c->exchange, &r);
    free_call(c);
}

static char *verdict_text(const struct score_result *r)
{
    json_t *components = json_array();
    for (size_t i = 0; i < r->n_components; i++) {
        const struct score_component *c = &r->components[i];
        json_array_append_new(components,
                              json_pack("{s:s, s:s, s:f, s:f}", "id", c->id, "version", c->version,
                                        "value", c->value, "weight", c->weight));
    }
    json_t *reward = r->outcome == SCORE_UNSCORED ? json_null() : json_real(r->reward);
    json_t *v = json_pack("{s:s, s:o, s:s, s:o}", "outcome", score_outcome_name(r->outcome),
                          "reward", reward, "cause", r->cause, "components", components);
    char *text = v != NULL ? json_dumps(v, JSON_COMPACT) : NULL;
    json_decref(v);
    return text;
}

// The call is gone afterwards if this was its last item.
static void settle(struct slot *s, const struct score_result *r)
{
    struct call *c = s->call;
    s->verdict = verdict_text(r);
    c->n_done++;
    if (c->n_done == c->n_begun && (c->n_begun == c->body.n || c->gone || c->face->closing)) {
        answer(c);
    }
}

// ---- the ring, loop thread ----

static void join(struct score_http *f, struct call *c)
{
    c->next = NULL;
    *(f->first ? &f->last->next : &f->first) = c;
    f->last = c;
}

static void feed(struct score_http *f);

static void on_done(void *arg, const struct score_result *r, uint32_t elapsed_us)
{
    struct slot *s = arg;
    struct score_http *f = s->call->face;
    f->in_pool--;
    score_http_observe(f, r, elapsed_us);
    settle(s, r);
    feed(f);
}

// One item of the first call; false when the pool has no room.
static bool feed_one(struct score_http *f)
{
    struct call *c = f->first;
    struct slot *s = &c->slots[c->n_begun];
    struct score_body_item *item = &c->body.items[c->n_begun];
    struct why why = {{0}};
    enum err e = workpool_submit(f->pool, &item->request, 0, on_done, s, &why);
    if (e == ERR_FULL) {
        return false;
    }
    score_body_fini_item(item);
    c->n_begun++;
    f->first = c->next;
    if (c->n_begun < c->body.n) {
        join(f, c);
    }
    if (!e) {
        f->in_pool++;
        return true;
    }
    struct score_result r = {0};
    score_unscored(&r, why.text);
    score_http_observe(f, &r, 0);
    settle(s, &r);
    score_result_fini(&r);
    return true;
}

// The pool sends its workers as many jobs ahead as suit them, so the length of its queue tells
// whether it could take more, not the number of ours.
static bool has_room(const struct score_http *f)
{
    return f->in_pool < f->room || workpool_stats(f->pool).queued < f->room;
}

static void feed(struct score_http *f)
{
    while (f->pool && f->first && !f->closing && has_room(f) && feed_one(f)) {
    }
}

static void on_mail(void *arg)
{
    struct score_http *f = arg;
    struct call *c;
    while ((c = mailbox_try_recv(f->box)) != NULL) {
        if (f->closing) {
            answer(c);
        } else {
            join(f, c);
        }
    }
    feed(f);
}

// Takes the calls that nobody waits for, or all, out of the ring.
static void drop(struct score_http *f, bool all)
{
    struct call *c = f->first;
    f->first = f->last = NULL;
    for (struct call *next; c; c = next) {
        next = c->next;
        c->gone = !all && http_exchange_is_gone(c->exchange);
        if (!all && !c->gone) {
            join(f, c);
        } else if (c->n_done == c->n_begun) {
            answer(c);
        }    // else its last job does
    }
}

// ---- requests, HTTP thread ----

static bool accept_post(void *arg, const char *path, struct http_reply *out)
{
    struct score_http *f = arg;
    if (strcmp(path, "/score") != 0) {
        bool page = score_pages_has(path);
        score_pages_error(page ? 405 : 404, page ? "only GET and HEAD" : "try POST /score", out);
        return false;
    }
    bool full = false;
    WITH_LOCK(f, {
        full = f->box == NULL || f->snapshot.requests_waiting >= SCORE_HTTP_REQUESTS;
        f->snapshot.requests_busy += full;
    });
    if (full) {
        score_pages_error(503, "too many requests are waiting", out);
    }
    return !full;
}

static struct call *make_call(struct score_http *f, struct http_exchange *x, struct score_body *b)
{
    struct call *c = calloc(1, sizeof *c);
    struct slot *slots = calloc(b->n, sizeof *slots);
    if (c == NULL || slots == NULL) {
        free(slots);
        free(c);
        return NULL;
    }
    *c = (struct call){
        .face = f, .exchange = x, .body = *b, .len_bytes = b->len_bytes, .slots = slots};
    for (size_t i = 0; i < b->n; i++) {
        slots[i].call = c;
    }
    *b = (struct score_body){0};
    return c;
}

static bool admit(struct score_http *f, size_t len_bytes)
{
    bool room = false;
    WITH_LOCK(f, {
        room = f->snapshot.requests_waiting < SCORE_HTTP_REQUESTS &&
               len_bytes <= SCORE_HTTP_TEXTS_MAX - f->held_bytes;
        f->held_bytes += room ? len_bytes : 0;
        f->snapshot.requests_waiting += room;
    });
    return room;
}

static void refuse(struct score_http *f, struct http_exchange *x, int status, const char *text)
{
    struct http_reply r;
    score_pages_error(status, text, &r);
    WITH_LOCK(f,
              *(status == 400 ? &f->snapshot.requests_invalid : &f->snapshot.requests_busy) += 1);
    http_exchange_reply(x, &r);
}

static void send_call(struct score_http *f, struct http_exchange *x, struct score_body *b)
{
    struct call *c = make_call(f, x, b);
    if (c == NULL) {
        refuse(f, x, 503, "out of memory");
        return;
    }
    size_t len_bytes = c->len_bytes;
    if (!admit(f, len_bytes)) {
        free_call(c);
        refuse(f, x, 503, "too many requests are waiting");
    } else if (mailbox_send(f->box, c)) {
        free_call(c);
        WITH_LOCK(f, {
            f->snapshot.requests_waiting--;
            f->held_bytes -= len_bytes;
        });
        refuse(f, x, 503, "the verifier stops");
    }
}

static void on_post(void *arg, struct http_exchange *x, const char *path, const char *body,
                    size_t len)
{
    struct score_http *f = arg;
    struct score_body b = {0};
    struct why why = {{0}};
    (void)path;    // accept_post let /score alone pass
    enum err e = score_body_parse(body, len, &b, &why);
    if (e) {
        refuse(f, x, e == ERR_NOMEM ? 503 : 400, why.text);
    } else if (b.n == 0) {
        struct http_reply r = {.status = 200, .content_type = "application/json"};
        r.body = strdup("{\"results\":[]}\n");
        r.len = r.body ? strlen(r.body) : 0;
        WITH_LOCK(f, f->snapshot.requests_scored++);
        http_exchange_reply(x, &r);
    } else {
        send_call(f, x, &b);
    }
    score_body_fini(&b);
}

static void on_get(void *arg, const char *path, struct http_reply *out)
{
    struct score_http *f = arg;
    struct score_snapshot s;
    WITH_LOCK(f, {
        s = f->snapshot;
        s.plugins = s.plugins ? strdup(s.plugins) : NULL;
    });
    score_pages_render(&s, path, out);
    free(s.plugins);
}

// ---- life, loop thread ----

enum err score_http_create(uv_loop_t *loop, const char *address, const char *token, uint32_t room,
                           struct score_http **out, struct why *why)
{
    struct score_http *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return why_set(why, ERR_NOMEM, "http: out of memory");
    }
    f->room = room;
    f->snapshot.start_ms = clock_mono_ms();
    CHECK(pthread_mutex_init(&f->lock, NULL) == 0);
    const struct http_posting p = {.handler = on_get,
                                   .accept = accept_post,
                                   .post = on_post,
                                   .arg = f,
                                   .body_max = SCORE_HTTP_BODY_MAX,
                                   .bodies_max = SCORE_HTTP_TEXTS_MAX,
                                   .upload_ms = UPLOAD_MS,
                                   .token = token};
    enum err e = http_server_create_posting(address, &p, &f->server, why);
    if (e) {
        score_http_destroy(f);
        return e;
    }
    struct mailbox *box = NULL;
    e = mailbox_create_uv(SCORE_HTTP_REQUESTS, loop, on_mail, f, &box);
    if (e) {
        score_http_destroy(f);
        return why_set(why, e, "http: %s", err_text(e));
    }
    WITH_LOCK(f, f->box = box);
    *out = f;
    return ERR_OK;
}

const char *score_http_address(const struct score_http *f)
{
    return http_server_address(f->server);
}

void score_http_use(struct score_http *f, struct workpool *pool)
{
    f->pool = pool;
}

void score_http_plugins(struct score_http *f)
{
    char *now = score_pages_plugins(workpool_plugins(f->pool)), *was;
    WITH_LOCK(f, {
        was = f->snapshot.plugins;
        f->snapshot.plugins = now;
    });
    free(was);
}

void score_http_ready(struct score_http *f, const char *detail)
{
    score_http_plugins(f);
    WITH_LOCK(f, {
        f->snapshot.ready = true;
        (void)snprintf(f->snapshot.detail, sizeof f->snapshot.detail, "%s", detail);
    });
}

void score_http_observe(struct score_http *f, const struct score_result *r, uint32_t elapsed_us)
{
    struct workpool_stats pool = workpool_stats(f->pool);
    WITH_LOCK(f, {
        score_pages_count(&f->snapshot, r, elapsed_us);
        f->snapshot.pool = pool;
    });
}

void score_http_learner(struct score_http *f, const struct score_learner *l)
{
    WITH_LOCK(f, f->snapshot.learner = *l);
}

void score_http_tick(struct score_http *f)
{
    struct workpool_stats pool = workpool_stats(f->pool);
    WITH_LOCK(f, f->snapshot.pool = pool);
    drop(f, false);
    feed(f);
}

void score_http_close(struct score_http *f)
{
    f->closing = true;
    WITH_LOCK(f, f->snapshot.stopping = true);
    mailbox_close(f->box);
    on_mail(f);
    drop(f, true);
}

void score_http_destroy(struct score_http *f)
{
    if (f == NULL) {
        return;
    }
    http_server_destroy(f->server);
    mailbox_destroy(f->box);
    pthread_mutex_destroy(&f->lock);
    free(f->snapshot.plugins);
    free(f);
}
