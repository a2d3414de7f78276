// device.c: the CPU as a device: its scratch memory and the choice of an instruction set.
//
// The set is chosen once, when the device is opened, by asking the CPU; all sets give the same
// forward bits, so the choice is about speed alone. Which tables exist at all is decided by the
// build (CARAVAN_X86). Scratch memory is allocated with the device and never grows: ops cannot run
// out of memory.

#include "kernels/cpu/device.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/ops.h"

struct isa {
    const char *kind, *name;
    const struct device_ops *ops;
};

static bool isa_supported(const struct isa *i)
{
#ifdef CARAVAN_X86
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (i->ops == &cpu_avx512_table) {
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw");
    }
    if (i->ops == &cpu_avx2_table) {
        return avx2;
    }
#endif
    (void)i;
    return true;
}

// Best first.
static const struct isa isas[] = {
#ifdef CARAVAN_X86
    {"cpu-avx512", "avx512", &cpu_avx512_table},
    {"cpu-avx2", "avx2", &cpu_avx2_table},
#endif
    {"cpu-portable", "portable", &cpu_portable_table},
};

static enum err choose_isa(const char *kind, const struct isa **out, struct why *why)
{
    for (size_t i = 0; i < ARRAY_LEN(isas); i++) {
        bool any = strcmp(kind, "cpu") == 0, supported = isa_supported(&isas[i]);
        if (strcmp(kind, isas[i].kind) == 0 && !supported) {
            return why_set(why, ERR_UNSUPPORTED, "device %s: this CPU has no %s", kind,
                           isas[i].name);
        }
        if (supported && (any || strcmp(kind, isas[i].kind) == 0)) {
            *out = &isas[i];
            return ERR_OK;
        }
    }
    return why_set(why, ERR_UNSUPPORTED, "device %s: not built in for this kind of CPU", kind);
}

enum err cpu_device_open(const char *kind, struct pool *pool, struct device **out, struct why *why)
{
    const struct isa *isa = NULL;
    enum err e = choose_isa(kind, &isa, why);
    if (e != ERR_OK) {
        return e;
    }
    struct cpu_device *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return why_set(why, ERR_NOMEM, "device %s: out of memory", kind);
    }
    d->base.ops = isa->ops;
    d->base.pool = pool;
    d->base.state = d;
    d->isa = isa->name;
    size_t threads = (size_t)pool_threads(pool);
    const struct {
        void *to;    // a pointer in d
        size_t bytes;
    } scratch[] = {
        {&d->dw_panels, sizeof(float) * (DW_ROWS + 1) * DW_COLS},
        {&d->dw_blocks, sizeof(float) * threads * DW_ROWS * DW_TASK},
        {&d->stats, sizeof *d->stats * STATS_MAX},
        {&d->pieces, sizeof(float) * STATS_MAX * VOCAB_PIECES},
        {&d->logits, sizeof(float) * threads * HEAD_TASK_ROWS * VOCAB_BLOCK},
        {&d->at_target, sizeof(float) * STATS_MAX},
        {&d->partials, sizeof *d->partials * PARTIALS_MAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(scratch); i++) {
        void *p = NULL;
        e = cpu_alloc(&d->base, scratch[i].bytes, &p, why);
        if (e != ERR_OK) {
            cpu_device_close(&d->base);
            return e;
        }
        memcpy(scratch[i].to, &p, sizeof p);
    }
    *out = &d->base;
    return ERR_OK;
}

void cpu_device_close(struct device *d)
{
    struct cpu_device *c = d->state;
    cpu_release(d, c->dw_panels);
    cpu_release(d, c->dw_blocks);
    cpu_release(d, c->stats);
    cpu_release(d, c->pieces);
    cpu_release(d, c->logits);
    cpu_release(d, c->at_target);
    cpu_release(d, c->partials);
    free(c);
}

const char *cpu_device_isa(const struct device *d)
{
    const struct cpu_device *c = d->state;
    return c->isa;
}
