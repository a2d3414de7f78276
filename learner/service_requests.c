// service_requests.c: what actors, verifiers and tools ask the learner, in the order of a request's
// life: at once, when the ledger has it, or as soon as there is something to say.
//
// A submit is answered when its row is durable, a lease when it is. Requests of the "wait" endpoint
// that cannot be answered are parked and tried again whenever the coordinator says there may be
// work, or a new version came, at the latest when their time is up. Loop thread.
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "learner/publish_slab.h"
#include "learner/service_internal.h"
#include "proto/limits.h"

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

// Where a token is asked for, nobody reads weights or sends samples who has not shown it. A learner
// that restarts forgets its guests; they say hello again when their heartbeat is answered "unknown".
static bool is_guest(const struct service *s, struct msg_incarnation who)
{
    size_t n = MIN(s->n_guests, (size_t)SERVICE_GUESTS);
    for (size_t i = 0; s->token && i < n; i++) {
        if (msg_incarnation_equal(s->guests[i], who)) {
            return true;
        }
    }
    return !s->token;
}

static void remember_guest(struct service *s, struct msg_incarnation who)
{
    if (!is_guest(s, who)) {
        s->guests[s->n_guests++ % SERVICE_GUESTS] = who;
    }
}

static bool turned_away(const struct service *s, struct bus_request *r, struct msg_incarnation who)
{
    if (is_guest(s, who)) {
        return false;
    }
    bus_reply_fault(r, ERR_DENIED, "unknown process: say hello, with the token");
    return true;
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
    remember_guest(s, h->incarnation);
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
                                .heartbeat_ms = SERVICE_HEARTBEAT_MS}};
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
    struct publish_version v;
    enum err e = publish_read(s->run->publish, version, f->offset, max, s->chunk, &len, &v, &why);
    if (e) {
        bus_reply_fault(r, e, why.text);
        return;
    }
    c->version = v.version;
    c->total_bytes = v.bytes;
    c->weights_hash = v.hash;
    c->offset = f->offset;
    c->bytes = (struct msg_text){.data = s->chunk, .len = len};
    c->chunk_hash = hash_bytes(s->chunk, len);
    bus_reply(r, &m);
}

// Only what the ledger has: a version that it will never have must not decode a token.
static void on_find(struct service *s, struct bus_request *r)
{
    uint64_t version = bus_request_msg(r)->find_weights.version;
    struct why why = {"this version is not there yet"};
    struct publish_version v;
    enum err e = version <= coordinator_newest_version(s->coordinator)
                     ? publish_find(s->run->publish, version, &v, &why)
                     : ERR_NOT_FOUND;
    if (e) {
        bus_reply_fault(r, e, why.text);
        return;
    }
    struct msg m = {.type = MSG_WEIGHTS_FOUND,
                    .weights_found = {
                        .version = v.version, .weights_hash = v.hash, .updated_us = v.updated_us}};
    struct weightslab_name name;
    struct hash128 hash;
    if (s->run->slabs && publish_slab_find(s->run->slabs, v.version, &name, &hash) &&
        hash_equal(hash, v.hash)) {
        m.weights_found.slab_pid = name.pid;
        m.weights_found.slab_fd = name.fd;
        m.weights_found.slab_owner = name.owner;
    }
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

void service_on_request(void *arg, struct bus_request *r)
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
        if (!turned_away(s, r, m->fetch_weights.incarnation)) {
            on_fetch(s, r);
        }
        break;
    case MSG_FIND_WEIGHTS:
        if (!turned_away(s, r, m->find_weights.incarnation)) {
            on_find(s, r);
        }
        break;
    case MSG_SUBMIT_SAMPLE:
        if (!turned_away(s, r, m->submit_sample.incarnation)) {
            on_submit(s, r, now);
        }
        break;
    case MSG_SUBMIT_VERDICT:
        if (!turned_away(s, r, m->submit_verdict.incarnation)) {
            on_submit(s, r, now);
        }
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

void service_settle(struct service *s)
{
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
