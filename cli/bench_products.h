// bench_products.h: the matrix products of a stretch of work, noted while it runs and run again
// alone.
//
// What a pass takes beyond its matrix products is overhead: attention, norms, sampling, moving
// rows, waiting for threads. The honest yardstick are not the instructions that a core could issue
// but the same products in the same order, with the same kernels, weights, buffers and threads, and
// nothing in between: whole / alone shows what there is to gain without faster kernels.
//
// A recorder stands between a model and its device: it takes the place of the device's table of ops
// and notes each call of gemm and gemm_dw with its arguments. The buffers belong to the model and
// must still exist at the replay, which writes into them: what they hold is spoilt, so the work
// must not go on from there.
#ifndef CARAVAN_CLI_BENCH_PRODUCTS_H
#define CARAVAN_CLI_BENCH_PRODUCTS_H

#include <stdbool.h>

#include "cli/bench.h"
#include "kernels/device.h"

struct bench_products;

// The device is used through the recorder until bench_products_detach; one at a time.
MUST_CHECK enum err bench_products_attach(struct device *d, struct bench_products **out,
                                          struct why *why);
void bench_products_detach(struct bench_products *p);    // NULL is fine
// on: forgets what was noted and notes from now on.
void bench_products_record(struct bench_products *p, bool on);
size_t bench_products_count(const struct bench_products *p);
double bench_products_flop(const struct bench_products *p);    // a fused multiply-add is two
struct bench_span bench_products_replay(const struct bench_products *p);

#endif
