// kit.c: clocks, medians and the opening of a model, once for all benches.
//
// On a machine that others use as well a single figure says little. Two remedies, to be chosen by
// what is asked: the best of several short runs (what the work costs when nobody disturbs it), or
// the median of runs that alternate with what they are compared to (both meet the same neighbours).

#include "tests/bench/kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "tests/tools/grad_case.h"

const struct kit_span kit_never = {1e30, 1e30};

struct kit_span kit_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (struct kit_span){clock_mono_s(), (double)t.tv_sec + (double)t.tv_nsec * 1e-9};
}

struct kit_span kit_since(struct kit_span from)
{
    struct kit_span now = kit_now();
    return (struct kit_span){now.wall - from.wall, now.cpu - from.cpu};
}

void kit_best(struct kit_span *best, struct kit_span from)
{
    struct kit_span s = kit_since(from);
    best->wall = MIN(best->wall, s.wall);
    best->cpu = MIN(best->cpu, s.cpu);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct kit_spread kit_spread(const double *values, size_t n)
{
    double *v = malloc(n * sizeof *v);
    CHECK(v != NULL && n > 0);
    memcpy(v, values, n * sizeof *v);
    qsort(v, n, sizeof *v, by_value);
    struct kit_spread s = {v[0], (v[(n - 1) / 2] + v[n / 2]) / 2, v[n - 1]};
    free(v);
    return s;
}

enum err kit_model_open(struct kit_model *m, const char *path, const char *device_kind, int threads,
                        bool for_training, struct kit_span *read, struct kit_span *pack,
                        struct why *why)
{
    *m = (struct kit_model){0};
    enum err e = pool_create(threads, &m->pool, why);
    e = e ? e : device_open(device_kind, m->pool, &m->device, why);
    struct kit_span from = kit_now();
    e = e ? e : source_open(path, &m->source, why);
    e = e ? e : grad_case_read_flat(m->source, &m->flat, why);
    if (read) {
        *read = kit_since(from);
    }
    from = kit_now();
    e = e ? e
          : grad_case_weights(m->device, source_config(m->source), source_params(m->source),
                              m->flat, DTYPE_BF16, for_training, &m->weights, why);
    if (pack) {
        *pack = kit_since(from);
    }
    return e;
}

void kit_model_close(struct kit_model *m)
{
    weights_destroy(m->weights);
    free(m->flat);
    source_close(m->source);
    device_close(m->device);
    pool_destroy(m->pool);
    *m = (struct kit_model){0};
}

long kit_number(const char *option, const char *text, long least, long most)
{
    char *end = NULL;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < least || n > most) {
        fprintf(stderr, "%s: %s is not in %ld..%ld\n", option, text, least, most);
        exit(2);
    }
    return n;
}
