// service.c: the loop side of the verifier: a few conversations with the learner around one table
// of held jobs.
//
//   hello      once the pool knows its sandbox level, and whenever the learner does not know us;
//              lists every check of the registry
//   lease      one LEASE_SCORE long poll at a time, when no more jobs are held than workers exist;
//              at most 2 x workers are held
//   submit     each verdict by itself, repeated until it is acknowledged or refused for its content
//   heartbeat  names all held samples and carries the counters
//
// Without a learner (connect "") the pool serves HTTP requests alone (score_http.c).
//
// A held job is SCORING (in the pool), READY (its verdict waits to be sent) or SENDING. The learner
// may lease a held sample again (a reply was lost, or it restarted): then only the attempt number
// is taken over. Abandoned jobs are scored to their end, that costs milliseconds, and forgotten.
#include "verifier/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/clock.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/pool.h"
#include "proto/session.h"
#include "verifier/registry.h"
#include "verifier/score_http.h"
#include "verifier/workpool.h"

enum { TICK_MS = 250, CALL_MS = 20000 };

_Static_assert(SCORE_TEXT_MAX == LIMIT_TEXT_BYTES, "a leased text fits the pool");
_Static_assert(SCORE_CAUSE_BYTES <= LIMIT_NAME_BYTES && SCORE_ID_BYTES <= LIMIT_NAME_BYTES,
               "causes and ids fit the wire");
_Static_assert(SCORE_MAX_COMPONENTS <= LIMIT_CHECKS, "components fit the wire");
_Static_assert((int)SCORE_SCORED == (int)MSG_OUTCOME_SCORE &&
                   (int)SCORE_UNSCORED == (int)MSG_OUTCOME_UNSCORED,
               "one set of numbers");

enum held_state { HELD_SCORING, HELD_READY, HELD_SENDING };

struct held {
    struct service *service;
    struct held *next;
    uint64_t sample_id;
    uint32_t attempt;
    enum held_state state;
    bool abandoned;
    struct score_result verdict;
    uint32_t elapsed_us;
};

struct service {
    const struct verifier_options *o;
    uint32_t workers;
    uv_loop_t loop;
    uv_timer_t tick;
    struct daemon *daemon;
    struct bus_client *bus;     // NULL: no learner
    struct score_http *http;    // NULL: no HTTP
    struct workpool *pool;
    struct session session;
    char detail[64];
    struct held *held;
    size_t n_held;
    uint64_t heard_ms;      // last answer to a hello or a heartbeat
    bool checks_changed;    // since the last hello
    bool pool_ready, hello_call, lease_call, heartbeat_call, stopping;
    int closing;    // parts still to close before the loop may end
    enum err failure;
    struct why why;
};

static void fail(struct service *s, enum err e, const char *what, const char *text)
{
    if (!s->failure) {
        s->failure = why_set(&s->why, e, "%s: %s", what, text);
    }
    daemon_stop(s->daemon, "failure");
}

// ---- held jobs ----

static struct held *find_held(struct service *s, uint64_t sample_id)
{
    struct held *h = s->held;
    while (h && h->sample_id != sample_id) {
        h = h->next;
    }
    return h;
}

static void release(struct held *h)
{
    struct service *s = h->service;
    struct held **at = &s->held;
    while (*at != h) {
        at = &(*at)->next;
    }
    *at = h->next;
    s->n_held--;
    score_result_fini(&h->verdict);
    free(h);
}

// ---- verdicts ----

static void lease_more(struct service *s);

static bool refused_for_content(enum err e)
{
    return e == ERR_INVALID || e == ERR_LIMIT || e == ERR_CORRUPT || e == ERR_UNSUPPORTED;
}

