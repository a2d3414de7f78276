// kit.c: the opening of a model, and strict numbers.
#include "tests/bench/kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/tools/grad_case.h"

enum err kit_model_open(struct kit_model *m, const char *path, const char *device_kind, int threads,
                        struct why *why)
{
    *m = (struct kit_model){0};
    enum err e = pool_create(threads, &m->pool, why);
    e = e ? e : device_open(device_kind, m->pool, &m->device, why);
    e = e ? e : source_open(path, &m->source, why);
    e = e ? e : grad_case_read_flat(m->source, &m->flat, why);
    return e ? e
             : grad_case_weights(m->device, source_config(m->source), source_params(m->source),
                                 m->flat, DTYPE_BF16, &m->weights, why);
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
