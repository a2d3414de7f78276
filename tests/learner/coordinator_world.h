// coordinator_world.h: a whole run around one coordinator, without sockets, threads or a clock.
//
// Transactions queue up in `queue` and become durable when world_pump says so; a crash throws away
// what was not pumped, destroys the coordinator and builds a new one from the ledger, as a kill -9
// of the learner would. Acknowledged payloads are remembered on the actors' side, so that the test
// can hold the ledger to its word.
#ifndef CARAVAN_TESTS_LEARNER_COORDINATOR_WORLD_H
#define CARAVAN_TESTS_LEARNER_COORDINATOR_WORLD_H

#include "common/rng.h"
#include "learner/coordinator.h"
#include "tests/learner/ledger_rig.h"

enum { WORLD_QUEUE = 256, WORLD_HELD = 4096, WORLD_IDS = 1 << 16 };

struct queued {
    struct ledger_txn *txn;
    ledger_done_fn *done;
    void *arg;
};

struct held {                       // a sample in an actor's hands
    uint64_t id, group, version;    // weights it started under
    uint32_t attempt, n_prompt, max_tokens;
    uint64_t pinned;
    uint8_t actor;
};

struct answer {    // a submit under way: what its actor may rely on once it is acknowledged
    struct world *w;
    struct answer *next;
    uint64_t id;
    struct hash128 payload;
};

struct world {
    struct rig r;
    struct conf conf;
    struct coordinator *c;
    uint64_t now_ms;
    uint64_t n_train, n_eval;
    struct queued queue[WORLD_QUEUE];
    size_t n_queue, room;
    struct held held[WORLD_HELD];
    size_t n_held;
    // what came out
    size_t n_work, n_acks, n_steps, n_no_signal, n_evals, n_finished, work_calls;
    enum msg_ack last_ack;
    enum err last_error;
    uint64_t versions_told, told_version;
    const struct train_step *step;
    uint64_t step_samples[1024];
    size_t n_step_samples;
    struct coordinator_eval eval;
    int pins;
    char finished[16];
    uint8_t leasing_actor;
    bool lose_replies;    // leases whose reply never reaches the actor
    struct hash128 acked[WORLD_IDS];
    bool is_acked[WORLD_IDS];
    struct answer *answers;
};

static const uint32_t world_prompt[] = {5, 6, 7, 8};

static inline enum err world_task(void *arg, enum ledger_purpose purpose, uint64_t ordinal,
                                  struct coordinator_task *out)
{
    struct world *w = arg;
    static const char *const kinds[] = {"sum1", "no_comma", "title"};
    *out = (struct coordinator_task){
        .task_index = ordinal % (purpose == LEDGER_TRAIN ? w->n_train : w->n_eval),
        .epoch = purpose == LEDGER_TRAIN ? ordinal / w->n_train : 0,
        .prompt = world_prompt,
        .n_prompt = 4,
        .prompt_text = msg_text_of("Say something."),
        .dataset = msg_text_of("\"string\""),
        .ground_truth = msg_text_of("\"x\""),
        .kind = msg_text_of(kinds[ordinal % 3]),
        .needs = msg_text_of("string")};
    return ERR_OK;
}

