// engine_test.c: claims about the decode engine, on a tiny model. The reference is model_forward
// over whole sequences: what the engine says of a token must be those bits, whatever ran beside it,
// in which order, on which pages.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "actor/engine.h"
#include "tests/model/tiny.h"

enum { MAX_DONE = 256, MAX_LEN = 40, SEED = 99 };

struct outcome {
    uint64_t id;
    uint32_t tokens[MAX_LEN];
    float logprobs[MAX_LEN];
    size_t n;
    struct msg_segment seg[8];
    size_t n_seg;
    uint32_t finish;
    double kept_mass;
};

struct bench {
    struct tiny tiny;
    struct device *device;
    struct weights *w[2];    // two versions with different contents
    struct outcome done[MAX_DONE];
    size_t n_done;
};

static void on_done(void *arg, const struct engine_sample *s)
{
    struct bench *b = arg;
    struct outcome *o = &b->done[b->n_done++];
    *o = (struct outcome){.id = s->sample_id,
                          .n = s->n_tokens,
                          .n_seg = s->n_segments,
                          .finish = s->finish,
                          .kept_mass = s->kept_mass};
    memcpy(o->tokens, s->tokens, s->n_tokens * sizeof *o->tokens);
    memcpy(o->logprobs, s->logprobs, s->n_tokens * sizeof *o->logprobs);
    memcpy(o->seg, s->segments, s->n_segments * sizeof *o->seg);
}

static const struct tiny_variant *variant;    // the family that all tests run with

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    struct tiny other;
    tiny_init_as(&b->tiny, variant, true, DTYPE_BF16, 5);
    tiny_init_as(&other, variant, true, DTYPE_BF16, 6);
    assert_int_equal(device_open("cpu", NULL, &b->device, NULL), ERR_OK);
    b->w[0] = tiny_weights(&b->tiny, b->device);
    b->w[1] = tiny_weights(&other, b->device);
    tiny_fini(&other);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    weights_destroy(b->w[0]);
    weights_destroy(b->w[1]);
    device_close(b->device);
    tiny_fini(&b->tiny);
    free(b);
    return 0;
}

static struct engine *make_engine(struct bench *b, size_t slots, size_t prefill_rows,
                                  size_t kv_rows)
{
    struct engine *e;
    struct why why = {0};
    struct engine_limits l = {.slots = slots,
                              .prefill_rows = prefill_rows,
                              .kv_bytes = kv_rows * kv_cache_row_bytes(&b->tiny.config),
                              .max_context = 64};
    b->n_done = 0;
    if (engine_create(b->device, &b->tiny.config, &l, SEED, on_done, b, &e, &why)) {
        fail_msg("%s", why.text);
    }
    return e;
}

static void add_group(struct bench *b, struct engine *e, uint64_t id, size_t n_prompt,
                      uint64_t first, size_t n, uint32_t max_tokens, uint64_t pinned)
{
    uint32_t prompt[MAX_LEN], stop = 1;
    uint64_t ids[64];
    struct why why = {0};
    tiny_tokens(&b->tiny, id, prompt, n_prompt);
    for (size_t i = 0; i < n; i++) {
        ids[i] = first + i;
    }
    struct msg_group g = {.group_id = id,
                          .prompt = prompt,
                          .n_prompt = n_prompt,
                          .sample_ids = ids,
                          .n_samples = n,
                          .attempt = 1,
                          .sampling = {.max_tokens = max_tokens, .temperature = 0.9f, .top_p = 1},
                          .pinned_version = pinned};
    if (engine_add(e, &g, &stop, 1, &why)) {
        fail_msg("%s", why.text);
    }
}

static void run_until_idle(struct engine *e)
{
    int worked = 1;
    for (int i = 0; engine_live(e) && i < 10000; i++) {
        struct why why = {0};
        if (engine_step(e, NULL, &worked, &why)) {
            fail_msg("%s", why.text);
        }
    }
    assert_int_equal(engine_live(e), 0);
}

static const struct outcome *outcome_of(const struct bench *b, uint64_t id)
{
    for (size_t i = 0; i < b->n_done; i++) {
        if (b->done[i].id == id) {
            return &b->done[i];
        }
    }
    fail_msg("sample %llu did not finish", (unsigned long long)id);
    return NULL;
}

