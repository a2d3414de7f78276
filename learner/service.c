// service.c: the daemon's life: opening what a run is served with, ticks, the status server, the
// orderly stop. What happens in between stands in service_requests.c, service_steps.c and
// service_checkpoints.c.
//
// Thread: the loop thread, all of it; train_thread.c, journal.c, publish.c and the HTTP server have
// their own.
#include "learner/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "learner/service_internal.h"
#include "proto/limits.h"

enum { TICK_MS = 100, BOARD_TICKS = 3, JOURNAL_CAPACITY = 4096 };

void service_fail(struct service *s, enum err e, const char *text)
{
    if (!s->failure) {
        s->failure = why_set(&s->why, e, "%s", text);
    }
    daemon_stop(s->daemon, "failure");
}

// ---- status server ----

static void on_http(void *arg, const char *path, struct http_reply *out)
{
    struct service *s = arg;
    bool healthy = true;
    if (strcmp(path, "/status") == 0) {
        *out = (struct http_reply){.status = 200, .content_type = "application/json"};
        out->body = board_copy(s->board, BOARD_STATUS, &out->len, NULL);
    } else if (strcmp(path, "/metrics") == 0) {
        *out = (struct http_reply){.status = 200,
                                   .content_type = "text/plain; version=0.0.4; charset=utf-8"};
        out->body = board_copy(s->board, BOARD_METRICS, &out->len, NULL);
    } else if (strcmp(path, "/healthz") == 0) {
        *out = (struct http_reply){.content_type = "text/plain; charset=utf-8"};
        out->body = board_copy(s->board, BOARD_HEALTH, &out->len, &healthy);
        out->status = healthy ? 200 : 503;
    } else {
        *out = (struct http_reply){.status = 404,
                                   .content_type = "text/plain; charset=utf-8",
                                   .body = strdup("try /status, /metrics or /healthz\n")};
        out->len = out->body ? strlen(out->body) : 0;
    }
}

static void refresh_board(struct service *s, uint64_t now)
{
    struct board_service v = {
        .queues = {{"journal",
                    JOURNAL_CAPACITY - MIN((size_t)JOURNAL_CAPACITY, journal_room(s->journal)),
                    JOURNAL_CAPACITY},
                   {"parked", s->parked.n, PARKED_MAX}},
        .n_queues = 2,
        .malformed = bus_server_malformed(s->bus),
        .journal = journal_get_stats(s->journal),
        .address = bus_server_address(s->bus),
        .http = http_server_address(s->http)};
    board_refresh(s->board, s->coordinator, &v, now);
}

static void save_status(struct service *s)
{
    size_t len;
    char *text = board_copy(s->board, BOARD_STATUS, &len, NULL);
    char *path = fs_path("%s/status.json", s->run->dir);
    struct why why = {0};
    if (text && path && fs_write_file(path, text, len, &why)) {
        LOG_WARN("STATUS_NOT_SAVED", "cause=\"%s\"", why.text);
    }
    free(path);
    free(text);
}

// ---- life ----

static void on_tick(uv_timer_t *t)
{
    struct service *s = t->data;
    uint64_t now = clock_mono_ms();
    if (s->stopping) {
        return;
    }
    coordinator_tick(s->coordinator, now, clock_wall_ms());
    service_report_step(s);
    s->retry_generate = s->retry_score = s->retry_version = true;    // deadlines
    if (s->ticks++ % BOARD_TICKS == 0) {
        refresh_board(s, now);
    }
}

// Before the loop sleeps.
static void on_prepare(uv_prepare_t *h)
{
    service_settle(h->data);
}

static void maybe_finished(struct service *s)
{
    if (s->bus_closed && s->journal_closed) {
        daemon_finished(s->daemon);
    }
}

static void on_bus_closed(void *arg)
{
    struct service *s = arg;
    s->bus_closed = true;
    maybe_finished(s);
}

static void on_journal_closed(void *arg)
{
    struct service *s = arg;
    s->journal_closed = true;
    maybe_finished(s);
}

static void on_stop(void *arg, const char *cause)
{
    struct service *s = arg;
    LOG_INFO("LEARNER_STOPPING", "cause=\"%s\" step=%llu", cause, (unsigned long long)s->last_step);
    board_phase(s->board, s->exporting ? "complete" : "stopped");
    refresh_board(s, clock_mono_ms());
    save_status(s);
    s->stopping = true;
    s->complete = s->complete && s->exporting && strcmp(cause, "complete") == 0;
    uv_timer_stop(&s->tick);
    uv_close((uv_handle_t *)&s->tick, NULL);
    uv_close((uv_handle_t *)&s->prepare, NULL);
    train_thread_close(s->train);
    bus_server_close(s->bus, on_bus_closed, s);
    journal_close(s->journal, on_journal_closed, s);
}

static void on_journal_failed(void *arg, enum err e, const char *text)
{
    struct service *s = arg;
    LOG_ERROR("LEDGER_FAILED", "cause=\"%s\"", text);
    service_fail(s, e, text);
}

