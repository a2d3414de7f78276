// board.h: what people see of a run: figures the loop collects, and the texts of /status, /metrics
// and /healthz made from them.
//
// Loop thread: board_… calls. The HTTP thread only copies finished texts (board_text) under a short
// lock.
#ifndef CARAVAN_LEARNER_BOARD_H
#define CARAVAN_LEARNER_BOARD_H

#include <jansson.h>

#include "learner/coordinator.h"
#include "learner/journal.h"
#include "learner/run.h"

enum board_text { BOARD_STATUS, BOARD_METRICS, BOARD_HEALTH, BOARD_TEXTS };

struct board;
MUST_CHECK enum err board_create(const struct run *r, struct board **out);
void board_destroy(struct board *b);    // NULL is fine

// "starting", "training", "finishing", "stopped", "complete"; static text.
void board_phase(struct board *b, const char *phase);
void board_heartbeat(struct board *b, const struct msg_heartbeat *m, uint64_t now_ms);
void board_verdict(struct board *b, enum msg_outcome outcome, const char *cause, size_t cause_len);
// A finished step: the row of metrics.jsonl (kept, borrowed json).
void board_step(struct board *b, const json_t *row, const struct train_result *r);
// The largest value that a process heard of since since_ms gave under this name; negative: none did.
double board_heard_max(const struct board *b, const char *stat, uint64_t since_ms);
void board_eval(struct board *b, const struct coordinator_eval *e);
// Lengths of the service's own queues, for /status.
struct board_queue {
    const char *name;
    size_t len, cap;
};
struct board_service {
    struct board_queue queues[8];
    size_t n_queues;
    uint64_t malformed;    // messages refused by the bus
    struct journal_stats journal;
    const char *address, *http;
};
// Makes the texts anew; about four times a second.
void board_refresh(struct board *b, struct coordinator *c, const struct board_service *s,
                   uint64_t now_ms);
// A copy of a text (free()), NULL when out of memory; any thread. *healthy (may be NULL) is for
// /healthz.
char *board_copy(struct board *b, enum board_text which, size_t *len, bool *healthy);

#endif
