// service.c: the loop side of the actor: one small state machine per conversation with the learner.
//
//   hello      at start and whenever a heartbeat is answered "unknown"; the first WELCOME builds the
//              model, later ones must name the same run
//   weights    fetch.c
//   lease      one LEASE_GENERATE long poll at a time, for as many samples as slots are free, plus
//              one group ahead so that a slot never idles
//   submit     up to SUBMITS_IN_FLIGHT samples at once, repeated until answered
//   heartbeat  names all held samples and carries the counters
//   panel      what people see of all this (panel.h), made anew each tick
//
// Thread: the loop thread, all of it. Every call has a deadline in bus.h; a failed one is repeated
// by the tick (TICK_MS).
#include "actor/service.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "actor/fetch.h"
#include "actor/outbox.h"
#include "actor/panel.h"
#include "common/clock.h"
#include "common/daemon.h"
#include "common/log.h"
#include "proto/session.h"

enum { TICK_MS = 250, CALL_MS = 20000, SUBMITS_IN_FLIGHT = 8 };

struct service {
    const struct actor_options *o;
    uv_loop_t loop;
    uv_timer_t tick;
    struct daemon *daemon;
    struct bus_client *bus;
    struct compute *compute;
    struct reload *reload;
    struct outbox outbox;
    struct panel *panel;
    struct session session;
    struct fetch fetch;
    bool hello_call, lease_call, heartbeat_call, stopping;
    size_t submits, largest_group;
    uint64_t heard_ms;    // last answer to a hello or a heartbeat
    enum err failure;
    struct why why;
};

static void lease_more(struct service *s);
static void submit_more(struct service *s);

static void fail(struct service *s, enum err e, const char *what, const char *text)
{
    if (!s->failure) {
        s->failure = why_set(&s->why, e, "%s: %s", what, text);
    }
    daemon_stop(s->daemon, "failure");
}

// ---- leases ----

static void take_group(struct service *s, const struct msg_group *g,
                       const struct msg_generate_work *w)
{
    s->largest_group = MAX(s->largest_group, g->n_samples);
    if (outbox_hold(&s->outbox, g->sample_ids, g->n_samples) ||
        compute_add(s->compute, g, w->stop_ids, w->n_stop_ids)) {
        LOG_ERROR("LEASE_NOT_TAKEN", "group=%llu samples=%zu", (unsigned long long)g->group_id,
                  g->n_samples);
        panel_trouble(s->panel, "LEASE_NOT_TAKEN", "the compute thread's mailbox is full");
        for (size_t i = 0; i < g->n_samples; i++) {
            outbox_drop(&s->outbox, g->sample_ids[i]);    // no longer named in heartbeats: the
                                                          // learner issues them again
        }
    }
}

static void on_lease(void *arg, enum err e, const struct msg *reply, const char *text)
{
    struct service *s = arg;
    s->lease_call = false;
    if (e == ERR_CLOSED || s->stopping) {
        return;
    }
    if (e) {
        if (e != ERR_TIMEOUT) {
            LOG_WARN("LEASE_FAILED", "cause=\"%s\"", text);
            panel_trouble(s->panel, "LEASE_FAILED", text);
        }
        return;
    }
    const struct msg_generate_work *w = &reply->generate_work;
    for (size_t i = 0; i < w->n_groups; i++) {
        take_group(s, &w->groups[i], w);
    }
    fetch_saw(&s->fetch, w->newest_version);
    if (w->n_groups) {
        session_waits(&s->session, "", 0);
    }
    lease_more(s);
    fetch_more(&s->fetch);
}

static void lease_more(struct service *s)
{
    size_t room = s->o->slots + s->largest_group;
    if (s->lease_call || s->stopping || !s->fetch.loaded || s->outbox.n_held >= room) {
        return;
    }
    struct msg m = {.type = MSG_LEASE_GENERATE,
                    .lease_generate = {.incarnation = s->session.incarnation,
                                       .max_samples = (uint32_t)(room - s->outbox.n_held),
                                       .have_version = s->fetch.loaded,
                                       .timeout_ms = LIMIT_LONG_POLL_MS}};
    s->lease_call = bus_client_call(s->bus, &m, CALL_MS, on_lease, s, NULL) == ERR_OK;
    if (s->outbox.n_held == 0) {
        session_waits(&s->session, "prompts", clock_mono_ms());
    }
}

