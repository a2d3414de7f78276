// service.c: glue, in the order of a request's life: handlers of the bus, operations the
// coordinator asks for, outcomes of the train thread, ticks, start and stop.
//
// Thread: the loop thread, all of it (train_thread.c, journal.c, publish.c and the HTTP server have
// their own). Requests of the "wait" endpoint that cannot be answered are parked and tried again
// whenever the coordinator says there may be work, or a new version came, at the latest when their
// time is up.
#include "learner/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/clock.h"
#include "common/daemon.h"
#include "common/fs.h"
#include "common/log.h"
#include "learner/board.h"
#include "learner/coordinator.h"
#include "learner/parked.h"
#include "learner/train_thread.h"
#include "proto/bus.h"
#include "proto/http.h"
#include "proto/limits.h"

enum {
    TICK_MS = 100,
    HEARTBEAT_MS = 1000,
    JOURNAL_CAPACITY = 4096,
    TOKEN_FILE_MAX = 4096,
    MAX_KEPT_CHECKPOINTS = 64
};

struct service {
    struct run *run;
    uv_loop_t loop;
    uv_timer_t tick;
    uv_prepare_t prepare;
    struct daemon *daemon;
    struct bus_server *bus;
    struct http_server *http;
    struct journal *journal;
    struct coordinator *coordinator;
    struct train_thread *train;
    struct board *board;
    struct parked parked;
    bool retry_generate, retry_score, retry_version;
    char *token, *address, *chunk;
    FILE *metrics;
    // the step that is running, and what is known about it before it ends
    json_t *step_stats;
    struct train_done step_done;
    char *step_metrics;    // waits for room in the journal
    double train_idle_since_s;
    // checkpoints
    char kept[MAX_KEPT_CHECKPOINTS][64];
    size_t n_kept;
    uint64_t checkpoint_step, last_step, last_version;
    double checkpoint_s;    // when the last one was asked for
    bool checkpoint_runs, exporting, complete, stopping, bus_closed, journal_closed;
    unsigned ticks;
    enum err failure;
    struct why why;
};

static void fail(struct service *s, enum err e, const char *text)
{
    if (!s->failure) {
        s->failure = why_set(&s->why, e, "%s", text);
    }
    daemon_stop(s->daemon, "failure");
}

// ---- requests that are answered at once ----

static bool token_ok(const struct service *s, const struct msg_text *given)
{
    if (!s->token) {
        return true;
    }
    size_t len = strlen(s->token);
    unsigned char differ = given->len != len;
    for (size_t i = 0; i < given->len && i < len; i++) {
        differ |=
            (unsigned char)(given->data[i] ^ s->token[i]);    // no early end: timing tells nothing
    }
    return !differ;
}

static void on_hello(struct service *s, struct bus_request *r, uint64_t now)
{
    const struct msg_hello *h = &bus_request_msg(r)->hello;
    const char *numerics = s->run->device->ops->numerics_id;
    struct why why = {0};
    if (!token_ok(s, &h->token)) {
        LOG_WARN("HELLO_DENIED", "name=\"%s\" cause=token", h->name.data);
        bus_reply_fault(r, ERR_DENIED, "the token is not the learner's (learner.token_file)");
        return;
    }
    if (h->role == MSG_ROLE_ACTOR && strcmp(h->numerics_id.data, numerics) != 0) {
        why_set(&why, ERR_MISMATCH,
                "numerics_id: %s, this run computes with %s: log-probs could not agree bit for bit",
                h->numerics_id.data, numerics);
        bus_reply_fault(r, ERR_MISMATCH, why.text);
        return;
    }
    enum err e = coordinator_hello(s->coordinator, h, now, &why);
    if (e) {
        bus_reply_fault(r, e, why.text);
        return;
    }
    LOG_INFO("HELLO", "role=%s name=\"%s\" detail=\"%s\"",
             h->role == MSG_ROLE_ACTOR ? "actor" : "verifier", h->name.data, h->detail.data);
    struct msg m = {.type = MSG_WELCOME,
                    .welcome = {.run_id = msg_text_of(s->run->run_id),
                                .wait_address = msg_text_of(bus_server_wait_address(s->bus)),
                                .model_config = msg_text_of(s->run->model_config),
                                .model_hash = s->run->model_hash,
                                .dtype = (uint32_t)s->run->conf.dtype,
                                .newest_version = coordinator_newest_version(s->coordinator),
                                .seed = s->run->conf.seed,
                                .heartbeat_ms = HEARTBEAT_MS}};
    bus_reply(r, &m);
}

