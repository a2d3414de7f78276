// device.c: the CPU as a device: its memory, its scratch, and the choice of an instruction set.
//
// Device memory is host memory here, so upload and download are copies, but callers may not know
// that. The set is chosen once, when the device is opened, by asking the CPU; all sets give the
// same forward bits, so the choice is about speed alone. Scratch memory is allocated with the
// device and never grows.

#include "kernels/cpu/device.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/ops.h"

enum { ALIGNMENT = 64 };

static void *aligned_zeroed(size_t bytes)
{
    if (bytes > SIZE_MAX - ALIGNMENT) {
        return NULL;
    }
    size_t rounded = cpu_div_up(MAX(bytes, (size_t)1), ALIGNMENT) * ALIGNMENT;
    void *p = aligned_alloc(ALIGNMENT, rounded);
    if (p != NULL) {
        memset(p, 0, rounded);
    }
    return p;
}

enum err cpu_alloc(struct device *d, size_t bytes, void **out, struct why *why)
{
    (void)d;
    void *p = aligned_zeroed(bytes);
    if (p == NULL) {
        return why_set(why, ERR_NOMEM, "cpu device: cannot allocate %zu bytes", bytes);
    }
    *out = p;
    return ERR_OK;
}

void cpu_release(struct device *d, void *p)
{
    (void)d;
    free(p);
}

void cpu_upload(struct device *d, void *dst, const void *host, size_t bytes)
{
    (void)d;
    memcpy(dst, host, bytes);
}

void cpu_download(struct device *d, void *host, const void *src, size_t bytes)
{
    (void)d;
    memcpy(host, src, bytes);
}

void cpu_copy(struct device *d, void *dst, const void *src, size_t bytes)
{
    (void)d;
    memmove(dst, src, bytes);
}

void cpu_zero(struct device *d, void *dst, size_t bytes)
{
    (void)d;
    memset(dst, 0, bytes);
}

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
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
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
    d->dw_panels = aligned_zeroed(sizeof(float) * DW_ROWS * DW_COLS);
    d->stats = aligned_zeroed(sizeof *d->stats * STATS_MAX);
    d->partials = aligned_zeroed(sizeof *d->partials * PARTIALS_MAX);
    if (d->dw_panels == NULL || d->stats == NULL || d->partials == NULL) {
        cpu_device_close(&d->base);
        return why_set(why, ERR_NOMEM, "device %s: out of memory for scratch", kind);
    }
    *out = &d->base;
    return ERR_OK;
}

void cpu_device_close(struct device *d)
{
    struct cpu_device *c = d->state;
    free(c->dw_panels);
    free(c->stats);
    free(c->partials);
    free(c);
}

const char *cpu_device_isa(const struct device *d)
{
    const struct cpu_device *c = d->state;
    return c->isa;
}