static inline enum err world_detokenise(void *arg, const uint32_t *tokens, size_t n,
                                        struct buf *out, struct why *why)
{
    (void)arg;
    for (size_t i = 0; i < n; i++) {
        if (tokens[i] >= 1000) {
            return why_set(why, ERR_INVALID, "token %u is not in 0..999", tokens[i]);
        }
        enum err e = buf_printf(out, "%u ", tokens[i]);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}

static inline void world_work(void *arg, enum msg_role role)
{
    (void)role;
    ((struct world *)arg)->work_calls++;
}

// The step is in the ledger, and no sample of it is older than the bound.
static inline void world_step(void *arg, const struct train_step *s, const json_t *stats)
{
    struct world *w = arg;
    struct why why;
    (void)stats;
    assert_null(w->step);
    w->step = s;
    w->n_steps++;
    w->n_step_samples = 0;
    struct ledger_step *stored = NULL;
    struct ledger_heads h;
    OK(ledger_get_heads(w->r.l, &h, &why));
    OK(ledger_load_step(w->r.l, h.branch, s->step, &stored, &why));
    assert_int_equal(stored->train.n_groups, s->n_groups);
    assert_int_equal(stored->train.version, s->version);
    for (size_t g = 0; g < s->n_groups; g++) {
        assert_true(s->groups[g].n_samples >= 2);
        assert_int_equal(stored->train.groups[g].n_samples, s->groups[g].n_samples);
        for (size_t i = 0; i < s->groups[g].n_samples; i++) {
            const struct train_sample *a = &s->groups[g].samples[i],
                                      *b = &stored->train.groups[g].samples[i];
            assert_int_equal(a->sample_id, b->sample_id);
            assert_int_equal(a->n_tokens, b->n_tokens);
            assert_memory_equal(a->tokens, b->tokens, 4 * a->n_tokens);
            assert_memory_equal(a->logprobs, b->logprobs, 4 * a->n_tokens);
            assert_memory_equal(&a->advantage, &b->advantage, sizeof(double));
            assert_int_equal(a->fresh, b->fresh);
            assert_int_equal(a->masked, b->masked);
            w->step_samples[w->n_step_samples++] = a->sample_id;
        }
    }
    ledger_step_free(stored);
    char sql[256];
    (void)snprintf(sql, sizeof sql,
                   "SELECT coalesce(max(p.version - s.oldest_version), 0) FROM step_samples m JOIN "
                   "steps p USING(branch, step) JOIN samples s USING(sample_id) WHERE step = %llu",
                   (unsigned long long)s->step);
    assert_true(rig_int(&w->r, sql) <= w->conf.staleness_max);
}

static inline void world_no_signal(void *arg, uint64_t step, const json_t *stats)
{
    (void)step;
    assert_non_null(stats);
    ((struct world *)arg)->n_no_signal++;
}

static inline void world_version(void *arg, uint64_t version)
{
    struct world *w = arg;
    struct why why;
    struct ledger_version v;
    OK(ledger_get_version(w->r.l, version, &v, &why));    // told only when recorded
    w->told_version = version;
    w->versions_told++;
}

static inline void world_pin(void *arg, uint64_t version, bool pinned)
{
    assert_true(version > 0);
    ((struct world *)arg)->pins += pinned ? 1 : -1;
}

static inline void world_eval_done(void *arg, const struct coordinator_eval *e)
{
    struct world *w = arg;
    assert_true(json_is_object(e->by_kind));
    w->eval = *e;
    w->eval.by_kind = NULL;
    w->n_evals++;
}

static inline void world_finished(void *arg, const char *cause)
{
    struct world *w = arg;
    w->n_finished++;
    (void)snprintf(w->finished, sizeof w->finished, "%s", cause);
}

static inline enum err world_send(void *arg, struct ledger_txn *t, ledger_done_fn *done,
                                  void *done_arg)
{
    struct world *w = arg;
    if (w->n_queue >= w->room) {
        return ERR_FULL;
    }
    w->queue[w->n_queue++] = (struct queued){t, done, done_arg};
    return ERR_OK;
}

static inline size_t world_room(void *arg)
{
    struct world *w = arg;
    return w->room - MIN(w->n_queue, w->room);
}

static inline void world_build(struct world *w)
{
    struct why why;
    struct coordinator_ops ops = {w,
                                  world_task,
                                  world_detokenise,
                                  world_work,
                                  world_step,
                                  world_no_signal,
                                  world_version,
                                  world_pin,
                                  world_eval_done,
                                  world_finished};
    struct coordinator_config config = {
        .conf = &w->conf, .n_train = w->n_train, .n_eval = w->n_eval, .heartbeat_ms = 1000};
    OK(coordinator_create(&config, &ops, w->r.l, (struct ledger_sink){w, world_send, world_room},
                          w->now_ms, (int64_t)w->now_ms + 1000000, &w->c, &why));
    coordinator_start(w->c, w->now_ms);
    w->told_version = coordinator_newest_version(w->c);
}

// A fresh run with version 1: 4 groups of 4 a step, staleness 1, no evaluation, no stop. Change
// w->conf, then world_begin.
static inline void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    rig_open(&w->r);
    conf_defaults(&w->conf);
    w->conf.group_size = 4;
    w->conf.groups_per_step = 4;
    w->conf.staleness_max = 1;
    w->conf.max_tokens = 16;
    w->conf.lease_ms = 10000;
    w->conf.replace_max = 3;
    w->conf.stop_steps = w->conf.stop_epochs = w->conf.eval_every = 0;
    w->conf.stop_minutes = 0;
    w->conf.truncated = CONF_TRUNC_SCORE;
    w->conf.unscored = CONF_UNSCORED_DROP;
    w->n_train = 1000;
    w->n_eval = 0;
    w->room = WORLD_QUEUE;
    w->now_ms = 1000000;
}

