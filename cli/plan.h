// plan.h: what a run will need, worked out before anything starts.
#ifndef CARAVAN_CLI_PLAN_H
#define CARAVAN_CLI_PLAN_H

#include "common/buf.h"
#include "common/conf.h"

// Opens everything that the configuration names and checks it as the learner will: model,
// tokenizer, data, prompt lengths against the context, token file, KV cache. Appends the memory
// plan to `out`. Starts nothing and writes nothing.
MUST_CHECK enum err plan_check(const struct conf *c, struct buf *out, struct why *why);

#endif
