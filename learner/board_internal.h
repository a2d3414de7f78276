// board_internal.h: what the three files of the board share:
//
//   board.c           collecting figures, handing out texts, /healthz
//   board_status.c    /status, JSON
//   board_metrics.c   /metrics, Prometheus text format 0.0.4
//
// The texts are made from a struct board_view alone, so that tests can make them from figures of
// their own. Every string in a view is printable UTF-8 (utf8_clean): names, details and causes come
// from other processes.
#ifndef CARAVAN_LEARNER_BOARD_INTERNAL_H
#define CARAVAN_LEARNER_BOARD_INTERNAL_H

#include <pthread.h>

#include "learner/board.h"
#include "proto/limits.h"

enum {
    BOARD_PEERS = 256,
    BOARD_TREND = 60,    // steps
    BOARD_WAITS = 64,
    BOARD_CAUSES = 32,
    BOARD_WINDOW = 10,    // seconds that rates are taken over
};

// What one process said of itself in its last heartbeat.
struct board_heard {
    struct msg_incarnation incarnation;
    struct {
        char name[48];
        double value;
    } stat[LIMIT_STATS];
    size_t n;
    char waits_for[64];
    uint32_t waits_ms;
    uint64_t heard_ms;
};

struct board_peer {
    char name[LIMIT_NAME_BYTES + 1], detail[LIMIT_NAME_BYTES + 1];
    struct msg_incarnation incarnation;
    enum msg_role role;
    size_t leases;
    double heard_s;    // ago
    bool alive;
    const struct board_heard *heard;    // NULL: no heartbeat yet
};

struct board_rates {
    double decode, train, verdicts;    // tokens, tokens, verdicts per second
};

struct board_view {
    const struct coordinator_status *status;
    const struct board_service *service;
    const struct coordinator_wait *waits;
    size_t n_waits;
    const struct board_peer *peers;
    size_t n_peers;
    struct board_rates rates;
    uint64_t now_ms;
};

struct board_totals {
    uint64_t at_ms;
    double decode, train, verdicts;
};

struct board {
    const struct run *run;
    uint64_t start_ms;
    const char *phase;
    struct board_heard heard[BOARD_PEERS];
    size_t n_heard;
    double trend[BOARD_TREND];
    size_t n_trend;
    json_t *last_step, *last_eval;
    uint64_t compared, mismatched, trained_tokens, verdicts[4];    // verdicts by enum msg_outcome
    struct {
        char name[64];
        uint64_t n;
    } cause[BOARD_CAUSES];    // of unscored verdicts; the last one may be "other"
    size_t n_causes;
    struct board_totals window[BOARD_WINDOW + 1];
    size_t n_window;
    struct board_peer peers[BOARD_PEERS];    // of the present view
    pthread_mutex_t lock;                    // guards text, healthy
    char *text[BOARD_TEXTS];
    bool healthy;
};

static inline const char *board_role(enum msg_role r)
{
    return r == MSG_ROLE_ACTOR ? "actor" : "verifier";
}
static inline double board_since_s(const struct board_view *v, uint64_t since_ms)
{
    return (double)(v->now_ms - MIN(v->now_ms, since_ms)) / 1000;
}

// Each gives a fresh text (free()), NULL when out of memory.
char *board_make_status(const struct board *b, const struct board_view *v);
char *board_make_metrics(const struct board *b, const struct board_view *v);
char *board_make_health(const struct board_view *v, bool *healthy);

#endif
