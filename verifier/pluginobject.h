// pluginobject.h: the shared object of a host, see pluginhost.h.
#ifndef CARAVAN_VERIFIER_PLUGINOBJECT_H
#define CARAVAN_VERIFIER_PLUGINOBJECT_H

#include "verifier/jobframe.h"

// Loads the file at path and copies what it offers: up to JOBFRAME_MAX_CHECKS checks. Once in a process; inside the sandbox's LOAD
// step. ERR_INVALID with `why`.
MUST_CHECK enum err pluginobject_load(const char *path, struct jobframe_check *checks, size_t *n,
                                      struct why *why);
// Calls check `index` in a process of its own and waits for it; always fills *out.
void pluginobject_run(size_t index, const struct score_plugin_input *in, struct score_result *out);

#endif
