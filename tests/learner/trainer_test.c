// trainer_test.c: claims about an optimiser step on a tiny model.
//
// A step is a function of weights, batch and hyper-parameters: run again, on more threads or after
// a restart it gives equal bits. What it computes is compared with the naive model elsewhere
// (tests/model); here it is what belongs to a step.

#include "rig.h"

#include <fcntl.h>
#include <sys/file.h>

static void assert_same_hash(struct hash128 a, struct hash128 b)
{
    char x[HASH_HEX_LEN + 1], y[HASH_HEX_LEN + 1];
    hash_hex(a, x);
    hash_hex(b, y);
    assert_string_equal(x, y);
}

// Some steps of a run of its own; returns the hash of the last version.
static struct hash128 some_steps(uint64_t n, int threads, const struct conf *c)
{
    struct rig r;
    struct rollouts rolls;
    rig_open(&r, threads, c);
    for (uint64_t i = 0; i < n; i++) {
        rig_roll(&r, i, &rolls);
        rig_step(&r, &rolls);
    }
    struct hash128 hash = r.hash;
    rig_close(&r);
    return hash;
}

static struct hash128 three_steps(int threads, const struct conf *c)
{
    return some_steps(3, threads, c);
}

// Recovery stands on this: the same batch from the same state gives the same weights.
static void a_step_run_again_gives_equal_weights(void **state)
{
    (void)state;
    assert_same_hash(three_steps(1, NULL), three_steps(1, NULL));
}

static void one_thread_and_two_give_equal_weights(void **state)
{
    (void)state;
    assert_same_hash(three_steps(1, NULL), three_steps(2, NULL));
}

// As an actor that never lets go: a shared lock on the newest version's slab, or -1.
static int hold_newest(struct rig *r, struct publish_slabs *slabs)
{
    struct weightslab_name name;
    struct hash128 hash;
    char path[64];
    if (!publish_slab_find(slabs, r->version, &name, &hash)) {
        return -1;
    }
    assert_true(hash_equal(hash, r->hash));
    (void)snprintf(path, sizeof path, "/proc/self/fd/%u", name.fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), 0);
    return fd;
}

// Where the panels stand must not show: not in a slab, not when readers hold every slab and the
// trainer falls back to its own memory, not on the way back.
static void slabs_change_no_bit(void **state)
{
    (void)state;
    enum { WITHOUT = PUBLISH_SLABS, STEPS = PUBLISH_SLABS + 2 };
    struct rig r;
    struct rollouts rolls;
    struct publish_slabs *slabs = NULL;
    int held[STEPS];
    rig_open(&r, 2, NULL);
    MUST(publish_slabs_create(r.device, source_config(r.source), DTYPE_BF16, &slabs, &why));
    trainer_share(r.trainer, slabs);
    for (uint64_t i = 0; i < STEPS; i++) {
        rig_roll(&r, i, &rolls);
        struct train_result result = rig_step(&r, &rolls);
        assert_true(result.compared_tokens > 0);
        assert_int_equal(result.mismatched_tokens, 0);
        held[i] = hold_newest(&r, slabs);
        assert_int_equal(held[i] < 0, i == WITHOUT);
        for (size_t k = 0; i == WITHOUT && k < WITHOUT; k++) {
            close(held[k]);
        }
    }
    close(held[STEPS - 1]);
    struct hash128 hash = r.hash;
    rig_close(&r);
    publish_slabs_destroy(slabs);
    assert_same_hash(hash, some_steps(STEPS, 1, NULL));
}

