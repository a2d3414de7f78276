// kit.h: a model made ready for decoding or training, and numbers of a command line. Clocks and
// spreads are those of cli/bench.h.
//
// Benches are programs: they may print and exit, and a failed allocation is a CHECK.
#ifndef CARAVAN_TESTS_BENCH_KIT_H
#define CARAVAN_TESTS_BENCH_KIT_H

#include "model/model.h"
#include "model/source.h"

// A model on a device: source, flat parameters, bf16 weights.
struct kit_model {
    struct pool *pool;
    struct device *device;
    struct source *source;
    float *flat;    // host, all parameters in table order; may be freed and set to NULL early
    struct weights *weights;
};
// kit_model_close also after a failure; *m may be zeroed.
MUST_CHECK enum err kit_model_open(struct kit_model *m, const char *path, const char *device_kind,
                                   int threads, struct why *why);
void kit_model_close(struct kit_model *m);

// A value of a command line: the whole text a number in range, or the program ends with status 2.
long kit_number(const char *option, const char *text, long least, long most);

#endif