// ---- submission ----

struct submission {
    struct service *service;
    struct outgoing *sample;
};

static void on_submitted(void *arg, enum err e, const struct msg *reply, const char *text)
{
    struct submission *sub = arg;
    struct service *s = sub->service;
    struct outgoing *o = sub->sample;
    free(sub);
    s->submits--;
    o->in_flight = false;
    if (e == ERR_CLOSED || s->stopping) {
        return;
    }
    if (e == ERR_INVALID || e == ERR_LIMIT || e == ERR_CORRUPT) {
        // Refused for its content: repeating cannot help. The learner re-issues the sample once we
        // stop naming it.
        LOG_ERROR("SAMPLE_REFUSED", "sample=%llu cause=\"%s\"",
                  (unsigned long long)o->msg.sample_id, text);
        panel_trouble(s->panel, "SAMPLE_REFUSED", text);
        outbox_done(&s->outbox, o);
    } else if (!e) {
        if (reply->ack.status != MSG_ACK_OK) {
            LOG_INFO("SAMPLE_ACK", "sample=%llu status=%u tries=%u",
                     (unsigned long long)o->msg.sample_id, reply->ack.status, o->tries);
        }
        fetch_saw(&s->fetch, reply->ack.newest_version);
        outbox_done(&s->outbox, o);
        fetch_more(&s->fetch);
    } else {
        return;    // time-out or a passing fault: the tick submits it again
    }
    submit_more(s);
    lease_more(s);
}

static void submit_more(struct service *s)
{
    while (s->submits < SUBMITS_IN_FLIGHT && !s->stopping && s->session.greeted) {
        struct outgoing *o = outbox_next(&s->outbox);
        struct submission *sub = o ? malloc(sizeof *sub) : NULL;
        if (!sub) {
            return;
        }
        *sub = (struct submission){.service = s, .sample = o};
        o->msg.incarnation = s->session.incarnation;
        o->msg.payload = msg_sample_hash(&o->msg);
        struct msg m = {.type = MSG_SUBMIT_SAMPLE, .submit_sample = o->msg};
        if (bus_client_call(s->bus, &m, CALL_MS, on_submitted, sub, NULL)) {
            free(sub);
            return;
        }
        o->in_flight = true;
        o->tries++;
        s->submits++;
    }
}

// ---- events of the compute thread ----

static void on_sample(void *arg, struct outgoing *o)
{
    struct service *s = arg;
    if (outbox_put(&s->outbox, o)) {
        submit_more(s);
    }
}

static void on_released(void *arg, const struct weights *w)
{
    struct service *s = arg;
    reload_recycle(s->reload, w);
    fetch_more(&s->fetch);
}

static void on_wants(void *arg, uint64_t version)
{
    struct service *s = arg;
    fetch_pinned(&s->fetch, version);
    fetch_more(&s->fetch);
}

static void on_compute_failed(void *arg, enum err e, const char *text)
{
    fail(arg, e, "decode", text);
}

static void on_decoded(void *arg, uint64_t version, uint64_t at_us)
{
    struct service *s = arg;
    fetch_on_decoded(&s->fetch, version, at_us);
    if (s->fetch.publish_to_decode_ms >= 0 && version == s->fetch.loaded) {
        LOG_INFO("WEIGHTS_IN_USE", "version=%llu path=%s publish_to_decode_ms=%.1f",
                 (unsigned long long)version, s->fetch.mapped ? "slab" : "chunks",
                 s->fetch.publish_to_decode_ms);
    }
}

static void on_loaded(void *arg)
{
    lease_more(arg);
}

static void on_trouble(void *arg, const char *event, const char *text)
{
    struct service *s = arg;
    panel_trouble(s->panel, event, text);
}

static void on_room(void *arg)
{
    fetch_more(arg);
}

