// reload_test.c: claims about loading weights beside decoding.
//
// Weights come in pieces from a learner that may change its mind or be wrong; decoding goes on
// meanwhile with the version it has. A version counts only when it is whole and has the announced
// hash.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <stdlib.h>
#include <uv.h>

#include "actor/reload.h"
#include "common/clock.h"
#include "tests/model/tiny.h"

enum { DEADLINE_MS = 20000 };

struct bench {
    uv_loop_t loop;
    struct tiny tiny;
    struct reload *reload;
    size_t bytes, outcomes, rooms;
    struct reload_outcome last;
};

static void on_done(void *arg, const struct reload_outcome *o)
{
    struct bench *b = arg;
    b->last = *o;
    b->outcomes++;
}

static void on_room(void *arg)
{
    struct bench *b = arg;
    b->rooms++;
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    assert_int_equal(uv_loop_init(&b->loop), 0);
    tiny_init(&b->tiny, true, DTYPE_BF16, 5);
    b->bytes = weights_blob_bytes(&b->tiny.config, DTYPE_BF16);
    struct reload_events ev = {.done = on_done, .room = on_room, .arg = b};
    assert_int_equal(
        reload_create(&b->loop, "cpu", &b->tiny.config, DTYPE_BF16, &ev, &b->reload, NULL), ERR_OK);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    reload_close(b->reload);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    reload_destroy(b->reload);
    uv_loop_close(&b->loop);
    tiny_fini(&b->tiny);
    free(b);
    return 0;
}

static void wait_outcome(struct bench *b, size_t n)
{
    uint64_t end = clock_mono_ms() + DEADLINE_MS;
    while (b->outcomes < n) {
        assert_true(clock_mono_ms() < end);
        uv_run(&b->loop, UV_RUN_ONCE);
    }
}

static void feed(struct bench *b, size_t from, size_t to, size_t step)
{
    const char *blob = b->tiny.blob;
    uint64_t end = clock_mono_ms() + DEADLINE_MS;
    for (size_t at = from; at < to;) {
        size_t n = MIN(step, to - at);
        enum err e = reload_chunk(b->reload, blob + at, n);
        assert_true(e == ERR_OK || e == ERR_FULL);
        assert_true(clock_mono_ms() < end);
        at += e ? 0 : n;
    }
}

// Chunk borders fall anywhere, also inside a tensor or an element.
static void a_version_arrives_whole(void **state)
{
    struct bench *b = *state;
    assert_int_equal(reload_begin(b->reload, 3, hash_bytes(b->tiny.blob, b->bytes), NULL), ERR_OK);
    feed(b, 0, b->bytes, 777);
    wait_outcome(b, 1);
    assert_int_equal(b->last.err, ERR_OK);
    assert_int_equal(b->last.version, 3);
    assert_non_null(b->last.weights);
}

// Weights that are not the announced ones must never decode a token.
static void another_hash_is_refused(void **state)
{
    struct bench *b = *state;
    struct hash128 other = hash_bytes("x", 1);
    assert_int_equal(reload_begin(b->reload, 3, other, NULL), ERR_OK);
    feed(b, 0, b->bytes, 4096);
    wait_outcome(b, 1);
    assert_int_equal(b->last.err, ERR_CORRUPT);
    assert_null(b->last.weights);
}

// A learner that goes away in the middle leaves a half-filled slab: it must serve the next version.
static void an_aborted_version_costs_no_slab(void **state)
{
    struct bench *b = *state;
    struct hash128 hash = hash_bytes(b->tiny.blob, b->bytes);
    for (size_t i = 0; i < 2 * RELOAD_SLABS; i++) {
        assert_int_equal(reload_begin(b->reload, i + 1, hash, NULL), ERR_OK);
        assert_int_equal(reload_begin(b->reload, i + 2, hash, NULL), ERR_BUSY);
        feed(b, 0, b->bytes / 2, 1000);
        reload_abort(b->reload);
        wait_outcome(b, i + 1);
        assert_int_equal(b->last.err, ERR_CANCELLED);
    }
    assert_int_equal(reload_begin(b->reload, 99, hash, NULL), ERR_OK);
    feed(b, 0, b->bytes, 1000);
    wait_outcome(b, 2 * RELOAD_SLABS + 1);
    assert_int_equal(b->last.err, ERR_OK);
}

