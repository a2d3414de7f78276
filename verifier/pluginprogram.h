// pluginprogram.h: the program of a host, see pluginhost.h.
#ifndef CARAVAN_VERIFIER_PLUGINPROGRAM_H
#define CARAVAN_VERIFIER_PLUGINPROGRAM_H

#include "verifier/jobframe.h"

// Starts the program behind its filter and reads what it offers: up to JOBFRAME_MAX_CHECKS checks. Once in a process; inside the
// sandbox's LOAD step, after which descriptors 3 and 4 are its output and its input. ERR_INVALID
// with `why`.
MUST_CHECK enum err pluginprogram_start(const char *path, struct jobframe_check *checks, size_t *n,
                                        struct why *why);
// One request, one reply. ERR_OK: *out is filled. Otherwise the program has ended or broken the
// protocol: `why` says it, and the host is to end too.
MUST_CHECK enum err pluginprogram_run(struct score_text check, const struct score_plugin_input *in,
                                      struct score_result *out, struct why *why);

#endif