// A learner whose masters are not in host memory keeps a copy of the rounded ones to serve from.
static void a_device_with_memory_of_its_own_changes_no_bit(void **state)
{
    (void)state;
    enum { STEPS = 3 };
    struct rig r;
    struct rollouts rolls;
    rig_open(&r, 2, NULL);
    rig_stop(&r);
    const struct device_ops *unified = r.device->ops;
    struct device_ops apart = *unified;
    apart.unified = false;
    r.device->ops = &apart;
    rig_start(&r);
    MUST(trainer_publish(r.trainer, 1, &r.hash, &why));
    for (uint64_t i = 0; i < STEPS; i++) {
        rig_roll(&r, i, &rolls);
        struct train_result result = rig_step(&r, &rolls);
        assert_true(result.compared_tokens > 0);
        assert_int_equal(result.mismatched_tokens, 0);
        size_t bytes = 0;
        void *blob = rig_blob(&r, r.version, &bytes);
        assert_same_hash(hash_bytes(blob, bytes), r.hash);
        free(blob);
    }
    struct hash128 hash = r.hash, again;
    MUST(trainer_hash(r.trainer, &again, &why));
    assert_same_hash(hash, again);
    rig_stop(&r);
    r.device->ops = unified;
    rig_start(&r);
    rig_close(&r);
    assert_same_hash(hash, some_steps(STEPS, 1, NULL));
}

// A version without signal has the weights of the one before it and a slab of its own.
static void a_step_without_signal_fills_a_slab(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    struct publish_slabs *slabs = NULL;
    struct weightslab_name name;
    struct hash128 hash;
    rig_open(&r, 1, NULL);
    MUST(publish_slabs_create(r.device, source_config(r.source), DTYPE_BF16, &slabs, &why));
    trainer_share(r.trainer, slabs);
    rig_roll(&r, 1, &rolls);
    for (size_t g = 0; g < RIG_GROUPS; g++) {
        for (size_t s = 0; s < RIG_SAMPLES; s++) {
            rolls.samples[g][s].advantage = 0;
        }
    }
    struct hash128 before = r.hash;
    rig_step(&r, &rolls);
    assert_true(publish_slab_find(slabs, r.version, &name, &hash));
    assert_same_hash(hash, before);
    rig_roll(&r, 2, &rolls);
    assert_int_equal(rig_step(&r, &rolls).mismatched_tokens, 0);
    rig_close(&r);
    publish_slabs_destroy(slabs);
}

static void the_hash_is_that_of_the_served_blob(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    size_t bytes = 0;
    rig_open(&r, 1, NULL);
    rig_roll(&r, 1, &rolls);
    rig_step(&r, &rolls);
    assert_int_equal(publish_newest(r.publish), 2);
    void *blob = rig_blob(&r, 2, &bytes);
    assert_same_hash(hash_bytes(blob, bytes), r.hash);
    free(blob);
    rig_close(&r);
}

// The promise behind importance ratios: what an actor computed from a version, the learner computes
// too.
static void fresh_samples_agree_bit_for_bit(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    rig_open(&r, 2, NULL);
    for (uint64_t i = 0; i < 3; i++) {
        rig_roll(&r, i, &rolls);
        struct train_result result = rig_step(&r, &rolls);
        assert_true(result.tokens > 100);
        assert_int_equal(result.compared_tokens, result.tokens);
        assert_int_equal(result.mismatched_tokens, 0);
        assert_true(result.ratio_mean == 1 && result.ratio_max == 1 && result.clip_fraction == 0);
    }
    rig_close(&r);
}

static void a_flipped_weight_bit_is_noticed(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    size_t bytes = 0;
    rig_open(&r, 1, NULL);
    rig_roll(&r, 1, &rolls);
    uint8_t *blob = rig_blob(&r, 1, &bytes);
    blob[bytes / 2] ^= 0x10;
    rig_score_blob(&r, blob, bytes, &rolls);    // an actor whose copy is damaged
    free(blob);
    struct train_result result = rig_step(&r, &rolls);
    assert_true(result.mismatched_tokens > result.compared_tokens / 2);
    rig_close(&r);
}

// Samples that are not fresh are not compared: their age is allowed to show.
static void stale_samples_are_not_compared(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    rig_open(&r, 1, NULL);
    rig_roll(&r, 1, &rolls);
    rig_step(&r, &rolls);
    for (size_t g = 0; g < RIG_GROUPS; g++) {
        for (size_t s = 0; s < RIG_SAMPLES; s++) {
            rolls.samples[g][s].fresh = false;
        }
    }
    struct train_result result = rig_step(&r, &rolls);    // rolled under version 1
    assert_int_equal(result.compared_tokens, 0);
    assert_true(result.ratio_max > 1);
    rig_close(&r);
}