static void on_heartbeat(struct service *s, struct bus_request *r, uint64_t now)
{
    const struct msg_heartbeat *h = &bus_request_msg(r)->heartbeat;
    struct msg m = {.type = MSG_HEARTBEAT_REPLY};
    coordinator_heartbeat(s->coordinator, h, now, &m.heartbeat_reply.abandon,
                          &m.heartbeat_reply.n_abandon, &m.heartbeat_reply.unknown);
    m.heartbeat_reply.newest_version = coordinator_newest_version(s->coordinator);
    board_heartbeat(s->board, h, now);
    bus_reply(r, &m);
}

static void on_fetch(struct service *s, struct bus_request *r)
{
    const struct msg_fetch_weights *f = &bus_request_msg(r)->fetch_weights;
    struct why why = {0};
    struct msg m = {.type = MSG_WEIGHTS_CHUNK};
    struct msg_weights_chunk *c = &m.weights_chunk;
    uint64_t version = f->version ? f->version : coordinator_newest_version(s->coordinator);
    size_t len = 0, max = MIN(f->max_bytes, (size_t)LIMIT_CHUNK_BYTES);
    enum err e = publish_read(s->run->publish, version, f->offset, max, s->chunk, &len, &c->version,
                              &c->total_bytes, &c->weights_hash, &why);
    if (e) {
        bus_reply_fault(r, e, why.text);
        return;
    }
    c->offset = f->offset;
    c->bytes = (struct msg_text){.data = s->chunk, .len = len};
    c->chunk_hash = hash_bytes(s->chunk, len);
    bus_reply(r, &m);
}

// ---- submits: the reply leaves when the ledger has the row ----

struct ack_wait {
    struct service *service;
    struct bus_request *request;
};

static void on_acknowledged(void *arg, enum err e, enum msg_ack status)
{
    struct ack_wait *w = arg;
    struct service *s = w->service;
    if (s->stopping) {
        // the request went down with the bus
    } else if (e) {
        bus_reply_fault(w->request, e, "the ledger could not be written");
    } else {
        struct msg m = {.type = MSG_ACK,
                        .ack = {.status = (uint32_t)status,
                                .newest_version = coordinator_newest_version(s->coordinator)}};
        bus_reply(w->request, &m);
    }
    free(w);
}

static void on_submit(struct service *s, struct bus_request *r, uint64_t now)
{
    const struct msg *m = bus_request_msg(r);
    struct why why = {0};
    struct ack_wait *w = malloc(sizeof *w);
    if (!w) {
        bus_reply_fault(r, ERR_NOMEM, "learner: out of memory");
        return;
    }
    *w = (struct ack_wait){.service = s, .request = r};
    enum err e = m->type == MSG_SUBMIT_SAMPLE
                     ? coordinator_submit_sample(s->coordinator, &m->submit_sample, now,
                                                 on_acknowledged, w, &why)
                     : coordinator_submit_verdict(s->coordinator, &m->submit_verdict, now,
                                                  on_acknowledged, w, &why);
    if (e) {
        free(w);
        LOG_WARN("SUBMIT_REFUSED", "type=%s cause=\"%s\"", msg_type_name(m->type),
                 why.text[0] ? why.text : err_text(e));
        bus_reply_fault(r, e, why.text[0] ? why.text : err_text(e));
    } else if (m->type == MSG_SUBMIT_VERDICT) {
        board_verdict(s->board, (enum msg_outcome)m->submit_verdict.outcome,
                      m->submit_verdict.cause.data, m->submit_verdict.cause.len);
    }
}

// ---- leases and long polls ----

