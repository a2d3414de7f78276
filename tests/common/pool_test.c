// pool_test.c: every chunk runs once, also when there are more threads than cores and the runs are
// tiny.

#include "tests/common/check.h"

#include <stdatomic.h>

#include "common/clock.h"
#include "common/pool.h"

#define MAX_CHUNKS 300

struct tally {
    int runs[MAX_CHUNKS];    // plain: the pool itself must order the accesses
    atomic_int bad_thread;
    int n_threads;
};

static void count(void *arg, size_t chunk, int thread)
{
    struct tally *t = arg;
    t->runs[chunk]++;
    if (thread < 0 || thread >= t->n_threads) {
        atomic_fetch_add(&t->bad_thread, 1);
    }
}

static void every_chunk_runs_exactly_once(void **state)
{
    (void)state;
    static const int teams[] = {1, 2, 3, 9};    // 9: more than the cores of a small machine
    for (size_t i = 0; i < ARRAY_LEN(teams); i++) {
        struct pool *p = NULL;
        struct why why;
        assert_int_equal(pool_create(teams[i], &p, &why), ERR_OK);
        assert_int_equal(pool_threads(p), teams[i]);
        struct tally t = {.n_threads = teams[i]};
        int want[MAX_CHUNKS] = {0};
        for (size_t round = 0; round < 2000; round++) {
            size_t n = round * 7 % (MAX_CHUNKS + 1);
            pool_run(p, n, count, &t);
            for (size_t c = 0; c < n; c++) {
                want[c]++;
            }
        }
        assert_memory_equal(t.runs, want, sizeof want);
        assert_int_equal(atomic_load(&t.bad_thread), 0);
        pool_destroy(p);
    }
}

static void no_pool_means_the_calling_thread(void **state)
{
    (void)state;
    struct tally t = {.n_threads = 1};
    pool_run(NULL, 3, count, &t);
    assert_int_equal(t.runs[0] + t.runs[1] + t.runs[2], 3);
    assert_int_equal(atomic_load(&t.bad_thread), 0);
    assert_int_equal(pool_threads(NULL), 1);
    pool_destroy(NULL);
}

struct meeting {
    atomic_int present;
    atomic_int gave_up;
};

// Waits, with a deadline, until another thread is in a chunk at the same time.
static void meet(void *arg, size_t chunk, int thread)
{
    (void)chunk;
    (void)thread;
    struct meeting *m = arg;
    atomic_fetch_add(&m->present, 1);
    uint64_t end = clock_mono_ms() + 20000;
    while (atomic_load(&m->present) < 2) {
        if (clock_mono_ms() > end) {
            atomic_fetch_add(&m->gave_up, 1);
            return;
        }
    }
}

// Without this a pool that leaves all the work to its owner would pass every other test.
static void chunks_run_at_the_same_time(void **state)
{
    (void)state;
    struct pool *p = NULL;
    struct why why;
    assert_int_equal(pool_create(2, &p, &why), ERR_OK);
    for (int i = 0; i < 20; i++) {
        struct meeting m = {0};
        pool_run(p, 2, meet, &m);
        assert_int_equal(atomic_load(&m.gave_up), 0);
    }
    pool_destroy(p);
}

static void a_pool_can_go_at_any_time(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct pool *p = NULL;
        struct why why;
        struct tally t = {.n_threads = 4};
        assert_int_equal(pool_create(4, &p, &why), ERR_OK);
        if (i % 2 == 0) {
            pool_run(p, 5, count, &t);
        }
        pool_destroy(p);
    }
}

static void impossible_team_sizes_are_named(void **state)
{
    (void)state;
    struct pool *p = NULL;
    struct why why;
    assert_int_equal(pool_create(0, &p, &why), ERR_INVALID);
    assert_contains(why.text, "1..256");
    assert_int_equal(pool_create(257, &p, &why), ERR_INVALID);
    assert_null(p);
    assert_true(pool_cores() >= 1);
}

#ifdef __x86_64__
static void multiply_tiny(void *arg, size_t chunk, int thread)
{
    (void)thread;
    atomic_int *kept = arg;
    volatile float tiny = 1e-30f;
    volatile float product = tiny * 1e-10f;    // denormal
    if (product != 0.0f) {
        atomic_fetch_add(kept, 1);
    }
    (void)chunk;
}

// A single thread that keeps denormals would make results depend on who ran a chunk.
static void every_thread_flushes_denormals(void **state)
{
    (void)state;
    struct pool *p = NULL;
    struct why why;
    atomic_int kept = 0;
    assert_int_equal(pool_create(4, &p, &why), ERR_OK);
    pool_set_fpu();
    for (int i = 0; i < 100; i++) {
        pool_run(p, 16, multiply_tiny, &kept);
    }
    assert_int_equal(atomic_load(&kept), 0);
    pool_destroy(p);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_chunk_runs_exactly_once),
        cmocka_unit_test(no_pool_means_the_calling_thread),
        cmocka_unit_test(chunks_run_at_the_same_time),
        cmocka_unit_test(a_pool_can_go_at_any_time),
        cmocka_unit_test(impossible_team_sizes_are_named),
#ifdef __x86_64__
        cmocka_unit_test(every_thread_flushes_denormals),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
