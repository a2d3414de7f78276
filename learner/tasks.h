// tasks.h: what is trained and evaluated on: RLVR rows from JSONL or from taskgen, tokenised once
// at load.
//
// A row: {"messages": [{"role", "content"}…], "ground_truth": string|object|list, "dataset":
// string|list, "checks": [{"id", "kwargs"}…]?, "kind": string?}. A malformed row is an error naming
// FILE:LINE and field; a prompt over the limit is refused and counted. Immutable after creation.
#ifndef CARAVAN_LEARNER_TASKS_H
#define CARAVAN_LEARNER_TASKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/hash.h"
#include "common/json.h"
#include "learner/taskgen.h"
#include "model/tokenizer.h"

#define TASKS_LINE_MAX ((size_t)16 << 20)    // bytes of one row

struct task {
    uint32_t *prompt;
    size_t n_prompt;
    char *prompt_text;    // the last user message: what people read
    char *dataset;        // JSON texts as they stood in the row; "" when absent
    char *checks;
    char *ground_truth;
    char *kind;
    char *needs;    // names of the checks that score it, separated by newlines
};

// One row, not tokenised: prompt stays NULL. where: "FILE:LINE". For who only looks at rows.
MUST_CHECK enum err tasks_read_row(const json_t *row, const char *where, struct task *out,
                                   struct why *why);
void tasks_row_fini(struct task *t);    // zeroed struct is fine

struct tasks;
struct tasks_limits {
    size_t max_prompt_tokens;
    size_t max_rows;    // 0 = no limit
};

MUST_CHECK enum err tasks_load(const char *path, const struct tokenizer *t,
                               const struct tasks_limits *l, struct tasks **out, struct why *why);
// n rows of taskgen. Held-out rows are pairwise different while the space of prompts lasts (then
// there are fewer).
MUST_CHECK enum err tasks_generate(enum taskgen_kind kind, size_t n, uint64_t seed, bool held_out,
                                   const struct tokenizer *t, const struct tasks_limits *l,
                                   struct tasks **out, struct why *why);
void tasks_destroy(struct tasks *t);    // NULL is fine
size_t tasks_count(const struct tasks *t);
size_t tasks_refused(const struct tasks *t);    // prompts over the limit
const struct task *tasks_get(const struct tasks *t, size_t row);
struct hash128 tasks_hash(const struct tasks *t);    // of all rows in order
// The row of the ordinal-th training draw: epoch = ordinal / count, within an epoch the rows in
// order or in that epoch's own permutation. Keeps the last permutation used, so one caller at a
// time.
size_t tasks_draw(struct tasks *t, bool shuffle, uint64_t seed, uint64_t ordinal, uint64_t *epoch);

#endif