static void rewarded_samples_become_likelier(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts before, after;
    rig_open(&r, 1, NULL);
    rig_roll(&r, 1, &before);
    rig_step(&r, &before);
    rig_roll(&r, 1, &after);    // the same tokens, scored under version 2
    for (size_t g = 0; g < RIG_GROUPS; g++) {
        assert_memory_equal(before.tokens[g], after.tokens[g], sizeof before.tokens[g]);
        assert_true(rig_logp(&after, g, 0) > rig_logp(&before, g, 0) + 0.5);
    }
    rig_close(&r);
}

// At ratio 1 the loss is minus the mean advantage over all tokens of the batch.
static void the_normaliser_is_the_whole_batch(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    double sum = 0, tokens = 0;
    rig_open(&r, 1, NULL);
    rig_roll(&r, 1, &rolls);
    rolls.samples[1][1].advantage = 0;    // counts, although it is not run
    for (size_t g = 0; g < RIG_GROUPS; g++) {
        for (size_t s = 0; s < RIG_SAMPLES; s++) {
            sum += rolls.samples[g][s].advantage * (double)rolls.samples[g][s].n_tokens;
            tokens += (double)rolls.samples[g][s].n_tokens;
        }
    }
    struct train_result result = rig_step(&r, &rolls);
    assert_close(result.loss, -sum / tokens, 1e-12, "loss", 0);
    assert_int_equal(result.tokens, (uint64_t)tokens);
    assert_int_equal(result.scored_tokens, result.tokens - rolls.samples[1][1].n_tokens);
    rig_close(&r);
}

// At ratio 1 again: what a token counts, told by the loss.
static void aggregations_weigh_tokens_as_they_say(void **state)
{
    (void)state;
    for (int a = CONF_AGG_TOKEN_MEAN; a <= CONF_AGG_DR_GRPO; a++) {
        struct rig r;
        struct rollouts rolls;
        struct conf c;
        double by_token = 0, by_sample = 0, tokens = 0, samples = RIG_GROUPS * RIG_SAMPLES;
        rig_conf(&c);
        c.aggregate = (enum conf_aggregate)a;
        rig_open(&r, 1, &c);
        rig_roll(&r, 1, &rolls);
        rolls.samples[0][0].advantage = 3;    // else the sum over samples is 0
        for (size_t i = 0; i < RIG_GROUPS * RIG_SAMPLES; i++) {
            const struct train_sample *s = &rolls.samples[i / RIG_SAMPLES][i % RIG_SAMPLES];
            by_token += s->advantage * (double)s->n_tokens;
            by_sample += s->advantage;
            tokens += (double)s->n_tokens;
        }
        const double want[] = {-by_token / tokens, -by_sample / samples,
                               -by_token / samples / RIG_MAX_TOKENS};
        assert_close(rig_step(&r, &rolls).loss, want[a], 1e-12, "loss", (size_t)a);
        rig_close(&r);
    }
}

// On fresh samples all ratios are exactly 1, and the three policies are one.
static void policies_agree_where_nothing_is_stale(void **state)
{
    (void)state;
    struct hash128 hash[3];
    for (int i = 0; i < 3; i++) {
        struct conf c;
        rig_conf(&c);
        c.policy = (enum conf_policy)i;
        hash[i] = three_steps(1, &c);
    }
    assert_same_hash(hash[CONF_POLICY_CLIP], hash[CONF_POLICY_CISPO]);
    assert_same_hash(hash[CONF_POLICY_CLIP], hash[CONF_POLICY_GSPO]);
}

