// pluginline.h: the lines between a host and a program that is a plug-in. Pure functions.
//
// One JSON object a line, UTF-8, at most PLUGINLINE_MAX bytes from the program.
//   program, once at its start   {"caravan_plugin": 1, "checks": [{"id", "version", "doc"}…]}
//   host                         {"job": 7, "check": "my:check", "kwargs": {…}, "ground_truth": …,
//                                 "prompt": "…", "response": "…", "stopped": true}
//   program                      {"job": 7, "value": 0…1}  or  {"job": 7, "undecided": "why"}
// One request at a time; the reply must carry its number.
#ifndef CARAVAN_VERIFIER_PLUGINLINE_H
#define CARAVAN_VERIFIER_PLUGINLINE_H

#include "verifier/jobframe.h"

#define PLUGINLINE_MAX (64u << 10)
#define PLUGINLINE_CAUSE_BYTES 96    // of an "undecided" text; longer ones are cut

// What a plug-in says of itself, of either kind: names, versions and texts within their limits,
// all names different. ERR_INVALID with `why`.
MUST_CHECK enum err pluginline_check(const struct jobframe_check *checks, size_t n,
                                     struct why *why);
// out: room for JOBFRAME_MAX_CHECKS. ERR_CORRUPT: not such a line; `why` says what is wrong with it.
MUST_CHECK enum err pluginline_get_hello(const char *line, size_t len, struct jobframe_check *out,
                                         size_t *n, struct why *why);
// Appends a line with its end. Malformed UTF-8 in texts becomes U+FFFD; kwargs and ground_truth
// are JSON values, null where there are none.
MUST_CHECK enum err pluginline_put_request(struct buf *out, uint64_t job, struct score_text check,
                                           const struct score_plugin_input *in);
// ERR_OK with a value, ERR_UNSUPPORTED when undecided (text in `why`), ERR_CORRUPT otherwise.
MUST_CHECK enum err pluginline_get_reply(const char *line, size_t len, uint64_t job, double *value,
                                         struct why *why);

#endif
