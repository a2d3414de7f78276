// messages.c: example and random messages.
//
// The examples are written out by hand, so that a golden file can be compared with them by eye. The
// random ones draw every length from 0 (or 1, where empty is refused) to a small maximum and every
// value from its whole allowed range, log-probs from all bit patterns, NaN included.
#include "messages.h"

#include <string.h>

#include "common/rng.h"
#include "proto/pack_arena.h"

#define INCARNATION                                                                                \
    {                                                                                              \
        {                                                                                          \
            0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15                                   \
        }                                                                                          \
    }
#define HASH                                                                                       \
    {                                                                                              \
        {                                                                                          \
            0xf0, 0xe1, 0xd2, 0xc3, 0xb4, 0xa5, 0x96, 0x87, 0x78, 0x69, 0x5a, 0x4b, 0x3c, 0x2d,    \
                0x1e, 0x0f                                                                         \
        }                                                                                          \
    }
#define T(s)                                                                                       \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }

static const struct msg_check checks[] = {{T("gsm8k"), T("1")}, {T("length:words"), T("2")}};
static const uint32_t prompt[] = {1, 17, 300, 70000};
static const uint64_t ids[] = {40, 41, 1099511627776};
static const uint32_t stops[] = {2, 0};
static const uint32_t tokens[] = {5, 6, 2};
static const float logprobs[] = {-0.5f, -1.25f, -0.0f};
static const struct msg_segment segments[] = {{3, 5}, {4, 6}};
static const struct msg_component components[] = {{T("gsm8k"), T("1"), 0.5, 2.0}};
static const struct msg_stat stats[] = {{T("slots_busy"), 3}, {T("decode_tokens_total"), 812}};
static const struct msg_group groups[] = {
    {.group_id = 12,
     .prompt = prompt,
     .n_prompt = ARRAY_LEN(prompt),
     .sample_ids = ids,
     .n_samples = ARRAY_LEN(ids),
     .attempt = 1,
     .sampling = {64, 1.0f, 0.95f, 50, 0.05f},
     .pinned_version = 0,
     .lease_ms = 30000},
};
static const struct msg_score_job jobs[] = {
    {.sample_id = 41,
     .attempt = 2,
     .dataset = T("\"gsm8k\""),
     .checks = T(""),
     .ground_truth = T("\"42\""),
     .prompt = T("What is 6 * 7?"),
     .response = T("It is 42.\xff\0"),
     .finish = MSG_FINISH_STOP,
     .deadline_ms = 2000,
     .lease_ms = 10000,
     .reward = T("{\"scale\":10.0}")},
};

static struct msg example_request(enum msg_type type)
{
    switch (type) {
    case MSG_HELLO:
        return (struct msg){.hello = {MSG_ROLE_VERIFIER, INCARNATION, T("verifier-0"), T("cpu-1"),
                                      T("secret"), checks, ARRAY_LEN(checks), T("seccomp")}};
    case MSG_LEASE_GENERATE:
        return (struct msg){.lease_generate = {INCARNATION, 16, 4, 15000}};
    case MSG_SUBMIT_SAMPLE:
        return (struct msg){.submit_sample = {INCARNATION, 41, 2, tokens, ARRAY_LEN(tokens),
                                              logprobs, ARRAY_LEN(logprobs), segments,
                                              ARRAY_LEN(segments), MSG_FINISH_STOP, 0, HASH}};
    case MSG_LEASE_SCORE:
        return (struct msg){.lease_score = {INCARNATION, 8, 15000}};
    case MSG_SUBMIT_VERDICT:
        return (struct msg){.submit_verdict = {INCARNATION, 41, 2, MSG_OUTCOME_SCORE, 0.5, T(""),
                                               components, ARRAY_LEN(components), 1500}};
    case MSG_HEARTBEAT:
        return (struct msg){.heartbeat = {INCARNATION, ids, ARRAY_LEN(ids), stats, ARRAY_LEN(stats),
                                          T("work"), 250}};
    case MSG_FETCH_WEIGHTS:
        return (struct msg){.fetch_weights = {INCARNATION, 4, 4194304, 4194304}};
    case MSG_FIND_WEIGHTS:
        return (struct msg){.find_weights = {INCARNATION, 4}};
    case MSG_WAIT_VERSION:
        return (struct msg){.wait_version = {INCARNATION, 4, 15000}};
    default:
        return (struct msg){.type = MSG_NONE};
    }
}