// Ratios that cancel out over an answer: gspo sees none of them, whatever the micro-batches; the
// others do.
static void gspo_takes_one_ratio_for_an_answer(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct rig r;
        struct rollouts rolls;
        struct conf c;
        rig_conf(&c);
        c.policy = i < 2 ? CONF_POLICY_GSPO : (enum conf_policy)(i - 2);
        c.micro_batch_tokens = i == 1 ? 64 : 256;
        rig_open(&r, 1, &c);
        rig_roll(&r, 1, &rolls);
        for (size_t k = 0; k < RIG_GROUPS * RIG_SAMPLES; k++) {
            struct train_sample *s = &rolls.samples[k / RIG_SAMPLES][k % RIG_SAMPLES];
            float *logprobs = rolls.logprobs[k / RIG_SAMPLES][k % RIG_SAMPLES];
            s->fresh = false;
            for (size_t t = 0; t + 1 < s->n_tokens; t += 2) {
                logprobs[t] -= 0.5F;
                logprobs[t + 1] += 0.5F;
            }
        }
        struct train_result result = rig_step(&r, &rolls);
        if (i < 2) {
            assert_true(fabs(result.ratio_max - 1) < 1e-6 && result.clip_fraction == 0);
        } else {
            assert_true(result.ratio_max > 1.6 && result.clip_fraction > 0.1);
        }
        rig_close(&r);
    }
}

// Twice the same groups: twice the sum, twice the normaliser.
static void a_batch_twice_over_has_the_same_gradient(void **state)
{
    (void)state;
    struct train_result result[2];
    for (int i = 0; i < 2; i++) {
        struct rig r;
        struct rollouts rolls;
        struct train_group groups[2 * RIG_GROUPS];
        rig_open(&r, 1, NULL);
        rig_roll(&r, 1, &rolls);
        memcpy(groups, rolls.groups, sizeof rolls.groups);
        memcpy(groups + RIG_GROUPS, rolls.groups, sizeof rolls.groups);
        struct train_step s = rig_step_of(&r, &rolls);
        s.groups = groups;
        s.n_groups = i ? 2 * RIG_GROUPS : RIG_GROUPS;
        MUST(trainer_step(r.trainer, &s, &result[i], NULL, &why));
        rig_close(&r);
    }
    assert_int_equal(result[1].tokens, 2 * result[0].tokens);
    assert_close(result[1].grad_norm, result[0].grad_norm, 1e-5, "grad_norm", 0);
}

static void clipping_reaches_the_update(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    struct conf c;
    rig_conf(&c);
    c.grad_clip = 1e-30;
    c.weight_decay = 0;
    rig_open(&r, 1, &c);
    struct hash128 before = r.hash;
    rig_roll(&r, 1, &rolls);
    struct train_result result = rig_step(&r, &rolls);
    assert_true(result.grad_norm > 1e-3);    // as it was before clipping
    assert_same_hash(before, r.hash);
    rig_close(&r);
}

static void equal_rewards_carry_no_signal(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    rig_open(&r, 1, NULL);
    rig_roll(&r, 1, &rolls);
    rig_step(&r, &rolls);    // momentum is there now, and must not move the weights by itself
    struct hash128 before = r.hash;
    for (size_t g = 0; g < RIG_GROUPS; g++) {
        for (size_t s = 0; s < RIG_SAMPLES; s++) {
            rolls.samples[g][s].advantage = 0;
        }
    }
    struct train_result result = rig_step(&r, &rolls);
    assert_int_equal(result.scored_tokens, 0);
    assert_true(result.loss == 0 && result.grad_norm == 0);
    assert_same_hash(before, r.hash);
    assert_int_equal(publish_newest(r.publish), 3);
    rig_close(&r);
}

static void masked_samples_do_not_count(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    rig_open(&r, 1, NULL);
    rig_roll(&r, 1, &rolls);
    uint64_t tokens = 0;
    for (size_t g = 0; g < RIG_GROUPS; g++) {
        rolls.samples[g][1].masked = true;
        for (size_t s = 0; s < RIG_SAMPLES; s++) {
            tokens += s == 1 ? 0 : rolls.samples[g][s].n_tokens;
        }
    }
    struct train_result result = rig_step(&r, &rolls);
    assert_int_equal(result.tokens, tokens);
    assert_int_equal(result.scored_tokens, tokens);
    rig_close(&r);
}