// ---- hello ----

static enum err build_model(struct service *s, const struct msg_welcome *w, struct why *why)
{
    struct model_config config;
    enum err e = model_config_parse(w->model_config.data, w->model_config.len,
                                    "learner's model config", &config, why);
    if (e) {
        return e;
    }
    if (w->dtype != CONF_DTYPE_BF16 && w->dtype != CONF_DTYPE_F32) {
        return why_set(why, ERR_INVALID, "learner's weight type: %u is not known", w->dtype);
    }
    enum dtype t = w->dtype == CONF_DTYPE_BF16 ? DTYPE_BF16 : DTYPE_F32;
    struct compute_options co = {.device_kind = s->o->device,
                                 .threads = s->o->threads,
                                 .config = config,
                                 .seed = w->seed,
                                 .limits = {.slots = s->o->slots,
                                            .prefill_rows = s->o->prefill_rows,
                                            .kv_bytes = s->o->kv_bytes,
                                            .max_context = (size_t)config.max_positions}};
    struct compute_events ev = {.sample = on_sample,
                                .released = on_released,
                                .wants = on_wants,
                                .decoded = on_decoded,
                                .failed = on_compute_failed,
                                .arg = s};
    struct reload_events rev = {.done = fetch_on_reloaded, .room = on_room, .arg = &s->fetch};
    e = compute_create(&s->loop, &co, &ev, &s->compute, why);
    e = e ? e : reload_create(&s->loop, s->o->device, &config, t, &rev, &s->reload, why);
    s->fetch = (struct fetch){.bus = s->bus,
                              .compute = s->compute,
                              .reload = s->reload,
                              .incarnation = s->session.incarnation,
                              .slabs = s->o->slabs,
                              .publish_to_decode_ms = -1,
                              .on_loaded = on_loaded,
                              .on_trouble = on_trouble,
                              .arg = s};
    return e;
}

static void on_welcome(void *arg, enum err e, const struct msg *reply, const char *text)
{
    struct service *s = arg;
    struct why why = {0};
    s->hello_call = false;
    if (e == ERR_CLOSED || e == ERR_TIMEOUT || s->stopping) {
        return;    // the tick says hello again
    }
    if (e) {
        fail(s, e, "the learner refuses this actor", text);
        return;
    }
    const struct msg_welcome *w = &reply->welcome;
    s->heard_ms = clock_mono_ms();
    e = session_welcome(&s->session, s->bus, w, &why);
    if (!e && !s->compute) {
        e = build_model(s, w, &why);
    }
    if (e) {
        fail(s, e, "start", why.text);
        return;
    }
    LOG_INFO("ACTOR_READY", "run=%s newest=%llu slots=%zu", s->session.run_id,
             (unsigned long long)w->newest_version, s->o->slots);
    fetch_reset(&s->fetch, w->newest_version);
    fetch_more(&s->fetch);
    submit_more(s);
    lease_more(s);
}

static void say_hello(struct service *s)
{
    struct why why = {0};
    struct device *d;
    if (s->hello_call || s->stopping) {
        return;
    }
    enum err e = device_open(s->o->device, NULL, &d, &why);
    if (e) {
        fail(s, e, "device", why.text);
        return;
    }
    struct msg m = {.type = MSG_HELLO,
                    .hello = {.role = MSG_ROLE_ACTOR,
                              .incarnation = s->session.incarnation,
                              .name = msg_text_of(s->o->name),
                              .numerics_id = msg_text_of(d->ops->numerics_id),
                              .token = msg_text_of(s->session.token),
                              .detail = msg_text_of(device_isa(d))}};
    s->hello_call = bus_client_call(s->bus, &m, CALL_MS, on_welcome, s, NULL) == ERR_OK;
    device_close(d);
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
    const struct msg_heartbeat_reply *r = &reply->heartbeat_reply;
    s->heard_ms = clock_mono_ms();
    for (size_t i = 0; i < r->n_abandon; i++) {
        outbox_drop(&s->outbox, r->abandon[i]);
        if (compute_abandon(s->compute, r->abandon[i])) {
            LOG_WARN("ABANDON_FAILED", "sample=%llu", (unsigned long long)r->abandon[i]);
        }
    }
    fetch_saw(&s->fetch, r->newest_version);
    if (r->unknown) {
        LOG_INFO("LEARNER_RESTARTED", "held=%zu", s->outbox.n_held);
        panel_trouble(s->panel, "LEARNER_RESTARTED", "it did not know this actor");
        say_hello(s);
    }
    fetch_more(&s->fetch);
    lease_more(s);
}