static struct msg example_reply(enum msg_type type)
{
    switch (type) {
    case MSG_WELCOME:
        return (struct msg){.welcome = {T("run-1"), T("ipc://bus.wait"), T("{\"layers\":2}"), HASH,
                                        1, 4, 18446744073709551615u, 1000}};
    case MSG_FAULT:
        return (struct msg){.fault = {ERR_DENIED, T("hello: token does not match")}};
    case MSG_GENERATE_WORK:
        return (struct msg){
            .generate_work = {groups, ARRAY_LEN(groups), stops, ARRAY_LEN(stops), 4}};
    case MSG_ACK:
        return (struct msg){.ack = {MSG_ACK_DUPLICATE, 4}};
    case MSG_SCORE_WORK:
        return (struct msg){.score_work = {jobs, ARRAY_LEN(jobs), 4}};
    case MSG_HEARTBEAT_REPLY:
        return (struct msg){.heartbeat_reply = {4, true, ids, ARRAY_LEN(ids)}};
    case MSG_WEIGHTS_CHUNK:
        return (struct msg){.weights_chunk = {4, 10, 4, T("\1\2\3\0\5\6"), HASH, HASH}};
    case MSG_VERSION:
        return (struct msg){.version = {5}};
    case MSG_WEIGHTS_FOUND:
        return (struct msg){.weights_found = {4, HASH, 1700000000000000u, 4242, 17, HASH}};
    default:
        return (struct msg){.type = MSG_NONE};
    }
}

struct msg messages_example(enum msg_type type)
{
    struct msg m = example_request(type);
    struct msg reply = example_reply(type);
    static const struct msg none;
    if (memcmp(&m, &none, sizeof m) == 0) {
        m = reply;
    }
    m.type = type;
    m.request_id = 7;
    return m;
}

// ---- random ----
struct maker {
    struct rng r;
    void *arena;
};

static uint64_t any64(struct maker *k)
{
    // Every size class of an integer's encoding turns up.
    uint64_t v = (uint64_t)rng_u32(&k->r) << 32 | rng_u32(&k->r);
    return v >> rng_below(&k->r, 64);
}

static uint32_t any32(struct maker *k)
{
    return rng_u32(&k->r) >> rng_below(&k->r, 32);
}

static size_t count(struct maker *k, uint32_t least)
{
    return least + rng_below(&k->r, 20);
}

static void *fill(struct maker *k, size_t size)
{
    uint8_t *p = pack_arena_alloc(&k->arena, size);
    CHECK(p != NULL);
    for (size_t i = 0; i < size; i++) {
        p[i] = (uint8_t)rng_u32(&k->r);
    }
    return p;
}

static struct msg_text text(struct maker *k, uint32_t max, bool any_byte)
{
    size_t len = rng_below(&k->r, max + 1);
    char *s = fill(k, len + 1);
    for (size_t i = 0; i < len && !any_byte; i++) {
        s[i] = s[i] == 0 ? 'x' : s[i];
    }
    s[len] = 0;
    return (struct msg_text){s, len};
}

static struct msg_incarnation incarnation(struct maker *k)
{
    struct msg_incarnation n;
    memcpy(n.bytes, fill(k, sizeof n.bytes), sizeof n.bytes);
    return n;
}

static struct hash128 hash(struct maker *k)
{
    struct hash128 h;
    memcpy(h.bytes, fill(k, sizeof h.bytes), sizeof h.bytes);
    return h;
}