// One step from a model whose masters are, or are not, what bf16 can say.
static struct train_result first_step(bool rounded, enum conf_dtype dtype)
{
    struct rig r = {.version = 1};
    struct rollouts rolls;
    rig_make_dir(&r);
    rig_write_model(r.dir, rounded);
    rig_conf(&r.conf);
    r.conf.dtype = dtype;
    rig_open_model(&r, r.dir, 1);
    MUST(trainer_publish(r.trainer, 1, &r.hash, &why));
    rig_roll(&r, 1, &rolls);
    struct train_result result = rig_step(&r, &rolls);
    rig_close(&r);
    return result;
}

// Both models round to the same weights, so their gradients are the same bits; what AdamW adds them
// to is not. Published as f32 nothing is rounded and the gradients differ.
static void backward_uses_the_rounded_weights(void **state)
{
    (void)state;
    struct train_result fine = first_step(false, CONF_DTYPE_BF16);
    struct train_result coarse = first_step(true, CONF_DTYPE_BF16);
    assert_true(fine.loss == coarse.loss && fine.grad_norm == coarse.grad_norm);
    assert_false(hash_equal(fine.weights_hash, coarse.weights_hash));
    struct train_result exact = first_step(false, CONF_DTYPE_F32);
    assert_true(exact.grad_norm != fine.grad_norm);
    assert_close(exact.grad_norm, fine.grad_norm, 0.05, "grad_norm", 0);
}

// Updates too small for bf16 must not be lost: they add up in the masters.
static void small_updates_add_up(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    struct conf c;
    rig_conf(&c);
    c.lr = 2e-6;    // bf16 steps near 0.1 are 5e-4
    c.weight_decay = 0;
    rig_open(&r, 1, &c);
    rig_roll(&r, 1, &rolls);
    size_t bytes = 0, changed[2] = {0, 0};
    uint16_t *start = rig_blob(&r, 1, &bytes);
    for (int i = 0; i < 30; i++) {
        rig_step(&r, &rolls);
        if (i == 0 || i == 29) {
            uint16_t *now = rig_blob(&r, 0, &bytes);
            for (size_t k = 0; k < bytes / 2; k++) {
                changed[i != 0] += now[k] != start[k];
            }
            free(now);
        }
    }
    free(start);
    assert_true(changed[0] < bytes / 2 / 20);
    assert_true(changed[1] > 8 * changed[0]);
    rig_close(&r);
}

static void micro_batches_change_rounding_only(void **state)
{
    (void)state;
    struct train_result result[2];
    for (int i = 0; i < 2; i++) {
        struct rig r;
        struct rollouts rolls;
        rig_open(&r, 1, NULL);
        rig_roll(&r, 1, &rolls);
        struct train_step s = rig_step_of(&r, &rolls);
        s.hyper.micro_batch_tokens = i ? 30 : 256;
        MUST(trainer_step(r.trainer, &s, &result[i], NULL, &why));
        rig_close(&r);
    }
    assert_true(result[1].rows > result[0].rows);    // prompts again
    assert_int_equal(result[0].tokens, result[1].tokens);
    assert_int_equal(result[1].mismatched_tokens, 0);
    assert_close(result[1].loss, result[0].loss, 1e-9, "loss", 0);
    assert_true(fabs(result[1].grad_norm / result[0].grad_norm - 1) < 1e-5);
}

static void kl_starts_at_zero_and_holds_the_policy_back(void **state)
{
    (void)state;
    double kl[2];
    for (int i = 0; i < 4; i++) {
        struct rig r;
        struct rollouts rolls;
        struct conf c;
        rig_conf(&c);
        c.kl_beta = i % 2 ? 5 : 1e-9;
        c.kl_estimator = i < 2 ? CONF_KL_K2 : CONF_KL_K3;    // those that are never negative
        rig_open(&r, 1, &c);
        struct train_result result = {.kl = -1};
        for (uint64_t step = 0; step < 6; step++) {
            rig_roll(&r, 1, &rolls);
            result = rig_step(&r, &rolls);
            assert_true(step == 0 ? result.kl == 0 : result.kl > 0);
        }
        kl[i % 2] = result.kl;
        rig_close(&r);
        assert_true(i % 2 == 0 || kl[1] < 0.5 * kl[0]);
    }
}