static const char *waiting_for(const struct service *s)
{
    if (!s->fetch.loaded) {
        return "weights";
    }
    return s->outbox.n_held ? "" : "prompts";
}

static void heartbeat(struct service *s, uint64_t now)
{
    const struct engine_stats *st = compute_stats(s->compute);
    const struct msg_stat stats[] = {
        {msg_text_of("decode_tokens_total"), (double)st->decode_tokens},
        {msg_text_of("prefill_tokens_total"), (double)st->prefill_tokens},
        {msg_text_of("passes_total"), (double)st->passes},
        {msg_text_of("kept_mass_total"), (double)st->kept_mass_e6 / 1e6},
        {msg_text_of("busy_seconds_total"), (double)st->busy_us / 1e6},
        {msg_text_of("samples_finished_total"), (double)st->samples_finished},
        {msg_text_of("samples_abandoned_total"), (double)st->samples_abandoned},
        {msg_text_of("samples_straddling_total"), (double)st->straddling},
        {msg_text_of("weight_swaps_total"), (double)st->swaps},
        {msg_text_of("slots"), (double)s->o->slots},
        {msg_text_of("slots_busy"), (double)st->slots_busy},
        {msg_text_of("samples_waiting"), (double)st->samples_waiting},
        {msg_text_of("outbox_samples"), (double)s->outbox.n_outgoing},
        {msg_text_of("kv_pages"), (double)st->kv_pages_total},
        {msg_text_of("kv_pages_used"), (double)st->kv_pages_used},
        {msg_text_of("version"), (double)st->version},
        {msg_text_of("weights_in_slab"), s->fetch.mapped},
        {msg_text_of("publish_to_decode_ms"), s->fetch.publish_to_decode_ms},    // may be unknown
    };
    struct msg m = {
        .type = MSG_HEARTBEAT,
        .heartbeat = {.held = s->outbox.held,
                      .n_held = MIN(s->outbox.n_held, (size_t)LIMIT_HELD),
                      .stats = stats,
                      .n_stats = ARRAY_LEN(stats) - (s->fetch.publish_to_decode_ms < 0 ? 1 : 0)}};
    session_heartbeat(&s->session, waiting_for(s), now, &m.heartbeat);
    s->heartbeat_call = bus_client_call(s->bus, &m, CALL_MS, on_heartbeat, s, NULL) == ERR_OK;
}

// ---- what people see ----

static void add_engine(const struct service *s, struct panel_snapshot *p)
{
    const struct engine_stats *st = compute_stats(s->compute);
    for (size_t i = 0; i < ENGINE_SLABS; i++) {
        p->versions[i] = st->held[i];
    }
    p->decode_tokens = st->decode_tokens;
    p->prefill_tokens = st->prefill_tokens;
    p->passes = st->passes;
    p->busy_us = st->busy_us;
    p->kept_mass_e6 = st->kept_mass_e6;
    p->finished = st->samples_finished;
    p->abandoned = st->samples_abandoned;
    p->straddling = st->straddling;
    p->swaps = st->swaps;
    p->slots_busy = st->slots_busy;
    p->waiting = st->samples_waiting;
    p->kv_pages = st->kv_pages_total;
    p->kv_pages_used = st->kv_pages_used;
}