static enum err open_files(struct service *s, struct why *why)
{
    char *path = fs_path("%s/metrics.jsonl", s->run->dir);
    s->metrics = path ? fopen(path, "a") : NULL;
    enum err e = s->metrics
                     ? ERR_OK
                     : why_set(why, ERR_IO, "%s/metrics.jsonl: %s", s->run->dir, strerror(errno));
    free(path);
    s->address =
        s->run->conf.listen[0] ? strdup(s->run->conf.listen) : fs_path("ipc://%s/bus", s->run->dir);
    s->chunk = malloc(LIMIT_CHUNK_BYTES);
    if (!e && (!s->address || !s->chunk)) {
        e = why_set(why, ERR_NOMEM, "learner: out of memory");
    }
    return e;
}

static enum err open_servers(struct service *s, struct why *why)
{
    char *socket_path = fs_path("%s/http.sock", s->run->dir);
    enum err e = socket_path
                     ? bus_server_create(&s->loop, s->address, service_on_request, s, &s->bus, why)
                     : why_set(why, ERR_NOMEM, "learner: out of memory");
    e = e ? e : http_server_create(s->run->conf.http, socket_path, on_http, s, &s->http, why);
    free(socket_path);
    return e;
}

static enum err open_core(struct service *s, struct why *why)
{
    struct coordinator_config config = {.conf = &s->run->conf,
                                        .n_train = tasks_count(s->run->train),
                                        .n_eval = s->run->eval ? tasks_count(s->run->eval) : 0,
                                        .heartbeat_ms = SERVICE_HEARTBEAT_MS};
    struct coordinator_ops ops = service_ops(s);
    service_list_checkpoints(s);
    enum err e = board_create(s->run, &s->board);
    if (e) {
        return why_set(why, e, "learner: out of memory");
    }
    e = journal_create(&s->loop, s->run->ledger, JOURNAL_CAPACITY, on_journal_failed, s,
                       &s->journal, why);
    if (e) {
        return e;
    }
    // The coordinator reads the ledger in this call, before the first transaction is sent: the
    // connection is not shared.
    e = coordinator_create(&config, &ops, s->run->ledger, journal_sink(s->journal), clock_mono_ms(),
                           clock_wall_ms(), &s->coordinator, why);
    return e ? e : train_thread_create(&s->loop, s->run, service_on_train_done, s, &s->train, why);
}

// What is trained is the whole softmax: a sampler that cuts off its tail draws from something else.
static void warn_of_truncation(const struct conf *c)
{
    if (c->top_p < 1.0 || c->top_k > 0 || c->min_p > 0.0) {
        LOG_WARN("SAMPLER_TRUNCATES",
                 "top_k=%lld top_p=%g min_p=%g effect=\"off-policy by what is cut, see kept_mass "
                 "of the actors\"",
                 (long long)c->top_k, c->top_p, c->min_p);
    }
}

static enum err serve(struct service *s)
{
    s->last_version = coordinator_newest_version(s->coordinator);
    s->checkpoint_step = s->run->checkpoint_step;
    s->last_step = s->run->last_step;
    s->checkpoint_s = s->train_idle_since_s = clock_mono_s();
    uv_timer_init(&s->loop, &s->tick);
    s->tick.data = s;
    uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS);
    uv_prepare_init(&s->loop, &s->prepare);
    s->prepare.data = s;
    uv_prepare_start(&s->prepare, on_prepare);
    board_phase(s->board, "training");
    LOG_INFO("LEARNER_READY", "run=%s address=%s http=%s version=%llu", s->run->run_id,
             bus_server_address(s->bus), http_server_address(s->http),
             (unsigned long long)coordinator_newest_version(s->coordinator));
    warn_of_truncation(&s->run->conf);
    coordinator_start(s->coordinator, clock_mono_ms());
    publish_hold(s->run->publish, false);    // what restored evaluations name is pinned now
    refresh_board(s, clock_mono_ms());
    uv_run(&s->loop, UV_RUN_DEFAULT);
    return s->failure ? s->failure : s->complete ? ERR_OK : ERR_CANCELLED;
}

enum err learner_service_run(struct run *r, struct why *why)
{
    struct service *s = calloc(1, sizeof *s);
    if (!s || uv_loop_init(&s->loop)) {
        free(s);
        return why_set(why, ERR_NOMEM, "learner: out of memory");
    }
    s->run = r;
    const char *token_file = r->conf.token_file;
    enum err e = token_file[0] ? fs_read_token(token_file, &s->token, why) : ERR_OK;
    e = e ? e : open_files(s, why);
    e = e ? e : daemon_create(&s->loop, on_stop, s, &s->daemon, why);
    e = e ? e : open_core(s, why);
    e = e ? e : open_servers(s, why);
    if (e) {
        return e;    // the process ends with it: nothing was promised to anybody yet
    }
    e = serve(s);
    if (s->failure) {
        *why = s->why;
    }
    http_server_destroy(s->http);
    coordinator_destroy(s->coordinator);
    journal_destroy(s->journal);
    train_thread_destroy(s->train);
    bus_server_destroy(s->bus);
    board_destroy(s->board);
    daemon_destroy(s->daemon);
    uv_loop_close(&s->loop);
    json_decref(s->step_stats);
    free(s->step_metrics);
    fclose(s->metrics);
    free(s->address);
    free(s->token);
    free(s->chunk);
    free(s);
    return e;
}
