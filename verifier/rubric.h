// rubric.h: what a request asks for, before any response is looked at: a list of tasks with parsed
// arguments, how their values fold into a reward, and the reward policy.
//
// In: the JSON texts of a score_request (score.h says what they hold). Out: a rubric in the scratch.
// Anything that is not understood leaves through scratch_fail; scratch_run's `why` names the place.
// Pure: the same request always gives the same rubric, so reading alone is a check of a data row.
#ifndef CARAVAN_VERIFIER_RUBRIC_H
#define CARAVAN_VERIFIER_RUBRIC_H

#include <jansson.h>

#include "verifier/check.h"
#include "verifier/score.h"

struct rubric_task {
    const char *id, *version;
    const struct check_row *row;    // NULL: a plug-in's check
    const struct check_arg *args;
    struct pyspan truth;
    bool loose;
    bool gate;        // a value of 0 makes the whole reward 0
    bool weighed;     // the row gave the weight
    double weight;    // of the value in a sum or mean
    // A plug-in's check: its index for the resolver, kwargs and ground truth as JSON texts ("" when
    // absent).
    size_t plugin;
    const char *kwargs, *truth_json;
};

// How the values of a group become one number.
enum rubric_fold {
    RUBRIC_ALL,     // 1 when every value is 1, else 0
    RUBRIC_MEAN,    // weighted mean
    RUBRIC_SUM,     // weighted sum
};

// What is done to the response before a group looks at it.
enum rubric_text {
    RUBRIC_TEXT_AS_IS,
    // Tülu 3's release: what follows the last "<|assistant|>\n", stripped.
    RUBRIC_TEXT_AFTER_ASSISTANT,
    // Later versions: "<|assistant|>" removed, stripped, what follows the last "</think>", without
    // "<answer>" and "</answer>", stripped.
    RUBRIC_TEXT_ANSWER,
};

// Tasks [first, first + n).
struct rubric_group {
    size_t first, n;
    enum rubric_fold fold;
    enum rubric_text text;
};

struct rubric {
    struct rubric_task *tasks;
    size_t n_tasks;
    struct rubric_group *groups;
    size_t n_groups;
    size_t first_shaping;    // groups from here on are the policy's; they are not scaled
    double scale;
    bool replaces_unstopped;    // a response without an end token gets `unstopped`
    double unstopped;
};

// resolver may be NULL. The place that a failure happened at is in scratch_run's text.
struct rubric *rubric_make(struct scratch *a, const struct score_request *req,
                           const struct score_resolver *resolver);

// ---- for the files that read one part of a request (rubric_*.c) ----

struct rubric_reader {
    struct scratch *scratch;
    const struct score_resolver *resolver;
    struct rubric rubric;
    size_t tasks_cap, groups_cap;
    bool has_fold;    // the policy names one
    enum rubric_fold fold;
};

// Appends a task for a check of the registry or of a plug-in; kwargs may be NULL.
struct rubric_task *rubric_add_check(struct rubric_reader *p, const json_t *id,
                                     const json_t *kwargs, const json_t *truth);
// Opens a group; what is added next belongs to it. Fold and text may be changed until then.
struct rubric_group *rubric_open_group(struct rubric_reader *p, enum rubric_fold fold);
// rubric_suite.c: the tasks of a data set whose ground truth lists instructions.
void rubric_suite(struct rubric_reader *p, const struct check_row *suite, const json_t *truth);
// rubric_reward.c: the reward policy's own keys, and its shaping checks as groups of their own.
void rubric_reward(struct rubric_reader *p, const json_t *policy);
void rubric_shaping(struct rubric_reader *p, const json_t *policy);
// One element of a list of checks: {"id", "kwargs", "mode", "weight", "gate"}.
void rubric_check(struct rubric_reader *p, const json_t *check, const json_t *truth);
// Parses a JSON text that lives as long as the scratch; name is for the failure's text.
const json_t *rubric_json(struct scratch *a, const char *text, size_t len, const char *name);

#endif