static void on_ack(void *arg, enum err e, const struct msg *reply, const char *text)
{
    struct held *h = arg;
    struct service *s = h->service;
    h->state = HELD_READY;    // unless released below: the tick sends it again
    if (e == ERR_CLOSED || s->stopping) {
        return;
    }
    if (h->abandoned) {
        release(h);
    } else if (!e) {
        if (reply->ack.status == MSG_ACK_SUPERSEDED || reply->ack.status == MSG_ACK_UNKNOWN) {
            LOG_INFO("VERDICT_NOT_WANTED", "sample=%llu status=%u",
                     (unsigned long long)h->sample_id, (unsigned)reply->ack.status);
        }
        release(h);
        lease_more(s);
    } else if (refused_for_content(e)) {
        // Repeating cannot help. The learner leases the sample again once we stop naming it.
        LOG_ERROR("VERDICT_REFUSED", "sample=%llu cause=\"%s\"", (unsigned long long)h->sample_id,
                  text);
        release(h);
    } else if (e == ERR_DENIED) {
        s->session.greeted = false;
    }
}

static void send_verdict(struct held *h)
{
    struct service *s = h->service;
    const struct score_result *v = &h->verdict;
    // Borrowed by the encoder during the call; loop thread.
    static struct msg_component components[SCORE_MAX_COMPONENTS];
    for (size_t i = 0; i < v->n_components; i++) {
        const struct score_component *c = &v->components[i];
        components[i] = (struct msg_component){msg_text_of(c->id), msg_text_of(c->version),
                                               c->value, c->weight};
    }
    struct msg m = {.type = MSG_SUBMIT_VERDICT,
                    .submit_verdict = {.incarnation = s->session.incarnation,
                                       .sample_id = h->sample_id,
                                       .attempt = h->attempt,
                                       .outcome = v->outcome,
                                       .reward = v->reward,
                                       .cause = msg_text_of(v->cause),
                                       .components = components,
                                       .n_components = v->n_components,
                                       .elapsed_us = h->elapsed_us}};
    if (bus_client_call(s->bus, &m, CALL_MS, on_ack, h, NULL) == ERR_OK) {
        h->state = HELD_SENDING;
    }
}

static void send_more(struct service *s)
{
    struct held *next;
    for (struct held *h = s->held; h && s->session.greeted && !s->stopping; h = next) {
        next = h->next;
        if (h->state == HELD_READY) {
            send_verdict(h);
        }
    }
}

static enum err copy_result(const struct score_result *from, struct score_result *to)
{
    struct score_result copy = *from;
    if (copy.n_components > 0) {
        copy.components = malloc(copy.n_components * sizeof *copy.components);
        if (!copy.components) {
            return ERR_NOMEM;
        }
        memcpy(copy.components, from->components, copy.n_components * sizeof *copy.components);
    }
    *to = copy;
    return ERR_OK;
}

static void on_scored(void *arg, const struct score_result *result, uint32_t elapsed_us)
{
    struct held *h = arg;
    struct service *s = h->service;
    h->elapsed_us = elapsed_us;
    h->state = HELD_READY;
    if (s->http) {
        score_http_observe(s->http, result, elapsed_us);
    }
    if (s->stopping || h->abandoned) {
        release(h);
        return;
    }
    if (copy_result(result, &h->verdict)) {
        score_unscored(&h->verdict, "out of memory");
    }
    if (h->verdict.outcome == SCORE_UNSCORED) {
        LOG_WARN("VERDICT_UNSCORED", "sample=%llu cause=\"%s\"", (unsigned long long)h->sample_id,
                 h->verdict.cause);
    }
    if (s->session.greeted) {
        send_verdict(h);
    }
    lease_more(s);
}

// ---- leases ----

static struct score_text text_of(struct msg_text t)
{
    return (struct score_text){t.data, t.len};
}

static void take_job(struct service *s, const struct msg_score_job *j)
{
    struct held *h = find_held(s, j->sample_id);
    if (h) {
        h->attempt = MAX(h->attempt, j->attempt);
        h->abandoned = false;
        return;
    }
    h = calloc(1, sizeof *h);
    if (!h) {
        LOG_ERROR("JOB_NOT_TAKEN", "sample=%llu cause=\"out of memory\"",
                  (unsigned long long)j->sample_id);
        return;
    }
    *h = (struct held){
        .service = s, .next = s->held, .sample_id = j->sample_id, .attempt = j->attempt};
    s->held = h;
    s->n_held++;
    struct score_request req = {.dataset = text_of(j->dataset),
                                .checks = text_of(j->checks),
                                .ground_truth = text_of(j->ground_truth),
                                .reward = text_of(j->reward),
                                .prompt = text_of(j->prompt),
                                .response = text_of(j->response),
                                .finish = j->finish};
    struct why why = {{0}};
    enum err e = workpool_submit(s->pool, &req, j->deadline_ms, on_scored, h, &why);
    if (e) {
        LOG_ERROR("JOB_NOT_TAKEN", "sample=%llu cause=\"%s\"", (unsigned long long)j->sample_id,
                  why.text);
        release(h);    // not named any more: leased to somebody else in due time
    }
}

