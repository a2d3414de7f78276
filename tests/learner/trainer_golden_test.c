// trainer_golden_test.c: two optimiser steps of SmolLM2-135M against recorded ones.
//
// Needs CARAVAN_REFERENCE (the folder with smollm2/grad_batch.json and adamw.json) and
// CARAVAN_MODEL (the GGUF they were made from); skips without. Weights are published as f32 here,
// since the reference was. Takes about 6 GB of memory.

#include "rig.h"

enum { SEQUENCES = 4, GROUPS = 2, MAX_LEN = 512 };

static const char STEPS_JSON[] = "smollm2/adamw.json", BATCH_JSON[] = "smollm2/grad_batch.json";

// The batch: two prompts with two answers each.
struct recorded {
    uint32_t tokens[SEQUENCES][MAX_LEN];
    float logprobs[SEQUENCES][MAX_LEN];
    size_t n_tokens[SEQUENCES], n_prompt[SEQUENCES];
    struct train_sample samples[GROUPS][2];
    struct train_group groups[GROUPS];
};

static void read_batch(struct recorded *r)
{
    json_t *root = reference_load(BATCH_JSON);
    json_t *sequences = json_object_get(root, "sequences");
    json_t *old = json_object_get(json_object_get(root, "dapo"), "old_logprobs");
    double at[SEQUENCES + 1], prompts[SEQUENCES], adv[SEQUENCES];
    golden_flatten(json_object_get(root, "cu_seqlens"), at, SEQUENCES + 1);
    golden_flatten(json_object_get(root, "prompt_lens"), prompts, SEQUENCES);
    golden_flatten(json_object_get(root, "advantages_per_sequence"), adv, SEQUENCES);
    for (size_t s = 0; s < SEQUENCES; s++) {
        size_t first = (size_t)at[s], n = (size_t)at[s + 1] - first, p = (size_t)prompts[s];
        assert_true(n <= MAX_LEN && p < n);
        r->n_prompt[s] = p;
        r->n_tokens[s] = n - p;
        for (size_t i = 0; i < n; i++) {
            json_t *token = json_array_size(sequences) == SEQUENCES
                                ? json_array_get(json_array_get(sequences, s), i)
                                : json_array_get(sequences, first + i);
            r->tokens[s][i] = (uint32_t)json_integer_value(token);
            r->logprobs[s][i] = (float)golden_number(json_array_get(old, first + i));
        }
        r->samples[s / 2][s % 2] = (struct train_sample){.sample_id = s,
                                                         .tokens = r->tokens[s] + p,
                                                         .logprobs = r->logprobs[s] + p,
                                                         .n_tokens = n - p,
                                                         .advantage = adv[s]};
        r->groups[s / 2] = (struct train_group){r->tokens[s], p, r->samples[s / 2], 2};
    }
    json_decref(root);
}

static double update_norm(const float *a, const float *b, size_t n)
{
    double squares = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)b[i] - (double)a[i];
        squares += d * d;
    }
    return sqrt(squares);
}

static void assert_relative(double is, double want, double tolerance, const char *what)
{
    if (!(fabs(is - want) <= tolerance * fabs(want))) {
        fail_msg("%s is %.9g, expected %.9g within %g", what, is, want, tolerance);
    }
}

static void check_step(const struct rig *r, json_t *step, const struct train_result *result,
                       const float *before, const float *after)
{
    const struct param_table *params = source_params(r->source);
    assert_relative(result->loss, golden_get(step, "loss"), 1e-3, "loss");
    assert_relative(result->grad_norm, golden_get(step, "grad_norm_before_clip"), 1e-3,
                    "grad_norm");
    assert_relative(update_norm(before, after, params->total), golden_get(step, "update_l2_total"),
                    1e-3, "update");
    json_t *tensors = json_object_get(step, "tensors");
    assert_int_equal(json_array_size(tensors), params->n);
    for (size_t i = 0; i < params->n; i++) {
        json_t *t = json_array_get(tensors, i);
        const char *name = json_string_value(json_object_get(t, "name"));
        int at = param_table_find(params, name);
        assert_true(at >= 0);
        const struct param *p = &params->params[at];
        assert_relative(update_norm(before + p->offset, after + p->offset, p->count),
                        golden_get(t, "update_l2"), 5e-3, name);
    }
}

static void open_smollm2(struct rig *r, const char *model)
{
    *r = (struct rig){.version = 1};
    rig_make_dir(r);
    rig_conf(&r->conf);
    r->conf.dtype = CONF_DTYPE_F32;
    r->conf.max_prompt_tokens = 200;
    r->conf.max_tokens = 200;
    r->conf.micro_batch_tokens = 400;
    r->conf.temperature = 1;
    r->conf.lr = 1e-5;
    r->conf.beta1 = 0.9;
    r->conf.beta2 = 0.95;
    r->conf.eps = 1e-8;
    r->conf.weight_decay = 0;
    r->conf.clip_low = 0.2;
    r->conf.clip_high = 0.272;
    rig_open_model(r, model, pool_cores());
    MUST(trainer_publish(r->trainer, 1, &r->hash, &why));
}

static void two_steps_of_smollm2_agree_with_reference(void **state)
{
    (void)state;
    const char *model = getenv("CARAVAN_MODEL");
    if (!model) {
        skip();
    }
    static struct recorded rec;
    json_t *root = reference_load(STEPS_JSON);
    json_t *run = json_object_get(json_object_get(root, "runs"), "beta1_0.9_beta2_0.95");
    json_t *steps = json_object_get(run, "steps");
    read_batch(&rec);
    struct rig r;
    open_smollm2(&r, model);
    size_t bytes = 0;
    float *before = rig_blob(&r, 1, &bytes);
    for (size_t i = 0; i < 2; i++) {
        struct train_result result;
        struct train_step s = {.step = i + 1,
                               .version = i + 1,
                               .new_version = i + 2,
                               .groups = rec.groups,
                               .n_groups = GROUPS};
        train_hyper_at(&r.conf, s.step, &s.hyper);
        MUST(trainer_step(r.trainer, &s, &result, NULL, &why));
        print_message(
            "step %zu: forward+backward %.2f s, optimiser %.2f s, publish %.2f s, %zu rows\n",
            i + 1, result.forward_backward_s, result.optimiser_s, result.publish_s,
            (size_t)result.rows);
        float *after = rig_blob(&r, 0, &bytes);
        check_step(&r, json_array_get(steps, i), &result, before, after);
        free(before);
        before = after;
    }
    free(before);
    json_decref(root);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_steps_of_smollm2_agree_with_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