static void on_leased(void *arg, enum err e, const struct msg_group *groups, size_t n)
{
    struct ack_wait *w = arg;
    struct service *s = w->service;
    if (s->stopping) {
        // the request went down with the bus
    } else if (e) {
        bus_reply_fault(w->request, e, "the ledger could not be written");
    } else {
        struct msg m = {
            .type = MSG_GENERATE_WORK,
            .generate_work = {.groups = groups,
                              .n_groups = n,
                              .stop_ids = s->run->stop_ids,
                              .n_stop_ids = s->run->n_stop_ids,
                              .newest_version = coordinator_newest_version(s->coordinator)}};
        bus_reply(w->request, &m);
    }
    free(w);
}

// Each returns true when the request has been answered or will be; false: park it.
static bool try_generate(void *arg, struct bus_request *r, bool expired)
{
    struct service *s = arg;
    struct ack_wait *w = malloc(sizeof *w);
    enum err e = ERR_NOMEM;
    if (w) {
        *w = (struct ack_wait){.service = s, .request = r};
        e = coordinator_lease_generate(s->coordinator, &bus_request_msg(r)->lease_generate,
                                       clock_mono_ms(), on_leased, w);
        if (!e) {
            return true;
        }
        free(w);
    }
    if ((e == ERR_NOT_FOUND || e == ERR_FULL) && !expired) {
        return false;
    }
    if (e == ERR_NOT_FOUND || e == ERR_FULL) {
        struct msg m = {
            .type = MSG_GENERATE_WORK,
            .generate_work = {.newest_version = coordinator_newest_version(s->coordinator)}};
        bus_reply(r, &m);
    } else {
        bus_reply_fault(r, e, e == ERR_DENIED ? "unknown actor: say hello" : err_text(e));
    }
    return true;
}

static bool try_score(void *arg, struct bus_request *r, bool expired)
{
    struct service *s = arg;
    struct msg m = {.type = MSG_SCORE_WORK};
    enum err e = coordinator_lease_score(s->coordinator, &bus_request_msg(r)->lease_score,
                                         clock_mono_ms(), &m.score_work.jobs, &m.score_work.n_jobs);
    if ((e == ERR_NOT_FOUND || e == ERR_FULL) && !expired) {
        return false;
    }
    if (e && e != ERR_NOT_FOUND && e != ERR_FULL) {
        bus_reply_fault(r, e, e == ERR_DENIED ? "unknown verifier: say hello" : err_text(e));
        return true;
    }
    m.score_work.newest_version = coordinator_newest_version(s->coordinator);
    bus_reply(r, &m);
    return true;
}

static bool try_version(void *arg, struct bus_request *r, bool expired)
{
    struct service *s = arg;
    uint64_t newest = coordinator_newest_version(s->coordinator);
    if (newest <= bus_request_msg(r)->wait_version.have_version && !expired) {
        return false;
    }
    struct msg m = {.type = MSG_VERSION, .version = {.newest_version = newest}};
    bus_reply(r, &m);
    return true;
}

static void park_or_try(struct service *s, struct bus_request *r, parked_try_fn *fn,
                        uint32_t timeout_ms, uint64_t now)
{
    uint64_t deadline = now + MIN(timeout_ms, (uint32_t)LIMIT_LONG_POLL_MS);
    if (fn(s, r, false)) {
        return;
    }
    if (!parked_add(&s->parked, r, deadline)) {
        (void)fn(s, r, true);
    }
}

static void on_request(void *arg, struct bus_request *r)
{
    struct service *s = arg;
    const struct msg *m = bus_request_msg(r);
    uint64_t now = clock_mono_ms();
    switch (m->type) {
    case MSG_HELLO:
        on_hello(s, r, now);
        break;
    case MSG_HEARTBEAT:
        on_heartbeat(s, r, now);
        break;
    case MSG_FETCH_WEIGHTS:
        on_fetch(s, r);
        break;
    case MSG_SUBMIT_SAMPLE:
    case MSG_SUBMIT_VERDICT:
        on_submit(s, r, now);
        break;
    case MSG_LEASE_GENERATE:
        park_or_try(s, r, try_generate, m->lease_generate.timeout_ms, now);
        break;
    case MSG_LEASE_SCORE:
        park_or_try(s, r, try_score, m->lease_score.timeout_ms, now);
        break;
    case MSG_WAIT_VERSION:
        coordinator_has_version(s->coordinator, m->wait_version.incarnation,
                                m->wait_version.have_version);
        s->retry_generate = true;
        park_or_try(s, r, try_version, m->wait_version.timeout_ms, now);
        break;
    default:
        bus_reply_fault(r, ERR_INVALID, "this message is not a request to the learner");
        break;
    }
}

