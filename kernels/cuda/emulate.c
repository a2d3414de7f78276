// emulate.c: the threads of a block as fibers, see emulate.h.
//
// A fiber takes the next thread that has not begun and runs it; if the thread ends without having
// waited, the fiber goes on with the following one, so kernels without barriers never switch. A
// thread that waits hands control back to `run_block`, which starts fibers until every thread has
// begun, then looks who may go on: all waiters of a warp or of the block together, once every thread
// that still lives has come.
//
// A fiber begins by setcontext; after that a switch is a jump, which makes no system call and is ten
// times faster than swapcontext. AddressSanitizer has to be told of each switch, or it takes one
// stack for another, and its own longjmp is slow; so there switches are swapcontext. Stacks are
// mapped once, as many as the largest block so far needed.

#undef _FORTIFY_SOURCE    // its longjmp refuses to go to another stack
#include "kernels/cuda/emulate.h"

#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "common/base.h"
#include "common/pool.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

enum {
    STACK_BYTES = 256 << 10,
    SHARED_BYTES = 64 << 10,
    WARP_THREADS = 32,
    MAX_WARPS = EMULATE_MAX_THREADS / WARP_THREADS
};

enum wait { WAIT_NOT, WAIT_BLOCK, WAIT_WARP };

struct place {    // where to go on
    ucontext_t context;
    jmp_buf jump;
};

struct fiber {
    struct place place;
    char *stack;
    unsigned thread;
};

static struct {
    emulate_fn *kernel;
    const void *args;
    unsigned n_threads;
    size_t n_blocks, block;
    unsigned begun, n_fibers;    // threads begun, fibers in use for this block
    struct fiber *current;
    struct fiber fiber[EMULATE_MAX_THREADS];
    struct place scheduler;
    const void *scheduler_stack;
    size_t scheduler_stack_bytes;
    enum emulate_order order;
    // by thread
    struct fiber *of[EMULATE_MAX_THREADS];
    enum wait wait[EMULATE_MAX_THREADS];
    float slot[2][EMULATE_MAX_THREADS];    // of exchanges, by turns
    unsigned char turn[EMULATE_MAX_THREADS];
    // how many live and how many of them wait
    unsigned alive, waiting;
    unsigned warp_alive[MAX_WARPS], warp_waiting[MAX_WARPS];
    _Alignas(16) float shared[SHARED_BYTES / sizeof(float)];
} em;

void emulate_set_order(enum emulate_order order)
{
    em.order = order;
}

// The i-th thread to begin.
static unsigned thread_at(unsigned i)
{
    switch (em.order) {
    case EMULATE_DESCENDING:
        return em.n_threads - 1 - i;
    case EMULATE_STRIDED: {
        unsigned half = (em.n_threads + 1) / 2;    // 0, half, 1, half + 1, …
        return i % 2 == 0 ? i / 2 : half + i / 2;
    }
    default:
        return i;
    }
}

// ---- switching
#ifdef HAS_ASAN
static void change(struct place *from, struct place *to, bool begins)
{
    (void)begins;
    CHECK(swapcontext(&from->context, &to->context) == 0);
}
#else
static __attribute__((noinline)) void change(struct place *from, struct place *to, bool begins)
{
    if (_setjmp(from->jump) == 0) {
        if (begins) {
            CHECK(setcontext(&to->context) == 0);
        }
        _longjmp(to->jump, 1);
    }
}
#endif

static void fiber_to_scheduler(struct fiber *f, bool for_good)
{
#ifdef HAS_ASAN
    void *fake = NULL;
    __sanitizer_start_switch_fiber(for_good ? NULL : &fake, em.scheduler_stack,
                                   em.scheduler_stack_bytes);
#else
    (void)for_good;
#endif
    change(&f->place, &em.scheduler, false);
#ifdef HAS_ASAN
    __sanitizer_finish_switch_fiber(fake, &em.scheduler_stack, &em.scheduler_stack_bytes);
#endif
}

static void scheduler_to_fiber(struct fiber *f, bool begins)
{
    em.current = f;
#ifdef HAS_ASAN
    void *fake = NULL;
    __sanitizer_start_switch_fiber(&fake, f->stack, STACK_BYTES);
#endif
    change(&em.scheduler, &f->place, begins);
#ifdef HAS_ASAN
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
}

static void fiber_main(void)
{
#ifdef HAS_ASAN
    __sanitizer_finish_switch_fiber(NULL, &em.scheduler_stack, &em.scheduler_stack_bytes);
#endif
    struct fiber *f = em.current;
    while (em.begun < em.n_threads) {
        f->thread = thread_at(em.begun++);
        em.of[f->thread] = f;
        em.kernel(em.args);
        em.of[f->thread] = NULL;
        em.alive--;
        em.warp_alive[f->thread / WARP_THREADS]--;
    }
    fiber_to_scheduler(f, true);
}

