// pool.c: one owner, some helpers, a ticket.
//
// A run is published as one 64-bit ticket: the number of the run in the upper half, the chunks not
// yet taken in the lower. A thread takes a chunk by compare-and-swap on the whole ticket, so a
// helper that wakes late, when its run is long over, cannot take a chunk of the next one by
// mistake, and nobody ever waits for a helper that holds no chunk: a helper that the kernel did not
// schedule costs nothing. That is what keeps the team usable when actor, learner and verifier share
// two cores.
//
//   owner    store fn, arg, n; done = 0; ticket = (run, n); wake helpers; take chunks;
//            wait for done == n
//   helper   wait for a new run; take chunks; done++ after each, the last one wakes the owner
//
// fn, arg and n are read before the swap and only used if it succeeds. It succeeds only while a
// chunk of that run is untaken, thus before the owner can have written the fields of the next run:
// the values read belong together.
//
// Waiting is SPIN_NS of pause, then a futex. The price of a sleep is one system call on each side and
// some microseconds until the sleeper runs, which a decode pass of a single sequence would pay a
// hundred times. Where the cores are shared, a thread waits long only because its partner lost the
// core, for milliseconds; a spin of 50 us is little beside that.

#include "common/pool.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "common/clock.h"

#define MAX_THREADS 256
#define SPIN_NS 50000
#define LINE_BYTES 64    // fields that different threads write live on lines of their own

struct helper {
    pthread_t thread;
    struct pool *pool;
    int index;
};

struct pool {
    // The run: written by the owner while no chunk is left to take.
    _Atomic(pool_fn *) fn;
    _Atomic(void *) arg;
    atomic_size_t n_chunks;

    _Alignas(LINE_BYTES) _Atomic uint64_t ticket;
    _Alignas(LINE_BYTES) _Atomic uint32_t done;    // chunks finished in this run; the owner's futex
    _Atomic uint32_t owner_asleep;
    _Alignas(LINE_BYTES) _Atomic uint32_t epoch;    // runs started; the helpers' futex
    _Atomic uint32_t helpers_asleep;
    atomic_bool stop;

    _Alignas(LINE_BYTES) int n_threads;
    int n_helpers;    // started
    struct helper *helpers;
};

void pool_set_fpu(void)
{
#ifdef __x86_64__
    _mm_setcsr(_mm_getcsr() | 0x8040u);    // FTZ is bit 15, DAZ bit 6
#endif
}

int pool_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return MAX(1, CPU_COUNT(&set));
    }
    long n = sysconf(_SC_NPROCESSORS_ONLN);    // more CPUs than a cpu_set_t holds
    return n > 0 && n < INT_MAX ? (int)n : 1;
}

static void pause_once(void)
{
#ifdef __x86_64__
    _mm_pause();
#endif
}