static uint32_t bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

// Runs the sample's sequence alone through model_forward, segment by segment under the recorded
// versions, and compares every log-prob's bits.
static void assert_recomputes(struct bench *b, uint64_t group, size_t n_prompt,
                              const struct outcome *o)
{
    uint32_t ids[2 * MAX_LEN];
    struct model *m;
    struct kv_cache *kv;
    struct model_limits l = {
        .max_rows = 80, .max_index = 80 * 80, .max_outs = 80, .max_context = 64};
    assert_int_equal(model_create(b->device, &b->tiny.config, &l, &m, NULL), ERR_OK);
    assert_int_equal(kv_cache_create(m, 80, &kv, NULL), ERR_OK);
    tiny_tokens(&b->tiny, group, ids, n_prompt);
    memcpy(ids + n_prompt, o->tokens, o->n * sizeof *ids);
    assert_int_equal(o->seg[o->n_seg - 1].end, n_prompt + o->n - 1);
    size_t at = 0;
    for (size_t s = 0; s < o->n_seg; s++) {
        struct batch batch;
        struct sample_spec spec[80];
        struct sample_out out[80];
        int32_t rows[80], off, row;
        size_t first = at, n_out = 0;
        batch_init(&batch);
        for (int32_t i = 0; i < 80; i++) {
            rows[i] = 79 - i;
        }
        assert_int_equal(batch_add_index(&batch, rows, n_prompt + o->n, &off), ERR_OK);
        for (; at < o->seg[s].end; at++) {
            assert_int_equal(batch_add_row(&batch, (int32_t)ids[at], (int32_t)at, rows[at], off,
                                           (int32_t)at + 1, &row),
                             ERR_OK);
            if (at + 1 >= n_prompt) {
                spec[n_out++] = (struct sample_spec){
                    .temperature = 0.9f, .top_p = 1, .target = (int32_t)ids[at + 1]};
                assert_int_equal(batch_add_out(&batch, row, (int32_t)ids[at + 1]), ERR_OK);
            }
        }
        assert_int_equal(
            model_forward(m, b->w[o->seg[s].version - 1], kv, &batch, spec, out, NULL, NULL),
            ERR_OK);
        size_t t = first + 1 > n_prompt ? first + 1 - n_prompt : 0;
        for (size_t i = 0; i < n_out; i++) {
            assert_int_equal(bits(out[i].logp), bits(o->logprobs[t + i]));
        }
        batch_fini(&batch);
    }
    kv_cache_destroy(kv);
    model_destroy(m);
}

// The whole point: an actor's log-prob is the one anybody recomputes, bit for bit.
static void logprobs_are_those_of_the_sequence_alone(void **state)
{
    struct bench *b = *state;
    struct engine *e = make_engine(b, 3, 5, 400);
    engine_swap(e, b->w[0], 1);
    add_group(b, e, 10, 7, 100, 4, 12, 0);
    add_group(b, e, 11, 17, 200, 3, 9, 0);
    run_until_idle(e);
    assert_int_equal(b->n_done, 7);
    for (uint64_t id = 100; id < 104; id++) {
        assert_recomputes(b, 10, 7, outcome_of(b, id));
    }
    for (uint64_t id = 200; id < 203; id++) {
        assert_recomputes(b, 11, 17, outcome_of(b, id));
    }
    engine_destroy(e);
}

// Reproducible samples: tokens depend on (seed, sample, position, version), not on slots, chunks or
// neighbours.
static void the_same_samples_beside_whatever_else(void **state)
{
    struct bench *b = *state;
    struct engine *e = make_engine(b, 8, 64, 600);
    engine_swap(e, b->w[0], 1);
    add_group(b, e, 10, 9, 100, 4, 12, 0);
    run_until_idle(e);
    struct outcome alone[4];
    for (size_t i = 0; i < 4; i++) {
        alone[i] = *outcome_of(b, 100 + i);
    }
    engine_destroy(e);

    e = make_engine(b, 2, 3, 120);
    engine_swap(e, b->w[0], 1);
    add_group(b, e, 12, 5, 300, 3, 6, 0);
    add_group(b, e, 10, 9, 100, 4, 12, 0);
    run_until_idle(e);
    for (size_t i = 0; i < 4; i++) {
        const struct outcome *o = outcome_of(b, 100 + i);
        assert_int_equal(o->n, alone[i].n);
        assert_memory_equal(o->tokens, alone[i].tokens, o->n * sizeof *o->tokens);
        assert_memory_equal(o->logprobs, alone[i].logprobs, o->n * sizeof *o->logprobs);
    }
    engine_destroy(e);
}

