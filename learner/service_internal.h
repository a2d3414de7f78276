// service_internal.h: the struct behind service.h and the seams between its files, all on the loop
// thread:
//
//   service.c               life: opening, serving, ticking, stopping; the status server
//   service_requests.c      what peers ask: hello, heartbeats, weights, submits, leases, long polls
//   service_steps.c         what the coordinator asks for and what comes of it: steps, evaluations
//   service_checkpoints.c   when a checkpoint is due, which ones are kept
#ifndef CARAVAN_LEARNER_SERVICE_INTERNAL_H
#define CARAVAN_LEARNER_SERVICE_INTERNAL_H

#include <stdio.h>
#include <uv.h>

#include "common/daemon.h"
#include "learner/board.h"
#include "learner/coordinator.h"
#include "learner/parked.h"
#include "learner/service.h"
#include "learner/train_thread.h"
#include "proto/bus.h"
#include "proto/http.h"

enum { SERVICE_HEARTBEAT_MS = 1000, SERVICE_KEPT_MAX = 1000, SERVICE_GUESTS = 1024 };

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
    struct msg_incarnation guests[SERVICE_GUESTS];    // who showed the token; a ring
    size_t n_guests;
    FILE *metrics;
    // the step that is running, and what is known about it before it ends
    json_t *step_stats;
    struct train_done step_done;
    char *step_metrics;    // waits for room in the journal
    double train_idle_since_s;
    // checkpoints
    char kept[SERVICE_KEPT_MAX][64];
    size_t n_kept;
    uint64_t checkpoint_step, last_step, last_version;
    double checkpoint_s;    // when the last one was asked for
    bool checkpoint_runs, final_asked, exporting, complete, stopping, bus_closed, journal_closed;
    unsigned ticks;
    enum err failure;
    struct why why;
};

// Ends the run with this error (the first one counts).
void service_fail(struct service *s, enum err e, const char *text);

// ---- service_requests.c ----
void service_on_request(void *arg, struct bus_request *r);    // bus_handler_fn
// Gives parked requests that may succeed by now another try. Before the loop sleeps.
void service_settle(struct service *s);

// ---- service_steps.c ----
struct coordinator_ops service_ops(struct service *s);
void service_on_train_done(void *arg, const struct train_done *d);    // train_done_fn
// Tells the coordinator about the last step, if that is still owed: the journal may have been full.
void service_report_step(struct service *s);
// After the last evaluation: a checkpoint of the final state, then the export, then the end.
void service_finish(struct service *s);

// ---- service_checkpoints.c ----
void service_list_checkpoints(struct service *s);    // once, before the journal has the ledger
// Between two steps only: the trainer's state is that after last_step.
void service_maybe_checkpoint(struct service *s, bool force);
void service_on_checkpoint(struct service *s, const struct train_done *d);

#endif