// ---- what the coordinator asks for ----

static enum err op_task(void *arg, enum ledger_purpose purpose, uint64_t ordinal,
                        struct coordinator_task *out)
{
    struct service *s = arg;
    uint64_t epoch = 0;
    struct tasks *set = purpose == LEDGER_TRAIN ? s->run->train : s->run->eval;
    size_t row = (size_t)ordinal;
    if (purpose == LEDGER_TRAIN) {
        row = tasks_draw(set, s->run->conf.shuffle, s->run->conf.seed, ordinal, &epoch);
    } else if (!set || ordinal >= tasks_count(set)) {
        return ERR_NOT_FOUND;
    }
    const struct task *t = tasks_get(set, row);
    *out = (struct coordinator_task){.task_index = row,
                                     .epoch = epoch,
                                     .prompt = t->prompt,
                                     .n_prompt = t->n_prompt,
                                     .prompt_text = msg_text_of(t->prompt_text),
                                     .dataset = msg_text_of(t->dataset),
                                     .checks = msg_text_of(t->checks),
                                     .ground_truth = msg_text_of(t->ground_truth),
                                     .kind = msg_text_of(t->kind),
                                     .needs = msg_text_of(t->needs)};
    return ERR_OK;
}

static enum err op_detokenise(void *arg, const uint32_t *tokens, size_t n, struct buf *out,
                              struct why *why)
{
    struct service *s = arg;
    return tokenizer_decode(s->run->tokenizer, tokens, n, true, out, why);
}

// Only notes: the coordinator may be inside a retry of the same list. settle() does the work.
static void op_work(void *arg, enum msg_role role)
{
    struct service *s = arg;
    if (role == MSG_ROLE_ACTOR) {
        s->retry_generate = true;
    } else {
        s->retry_score = true;
    }
}

static void op_version(void *arg, uint64_t version)
{
    struct service *s = arg;
    (void)version;
    s->retry_version = true;
}

// Before the loop sleeps: parked requests that may succeed by what has just happened.
static void settle(uv_prepare_t *h)
{
    struct service *s = h->data;
    if (s->stopping) {
        return;
    }
    uint64_t now = clock_mono_ms();
    for (int round = 0; round < 4 && (s->retry_generate || s->retry_score || s->retry_version);
         round++) {
        bool generate = s->retry_generate, score = s->retry_score, version = s->retry_version;
        s->retry_generate = s->retry_score = s->retry_version = false;
        if (version) {
            parked_retry(&s->parked, MSG_WAIT_VERSION, now, try_version, s);
        }
        if (generate) {
            parked_retry(&s->parked, MSG_LEASE_GENERATE, now, try_generate, s);
        }
        if (score) {
            parked_retry(&s->parked, MSG_LEASE_SCORE, now, try_score, s);
        }
    }
}

static void op_pin(void *arg, uint64_t version, bool pinned)
{
    struct service *s = arg;
    if (pinned) {
        publish_pin(s->run->publish, version);
    } else {
        publish_unpin(s->run->publish, version);
    }
}

static void op_step(void *arg, const struct train_step *step, const json_t *stats)
{
    struct service *s = arg;
    json_decref(s->step_stats);
    s->step_stats = json_deep_copy(stats);
    enum err e = train_thread_step(s->train, step);
    if (e) {
        fail(s, e, "the train thread does not take a step");
    }
}