// New weights take over between two passes; every position says under which version it ran.
static void a_swap_in_flight_is_recorded_per_position(void **state)
{
    struct bench *b = *state;
    struct engine *e = make_engine(b, 4, 4, 400);
    engine_swap(e, b->w[0], 1);
    add_group(b, e, 10, 10, 100, 3, 20, 0);    // prefilled in three chunks
    int worked;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(engine_step(e, NULL, &worked, NULL), ERR_OK);
    }
    engine_swap(e, b->w[1], 2);    // in the middle of the prompt
    assert_ptr_equal(engine_release(e), b->w[0]);
    assert_null(engine_release(e));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(engine_step(e, NULL, &worked, NULL), ERR_OK);
    }
    engine_swap(e, b->w[0], 1);    // and back, in the middle of the completions
    run_until_idle(e);
    size_t straddling = 0;
    for (uint64_t id = 100; id < 103; id++) {
        const struct outcome *o = outcome_of(b, id);
        assert_true(o->n_seg >= 2);
        assert_int_equal(o->seg[0].version, 1);
        assert_int_equal(o->seg[0].end, 8);
        assert_int_equal(o->seg[1].version, 2);
        straddling += o->n_seg == 3;
        assert_recomputes(b, 10, 10, o);
    }
    assert_true(straddling > 0);
    engine_destroy(e);
}

// An evaluation is pinned to its version while training samples move on beside it.
static void pinned_groups_keep_their_version(void **state)
{
    struct bench *b = *state;
    struct engine *e = make_engine(b, 8, 64, 600);
    engine_swap(e, b->w[1], 2);
    add_group(b, e, 10, 6, 100, 2, 8, 1);
    add_group(b, e, 11, 6, 200, 2, 8, 0);
    int worked;
    assert_int_equal(engine_step(e, NULL, &worked, NULL), ERR_OK);
    assert_int_equal(engine_wants_version(e), 1);
    engine_pin(e, b->w[0], 1);
    assert_int_equal(engine_wants_version(e), 0);
    assert_null(engine_release(e));
    run_until_idle(e);
    assert_int_equal(outcome_of(b, 100)->seg[0].version, 1);
    assert_int_equal(outcome_of(b, 200)->seg[0].version, 2);
    assert_recomputes(b, 10, 6, outcome_of(b, 100));
    assert_ptr_equal(engine_release(e), b->w[0]);
    engine_destroy(e);
}

// Abandoned samples give slot and pages back; their neighbours never notice.
static void abandoned_samples_leave_no_trace(void **state)
{
    struct bench *b = *state;
    struct engine *e = make_engine(b, 4, 64, 400);
    engine_swap(e, b->w[0], 1);
    add_group(b, e, 10, 6, 100, 4, 20, 0);
    int worked;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(engine_step(e, NULL, &worked, NULL), ERR_OK);
    }
    size_t before = engine_live(e);
    engine_abandon(e, 101);
    engine_abandon(e, 101);
    engine_abandon(e, 999);
    assert_true(engine_live(e) == before - 1 || b->n_done > 0);
    run_until_idle(e);
    for (size_t i = 0; i < b->n_done; i++) {
        assert_recomputes(b, 10, 6, &b->done[i]);
    }
    assert_int_equal(engine_get_stats(e)->kv_pages_used, 0);
    engine_destroy(e);
}

