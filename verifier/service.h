// service.h: the verifier daemon: leases scoring work, runs it in the worker pool, submits
// verdicts.
//
//   workers confirm their sandbox ─▶ HELLO with the checks offered ─▶ WELCOME
//     ─▶ LEASE_SCORE ⟲ ─▶ pool ─▶ SUBMIT_VERDICT ⟲
//
// With an HTTP address it scores for others too (score_http.h), with or without a learner.
//
// Everything is retried for as long as the daemon lives; a learner that restarts finds what is held
// in the next heartbeat. One thread: the libuv loop.
#ifndef CARAVAN_VERIFIER_SERVICE_H
#define CARAVAN_VERIFIER_SERVICE_H

#include "common/conf.h"

// Texts are borrowed for the whole run.
struct verifier_options {
    const char *connect;    // the learner's "do" address; "" = no learner
    const char *http;       // HOST:PORT of POST /score; "" = none
    const char *name;
    const char *token_file;       // "" = none
    const char *worker_binary;    // "" = caravan-verify-worker beside this executable
    const char *plugins;          // folder of plug-ins, "" = none
    enum conf_sandbox sandbox;
    uint32_t workers;        // 0 = cores
    uint32_t deadline_ms;    // of a job that names none
    uint32_t recycle_jobs;
};

// Runs until stopped (common/daemon.h). ERR_OK after an orderly stop; anything else is what ended
// it, with `why`.
MUST_CHECK enum err verifier_service_run(const struct verifier_options *o, struct why *why);

#endif