// Ctrl-C in the middle of a step: nothing has happened, and the step can be run as if for the first
// time.
static void a_cancelled_step_leaves_no_trace(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    struct train_result result;
    struct why why = {""};
    atomic_bool cancel = true;
    rig_open(&r, 1, NULL);
    rig_roll(&r, 1, &rolls);
    struct train_step s = rig_step_of(&r, &rolls);
    assert_int_equal(trainer_step(r.trainer, &s, &result, &cancel, &why), ERR_CANCELLED);
    assert_int_equal(publish_newest(r.publish), 1);
    rig_step(&r, &rolls);
    struct hash128 hash = r.hash;
    rig_close(&r);

    rig_open(&r, 1, NULL);
    rig_roll(&r, 1, &rolls);
    rig_step(&r, &rolls);
    assert_same_hash(hash, r.hash);
    rig_close(&r);
}

static void a_refused_sample_leaves_no_trace(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    struct train_result result;
    struct why why = {""};
    rig_open(&r, 1, NULL);
    rig_roll(&r, 1, &rolls);
    struct train_step s = rig_step_of(&r, &rolls);
    rolls.tokens[1][2][3] = RIG_VOCAB;
    assert_int_equal(trainer_step(r.trainer, &s, &result, NULL, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, "sample 12: token 3 is 64"));
    rolls.tokens[1][2][3] = 5;
    s.new_version = 1;
    assert_int_equal(trainer_step(r.trainer, &s, &result, NULL, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, "version 1 exists"));
    assert_int_equal(publish_newest(r.publish), 1);
    rig_step(&r, &rolls);
    rig_close(&r);
}

static void the_memory_plan_covers_the_state(void **state)
{
    (void)state;
    struct conf c;
    rig_conf(&c);
    size_t plain = trainer_memory(&RIG_MODEL, &c);
    assert_true(plain > 4 * weights_blob_bytes(&RIG_MODEL, DTYPE_F32));
    c.kl_beta = 0.1;
    assert_true(trainer_memory(&RIG_MODEL, &c) > plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_run_again_gives_equal_weights),
        cmocka_unit_test(one_thread_and_two_give_equal_weights),
        cmocka_unit_test(slabs_change_no_bit),
        cmocka_unit_test(a_device_with_memory_of_its_own_changes_no_bit),
        cmocka_unit_test(a_step_without_signal_fills_a_slab),
        cmocka_unit_test(the_hash_is_that_of_the_served_blob),
        cmocka_unit_test(fresh_samples_agree_bit_for_bit),
        cmocka_unit_test(a_flipped_weight_bit_is_noticed),
        cmocka_unit_test(stale_samples_are_not_compared),
        cmocka_unit_test(rewarded_samples_become_likelier),
        cmocka_unit_test(the_normaliser_is_the_whole_batch),
        cmocka_unit_test(aggregations_weigh_tokens_as_they_say),
        cmocka_unit_test(policies_agree_where_nothing_is_stale),
        cmocka_unit_test(gspo_takes_one_ratio_for_an_answer),
        cmocka_unit_test(a_batch_twice_over_has_the_same_gradient),
        cmocka_unit_test(clipping_reaches_the_update),
        cmocka_unit_test(equal_rewards_carry_no_signal),
        cmocka_unit_test(masked_samples_do_not_count),
        cmocka_unit_test(backward_uses_the_rounded_weights),
        cmocka_unit_test(small_updates_add_up),
        cmocka_unit_test(micro_batches_change_rounding_only),
        cmocka_unit_test(kl_starts_at_zero_and_holds_the_policy_back),
        cmocka_unit_test(a_cancelled_step_leaves_no_trace),
        cmocka_unit_test(a_refused_sample_leaves_no_trace),
        cmocka_unit_test(the_memory_plan_covers_the_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
