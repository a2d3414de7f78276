// service.h: the actor daemon: leases work, keeps the engine fed, swaps weights in, submits
// samples.
//
// Three threads: the libuv loop (all network, all bookkeeping), the compute thread (engine), the
// reload thread. They share mailboxes and the engine's atomic counters only. A fourth, where HTTP is
// asked for, serves snapshots of the loop's figures (panel.h).
//
//   HELLO ─▶ WELCOME (model config, newest version) ─▶ FETCH_WEIGHTS… ─▶ LEASE_GENERATE ⟲ ─▶
//   SUBMIT_SAMPLE
//                                                       WAIT_VERSION ⟲ ─▶ FETCH_WEIGHTS… ─▶ swap
//                                                       between two passes
// Everything is retried for as long as the daemon lives; a learner that restarts finds its samples
// again in the next heartbeat.
#ifndef CARAVAN_ACTOR_SERVICE_H
#define CARAVAN_ACTOR_SERVICE_H

#include "common/conf.h"

// Texts are borrowed for the whole run.
struct actor_options {
    const char *connect;    // the learner's "do" address
    const char *name;
    const char *token_file;    // "" = none
    const char *device;        // device_open kind
    const char *http;          // panel.h: HOST:PORT or the path of a unix socket; "" = none
    int threads;               // 0 = cores
    bool slabs;                // weights may be mapped from the learner's memory
    size_t slots, prefill_rows, kv_bytes;
};

// Runs until stopped (common/daemon.h). ERR_OK after an orderly stop; anything else is what ended
// it, with `why`.
MUST_CHECK enum err actor_service_run(const struct actor_options *o, struct why *why);

#endif
