// score.h: one scoring request in, one verdict out; pure computation, no files, no clock, no
// processes.
//
// What decides, in this order:
//   checks   a JSON list of {"id", "kwargs", "mode": "strict"|"loose", "weight": 1, "gate": false}.
//            Without weights all must hold: reward 1 or 0. With weights the reward is their
//            weighted sum. A gate whose value is 0 makes the reward 0.
//   dataset  a JSON string or list of strings naming verifiers, plug-in checks among them. For
//            "gsm8k", "math" and the like ground_truth is a JSON string; for "ifeval" it lists the
//            instructions (rubric_suite.c has the forms), and the reward is the share that holds.
//            Several names need a ground_truth list of the same length; their rewards are summed.
// `reward` is the run's policy, a JSON object, all keys optional:
//   {"combine": "all"|"mean"|"sum"    instead of the folds above
//    "scale": 10                      factor on the above
//    "unstopped": -10                 reward of a response that was cut at its length limit
//    "shaping": [checks…]}            added to it, weight times value each; gates apply
//
// Fail closed: an unknown name, bad arguments, a bad ground truth, or a check that cannot decide
// make the verdict *unscored* with a cause, never a quiet 0.
#ifndef CARAVAN_VERIFIER_SCORE_H
#define CARAVAN_VERIFIER_SCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

// Bytes of each text of a request (= LIMIT_TEXT_BYTES of the wire).
#define SCORE_TEXT_MAX (2u << 20)
#define SCORE_MAX_COMPONENTS 256
#define SCORE_CAUSE_BYTES 128    // NUL included
#define SCORE_ID_BYTES 96
#define SCORE_VERSION_BYTES 32
#define SCORE_FINISH_LENGTH 2                    // enum msg_finish: cut at the length limit
#define SCORE_REWARD_MAX 1e9                     // magnitude; beyond it a verdict is unscored
#define SCORE_SCRATCH_MAX ((size_t)512 << 20)    // memory of one verdict

// Borrowed bytes.
struct score_text {
    const char *data;
    size_t len;
};

struct score_request {
    struct score_text dataset, checks, ground_truth;    // JSON texts; empty when the row has none
    struct score_text reward;                           // JSON text; empty: no policy
    struct score_text prompt, response;                 // UTF-8; malformed bytes count as U+FFFD
    uint32_t finish;                                    // enum msg_finish
    bool only_read;    // judge nothing: SCORE_ZERO when all but the response is in order
    // Between pool and worker (askbook.h); empty and false for everybody else.
    struct score_text answers;    // what plug-ins said, JSON
    bool may_ask;                 // a check that is not known may be a plug-in's
};

// The numbers are those of enum msg_outcome.
enum score_outcome { SCORE_SCORED = 1, SCORE_ZERO = 2, SCORE_UNSCORED = 3 };

struct score_component {
    char id[SCORE_ID_BYTES], version[SCORE_VERSION_BYTES];
    double value;     // 1 = holds, 0 = does not, or a measure between
    double weight;    // its factor in the reward's sum; 1 unless the row or the policy gave one
};

struct score_result {
    enum score_outcome outcome;            // SCORE_ZERO: the reward is exactly 0
    double reward;                         // 0 unless SCORE_SCORED; may be negative
    char cause[SCORE_CAUSE_BYTES];         // UTF-8, one line; "" unless unscored
    struct score_component *components;    // owned; in the order of the request
    size_t n_components;
};

// Checks that are not in the registry: the plug-ins of this process.
struct score_plugin_input {
    struct score_text response, prompt, ground_truth, kwargs;    // the last two JSON, or empty
    bool stopped;
};

struct score_resolver {
    void *arg;
    // True when `id` is a plug-in's check; index, id and version stay valid for the request.
    bool (*find)(void *arg, const char *id, size_t len, size_t *index, const char **out_id,
                 const char **out_version);
    // A value in 0…1, or an error whose text becomes the cause.
    enum err (*run)(void *arg, size_t index, const struct score_plugin_input *in, double *value,
                    struct why *why);
};

// Always fills *out (score_result_fini): even running out of memory is an unscored verdict. One
// thread: memory is kept from one call to the next. resolver may be NULL.
void score_request_resolve(const struct score_request *req, const struct score_resolver *resolver,
                           struct score_result *out);
// The same with the registry's checks alone.
void score_request_run(const struct score_request *req, struct score_result *out);
// Replaces *out by an unscored verdict. The text is made valid UTF-8 on one line and cut to fit.
void score_unscored(struct score_result *out, const char *cause);
void score_result_fini(struct score_result *r);          // zeroed struct is fine
const char *score_outcome_name(enum score_outcome o);    // "score", "zero", "unscored"

#endif
