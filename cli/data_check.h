// data_check.h: a file of training rows, each put to the verifiers that it names, before a run
// finds out after hours that a tenth of it is unscored.
//
// A row is what data.train reads (learner/tasks.h). Three things are checked, each only when the one
// before it holds:
//   the row itself       messages, dataset or checks, ground_truth have their forms
//   what shall score it  every verifier exists, its arguments are valid, the ground truth parses;
//                        a plain answer can be decided on, whatever its reward
//   reference_answer     where the row has one (a string), in place of the plain answer: it gets a
//                        reward above 0
// The last two are answered by the sandboxed workers that a verifier runs.
//
// A problem is one line on `out`, in the order of the file:
//   rows.jsonl:7: verifier: unknown check "gsm9k"
//   rows.jsonl:9: reference_answer: reward 0 (math 0)
//
// Blocks; runs an event loop and a reader thread of its own.
#ifndef CARAVAN_CLI_DATA_CHECK_H
#define CARAVAN_CLI_DATA_CHECK_H

#include <stdio.h>

#include "cli/tally.h"
#include "verifier/workpool.h"

enum { DATA_CHECK_WINDOW = 64 };    // rows under way; each may hold 16 MiB

struct data_check_sums {
    size_t rows, problems, references, references_passed;
    struct tally causes;    // of problems, without the place
    struct tally checks;    // that a problem is about; a problem of the row itself has none
};

// c->queue_max is set here. ERR_IO: the file cannot be read; other errors are those of the workers.
// What was found up to then is in *out, which is filled in any case (data_check_sums_fini).
MUST_CHECK enum err data_check_run(const char *path, const struct workpool_config *c, FILE *out,
                                   struct data_check_sums *sums, struct why *why);
void data_check_sums_fini(struct data_check_sums *s);

#endif