static void on_work(void *arg, enum err e, const struct msg *reply, const char *text)
{
    struct service *s = arg;
    s->lease_call = false;
    if (e == ERR_CLOSED || e == ERR_TIMEOUT || s->stopping) {
        return;
    }
    if (e) {
        LOG_WARN("LEASE_REFUSED", "cause=\"%s\"", text);
        // The tick asks again, with a hello if we are unknown.
        s->session.greeted = s->session.greeted && e != ERR_DENIED;
        return;
    }
    for (size_t i = 0; i < reply->score_work.n_jobs; i++) {
        take_job(s, &reply->score_work.jobs[i]);
    }
    lease_more(s);
}

static void lease_more(struct service *s)
{
    if (!s->session.greeted || s->lease_call || s->stopping || s->n_held > s->workers) {
        return;
    }
    uint32_t room = MIN(2 * s->workers - (uint32_t)s->n_held, (uint32_t)LIMIT_JOBS_PER_LEASE);
    struct msg m = {.type = MSG_LEASE_SCORE,
                    .lease_score = {.incarnation = s->session.incarnation,
                                    .max_jobs = room,
                                    .timeout_ms = LIMIT_LONG_POLL_MS}};
    s->lease_call =
        bus_client_call(s->bus, &m, LIMIT_LONG_POLL_MS + CALL_MS, on_work, s, NULL) == ERR_OK;
}

// ---- hello ----

static void on_welcome(void *arg, enum err e, const struct msg *reply, const char *text)
{
    struct service *s = arg;
    struct why why = {{0}};
    s->hello_call = false;
    if (e == ERR_CLOSED || e == ERR_TIMEOUT || s->stopping) {
        return;    // the tick says hello again
    }
    if (e) {
        fail(s, e, "the learner refuses this verifier", text);
        return;
    }
    s->heard_ms = clock_mono_ms();
    e = session_welcome(&s->session, s->bus, &reply->welcome, &why);
    if (e) {
        fail(s, e, "start", why.text);
        return;
    }
    LOG_INFO("VERIFIER_READY", "run=%s workers=%u %s held=%zu", s->session.run_id,
             (unsigned)s->workers, s->detail, s->n_held);
    send_more(s);
    lease_more(s);
}

// The registry's checks and those of the plug-ins.
static size_t list_checks(const struct service *s, struct msg_check out[LIMIT_CHECKS])
{
    size_t n = 0;
    const struct check_row *row;
    while (n < LIMIT_CHECKS && (row = registry_at(n)) != NULL) {
        out[n++] = (struct msg_check){msg_text_of(row->id), msg_text_of(row->version)};
    }
    const struct plugins *plugins = workpool_plugins(s->pool);
    struct plugins_check check;
    for (size_t i = 0; n < LIMIT_CHECKS && plugins && plugins_check_at(plugins, i, &check); i++) {
        out[n++] = (struct msg_check){msg_text_of(check.id), msg_text_of(check.version)};
    }
    return n;
}

static void say_hello(struct service *s)
{
    if (!s->bus || s->hello_call || s->stopping || !s->pool_ready) {
        return;
    }
    static struct msg_check checks[LIMIT_CHECKS];
    size_t n = list_checks(s, checks);
    s->checks_changed = false;
    struct msg m = {.type = MSG_HELLO,
                    .hello = {.role = MSG_ROLE_VERIFIER,
                              .incarnation = s->session.incarnation,
                              .name = msg_text_of(s->o->name),
                              .token = msg_text_of(s->session.token),
                              .checks = checks,
                              .n_checks = n,
                              .detail = msg_text_of(s->detail)}};
    s->hello_call = bus_client_call(s->bus, &m, CALL_MS, on_welcome, s, NULL) == ERR_OK;
}