// Work that can never run is refused at once, with the numbers; it would hold its lease for ever.
static void impossible_work_is_refused(void **state)
{
    struct bench *b = *state;
    struct engine *e = make_engine(b, 4, 64, 48);
    struct why why = {0};
    uint32_t prompt[60] = {0}, beyond = (uint32_t)b->tiny.config.vocab;
    uint64_t id = 1;
    struct msg_group g = {.group_id = 1,
                          .prompt = prompt,
                          .n_prompt = 60,
                          .sample_ids = &id,
                          .n_samples = 1,
                          .sampling = {.max_tokens = 8, .temperature = 1, .top_p = 1}};
    assert_int_equal(engine_add(e, &g, NULL, 0, &why), ERR_LIMIT);    // context 64
    g.n_prompt = 40;
    g.sampling.max_tokens = 20;
    // 3 pages + 2 pages, the cache has 3.
    assert_int_equal(engine_add(e, &g, NULL, 0, &why), ERR_LIMIT);
    assert_non_null(strstr(why.text, "kv_mb"));
    g.n_prompt = 1;
    g.prompt = &beyond;
    assert_int_equal(engine_add(e, &g, NULL, 0, &why), ERR_INVALID);
    g.prompt = prompt;
    g.sampling.temperature = -1;
    assert_int_equal(engine_add(e, &g, NULL, 0, &why), ERR_INVALID);
    g.sampling.temperature = 1;
    g.sampling.min_p = NAN;
    assert_int_equal(engine_add(e, &g, NULL, 0, &why), ERR_INVALID);
    assert_int_equal(engine_live(e), 0);
    engine_destroy(e);
}

// A truncated sampler draws from another distribution than the one that is trained: how much it
// leaves is reported, a sample's mean as well as the sum over all.
static void min_p_is_obeyed_and_the_kept_mass_reported(void **state)
{
    struct bench *b = *state;
    struct engine *e = make_engine(b, 4, 64, 256);
    engine_swap(e, b->w[0], 1);
    uint32_t prompt[5];
    tiny_tokens(&b->tiny, 1, prompt, 5);
    for (uint64_t id = 1; id <= 3; id++) {
        static const float min_p[] = {0.0f, 0.6f, 1.0f};
        struct msg_group g = {
            .group_id = id,
            .prompt = prompt,
            .n_prompt = 5,
            .sample_ids = &id,
            .n_samples = 1,
            .sampling = {.max_tokens = 8, .temperature = 1, .top_p = 1, .min_p = min_p[id - 1]}};
        assert_int_equal(engine_add(e, &g, NULL, 0, NULL), ERR_OK);
    }
    run_until_idle(e);
    const struct outcome *all = outcome_of(b, 1), *some = outcome_of(b, 2), *one = outcome_of(b, 3);
    assert_true(all->kept_mass == 1.0);
    assert_true(some->kept_mass < 1.0 && one->kept_mass < some->kept_mass);
    double likeliest = 0.0;    // with min_p 1 what is left is the token drawn
    for (size_t i = 0; i < one->n; i++) {
        likeliest += exp((double)one->logprobs[i]) / (double)one->n;
    }
    assert_true(fabs(one->kept_mass - likeliest) < 1e-6);
    double sum = (double)engine_get_stats(e)->kept_mass_e6 / 1e6;
    assert_true(fabs(sum - 8.0 * (all->kept_mass + some->kept_mass + one->kept_mass)) < 1e-4);
    engine_destroy(e);
}

// More samples than slots and less memory than all of them need: everything still finishes.
static void a_small_cache_only_slows_down(void **state)
{
    struct bench *b = *state;
    struct engine *e = make_engine(b, 3, 8, 6 * 16);
    engine_swap(e, b->w[0], 1);
    for (uint64_t g = 0; g < 6; g++) {
        add_group(b, e, 20 + g, 3 + g, 1000 + 100 * g, 5, g % 2 ? 18 : 1, 0);
    }
    run_until_idle(e);
    assert_int_equal(b->n_done, 30);
    engine_destroy(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logprobs_are_those_of_the_sequence_alone),
        cmocka_unit_test(the_same_samples_beside_whatever_else),
        cmocka_unit_test(a_swap_in_flight_is_recorded_per_position),
        cmocka_unit_test(pinned_groups_keep_their_version),
        cmocka_unit_test(abandoned_samples_leave_no_trace),
        cmocka_unit_test(impossible_work_is_refused),
        cmocka_unit_test(min_p_is_obeyed_and_the_kept_mass_reported),
        cmocka_unit_test(a_small_cache_only_slows_down),
    };
    int failed = 0;
    for (size_t i = 0; i < TINY_VARIANTS; i++) {
        variant = &tiny_variants[i];
        failed += cmocka_run_group_tests_name(variant->label, tests, setup, teardown);
    }
    return failed;
}