// Memory is bounded by the number of slabs, not by how fast versions come.
static void slabs_in_use_hold_the_next_version_back(void **state)
{
    struct bench *b = *state;
    struct hash128 hash = hash_bytes(b->tiny.blob, b->bytes);
    const struct weights *first = NULL;
    for (size_t i = 0; i < RELOAD_SLABS; i++) {
        assert_int_equal(reload_begin(b->reload, i + 1, hash, NULL), ERR_OK);
        feed(b, 0, b->bytes, 4096);
        wait_outcome(b, i + 1);
        first = first ? first : b->last.weights;
    }
    assert_int_equal(reload_begin(b->reload, 50, hash, NULL), ERR_BUSY);
    reload_recycle(b->reload, first);
    assert_int_equal(reload_begin(b->reload, 50, hash, NULL), ERR_OK);
    feed(b, 0, b->bytes, 4096);
    wait_outcome(b, RELOAD_SLABS + 1);
    assert_ptr_equal(b->last.weights, first);
}

// The slab of an evaluation pinned to an older version costs memory only while it runs.
static void a_third_slab_goes_when_it_is_not_needed(void **state)
{
    struct bench *b = *state;
    struct hash128 hash = hash_bytes(b->tiny.blob, b->bytes);
    const struct weights *w[RELOAD_SLABS];
    for (size_t i = 0; i < RELOAD_SLABS; i++) {
        assert_int_equal(reload_begin(b->reload, i + 1, hash, NULL), ERR_OK);
        feed(b, 0, b->bytes, 4096);
        wait_outcome(b, i + 1);
        w[i] = b->last.weights;
    }
    assert_int_equal(reload_packed(b->reload), 3);
    reload_recycle(b->reload, w[0]);
    assert_int_equal(reload_packed(b->reload), 3);
    reload_recycle(b->reload, w[1]);
    assert_int_equal(reload_packed(b->reload), 2);
    assert_int_equal(reload_begin(b->reload, 9, hash, NULL), ERR_OK);
    feed(b, 0, b->bytes, 4096);
    wait_outcome(b, RELOAD_SLABS + 1);
    assert_ptr_equal(b->last.weights, w[0]);    // the spare
    assert_int_equal(reload_packed(b->reload), 2);
}

// A full box is not polled: the thread says when it has packed a chunk.
static void room_is_announced_after_a_full_box(void **state)
{
    struct bench *b = *state;
    const char *blob = b->tiny.blob;
    size_t at = 0, step = 64, full = 0;
    uint64_t end = clock_mono_ms() + DEADLINE_MS;
    assert_int_equal(reload_begin(b->reload, 1, hash_bytes(blob, b->bytes), NULL), ERR_OK);
    while (at < b->bytes) {
        if (reload_has_room(b->reload)) {
            size_t n = MIN(step, b->bytes - at);
            assert_int_equal(reload_chunk(b->reload, blob + at, n), ERR_OK);
            at += n;
            continue;
        }
        full++;
        for (size_t before = b->rooms; b->rooms == before;) {
            assert_true(clock_mono_ms() < end);
            uv_run(&b->loop, UV_RUN_ONCE);
        }
        assert_true(reload_has_room(b->reload));
    }
    wait_outcome(b, 1);
    assert_int_equal(b->last.err, ERR_OK);
    assert_true(b->rooms >= full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_version_arrives_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(another_hash_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(an_aborted_version_costs_no_slab, setup, teardown),
        cmocka_unit_test_setup_teardown(slabs_in_use_hold_the_next_version_back, setup, teardown),
        cmocka_unit_test_setup_teardown(room_is_announced_after_a_full_box, setup, teardown),
        cmocka_unit_test_setup_teardown(a_third_slab_goes_when_it_is_not_needed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