// ---- heartbeat ----

static void on_heartbeat(void *arg, enum err e, const struct msg *reply, const char *text)
{
    struct service *s = arg;
    (void)text;
    s->heartbeat_call = false;
    if (e || s->stopping) {
        return;
    }
    s->heard_ms = clock_mono_ms();
    const struct msg_heartbeat_reply *r = &reply->heartbeat_reply;
    for (size_t i = 0; i < r->n_abandon; i++) {
        struct held *h = find_held(s, r->abandon[i]);
        if (h && h->state == HELD_READY) {
            release(h);
        } else if (h) {
            h->abandoned = true;
        }
    }
    if (r->unknown) {
        LOG_INFO("LEARNER_RESTARTED", "held=%zu", s->n_held);
        say_hello(s);
    }
}

// The ids of held samples that still count; NULL when out of memory, and then no heartbeat goes out
// this time.
static uint64_t *list_held(const struct service *s, size_t *n)
{
    uint64_t *ids = malloc((s->n_held + 1) * sizeof *ids);
    *n = 0;
    for (const struct held *h = s->held; ids && h && *n < LIMIT_HELD; h = h->next) {
        if (!h->abandoned) {
            ids[(*n)++] = h->sample_id;
        }
    }
    return ids;
}

static void heartbeat(struct service *s, uint64_t now)
{
    const struct workpool_stats st = workpool_stats(s->pool);
    const struct msg_stat stats[] = {
        {msg_text_of("verify_jobs_total"), (double)st.jobs_total},
        {msg_text_of("verify_unscored_total"), (double)st.unscored_total},
        {msg_text_of("verify_retries_total"), (double)st.retries_total},
        {msg_text_of("worker_restarts_total"), (double)st.restarts_total},
        {msg_text_of("workers"), (double)st.workers},
        {msg_text_of("workers_busy"), (double)st.busy},
        {msg_text_of("queue"), (double)st.queued},
    };
    size_t n;
    uint64_t *ids = list_held(s, &n);
    struct msg m = {
        .type = MSG_HEARTBEAT,
        .heartbeat = {.held = ids, .n_held = n, .stats = stats, .n_stats = ARRAY_LEN(stats)}};
    session_heartbeat(&s->session, s->n_held > 0 ? "" : "responses", now, &m.heartbeat);
    if (ids) {
        s->heartbeat_call = bus_client_call(s->bus, &m, CALL_MS, on_heartbeat, s, NULL) == ERR_OK;
    }
    free(ids);
}

// Everything that a failed or refused call left undone is asked for again here.
static void on_tick(uv_timer_t *t)
{
    struct service *s = t->data;
    uint64_t now = clock_mono_ms();
    if (s->stopping) {
        return;
    }
    if (s->http) {
        struct score_learner l = {s->bus != NULL, s->session.greeted, s->heard_ms, s->n_held};
        score_http_learner(s->http, &l);
        score_http_tick(s->http);
    }
    if (!s->session.greeted || s->checks_changed) {
        say_hello(s);
    }
    if (!s->session.greeted) {
        return;
    }
    if (!s->heartbeat_call && now >= s->session.next_heartbeat_ms) {
        heartbeat(s, now);
    }
    send_more(s);
    lease_more(s);
}

// ---- life ----

static void on_pool_ready(void *arg, enum err e, enum sandbox_level level, const char *text)
{
    struct service *s = arg;
    if (s->stopping) {
        return;
    }
    if (e) {
        fail(s, e, "verifier worker", text);
        return;
    }
    (void)snprintf(s->detail, sizeof s->detail, "sandbox=%s", sandbox_level_name(level));
    if (level == SANDBOX_NONE) {
        LOG_WARN("SANDBOX_OFF", "workers run WITHOUT a sandbox, as configured: do not score "
                                "untrusted checks like this");
    } else if (text[0]) {
        LOG_WARN("SANDBOX_FALLBACK", "level=%s cause=\"%s\"", sandbox_level_name(level), text);
    }
    s->pool_ready = true;
    if (s->http) {
        score_http_ready(s->http, s->detail);
        LOG_INFO("HTTP_READY", "http=%s workers=%u %s", score_http_address(s->http),
                 (unsigned)s->workers, s->detail);
    }
    say_hello(s);
}

