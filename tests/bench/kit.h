// kit.h: what the benches share: clocks, spreads, a model made ready for timing.
//
// Benches are programs: they may print and exit, and a failed allocation is a CHECK.
#ifndef CARAVAN_TESTS_BENCH_KIT_H
#define CARAVAN_TESTS_BENCH_KIT_H

#include "model/model.h"
#include "model/source.h"

// Wall time and the processor time of all threads of this process, in seconds. The second says what
// the work cost even where other processes share the cores.
struct kit_span {
    double wall, cpu;
};
struct kit_span kit_now(void);
struct kit_span kit_since(struct kit_span from);
// Keeps in *best the shorter of itself and the time since `from`, wall and cpu apart.
void kit_best(struct kit_span *best, struct kit_span from);
extern const struct kit_span kit_never;    // longer than any span

struct kit_spread {
    double least, median, most;
};
struct kit_spread kit_spread(const double *values, size_t n);    // n >= 1

// A model on a device: source, flat parameters, bf16 weights.
struct kit_model {
    struct pool *pool;
    struct device *device;
    struct source *source;
    float *flat;    // host, all parameters in table order; may be freed and set to NULL early
    struct weights *weights;
};
// for_training: weights that model_train accepts. read, pack: what the two halves took; may be
// NULL. kit_model_close also after a failure; *m may be zeroed.
MUST_CHECK enum err kit_model_open(struct kit_model *m, const char *path, const char *device_kind,
                                   int threads, bool for_training, struct kit_span *read,
                                   struct kit_span *pack, struct why *why);
void kit_model_close(struct kit_model *m);

// A value of a command line: the whole text a number in range, or the program ends with status 2.
long kit_number(const char *option, const char *text, long least, long most);

#endif
