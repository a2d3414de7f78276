// plan.h: what a run will need, worked out before anything starts.
//
// This is `caravan run --check`: a run that cannot work should say so within seconds and not after
// an hour. In: a checked configuration. Out: text for people, or the first thing that is wrong with
// its key.
#ifndef CARAVAN_CLI_PLAN_H
#define CARAVAN_CLI_PLAN_H

#include "common/buf.h"
#include "common/conf.h"
#include "model/config.h"

// Opens everything that the configuration names and checks it as the learner will: model,
// tokenizer, data, prompt lengths against the context, token file, KV cache. Appends the memory
// plan to `out`. Starts nothing and writes nothing.
MUST_CHECK enum err plan_check(const struct conf *c, struct buf *out, struct why *why);

// The memory plan alone: what each role takes in a run of model m under c, and where that is more
// than this machine has.
MUST_CHECK enum err plan_memory(const struct conf *c, const struct model_config *m,
                                struct buf *out);

#endif