static inline void world_begin(struct world *w)
{
    struct why why;
    struct ledger_txn *t = ledger_txn_create(1);
    ledger_put_version(t, 1, 0, 0, hash_bytes("one", 3), 0);
    OK(ledger_write(w->r.l, t, &why));
    ledger_txn_destroy(t);
    world_build(w);
}

// Makes the oldest n transactions durable, in one SQLite transaction, and calls their completions.
static inline void world_pump(struct world *w, size_t n)
{
    struct why why;
    n = MIN(n, w->n_queue);
    if (n == 0) {
        return;
    }
    struct queued batch[WORLD_QUEUE];
    memcpy(batch, w->queue, n * sizeof *batch);
    OK(ledger_begin(w->r.l, &why));
    for (size_t i = 0; i < n; i++) {
        OK(ledger_apply(w->r.l, batch[i].txn, &why));
    }
    OK(ledger_commit(w->r.l, &why));
    memmove(w->queue, w->queue + n, (w->n_queue - n) * sizeof *w->queue);
    w->n_queue -= n;
    for (size_t i = 0; i < n; i++) {
        batch[i].done(batch[i].arg, ERR_OK, batch[i].txn);
        ledger_txn_destroy(batch[i].txn);
    }
}

static inline void world_drain(struct world *w)
{
    while (w->n_queue > 0) {
        world_pump(w, w->n_queue);
    }
}

// kill -9: what is not durable is gone, and so is memory.
static inline void world_crash(struct world *w)
{
    for (size_t i = 0; i < w->n_queue; i++) {
        ledger_txn_destroy(w->queue[i].txn);
    }
    w->n_queue = 0;
    coordinator_destroy(w->c);
    w->c = NULL;
    w->step = NULL;
    w->pins = 0;
    world_build(w);
}

static inline void world_end(struct world *w)
{
    for (size_t i = 0; i < w->n_queue; i++) {
        ledger_txn_destroy(w->queue[i].txn);
    }
    coordinator_destroy(w->c);
    while (w->answers != NULL) {
        struct answer *next = w->answers->next;
        test_free(w->answers);
        w->answers = next;
    }
    rig_close(&w->r);
}

static inline void world_tick(struct world *w, uint64_t ms)
{
    w->now_ms += ms;
    coordinator_tick(w->c, w->now_ms, (int64_t)w->now_ms + 1000000);
}

// ---- peers ----

static inline void world_hello(struct world *w, uint8_t n, enum msg_role role)
{
    struct why why;
    struct msg_check check = {msg_text_of("string"), msg_text_of("1")};
    struct msg_hello h = {.role = role,
                          .incarnation = rig_name(n),
                          .name = msg_text_of("peer"),
                          .checks = &check,
                          .n_checks = role == MSG_ROLE_VERIFIER};
    OK(coordinator_hello(w->c, &h, w->now_ms, &why));
}

static inline void world_on_work(void *arg, enum err e, const struct msg_group *groups, size_t n)
{
    struct world *w = arg;
    assert_int_equal(e, ERR_OK);
    for (size_t g = 0; g < n && !w->lose_replies; g++) {
        for (size_t i = 0; i < groups[g].n_samples; i++) {
            assert_true(w->n_held < WORLD_HELD);
            w->held[w->n_held++] = (struct held){
                groups[g].sample_ids[i],
                groups[g].group_id,
                groups[g].pinned_version != 0 ? groups[g].pinned_version : w->told_version,
                groups[g].attempt,
                (uint32_t)groups[g].n_prompt,
                groups[g].sampling.max_tokens,
                groups[g].pinned_version,
                w->leasing_actor};
        }
    }
    w->n_work++;
}