static void random_hello(struct maker *k, struct msg_hello *m)
{
    size_t n = count(k, 0);
    struct msg_check *c = fill(k, n * sizeof *c);
    for (size_t i = 0; i < n; i++) {
        c[i] = (struct msg_check){text(k, 30, false), text(k, 9, false)};
    }
    *m = (struct msg_hello){1 + rng_below(&k->r, 2),
                            incarnation(k),
                            text(k, 128, false),
                            text(k, 40, false),
                            text(k, 40, false),
                            c,
                            n,
                            text(k, 40, false)};
}

static void random_generate_work(struct maker *k, struct msg_generate_work *m)
{
    size_t n = count(k, 0), n_stops = count(k, 0);
    struct msg_group *g = fill(k, n * sizeof *g);
    for (size_t i = 0; i < n; i++) {
        size_t n_prompt = count(k, 1), n_samples = count(k, 1);
        g[i] = (struct msg_group){
            .group_id = any64(k),
            .prompt = fill(k, n_prompt * 4),
            .n_prompt = n_prompt,
            .sample_ids = fill(k, n_samples * 8),
            .n_samples = n_samples,
            .attempt = any32(k),
            .sampling = {1 + rng_below(&k->r, 1000), (float)rng_f64(&k->r) * 3,
                         1 - (float)rng_f64(&k->r) / 2, any32(k), (float)rng_f64(&k->r)},
            .pinned_version = any64(k),
            .lease_ms = any32(k)};
    }
    *m = (struct msg_generate_work){g, n, fill(k, n_stops * 4), n_stops, any64(k)};
}

static void random_submit_sample(struct maker *k, struct msg_submit_sample *m)
{
    size_t n = count(k, 1), n_segments = count(k, 1);
    struct msg_segment *s = fill(k, n_segments * sizeof *s);
    uint32_t end = 0;
    for (size_t i = 0; i < n_segments; i++) {
        s[i] = (struct msg_segment){any64(k), end += 1 + rng_below(&k->r, 9)};
    }
    *m = (struct msg_submit_sample){
        incarnation(k), any64(k), any32(k), fill(k, n * 4), n,
        fill(k, n * 4), n,        s,        n_segments,     1 + rng_below(&k->r, 2),
        any64(k),       hash(k)};
}

static void random_score_work(struct maker *k, struct msg_score_work *m)
{
    size_t n = count(k, 0);
    struct msg_score_job *j = fill(k, n * sizeof *j);
    for (size_t i = 0; i < n; i++) {
        j[i] = (struct msg_score_job){
            any64(k),           any32(k),           text(k, 20, false), text(k, 99, false),
            text(k, 99, false), text(k, 400, true), text(k, 400, true), 1 + rng_below(&k->r, 2),
            any32(k),           any32(k),           text(k, 99, false)};
    }
    *m = (struct msg_score_work){j, n, any64(k)};
}

static void random_submit_verdict(struct maker *k, struct msg_submit_verdict *m)
{
    size_t n = count(k, 0);
    struct msg_component *c = fill(k, n * sizeof *c);
    for (size_t i = 0; i < n; i++) {
        c[i] = (struct msg_component){text(k, 30, false), text(k, 9, false), rng_f64(&k->r),
                                      rng_f64(&k->r) * 20 - 10};
    }
    *m = (struct msg_submit_verdict){
        incarnation(k),     any64(k), any32(k), MSG_OUTCOME_SCORE, rng_f64(&k->r) * 20 - 10,
        text(k, 99, false), c,        n,        any32(k)};
}

static void random_heartbeat(struct maker *k, struct msg_heartbeat *m)
{
    size_t n = count(k, 0), n_held = count(k, 0);
    struct msg_stat *s = fill(k, n * sizeof *s);
    for (size_t i = 0; i < n; i++) {
        s[i] = (struct msg_stat){text(k, 30, false), rng_f64(&k->r) * 1e12};
    }
    *m = (struct msg_heartbeat){
        incarnation(k), fill(k, n_held * 8), n_held, s, n, text(k, 30, false), any32(k)};
}

