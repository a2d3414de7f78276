// summary.h: what a finished run achieved, from its folder.
//
// Printed when `caravan run` is over, and by `caravan status` for a run that nobody runs any more.
// Reads the ledger and the files of the run folder, on the caller's thread; writes nothing.
#ifndef CARAVAN_CLI_SUMMARY_H
#define CARAVAN_CLI_SUMMARY_H

#include "common/buf.h"

// Reward first and last, held-out accuracy before and after, two example answers, where things are,
// what to type next. What is not there (no evaluation, no step) is left out.
MUST_CHECK enum err summary_print(const char *run_dir, struct buf *out, struct why *why);

#endif