static void show(struct service *s, uint64_t now)
{
    struct panel_snapshot p = {.greeted = s->session.greeted,
                               .stopping = s->stopping,
                               .heard_ms = s->heard_ms,
                               .waits_for = waiting_for(s),
                               .waits_since_ms = s->session.waits_since_ms,
                               .held = s->outbox.n_held,
                               .outbox = s->outbox.n_outgoing,
                               .submits = s->submits,
                               .slots = s->o->slots,
                               .newest = s->fetch.newest,
                               .mapped = s->fetch.mapped,
                               .loaded = s->fetch.loaded,
                               .fetching = s->fetch.version,
                               .fetched = s->fetch.offset,
                               .fetch_total = s->fetch.total,
                               .slabs = s->reload ? reload_packed(s->reload) : 0};
    snprintf(p.learner, sizeof p.learner, "%s", s->o->connect);
    snprintf(p.run_id, sizeof p.run_id, "%s", s->session.run_id);
    if (s->compute) {
        add_engine(s, &p);
    }
    panel_show(s->panel, &p, now);
}

// Everything that a failed or refused call left undone is asked for again here.
static void on_tick(uv_timer_t *t)
{
    struct service *s = t->data;
    uint64_t now = clock_mono_ms();
    if (s->stopping) {
        return;
    }
    show(s, now);
    if (!s->session.greeted) {
        say_hello(s);
        return;
    }
    if (!s->heartbeat_call && now >= s->session.next_heartbeat_ms) {
        heartbeat(s, now);
    }
    fetch_more(&s->fetch);
    submit_more(s);
    lease_more(s);
}

// ---- life ----

static void on_bus_closed(void *arg)
{
    struct service *s = arg;
    daemon_finished(s->daemon);
}

static void on_stop(void *arg, const char *cause)
{
    struct service *s = arg;
    LOG_INFO("ACTOR_STOPPING", "cause=\"%s\" held=%zu", cause, s->outbox.n_held);
    s->stopping = s->fetch.stopping = true;
    show(s, clock_mono_ms());
    uv_timer_stop(&s->tick);
    uv_close((uv_handle_t *)&s->tick, NULL);
    if (s->compute) {
        compute_close(s->compute);
    }
    if (s->reload) {
        reload_close(s->reload);
    }
    bus_client_close(s->bus, on_bus_closed, s);
}

// The pages are served from the first moment on, so that a start that hangs can be looked at.
static enum err open_panel(struct service *s, struct why *why)
{
    struct device *d = NULL;
    char device[PANEL_TEXT];
    enum err e = device_open(s->o->device, NULL, &d, why);
    if (e) {
        return why_prefix(why, e, "device");
    }
    snprintf(device, sizeof device, "%s (%s)", s->o->device, device_isa(d));
    device_close(d);
    e = panel_create(s->o->http, s->o->name, device, &s->panel, why);
    if (!e && s->o->http[0]) {
        LOG_INFO("HTTP_READY", "http=%s", panel_address(s->panel));
    }
    return e;
}

enum err actor_service_run(const struct actor_options *o, struct why *why)
{
    struct service s = {.o = o};
    enum err e = session_init(&s.session, o->name, o->token_file, why);
    if (e) {
        return e;
    }
    if (uv_loop_init(&s.loop)) {
        session_fini(&s.session);
        return why_set(why, ERR_NOMEM, "event loop: out of memory");
    }
    e = daemon_create(&s.loop, on_stop, &s, &s.daemon, why);
    e = e ? e : open_panel(&s, why);
    if (!e) {
        e = bus_client_create(&s.loop, o->connect, &s.bus, why);
    }
    if (e) {
        panel_destroy(s.panel);
        session_fini(&s.session);
        return e;    // main ends the process
    }
    uv_timer_init(&s.loop, &s.tick);
    s.tick.data = &s;
    uv_timer_start(&s.tick, on_tick, 0, TICK_MS);
    uv_run(&s.loop, UV_RUN_DEFAULT);

    panel_destroy(s.panel);
    compute_destroy(s.compute);
    reload_destroy(s.reload);
    outbox_fini(&s.outbox);
    bus_client_destroy(s.bus);
    daemon_destroy(s.daemon);
    uv_loop_close(&s.loop);
    session_fini(&s.session);
    if (s.failure) {
        *why = s.why;
    }
    return s.failure;
}