static void random_weights_chunk(struct maker *k, struct msg_weights_chunk *m)
{
    struct msg_text bytes = text(k, 5000, true);
    uint64_t offset = any64(k) >> 1;
    *m = (struct msg_weights_chunk){any64(k), offset + bytes.len + any32(k), offset, bytes, hash(k),
                                    hash(k)};
}

static void random_small(struct maker *k, struct msg *m)
{
    size_t n = count(k, 0);
    switch (m->type) {
    case MSG_WELCOME:
        m->welcome = (struct msg_welcome){text(k, 40, false),
                                          text(k, 128, false),
                                          text(k, 999, false),
                                          hash(k),
                                          rng_below(&k->r, 2),
                                          any64(k),
                                          any64(k),
                                          1 + rng_below(&k->r, 9999)};
        break;
    case MSG_FAULT:
        m->fault = (struct msg_fault){1 + rng_below(&k->r, 16), text(k, 1024, false)};
        break;
    case MSG_LEASE_GENERATE:
        m->lease_generate = (struct msg_lease_generate){incarnation(k), 1 + rng_below(&k->r, 999),
                                                        any64(k), any32(k)};
        break;
    case MSG_ACK:
        m->ack = (struct msg_ack_reply){1 + rng_below(&k->r, 4), any64(k)};
        break;
    case MSG_LEASE_SCORE:
        m->lease_score =
            (struct msg_lease_score){incarnation(k), 1 + rng_below(&k->r, 999), any32(k)};
        break;
    case MSG_HEARTBEAT_REPLY:
        m->heartbeat_reply =
            (struct msg_heartbeat_reply){any64(k), rng_below(&k->r, 2) == 1, fill(k, n * 8), n};
        break;
    case MSG_FETCH_WEIGHTS:
        m->fetch_weights = (struct msg_fetch_weights){incarnation(k), any64(k), any64(k),
                                                      1 + rng_below(&k->r, 9999999)};
        break;
    case MSG_WAIT_VERSION:
        m->wait_version = (struct msg_wait_version){incarnation(k), any64(k), any32(k)};
        break;
    case MSG_VERSION:
        m->version = (struct msg_version){any64(k)};
        break;
    case MSG_FIND_WEIGHTS:
        m->find_weights = (struct msg_find_weights){incarnation(k), any64(k)};
        break;
    case MSG_WEIGHTS_FOUND:
        m->weights_found = (struct msg_weights_found){
            any64(k), hash(k), any64(k), any64(k), rng_below(&k->r, INT32_MAX), hash(k)};
        break;
    default:
        CHECK(m->type == MSG_NONE);    // a type without a maker
    }
}

struct msg messages_random(enum msg_type type, uint64_t seed)
{
    struct maker k = {.r = rng_make(seed, (uint64_t)type)};
    struct msg m = {.type = type, .request_id = any64(&k)};
    switch (type) {
    case MSG_HELLO:
        random_hello(&k, &m.hello);
        break;
    case MSG_GENERATE_WORK:
        random_generate_work(&k, &m.generate_work);
        break;
    case MSG_SUBMIT_SAMPLE:
        random_submit_sample(&k, &m.submit_sample);
        break;
    case MSG_SCORE_WORK:
        random_score_work(&k, &m.score_work);
        break;
    case MSG_SUBMIT_VERDICT:
        random_submit_verdict(&k, &m.submit_verdict);
        break;
    case MSG_HEARTBEAT:
        random_heartbeat(&k, &m.heartbeat);
        break;
    case MSG_WEIGHTS_CHUNK:
        random_weights_chunk(&k, &m.weights_chunk);
        break;
    default:
        random_small(&k, &m);
        break;
    }
    m.arena = k.arena;
    return m;
}
