// service.h: the learner daemon: the bus, the coordinator, the ledger's journal, the train thread
// and the status server around one libuv loop.
//
//   bus ─▶ handler ─▶ coordinator ─▶ journal (ledger thread) ─▶ durable ─▶ reply
//                        │ batch                     ▲
//                        ▼                           │ step done
//                   train thread ── new version ─▶ publish ─▶ FETCH_WEIGHTS
//
// A reply that promises something leaves only after the transaction behind it is durable.
#ifndef CARAVAN_LEARNER_SERVICE_H
#define CARAVAN_LEARNER_SERVICE_H

#include "learner/run.h"

// Serves an open run until it is complete or stopped. ERR_OK: complete (the model is in
// RUN_DIR/model). ERR_CANCELLED: stopped by a signal or the supervisor; the run can be resumed.
// Anything else: what ended it, with `why`.
MUST_CHECK enum err learner_service_run(struct run *r, struct why *why);

#endif