// The learner is told by another hello: now, or at the next tick when one is on its way.
static void on_checks_changed(void *arg)
{
    struct service *s = arg;
    s->checks_changed = s->bus != NULL;
    if (s->http) {
        score_http_plugins(s->http);
    }
    if (s->bus && s->session.greeted) {
        say_hello(s);
    }
}

static void on_part_closed(void *arg)
{
    struct service *s = arg;
    if (--s->closing == 0) {
        daemon_finished(s->daemon);
    }
}

static void on_tick_closed(uv_handle_t *h)
{
    on_part_closed(h->data);
}

static void on_stop(void *arg, const char *cause)
{
    struct service *s = arg;
    LOG_INFO("VERIFIER_STOPS", "cause=\"%s\" held=%zu", cause, s->n_held);
    s->stopping = true;
    s->closing = s->bus ? 3 : 2;
    uv_close((uv_handle_t *)&s->tick, on_tick_closed);
    if (s->bus) {
        bus_client_close(s->bus, on_part_closed, s);
    }
    if (s->http) {
        score_http_close(s->http);
    }
    workpool_close(s->pool, on_part_closed, s);
}

// Bus and HTTP first: a wrong address is told before workers are started.
static enum err open_faces(struct service *s, struct why *why)
{
    enum err e = ERR_OK;
    if (s->o->connect[0]) {
        e = bus_client_create(&s->loop, s->o->connect, &s->bus, why);
    }
    if (!e && s->o->http[0]) {
        e = score_http_create(&s->loop, s->o->http, s->session.token, 2 * s->workers, &s->http,
                              why);
    }
    return e;
}

static void abandon_faces(struct service *s)
{
    if (s->http) {
        score_http_close(s->http);
    }
    if (s->bus) {
        bus_client_close(s->bus, NULL, NULL);
    }
}

static enum err start(struct service *s, struct why *why)
{
    enum err e = open_faces(s, why);
    if (e) {
        abandon_faces(s);
        return e;
    }
    struct workpool_config c = {.worker_binary =
                                    s->o->worker_binary[0] ? s->o->worker_binary : NULL,
                                .n_workers = s->workers,
                                .sandbox = s->o->sandbox,
                                .deadline_ms = s->o->deadline_ms,
                                .recycle_jobs = s->o->recycle_jobs,
                                .queue_max = 4 * s->workers + LIMIT_JOBS_PER_LEASE,
                                .plugins = s->o->plugins,
                                .checks_changed = on_checks_changed};
    e = workpool_create(&s->loop, &c, on_pool_ready, s, &s->pool, why);
    if (e) {
        abandon_faces(s);
        return e;
    }
    if (s->http) {
        score_http_use(s->http, s->pool);
    }
    (void)uv_timer_init(&s->loop, &s->tick);
    s->tick.data = s;
    (void)uv_timer_start(&s->tick, on_tick, 0, TICK_MS);
    return ERR_OK;
}

enum err verifier_service_run(const struct verifier_options *o, struct why *why)
{
    struct service s = {.o = o, .workers = o->workers ? o->workers : (uint32_t)pool_cores()};
    enum err e = session_init(&s.session, o->name, o->token_file, why);
    if (e) {
        return e;
    }
    if (uv_loop_init(&s.loop) != 0) {
        session_fini(&s.session);
        return why_set(why, ERR_NOMEM, "event loop: out of memory");
    }
    e = daemon_create(&s.loop, on_stop, &s, &s.daemon, why);
    if (!e) {
        e = start(&s, why);
        if (e) {
            daemon_finished(s.daemon);
        }
    }
    (void)uv_run(&s.loop, UV_RUN_DEFAULT);
    daemon_destroy(s.daemon);
    while (s.held) {
        release(s.held);
    }
    score_http_destroy(s.http);
    workpool_destroy(s.pool);
    bus_client_destroy(s.bus);
    (void)uv_loop_close(&s.loop);
    session_fini(&s.session);
    if (!e && s.failure) {
        e = why_set(why, s.failure, "%s", s.why.text);
    }
    return e;
}
