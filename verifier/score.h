// score.h: one scoring request in, one verdict out; pure computation, no files, no clock, no
// processes.
//
// What decides, in this order:
//   checks   a JSON list of {"id", "kwargs", "mode": "strict"|"loose"}: all must hold; reward 1
//            or 0.
//   dataset  a JSON string or list of strings naming verifiers. For "gsm8k" and "string_equality"
//            ground_truth is a JSON string; for "ifeval" {"instruction_id": [...],
//            "kwargs": [{...}|null, ...]}, a list of one such object, or a JSON string holding
//            either. Several names need a ground_truth list of the same length, and their rewards
//            are summed.
//
// Fail closed: an unknown name, bad arguments, a bad ground truth, or a check that cannot decide
// make the verdict *unscored* with a cause, never a quiet 0.
#ifndef CARAVAN_VERIFIER_SCORE_H
#define CARAVAN_VERIFIER_SCORE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

// Bytes of each text of a request (= LIMIT_TEXT_BYTES of the wire).
#define SCORE_TEXT_MAX (2u << 20)
#define SCORE_MAX_COMPONENTS 256
#define SCORE_CAUSE_BYTES 128    // NUL included
#define SCORE_ID_BYTES 96
#define SCORE_VERSION_BYTES 16

// Borrowed bytes.
struct score_text {
    const char *data;
    size_t len;
};

struct score_request {
    struct score_text dataset, checks, ground_truth;    // JSON texts; empty when the row has none
    struct score_text prompt, response;                 // UTF-8; malformed bytes count as U+FFFD
    uint32_t finish;    // enum msg_finish; carried along, no check reads it yet
};

// The numbers are those of enum msg_outcome.
enum score_outcome { SCORE_SCORED = 1, SCORE_ZERO = 2, SCORE_UNSCORED = 3 };

struct score_component {
    char id[SCORE_ID_BYTES], version[SCORE_VERSION_BYTES];
    double value;    // 1 = holds, 0 = does not
};

struct score_result {
    enum score_outcome outcome;
    double reward;                         // 0 unless SCORE_SCORED
    char cause[SCORE_CAUSE_BYTES];         // UTF-8, one line; "" unless unscored
    struct score_component *components;    // owned; in the order of the request
    size_t n_components;
};

// Always fills *out (score_result_fini): even running out of memory is an unscored verdict.
void score_request_run(const struct score_request *req, struct score_result *out);
// Replaces *out by an unscored verdict. The text is made valid UTF-8 on one line and cut to fit.
void score_unscored(struct score_result *out, const char *cause);
void score_result_fini(struct score_result *r);          // zeroed struct is fine
const char *score_outcome_name(enum score_outcome o);    // "score", "zero", "unscored"

#endif
