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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    // the learner's side
    struct device *device;
    struct weightslab *slab;
};

static const struct hash128 LEARNER = {{42}};

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

// A slab as a learner makes it.
static void slab_open(struct bench *b)
{
    assert_int_equal(device_open("cpu", NULL, &b->device, NULL), ERR_OK);
    struct weightslab_layout l = {b->device->ops->numerics_id, DTYPE_BF16,
                                  weights_panel_bytes(b->device, &b->tiny.config, DTYPE_BF16)};
    assert_int_equal(weightslab_create(&l, LEARNER, NULL, &b->slab, NULL), ERR_OK);
}

// wrong: a byte that is not what was summed, as if somebody had written where he should not.
static void slab_fill(struct bench *b, uint64_t version, bool wrong)
{
    struct weights *w = NULL;
    struct hash128 hash;
    uint8_t *panels = weightslab_panels(b->slab);
    assert_true(weightslab_claim(b->slab));
    assert_int_equal(weights_create_in(b->device, &b->tiny.config, DTYPE_BF16, panels, &w, NULL),
                     ERR_OK);
    weights_begin(w);
    assert_int_equal(weights_feed(w, b->tiny.blob, b->bytes, NULL), ERR_OK);
    assert_int_equal(weights_end(w, &hash, NULL), ERR_OK);
    panels[1000] ^= wrong;
    weightslab_finish(b->slab, version, hash, weights_fed_sums(w));
    weights_destroy(w);
}

static void slab_close(struct bench *b)
{
    weightslab_destroy(b->slab);
    device_close(b->device);
}

static enum err map_version(struct bench *b, uint64_t version)
{
    struct weightslab_name name = weightslab_name(b->slab);
    return reload_map(b->reload, version, hash_bytes(b->tiny.blob, b->bytes), &name, NULL);
}

static size_t mappings_of_slabs(void)
{
    FILE *f = fopen("/proc/self/maps", "re");
    char line[512];
    size_t n = 0;
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        n += strstr(line, "memfd:caravan-weights") != NULL;
    }
    fclose(f);
    return n;
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

// The point of it all: no copy, one mapping for all versions, and the learner may write again as
// soon as nobody decodes from it.
static void a_slab_is_mapped_once_and_let_go_of(void **state)
{
    struct bench *b = *state;
    const struct weights *first = NULL;
    slab_open(b);
    for (uint64_t version = 1; version <= 4; version++) {
        slab_fill(b, version, false);
        assert_int_equal(map_version(b, version), ERR_OK);
        wait_outcome(b, version);
        assert_int_equal(b->last.err, ERR_OK);
        assert_true(b->last.mapped);
        assert_int_equal(b->last.version, version);
        first = first ? first : b->last.weights;
        assert_ptr_equal(b->last.weights, first);
        assert_int_equal(reload_packed(b->reload), 0);
        assert_int_equal(mappings_of_slabs(), 2);    // the learner's and ours
        assert_false(weightslab_claim(b->slab));
        reload_recycle(b->reload, b->last.weights);
    }
    slab_close(b);
}

// Bytes that are not what was published, and versions that were overtaken, never reach the engine;
// the chunks do.
static void what_a_slab_does_not_have_comes_in_chunks(void **state)
{
    struct bench *b = *state;
    slab_open(b);
    slab_fill(b, 3, true);
    assert_int_equal(map_version(b, 3), ERR_OK);
    wait_outcome(b, 1);
    assert_int_equal(b->last.err, ERR_CORRUPT);
    assert_null(b->last.weights);
    slab_fill(b, 4, false);    // nobody holds it
    assert_int_equal(map_version(b, 3), ERR_OK);
    wait_outcome(b, 2);
    assert_int_equal(b->last.err, ERR_MISMATCH);
    assert_int_equal(reload_begin(b->reload, 3, hash_bytes(b->tiny.blob, b->bytes), NULL), ERR_OK);
    feed(b, 0, b->bytes, 777);
    wait_outcome(b, 3);
    assert_int_equal(b->last.err, ERR_OK);
    assert_false(b->last.mapped);
    slab_close(b);
}

// Once a slab was found wrong, a sixteenth of the next version is not enough.
static void a_slab_that_was_wrong_is_summed_whole_again(void **state)
{
    struct bench *b = *state;
    slab_open(b);
    for (uint64_t version = 1; version <= 3; version++) {
        slab_fill(b, version, true);    // byte 1000: stripe 0, whose turn comes with version 16
        assert_int_equal(map_version(b, version), ERR_OK);
        wait_outcome(b, version);
        assert_int_equal(b->last.err, ERR_CORRUPT);
    }
    slab_fill(b, 4, false);
    assert_int_equal(map_version(b, 4), ERR_OK);
    wait_outcome(b, 4);
    assert_int_equal(b->last.err, ERR_OK);
    reload_recycle(b->reload, b->last.weights);
    slab_fill(b, 16, true);
    assert_int_equal(map_version(b, 16), ERR_OK);
    wait_outcome(b, 5);
    assert_int_equal(b->last.err, ERR_CORRUPT);
    slab_close(b);
}

// After a restart of the learner the actor must not keep the memory of the former one.
static void slabs_of_a_former_learner_are_unmapped(void **state)
{
    struct bench *b = *state;
    slab_open(b);
    slab_fill(b, 1, false);
    assert_int_equal(map_version(b, 1), ERR_OK);
    wait_outcome(b, 1);
    reload_recycle(b->reload, b->last.weights);
    slab_close(b);
    assert_int_equal(mappings_of_slabs(), 1);
    assert_int_equal(reload_begin(b->reload, 2, hash_bytes(b->tiny.blob, b->bytes), NULL), ERR_OK);
    assert_int_equal(mappings_of_slabs(), 0);
    feed(b, 0, b->bytes, 4096);
    wait_outcome(b, 2);
    assert_int_equal(b->last.err, ERR_OK);
}

// The spare of packed weights is memory that a mapped version makes superfluous.
static void a_mapped_version_frees_the_spare(void **state)
{
    struct bench *b = *state;
    slab_open(b);
    assert_int_equal(reload_begin(b->reload, 1, hash_bytes(b->tiny.blob, b->bytes), NULL), ERR_OK);
    feed(b, 0, b->bytes, 4096);
    wait_outcome(b, 1);
    reload_recycle(b->reload, b->last.weights);
    assert_int_equal(reload_packed(b->reload), 1);
    slab_fill(b, 2, false);
    assert_int_equal(map_version(b, 2), ERR_OK);
    wait_outcome(b, 2);
    assert_int_equal(b->last.err, ERR_OK);
    assert_int_equal(reload_packed(b->reload), 0);
    slab_close(b);
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
        cmocka_unit_test_setup_teardown(a_slab_is_mapped_once_and_let_go_of, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_slab_does_not_have_comes_in_chunks, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slab_that_was_wrong_is_summed_whole_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(slabs_of_a_former_learner_are_unmapped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_mapped_version_frees_the_spare, setup, teardown),
        cmocka_unit_test_setup_teardown(room_is_announced_after_a_full_box, setup, teardown),
        cmocka_unit_test_setup_teardown(a_third_slab_goes_when_it_is_not_needed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
