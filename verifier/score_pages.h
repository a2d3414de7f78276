// score_pages.h: what the HTTP face says about itself: /healthz, /status, /metrics and /checks, made
// from one snapshot.
//
// Pure functions, any thread. Metric names are those under which the learner shows its verifiers.
#ifndef CARAVAN_VERIFIER_SCORE_PAGES_H
#define CARAVAN_VERIFIER_SCORE_PAGES_H

#include "proto/http.h"
#include "verifier/workpool.h"

// Why jobs were not scored, told by how their cause begins.
enum score_cause {
    SCORE_CAUSE_TIMEOUT,
    SCORE_CAUSE_CRASH,
    SCORE_CAUSE_SANDBOX,
    SCORE_CAUSE_MEMORY,
    SCORE_CAUSE_WORKER,    // no worker, or one that answered garbage
    SCORE_CAUSE_STOPPED,
    SCORE_CAUSE_REQUEST,    // the row itself: unknown checks, bad arguments, undecidable answers
    SCORE_CAUSE_COUNT
};

#define SCORE_PAGES_BUCKETS 12    // of job latencies, the last without an upper end

// The conversation with a learner; present false: there is none, jobs come over HTTP alone.
struct score_learner {
    bool present, greeted;
    uint64_t heard_ms;    // last answer to a hello or a heartbeat, monotonic; 0 = never
    size_t held;          // jobs of it
};

struct score_snapshot {
    bool ready, stopping;
    struct score_learner learner;
    char detail[64];    // "sandbox=full"
    uint64_t start_ms;
    struct workpool_stats pool;
    uint32_t requests_waiting;
    uint64_t requests_scored, requests_invalid, requests_busy;    // answered 200, 400, 503
    uint64_t requests_gone;                                       // given up: the client went away
    uint64_t items_total;
    uint64_t unscored[SCORE_CAUSE_COUNT];
    uint64_t latency[SCORE_PAGES_BUCKETS];    // jobs by bucket, not summed up
    uint64_t latency_us_total;
    char *plugins;    // score_pages_plugins, or NULL; owned by whoever holds the snapshot
};

// Counts a finished job.
void score_pages_count(struct score_snapshot *s, const struct score_result *r, uint32_t elapsed_us);
// What the folder of plug-ins offers and what it refuses, as JSON text (free()); loop thread.
// plugins NULL: none.
char *score_pages_plugins(const struct plugins *plugins);
// Answers a GET; 404 for a page that is not here, 405 for /score.
void score_pages_render(const struct score_snapshot *s, const char *path, struct http_reply *out);
// {"error": text}; a text that is no UTF-8 is made so.
void score_pages_error(int status, const char *text, struct http_reply *out);
bool score_pages_has(const char *path);

#endif