static void begin_fiber(void)
{
    struct fiber *f = &em.fiber[em.n_fibers++];
    if (f->stack == NULL) {
        void *p = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        CHECK(p != MAP_FAILED);
        f->stack = p;
    }
    CHECK(getcontext(&f->place.context) == 0);
    f->place.context.uc_stack.ss_sp = f->stack;
    f->place.context.uc_stack.ss_size = STACK_BYTES;
    f->place.context.uc_link = NULL;
    makecontext(&f->place.context, fiber_main, 0);
    scheduler_to_fiber(f, true);
}

// ---- waiting
static void wait_for(enum wait w)
{
    struct fiber *f = em.current;
    em.wait[f->thread] = w;
    if (w == WAIT_BLOCK) {
        em.waiting++;
    } else {
        em.warp_waiting[f->thread / WARP_THREADS]++;
    }
    fiber_to_scheduler(f, false);
}

static void go_on(unsigned thread, enum wait w)
{
    if (em.of[thread] != NULL && em.wait[thread] == w) {
        em.wait[thread] = WAIT_NOT;
        scheduler_to_fiber(em.of[thread], false);
    }
}

// Lets all waiters of one barrier go on, each until it waits again. False: nobody can.
static bool release_some(void)
{
    const unsigned n = em.n_threads;
    for (unsigned w = 0; w < (n + WARP_THREADS - 1) / WARP_THREADS; w++) {
        if (em.warp_alive[w] == 0 || em.warp_waiting[w] != em.warp_alive[w]) {
            continue;
        }
        em.warp_waiting[w] = 0;
        for (unsigned i = 0; i < WARP_THREADS; i++) {
            unsigned lane = em.order == EMULATE_ASCENDING ? i : WARP_THREADS - 1 - i;
            go_on(w * WARP_THREADS + lane, WAIT_WARP);
        }
        return true;
    }
    if (em.waiting != em.alive) {
        return false;
    }
    em.waiting = 0;
    for (unsigned i = 0; i < n; i++) {
        go_on(thread_at(i), WAIT_BLOCK);
    }
    return true;
}

static void run_block(void)
{
    em.begun = em.n_fibers = em.waiting = 0;
    em.alive = em.n_threads;
    for (unsigned w = 0; w * WARP_THREADS < em.n_threads; w++) {
        em.warp_alive[w] = MIN(em.n_threads - w * WARP_THREADS, (unsigned)WARP_THREADS);
        em.warp_waiting[w] = 0;
    }
    while (em.begun < em.n_threads) {
        begin_fiber();
    }
    while (em.alive > 0) {
        CHECK(release_some());    // or the threads of this block wait for one another for ever
    }
}

void emulate_launch(emulate_fn *kernel, unsigned n_blocks, unsigned n_threads, size_t shared_bytes,
                    const void *args)
{
    CHECK(n_threads > 0 && n_threads <= EMULATE_MAX_THREADS && shared_bytes <= SHARED_BYTES);
    pool_set_fpu();
    em.kernel = kernel;
    em.args = args;
    em.n_threads = n_threads;
    em.n_blocks = n_blocks;
    for (em.block = 0; em.block < n_blocks; em.block++) {
        memset(em.shared, 0xff, shared_bytes);
        run_block();
    }
}

// ---- inside a kernel
unsigned thread_index(void)
{
    return em.current->thread;
}

size_t block_index(void)
{
    return em.block;
}

size_t block_count(void)
{
    return em.n_blocks;
}

void sync_block(void)
{
    wait_for(WAIT_BLOCK);
}

void sync_warp(void)
{
    wait_for(WAIT_WARP);
}

// What the threads of this warp gave. The next exchange uses the other row: nobody reaches the one
// after it before all have read this one.
static const float *exchange(float v)
{
    const unsigned t = thread_index();
    float *row = em.slot[em.turn[t] ^= 1];
    row[t] = v;
    wait_for(WAIT_WARP);
    return row + t / WARP_THREADS * WARP_THREADS;
}

float shuffle_xor(float v, unsigned mask)
{
    const unsigned lane = thread_index() % WARP_THREADS ^ mask;
    CHECK(lane < WARP_THREADS && em.n_threads % WARP_THREADS == 0);
    return exchange(v)[lane];
}

float lanes_sum(float v)
{
    const float *all = exchange(v) + (thread_index() % WARP_THREADS & 16u);
    float t[16];
    memcpy(t, all, sizeof t);
    for (unsigned n = 8; n > 0; n /= 2) {
        for (unsigned i = 0; i < n; i++) {
            t[i] += t[i + n];
        }
    }
    return t[0];
}

float warp_max(float v)
{
    const float *all = exchange(v);
    float max = all[0];
    for (unsigned i = 1; i < WARP_THREADS; i++) {
        max = max > all[i] ? max : all[i];
    }
    return max;
}

float *shared_memory(void)
{
    return em.shared;
}