static void futex_wait(_Atomic uint32_t *word, uint32_t seen)
{
    syscall(SYS_futex, (void *)word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int n)
{
    syscall(SYS_futex, (void *)word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

// Spins until *word differs from seen; false when the time is up.
static bool spin_for_change(_Atomic uint32_t *word, uint32_t seen)
{
    uint64_t end = clock_mono_ns() + SPIN_NS;
    do {
        for (int i = 0; i < 16; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != seen) {
                return true;
            }
            pause_once();
        }
    } while (clock_mono_ns() < end);
    return false;
}

// Takes and runs chunks until none is left.
static void work(struct pool *p, int thread)
{
    uint64_t ticket = atomic_load_explicit(&p->ticket, memory_order_acquire);
    for (;;) {
        size_t left = (uint32_t)ticket;
        size_t n = atomic_load_explicit(&p->n_chunks, memory_order_relaxed);
        pool_fn *fn = atomic_load_explicit(&p->fn, memory_order_relaxed);
        void *arg = atomic_load_explicit(&p->arg, memory_order_relaxed);
        if (left == 0) {
            return;
        }
        if (!atomic_compare_exchange_weak_explicit(&p->ticket, &ticket, ticket - 1,
                                                   memory_order_acq_rel, memory_order_acquire)) {
            continue;    // ticket now holds what stood there
        }
        fn(arg, n - left, thread);
        uint32_t done = atomic_fetch_add(&p->done, 1) + 1;
        if (done == n && atomic_load(&p->owner_asleep) != 0) {
            futex_wake(&p->done, 1);
        }
        ticket = atomic_load_explicit(&p->ticket, memory_order_acquire);
    }
}

static void wait_for_run(struct pool *p, uint32_t seen)
{
    if (spin_for_change(&p->epoch, seen)) {
        return;
    }
    atomic_fetch_add(&p->helpers_asleep, 1);
    while (atomic_load(&p->epoch) == seen) {
        futex_wait(&p->epoch, seen);
    }
    atomic_fetch_sub(&p->helpers_asleep, 1);
}

static void *helper_main(void *arg)
{
    struct helper *h = arg;
    struct pool *p = h->pool;
    pool_set_fpu();
    uint32_t seen = 0;
    for (;;) {
        wait_for_run(p, seen);
        seen = atomic_load_explicit(&p->epoch, memory_order_acquire);
        if (atomic_load_explicit(&p->stop, memory_order_acquire)) {
            return NULL;
        }
        work(p, h->index);
    }
}

static void wait_until_done(struct pool *p, uint32_t n)
{
    for (;;) {
        uint32_t done = atomic_load_explicit(&p->done, memory_order_acquire);
        if (done == n) {
            return;
        }
        if (spin_for_change(&p->done, done)) {
            continue;
        }
        atomic_store(&p->owner_asleep, 1);
        done = atomic_load(&p->done);
        if (done != n) {
            futex_wait(&p->done, done);
        }
        atomic_store(&p->owner_asleep, 0);
    }
}

void pool_run(struct pool *p, size_t n_chunks, pool_fn *fn, void *arg)
{
    if (p == NULL || p->n_threads == 1 || n_chunks <= 1) {
        for (size_t i = 0; i < n_chunks; i++) {
            fn(arg, i, 0);
        }
        return;
    }
    CHECK(n_chunks < UINT32_MAX);
    uint32_t n = (uint32_t)n_chunks;
    atomic_store_explicit(&p->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&p->arg, arg, memory_order_relaxed);
    atomic_store_explicit(&p->n_chunks, n_chunks, memory_order_relaxed);
    atomic_store_explicit(&p->done, 0, memory_order_relaxed);

    uint32_t run = atomic_load_explicit(&p->epoch, memory_order_relaxed) + 1;
    atomic_store_explicit(&p->ticket, (uint64_t)run << 32 | n, memory_order_release);
    atomic_store(&p->epoch, run);
    if (atomic_load(&p->helpers_asleep) != 0) {
        futex_wake(&p->epoch, (int)MIN(n - 1, (uint32_t)MAX_THREADS));
    }
    work(p, 0);
    wait_until_done(p, n);
}

int pool_threads(const struct pool *p)
{
    return p == NULL ? 1 : p->n_threads;
}

// Helpers take no signals: those belong to the thread that runs the loop.
static int start_helper(struct helper *h)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&h->thread, NULL, helper_main, h);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0) {
        char name[16];
        (void)snprintf(name, sizeof name, "pool-%d", h->index);
        pthread_setname_np(h->thread, name);
    }
    return rc;
}

enum err pool_create(int n_threads, struct pool **out, struct why *why)
{
    if (n_threads < 1 || n_threads > MAX_THREADS) {
        return why_set(why, ERR_INVALID, "%d compute threads, expected 1..%d", n_threads,
                       MAX_THREADS);
    }
    struct pool *p = aligned_alloc(LINE_BYTES, sizeof *p);
    if (p == NULL) {
        return why_set(why, ERR_NOMEM, "out of memory for %d compute threads", n_threads);
    }
    memset(p, 0, sizeof *p);
    p->n_threads = n_threads;
    p->helpers = calloc((size_t)n_threads, sizeof *p->helpers);
    if (p->helpers == NULL) {
        pool_destroy(p);
        return why_set(why, ERR_NOMEM, "out of memory for %d compute threads", n_threads);
    }
    for (int i = 1; i < n_threads; i++) {
        struct helper *h = &p->helpers[i - 1];
        *h = (struct helper){.pool = p, .index = i};
        int rc = start_helper(h);
        if (rc != 0) {
            pool_destroy(p);
            errno = rc;
            return why_set(why, ERR_NOMEM, "cannot start compute thread %d of %d: %m", i + 1,
                           n_threads);
        }
        p->n_helpers++;
    }
    *out = p;
    return ERR_OK;
}

void pool_destroy(struct pool *p)
{
    if (p == NULL) {
        return;
    }
    atomic_store(&p->stop, true);
    atomic_fetch_add(&p->epoch, 1);
    futex_wake(&p->epoch, INT_MAX);
    for (int i = 0; i < p->n_helpers; i++) {
        pthread_join(p->helpers[i].thread, NULL);
    }
    free(p->helpers);
    free(p);
}
