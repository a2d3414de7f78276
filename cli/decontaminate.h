// decontaminate.h: training rows without those that give evaluation rows away.
//
// The rule is Tülu 3's (https://arxiv.org/abs/2411.15124, decontamination): a word of an evaluation
// row is covered by a training row when it lies in an n-gram that both have (cli/ngrams.h), and the
// evaluation row is contaminated by that training row when more than the threshold of its words are
// covered. Each pair is judged by itself, so that phrases collected from many rows condemn none of
// them; the share that all training rows cover together is reported beside it and decides nothing.
// Removed are the training rows of at least one such pair.
//
// A row is an object with messages, prompt, question or text, the first of them that it has. Of
// messages, evaluation rows give those of the user, training rows all: an answer can give a question
// away. Other fields are ignored.
//
// The evaluation side is held in memory, the training side is read once, a row at a time. Written
// files are complete or absent. Blocking; one thread.
#ifndef CARAVAN_CLI_DECONTAMINATE_H
#define CARAVAN_CLI_DECONTAMINATE_H

#include <stdio.h>

#include "common/err.h"

#define DECONTAMINATE_LINE_MAX ((size_t)16 << 20)
enum { DECONTAMINATE_LISTED_MAX = 1000 };    // training rows that the report lists of one eval row

struct decontaminate_options {
    const char *const *evals;
    size_t n_evals;
    const char *train;
    const char *out, *report;    // NULL: not written
    size_t n;                    // words of a gram, 1..NGRAMS_N_MAX
    double threshold;            // 0..1
    FILE *complaints;            // one line for each training or eval row that cannot be used
};

struct decontaminate_counts {
    size_t rows;                   // of one eval file
    size_t wordless;               // of them: cannot be covered
    size_t short_rows;             // of them: fewer than n words, covered only as a whole text
    size_t contaminated;           // by one training row
    size_t contaminated_by_all;    // by all training rows together; the contaminated ones included
};

struct decontaminate_result {
    struct decontaminate_counts *evals;    // n_evals of them, owned
    size_t train_rows, removed, unusable;
};

// ERR_INVALID and nothing written: an eval row that cannot be used (all of them are complained
// about first), or a file to be written that is one of those read. An unusable training row is
// complained about, counted and left out of the output.
MUST_CHECK enum err decontaminate_run(const struct decontaminate_options *o,
                                      struct decontaminate_result *out, struct why *why);
void decontaminate_result_fini(struct decontaminate_result *r);    // zeroed struct is fine

#endif
