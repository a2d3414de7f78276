// pair_role.h: the two sides of pair_bench: a process that decodes, a process that trains.
//
// A role reads orders from stdin and answers on stdout, one line each; it works only under an order
// and ends when stdin does.
//   run SECONDS THREADS NICE   work with so many threads at that nice level
//     ran TOKENS WALL CPU      after the first whole unit of work past SECONDS: what was done until
//                              then; the role goes on working, as company for the other one
//     idle CPU                 once *halt is set: processor seconds since the order
// Its first line is `ready`. Units are measured whole, so no figure depends on where a window cuts
// one, and both roles are at work for as long as either is measured.
#ifndef CARAVAN_TESTS_BENCH_PAIR_ROLE_H
#define CARAVAN_TESTS_BENCH_PAIR_ROLE_H

#include <stdatomic.h>

#include "common/err.h"

struct pair_options {
    const char *model, *device;
    int micro_batches;    // of one optimiser step
};

// Runs the role named "decode" or "train" until stdin ends; halt is shared with the director.
MUST_CHECK enum err pair_role_run(const char *role, const struct pair_options *o,
                                  const atomic_bool *halt, struct why *why);

#endif