static inline enum err world_lease(struct world *w, uint8_t actor, uint32_t max, uint64_t have)
{
    struct msg_lease_generate m = {
        .incarnation = rig_name(actor), .max_samples = max, .have_version = have};
    w->leasing_actor = actor;
    return coordinator_lease_generate(w->c, &m, w->now_ms, world_on_work, w);
}

static inline void world_on_ack(void *arg, enum err e, enum msg_ack status)
{
    struct answer *a = arg;
    struct world *w = a->w;
    w->n_acks++;
    w->last_error = e;
    w->last_ack = status;
    if (e == ERR_OK && (status == MSG_ACK_OK || status == MSG_ACK_DUPLICATE) && a->id > 0) {
        assert_true(a->id < WORLD_IDS);
        assert_true(!w->is_acked[a->id] || hash_equal(w->acked[a->id], a->payload));
        w->is_acked[a->id] = true;
        w->acked[a->id] = a->payload;
    }
}

// Lives as long as the world: a crash may lose the completion it waits for.
static inline struct answer *world_answer(struct world *w, uint64_t id, struct hash128 payload)
{
    struct answer *a = test_malloc(sizeof *a);
    *a = (struct answer){w, w->answers, id, payload};
    w->answers = a;
    return a;
}

// Submits h as n tokens whose first ones ran under h->version and the last under `last`.
static inline enum err world_submit(struct world *w, const struct held *h, uint32_t n,
                                    uint64_t last, uint32_t salt, struct why *why)
{
    uint32_t tokens[64];
    float logprobs[64];
    n = MIN(n, h->max_tokens);
    for (uint32_t i = 0; i < n; i++) {
        tokens[i] = (uint32_t)((h->id * 7 + i * 13 + salt) % 1000);
        logprobs[i] = -0.01f * (float)(i + 1);
    }
    struct msg_segment seg[2] = {{h->version, h->n_prompt + n - 1}, {0, 0}};
    size_t n_segments = 1;
    if (last > h->version && h->pinned == 0 && n > 1) {
        seg[0].end = h->n_prompt + n / 2;
        seg[1] = (struct msg_segment){last, h->n_prompt + n - 1};
        n_segments = seg[1].end > seg[0].end ? 2 : 1;
        seg[0].end = n_segments == 1 ? h->n_prompt + n - 1 : seg[0].end;
    }
    struct msg_submit_sample m = {.incarnation = rig_name(h->actor),
                                  .sample_id = h->id,
                                  .attempt = h->attempt,
                                  .tokens = tokens,
                                  .n_tokens = n,
                                  .logprobs = logprobs,
                                  .n_logprobs = n,
                                  .segments = seg,
                                  .n_segments = n_segments,
                                  .finish =
                                      n == h->max_tokens ? MSG_FINISH_LENGTH : MSG_FINISH_STOP,
                                  .pinned_version = h->pinned};
    m.payload = msg_sample_hash(&m);
    return coordinator_submit_sample(w->c, &m, w->now_ms, world_on_ack,
                                     world_answer(w, h->id, m.payload), why);
}

static inline enum err world_verdict(struct world *w, uint8_t verifier, uint64_t id,
                                     uint32_t attempt, enum msg_outcome outcome, double reward)
{
    struct why why;
    struct msg_component k = {msg_text_of("string"), msg_text_of("1"), reward, 1};
    struct msg_submit_verdict m = {.incarnation = rig_name(verifier),
                                   .sample_id = id,
                                   .attempt = attempt,
                                   .outcome = outcome,
                                   .reward = reward,
                                   .components = &k,
                                   .n_components = 1};
    if (outcome == MSG_OUTCOME_UNSCORED) {
        m.cause = msg_text_of("timeout");
        m.n_components = 0;
    }
    return coordinator_submit_verdict(w->c, &m, w->now_ms, world_on_ack,
                                      world_answer(w, 0, (struct hash128){{0}}), &why);
}

static inline void world_heartbeat(struct world *w, uint8_t n, const uint64_t *ids, size_t n_ids,
                                   size_t *n_abandon, bool *unknown)
{
    const uint64_t *abandon = NULL;
    struct msg_heartbeat m = {.incarnation = rig_name(n), .held = ids, .n_held = n_ids};
    coordinator_heartbeat(w->c, &m, w->now_ms, &abandon, n_abandon, unknown);
}