static void write_metrics(struct service *s, const json_t *row)
{
    char *line = json_dumps(row, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (line && s->metrics && (fprintf(s->metrics, "%s\n", line) < 0 || fflush(s->metrics))) {
        LOG_WARN("METRICS_NOT_WRITTEN", "cause=\"%s\"", strerror(errno));
    }
    free(line);
}

static void op_no_signal(void *arg, uint64_t step, const json_t *stats)
{
    struct service *s = arg;
    json_t *row = json_deep_copy(stats);
    json_object_set_new(row, "step", json_integer((json_int_t)step));
    json_object_set_new(row, "no_signal", json_true());
    write_metrics(s, row);
    json_decref(row);
    LOG_INFO("STEP_NO_SIGNAL", "step=%llu", (unsigned long long)step);
}

static void op_eval_done(void *arg, const struct coordinator_eval *e)
{
    struct service *s = arg;
    board_eval(s->board, e);
    json_t *row =
        json_pack("{s:{s:I,s:I,s:I,s:I,s:f,s:O}}", "eval", "version", (json_int_t)e->version,
                  "step", (json_int_t)e->step, "n", (json_int_t)e->n, "scored",
                  (json_int_t)e->n_scored, "reward_mean", e->reward_mean, "by_kind", e->by_kind);
    write_metrics(s, row);
    json_decref(row);
    LOG_INFO("EVALUATION", "version=%llu step=%llu n=%llu reward=%.4f",
             (unsigned long long)e->version, (unsigned long long)e->step,
             (unsigned long long)e->n_scored, e->reward_mean);
}

static void finish_run(struct service *s);
static void op_finished(void *arg, const char *cause)
{
    struct service *s = arg;
    LOG_INFO("RUN_FINISHED", "cause=\"%s\" step=%llu", cause, (unsigned long long)s->last_step);
    board_phase(s->board, "finishing");
    s->complete = true;
    finish_run(s);
}

// ---- outcomes of the train thread ----

static void set_real(json_t *row, const char *key, double v)
{
    json_object_set_new(row, key, json_real(v));
}

static json_t *step_row(const struct service *s, const struct train_done *d, double wait_s)
{
    const struct train_result *r = &d->result;
    json_t *row = s->step_stats ? json_deep_copy(s->step_stats) : json_object();
    char hash[HASH_HEX_LEN + 1];
    hash_hex(r->weights_hash, hash);
    json_object_set_new(row, "step", json_integer((json_int_t)d->step->step));
    json_object_set_new(row, "version", json_integer((json_int_t)d->step->new_version));
    json_object_set_new(row, "time_ms", json_integer((json_int_t)clock_wall_ms()));
    json_object_set_new(row, "weights_hash", json_string(hash));
    json_object_set_new(row, "tokens", json_integer((json_int_t)r->tokens));
    json_object_set_new(row, "rows", json_integer((json_int_t)r->rows));
    json_object_set_new(row, "logprob_compared_tokens",
                        json_integer((json_int_t)r->compared_tokens));
    json_object_set_new(row, "logprob_mismatched_tokens",
                        json_integer((json_int_t)r->mismatched_tokens));
    set_real(row, "lr", d->step->hyper.lr);
    set_real(row, "loss", r->loss);
    set_real(row, "grad_norm", r->grad_norm);
    set_real(row, "entropy", r->entropy);
    set_real(row, "kl", r->kl);
    set_real(row, "ratio_mean", r->ratio_mean);
    set_real(row, "ratio_max", r->ratio_max);
    set_real(row, "clip_fraction", r->clip_fraction);
    set_real(row, "forward_backward_s", r->forward_backward_s);
    set_real(row, "optimiser_s", r->optimiser_s);
    set_real(row, "publish_s", r->publish_s);
    set_real(row, "wait_s", wait_s);
    set_real(row, "train_tokens_per_s", d->seconds > 0 ? (double)r->tokens / d->seconds : 0);
    return row;
}

// Mean and largest age from stats.age {"0": n, "1": n, …}.
static void add_staleness(json_t *row)
{
    double n = 0, sum = 0, max = 0;
    const char *age;
    json_t *count;
    json_object_foreach(json_object_get(row, "age"), age, count)
    {
        double a = strtod(age, NULL), c = json_number_value(count);
        n += c;
        sum += a * c;
        max = c > 0 ? MAX(max, a) : max;
    }
    set_real(row, "staleness_mean", n > 0 ? sum / n : 0);
    set_real(row, "staleness_max", max);
}

static void report_step(struct service *s)
{
    if (!s->step_metrics) {
        return;
    }
    enum err e = coordinator_step_done(s->coordinator, &s->step_done.result, s->step_metrics,
                                       clock_mono_ms());
    if (e == ERR_FULL) {
        return;    // the tick tries again
    }
    free(s->step_metrics);
    s->step_metrics = NULL;
    if (e) {
        fail(s, e, "the coordinator does not take the step's outcome");
    }
}

static void maybe_checkpoint(struct service *s, bool force);

static void on_step_done(struct service *s, const struct train_done *d)
{
    double wait_s = MAX(0, clock_mono_s() - d->seconds - s->train_idle_since_s);
    json_t *row = step_row(s, d, wait_s);
    add_staleness(row);
    s->train_idle_since_s = clock_mono_s();
    s->last_step = d->step->step;
    s->last_version = d->step->new_version;
    s->step_done = *d;
    s->step_metrics = json_dumps(row, JSON_COMPACT);
    board_step(s->board, row, &d->result);
    write_metrics(s, row);
    if (d->result.mismatched_tokens) {
        LOG_ERROR("LOGPROB_MISMATCH", "step=%llu mismatched=%llu compared=%llu",
                  (unsigned long long)d->step->step,
                  (unsigned long long)d->result.mismatched_tokens,
                  (unsigned long long)d->result.compared_tokens);
    }
    LOG_INFO("STEP",
             "step=%llu version=%llu reward=%.4f tokens=%llu grad_norm=%.4f seconds=%.2f wait=%.2f",
             (unsigned long long)d->step->step, (unsigned long long)d->step->new_version,
             json_number_value(json_object_get(row, "reward_mean")),
             (unsigned long long)d->result.tokens, d->result.grad_norm, d->seconds, wait_s);
    json_decref(row);
    report_step(s);
    maybe_checkpoint(s, false);
}

static void maybe_checkpoint(struct service *s, bool force)
{
    const struct conf *c = &s->run->conf;
    if (s->checkpoint_runs || s->last_step <= s->checkpoint_step) {
        return;
    }
    bool by_steps = c->checkpoint_steps > 0 &&
                    s->last_step - s->checkpoint_step >= (uint64_t)c->checkpoint_steps;
    bool by_time =
        c->checkpoint_seconds > 0 && clock_mono_s() - s->checkpoint_s >= c->checkpoint_seconds;
    if (!force && !by_steps && !by_time) {
        return;
    }
    // Called between two steps only: the trainer's state is that after last_step.
    bool full = s->n_kept && s->n_kept >= (size_t)MAX(1, c->keep_checkpoints);
    if (train_thread_checkpoint(s->train, s->last_step, s->last_version, full ? s->kept[0] : "") ==
        ERR_OK) {
        s->checkpoint_runs = true;
    }
}

static void on_checkpoint_done(struct service *s, const struct train_done *d)
{
    s->checkpoint_runs = false;
    s->checkpoint_s = clock_mono_s();
    if (d->err) {
        LOG_ERROR("CHECKPOINT_FAILED", "dir=%s cause=\"%s\"", d->dir,
                  d->why.text);    // the run goes on; recovery has more to re-run
        return;
    }
    s->checkpoint_step = d->at_step;
    if (coordinator_checkpoint(s->coordinator, d->at_step, d->at_version, d->dir)) {
        LOG_WARN("CHECKPOINT_NOT_RECORDED", "dir=%s",
                 d->dir);    // an orphan: removed at the next start
        return;
    }
    LOG_INFO("CHECKPOINT", "step=%llu dir=%s seconds=%.2f", (unsigned long long)d->at_step, d->dir,
             d->seconds);
    if (s->n_kept && s->n_kept >= (size_t)MAX(1, s->run->conf.keep_checkpoints)) {
        if (coordinator_checkpoint_gone(s->coordinator, s->kept[0])) {
            LOG_WARN("CHECKPOINT_NOT_FORGOTTEN", "dir=%s", s->kept[0]);
        }
        memmove(s->kept[0], s->kept[1], (s->n_kept - 1) * sizeof s->kept[0]);
        s->n_kept--;
    }
    if (s->n_kept < MAX_KEPT_CHECKPOINTS) {
        snprintf(s->kept[s->n_kept++], sizeof s->kept[0], "%s", d->dir);
    }
}

static void on_train_done(void *arg, const struct train_done *d)
{
    struct service *s = arg;
    if (s->stopping || d->err == ERR_CANCELLED) {
        return;
    }
    if (d->job == TRAIN_CHECKPOINT) {
        on_checkpoint_done(s, d);
    } else if (d->err) {
        fail(s, d->err, d->why.text);
    } else if (d->job == TRAIN_STEP) {
        on_step_done(s, d);
    } else {
        LOG_INFO("EXPORTED", "dir=%s/model version=%llu", s->run->dir,
                 (unsigned long long)publish_newest(s->run->publish));
        daemon_stop(s->daemon, "complete");
        return;
    }
    if (s->complete) {
        finish_run(s);
    }
}

// After the last evaluation: a checkpoint of the final state, then the export, then the end.
static void finish_run(struct service *s)
{
    maybe_checkpoint(s, true);
    if (s->checkpoint_runs || s->exporting) {
        return;
    }
    s->exporting = true;
    if (train_thread_export(s->train)) {
        fail(s, ERR_NOMEM, "the export could not be started");
    }
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
    report_step(s);
    s->retry_generate = s->retry_score = s->retry_version = true;    // deadlines
    if (s->ticks++ % 3 == 0) {
        refresh_board(s, now);
    }
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
    fail(s, e, text);
}

static enum err read_token(struct service *s, struct why *why)
{
    size_t len;
    if (!s->run->conf.token_file[0]) {
        return ERR_OK;
    }
    enum err e = fs_read_file(s->run->conf.token_file, TOKEN_FILE_MAX, &s->token, &len, why);
    if (e) {
        return e;
    }
    s->token[strcspn(s->token, "\r\n")] = '\0';
    return s->token[0]
               ? ERR_OK
               : why_set(why, ERR_INVALID, "%s: the token file is empty", s->run->conf.token_file);
}

// The checkpoints that exist, oldest first, so that the right one goes when a new one comes.
static void list_checkpoints(struct service *s)
{
    struct ledger_checkpoint cp;
    size_t n = 0;
    while (n < MAX_KEPT_CHECKPOINTS &&
           ledger_get_checkpoint(s->run->ledger, n, &cp, NULL) == ERR_OK) {
        n++;
    }
    for (size_t i = n; i-- > 0;) {
        if (ledger_get_checkpoint(s->run->ledger, i, &cp, NULL) == ERR_OK) {
            snprintf(s->kept[s->n_kept++], sizeof s->kept[0], "%.60s", cp.dir);
        }
    }
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
    enum err e = socket_path ? bus_server_create(&s->loop, s->address, on_request, s, &s->bus, why)
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
                                        .heartbeat_ms = HEARTBEAT_MS};
    struct coordinator_ops ops = {.arg = s,
                                  .task = op_task,
                                  .detokenise = op_detokenise,
                                  .work = op_work,
                                  .step = op_step,
                                  .no_signal = op_no_signal,
                                  .version = op_version,
                                  .pin = op_pin,
                                  .eval_done = op_eval_done,
                                  .finished = op_finished};
    list_checkpoints(s);
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
    return e ? e : train_thread_create(&s->loop, s->run, on_train_done, s, &s->train, why);
}

static enum err serve(struct service *s)
{
    s->last_version = coordinator_newest_version(s->coordinator);
    s->checkpoint_step = s->last_step = s->run->checkpoint_step;
    s->checkpoint_s = s->train_idle_since_s = clock_mono_s();
    uv_timer_init(&s->loop, &s->tick);
    s->tick.data = s;
    uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS);
    uv_prepare_init(&s->loop, &s->prepare);
    s->prepare.data = s;
    uv_prepare_start(&s->prepare, settle);
    board_phase(s->board, "training");
    LOG_INFO("LEARNER_READY", "run=%s address=%s http=%s version=%llu", s->run->run_id,
             bus_server_address(s->bus), http_server_address(s->http),
             (unsigned long long)coordinator_newest_version(s->coordinator));
    coordinator_start(s->coordinator, clock_mono_ms());
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
    enum err e = read_token(s, why);
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
