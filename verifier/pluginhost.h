// pluginhost.h: a worker that hosts one plug-in: loaded behind the walls, asked one call at a time.
//
//   object    a shared object against plugin.h, loaded before the last filter. Every call runs in a
//             process of its own, forked for it: whatever it does to memory ends with it.
//   program   an executable that speaks JSON lines (pluginline.h), started once behind walls of its
//             own. Level full only.
// In the worker process; one thread.
#ifndef CARAVAN_VERIFIER_PLUGINHOST_H
#define CARAVAN_VERIFIER_PLUGINHOST_H

#include "verifier/jobframe.h"
#include "verifier/sandbox.h"

struct pluginhost;

// Closes the sandbox and loads the file that is descriptor 3. On an error the process is to end;
// `why` names the step or what is wrong with the plug-in.
MUST_CHECK enum err pluginhost_enter(const char *kind, struct sandbox *s, struct pluginhost **out,
                                     struct why *why);
const struct jobframe_check *pluginhost_checks(const struct pluginhost *p, size_t *n);
// ERR_OK: *out is filled; the reward is the value, undecided and every failure of an object are
// unscored. Any error: the program has ended or broken the protocol; `why` has its last words, and
// this process is to end.
MUST_CHECK enum err pluginhost_run(struct pluginhost *p, struct score_text check,
                                   const struct score_plugin_input *in, struct score_result *out,
                                   struct why *why);

#endif