// The trainer finishes the running step.
static inline enum err world_finish_step(struct world *w)
{
    assert_non_null(w->step);
    uint64_t v = w->step->new_version;
    struct train_result result = {.weights_hash = hash_bytes(&v, sizeof v)};
    enum err e = coordinator_step_done(w->c, &result, "{}", w->now_ms);
    if (e == ERR_OK) {
        w->step = NULL;
    }
    return e;
}

// Everything an actor holds comes back with n tokens; a verifier scores it all, reward 1 for odd
// ids.
static inline void world_submit_all(struct world *w, uint32_t n)
{
    struct why why;
    while (w->n_held > 0) {
        struct held h = w->held[--w->n_held];
        OK(world_submit(w, &h, n, h.version, 0, &why));
        world_drain(w);
    }
}

static inline size_t world_score_all(struct world *w, uint8_t verifier, bool spread)
{
    const struct msg_score_job *jobs = NULL;
    size_t n = 0, total = 0;
    uint64_t ids[256];
    uint32_t attempts[256];
    struct msg_lease_score m = {.incarnation = rig_name(verifier), .max_jobs = 64};
    while (coordinator_lease_score(w->c, &m, w->now_ms, &jobs, &n) == ERR_OK) {
        for (size_t i = 0; i < n; i++) {
            ids[i] = jobs[i].sample_id;
            attempts[i] = jobs[i].attempt;
        }
        for (size_t i = 0; i < n; i++) {
            bool one = spread && ids[i] % 2 == 1;
            assert_int_equal(world_verdict(w, verifier, ids[i], attempts[i],
                                           one ? MSG_OUTCOME_SCORE : MSG_OUTCOME_ZERO, one),
                             ERR_OK);
            world_drain(w);
        }
        total += n;
    }
    return total;
}

static inline struct coordinator_status world_status(const struct world *w)
{
    struct coordinator_status s;
    coordinator_get_status(w->c, w->now_ms, &s);
    return s;
}

static inline uint64_t world_drops(const struct world *w, const char *reason)
{
    struct coordinator_status s = world_status(w);
    for (size_t i = 0; i < s.n_drops; i++) {
        if (strcmp(s.drops[i].reason, reason) == 0) {
            return s.drops[i].n;
        }
    }
    return 0;
}

// Memory and ledger say the same, the audit is content, and every acknowledged payload is there.
static inline void world_check(struct world *w)
{
    struct why why;
    struct ledger_counts n;
    world_drain(w);
    struct coordinator_status s = world_status(w);
    OK(ledger_get_counts(w->r.l, &n, &why));
    assert_int_equal(s.issued, n.issued);
    uint64_t sum = 0;
    for (int i = 0; i < LEDGER_STATE_COUNT; i++) {
        assert_int_equal(s.by_state[i], n.by_state[i]);
        sum += s.by_state[i];
    }
    assert_int_equal(s.issued, sum);
    assert_int_equal(rig_audit(&w->r), 0);
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_prepare_v2(w->r.l->db,
                                        "SELECT payload FROM samples WHERE sample_id = ?1", -1, &q,
                                        NULL),
                     SQLITE_OK);
    for (uint64_t id = 0; id < WORLD_IDS; id++) {
        if (w->is_acked[id]) {
            char hex[HASH_HEX_LEN + 1];
            hash_hex(w->acked[id], hex);
            (void)sqlite3_bind_int64(q, 1, (sqlite3_int64)id);
            assert_int_equal(sqlite3_step(q), SQLITE_ROW);
            assert_string_equal((const char *)sqlite3_column_text(q, 0), hex);
            (void)sqlite3_reset(q);
        }
    }
    sqlite3_finalize(q);
}

// ---- the one world of a test program ----

static struct world world;    // a megabyte of remembered acknowledgements: not for the stack

static inline struct world *begin(void)
{
    struct world *w = &world;
    world_init(w);
    return w;
}

static inline struct world *begin_with_peers(void)
{
    struct world *w = begin();
    world_begin(w);
    world_hello(w, 1, MSG_ROLE_ACTOR);
    world_hello(w, 2, MSG_ROLE_VERIFIER);
    return w;
}

// Leases all there is for actor 1.
static inline void lease_all(struct world *w)
{
    while (world_lease(w, 1, 64, w->told_version) == ERR_OK) {
        world_drain(w);
    }
}

#endif
