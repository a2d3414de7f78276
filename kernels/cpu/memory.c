// memory.c: device memory of the CPU: 64-byte aligned, zeroed, not touched before it is used.
//
// Weights, gradients and moments are hundreds of megabytes each. Blocks from 4 MB up are mappings
// of their own: the kernel hands out zeroed pages at first touch, so that allocating costs nothing
// and what is never used never exists. (Huge pages were tried: no gain measured on 56 MB of
// weights.) Smaller blocks come from the heap. The 64 bytes before a block say which kind it is.

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/cpu/ops.h"

enum { ALIGNMENT = 64, ZERO_PIECE = 1 << 20 };
static const size_t MAPPED_FROM = (size_t)4 << 20;
static const size_t LARGEST = (size_t)1 << 46;

struct header {
    size_t mapped;    // bytes of the mapping, 0 = heap
    char unused[ALIGNMENT - sizeof(size_t)];
};

static struct header *get_block(size_t bytes)
{
    if (bytes > LARGEST) {
        return NULL;
    }
    size_t total = cpu_div_up(bytes + sizeof(struct header), ALIGNMENT) * ALIGNMENT;
    if (bytes < MAPPED_FROM) {
        struct header *h = aligned_alloc(ALIGNMENT, total);
        if (h != NULL) {
            memset(h, 0, total);
        }
        return h;
    }
    struct header *h =
        mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (h == MAP_FAILED) {
        return NULL;
    }
    h->mapped = total;
    return h;
}

enum err cpu_alloc(struct device *d, size_t bytes, void **out, struct why *why)
{
    (void)d;
    struct header *h = get_block(bytes);
    if (h == NULL) {
        return why_set(why, ERR_NOMEM, "cpu device: cannot allocate %zu bytes", bytes);
    }
    *out = h + 1;
    return ERR_OK;
}

void cpu_release(struct device *d, void *p)
{
    (void)d;
    if (p == NULL) {
        return;
    }
    struct header *h = (struct header *)p - 1;
    if (h->mapped > 0) {
        munmap(h, h->mapped);
    } else {
        free(h);
    }
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

struct span {
    char *at;
    size_t bytes;
};

static void zero_task(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct span *s = arg;
    size_t first = chunk * ZERO_PIECE;
    memset(s->at + first, 0, MIN(s->bytes - first, (size_t)ZERO_PIECE));
}

void cpu_zero(struct device *d, void *dst, size_t bytes)
{
    struct span s = {dst, bytes};
    cpu_run(d, cpu_div_up(bytes, (size_t)ZERO_PIECE), zero_task, &s);
}
