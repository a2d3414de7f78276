// optim_test.c: claims about the learning-rate schedule, clipping, AdamW and rounding.
//
// A wrong constant here trains nearly as well as a right one and is found months later, so every
// quantity is compared with reference numbers or with a property that leaves no room.

#include "learner/optim.h"

#include "common/pool.h"
#include "common/rng.h"
#include "reference.h"

// One matrix, or one vector (vectors do not decay), as a parameter table of its own.
struct table {
    struct param param;
    struct param_table params;
};

static void table_init(struct table *t, size_t rows, size_t cols)
{
    t->param = (struct param){
        .name = "w", .rows = rows, .cols = cols, .count = rows * cols, .vector = rows == 1};
    t->params = (struct param_table){.params = &t->param, .n = 1, .total = rows * cols};
}

static struct device *open_device(struct pool *pool)
{
    struct device *d = NULL;
    struct why why = {""};
    if (device_open("cpu", pool, &d, &why)) {
        fail_msg("%s", why.text);
    }
    return d;
}

static float *device_floats(struct device *d, size_t n, const float *host)
{
    void *p = NULL;
    assert_int_equal(d->ops->alloc(d, n * sizeof(float), &p, NULL), ERR_OK);
    if (host) {
        d->ops->upload(d, p, host, n * sizeof(float));
    }
    return p;
}

static const struct train_hyper ADAMW = {
    .lr = 0.01, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};

// ---- schedule and hyper-parameters

static double lr_down_to(double min_ratio, enum conf_schedule kind, int64_t warmup, int64_t stop,
                         uint64_t step)
{
    struct conf c;
    memset(&c, 0, sizeof c);
    c.lr = 2;
    c.schedule = kind;
    c.warmup_steps = warmup;
    c.stop_steps = stop;
    c.lr_min_ratio = min_ratio;
    struct train_hyper h;
    train_hyper_at(&c, step, &h);
    return h.lr;
}

static double lr_at(enum conf_schedule kind, int64_t warmup, int64_t stop, uint64_t step)
{
    return lr_down_to(0, kind, warmup, stop, step);
}

static void every_step_of_a_run_learns(void **state)
{
    (void)state;
    assert_true(lr_at(CONF_LR_CONSTANT, 4, 0, 1) == 0.5);
    assert_true(lr_at(CONF_LR_CONSTANT, 4, 0, 4) == 2);
    assert_true(lr_at(CONF_LR_CONSTANT, 4, 0, 1000) == 2);
    assert_true(lr_at(CONF_LR_LINEAR, 2, 10, 3) == 2);
    assert_true(lr_at(CONF_LR_LINEAR, 2, 10, 10) == 0.25);
    assert_true(lr_at(CONF_LR_LINEAR, 2, 10, 11) == 0);
    assert_true(lr_at(CONF_LR_LINEAR, 2, 0, 11) == 2);
    assert_true(lr_at(CONF_LR_COSINE, 2, 10, 1) == 1);
    assert_true(lr_at(CONF_LR_COSINE, 2, 10, 3) == 2);
    assert_close(lr_at(CONF_LR_COSINE, 2, 10, 7), 1, 1e-15, "half way", 0);
    assert_true(lr_at(CONF_LR_COSINE, 2, 10, 10) > 0.07);
    assert_true(lr_at(CONF_LR_COSINE, 2, 10, 11) == 0);
    assert_true(lr_at(CONF_LR_COSINE, 2, 0, 11) == 2);
}

// The floor is where a falling schedule ends, not a bound that cuts it off early.
static void falling_schedules_end_at_their_floor(void **state)
{
    (void)state;
    for (int k = CONF_LR_LINEAR; k <= CONF_LR_COSINE; k++) {
        enum conf_schedule kind = (enum conf_schedule)k;
        assert_true(lr_down_to(0.25, kind, 2, 10, 1) == 1);
        assert_true(lr_down_to(0.25, kind, 2, 10, 3) == 2);
        assert_close(lr_down_to(0.25, kind, 2, 10, 7), 1.25, 1e-15, "half way", 0);
        for (uint64_t step = 4; step <= 10; step++) {
            double is = lr_down_to(0.25, kind, 2, 10, step);
            assert_true(is < lr_down_to(0.25, kind, 2, 10, step - 1) && is > 0.5);
        }
        assert_true(lr_down_to(0.25, kind, 2, 10, 11) == 0.5);
        assert_true(lr_down_to(0.25, kind, 2, 10, UINT64_MAX) == 0.5);
        assert_true(lr_down_to(1, kind, 2, 10, 9) == 2);
    }
    assert_true(lr_down_to(0.25, CONF_LR_CONSTANT, 2, 10, 50) == 2);
}

// The reference counts steps from 0 and starts its warm-up at a rate of 0, which we skip.
static void schedules_agree_with_reference(void **state)
{
    (void)state;
    json_t *root = reference_load("losses/optim.json");
    json_t *cases = json_object_get(json_object_get(root, "lr_schedules"), "cases");
    size_t met = 0;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        json_t *c = json_array_get(cases, i);
        const char *kind = json_string_value(json_object_get(c, "kind"));
        bool constant = strcmp(kind, "constant_with_warmup") == 0;
        if (strcmp(kind, "constant") == 0) {
            continue;    // without warm-up, whatever warmup_steps says
        }
        enum conf_schedule schedule = constant                      ? CONF_LR_CONSTANT
                                      : strcmp(kind, "linear") == 0 ? CONF_LR_LINEAR
                                                                    : CONF_LR_COSINE;
        double lr[64];
        size_t n = golden_flatten(json_object_get(c, "lr_used_at_step"), lr, 64);
        int64_t warm = json_integer_value(json_object_get(c, "warmup_steps"));
        int64_t total = json_integer_value(json_object_get(c, "total_steps"));
        for (size_t s = 1; s < n; s++) {
            double is = lr_at(schedule, warm, total, s);
            assert_close(is, lr[(int64_t)s <= warm || constant ? s : s - 1], 1e-12, kind, s);
        }
        met++;
    }
    assert_int_equal(met, 12);
    json_decref(root);
}

static void hyper_parameters_come_back_bit_for_bit(void **state)
{
    (void)state;
    struct train_hyper h = {1.0 / 3e5,       0.9,  0.95, 1e-8,       0.1,
                            1.0 / 3,         0.2,  .272, 1e-17,      0.7,
                            1.0 / 7,         2048, 512,  CONF_KL_K4, CONF_POLICY_GSPO,
                            CONF_AGG_DR_GRPO};
    struct train_hyper back;
    memset(&back, 0, sizeof back);
    char *json = train_hyper_print(&h);
    assert_non_null(json);
    assert_int_equal(train_hyper_parse(json, strlen(json), &back, NULL), ERR_OK);
    assert_memory_equal(&h, &back, offsetof(struct train_hyper, kl_estimator));
    assert_int_equal(back.kl_estimator, CONF_KL_K4);
    assert_int_equal(back.policy, CONF_POLICY_GSPO);
    assert_int_equal(back.aggregate, CONF_AGG_DR_GRPO);
    free(json);
}

static void damaged_hyper_parameters_are_refused(void **state)
{
    (void)state;
    struct train_hyper h;
    struct why why = {""};
    static const char *const bad[] = {
        "[]", "{}", "{\"lr\": \"fast\"}",
        "{\"lr\":1,\"beta1\":0,\"beta2\":0,\"eps\":0,\"weight_decay\":0,\"grad_clip\":0,\"clip_"
        "low\":"
        "0,\"clip_high\":0,\"kl_beta\":0,\"temperature\":0,\"micro_batch_tokens\":1}",
        "{\"lr\":1,\"beta1\":0,\"beta2\":0,\"eps\":0,\"weight_decay\":0,\"grad_clip\":0,\"clip_"
        "low\":"
        "0,\"clip_high\":0,\"kl_beta\":0,\"temperature\":1,\"dual_clip\":0,\"max_tokens\":1,\"kl_"
        "estimator\":\"k5\",\"micro_batch_"
        "tokens\":1}"};
    static const char *const says[] = {"object", "lr", "lr", "temperature", "kl_estimator: 'k5'"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_true(train_hyper_parse(bad[i], strlen(bad[i]), &h, &why) != ERR_OK);
        assert_non_null(strstr(why.text, says[i]));
    }
}

// ---- clipping

static void clipping_agrees_with_reference(void **state)
{
    (void)state;
    json_t *root = reference_load("losses/optim.json");
    json_t *cases = json_object_get(json_object_get(root, "grad_clip"), "cases");
    for (size_t i = 0; i < json_array_size(cases); i++) {
        json_t *c = json_array_get(cases, i);
        double grads[64], clipped[64], squares = 0;
        size_t n = golden_flatten(json_object_get(c, "grads"), grads, 64);
        golden_flatten(json_object_get(c, "clipped"), clipped, 64);
        for (size_t k = 0; k < n; k++) {
            squares += grads[k] * grads[k];
        }
        double scale = optim_clip_scale(sqrt(squares), golden_get(c, "max_norm"));
        for (size_t k = 0; k < n; k++) {
            assert_close(grads[k] * scale, clipped[k], 1e-12, "clipped", k);
        }
    }
    json_decref(root);
}

static void no_limit_means_no_clipping(void **state)
{
    (void)state;
    assert_true(optim_clip_scale(1e9, 0) == 1);
    assert_true(optim_clip_scale(0, 1) == 1);
}

// ---- AdamW

static void adamw_agrees_with_reference(void **state)
{
    (void)state;
    json_t *root = reference_load("losses/optim.json");
    json_t *runs = json_object_get(json_object_get(root, "adamw"), "runs");
    struct device *d = open_device(NULL);
    for (size_t r = 0; r < json_array_size(runs); r++) {
        json_t *run = json_array_get(runs, r);
        json_t *steps = json_object_get(json_object_get(run, "steps"), "f64");
        double lr[64], betas[2], start[64], want[64], grads[1024];
        size_t n = golden_flatten(json_object_get(run, "params"), start, 64);
        size_t n_steps = golden_flatten(json_object_get(run, "lr_per_step"), lr, 64);
        golden_flatten(json_object_get(run, "betas"), betas, 2);
        golden_flatten(json_object_get(run, "grads"), grads, 1024);
        struct table t;
        struct optim o;
        table_init(&t, n, 1);
        assert_int_equal(optim_init(&o, d, &t.params, NULL), ERR_OK);
        assert_int_equal(optim_reserve(&o, NULL), ERR_OK);
        float host[64], *p, *g = device_floats(d, n, NULL), blob[64];
        for (size_t i = 0; i < n; i++) {
            host[i] = (float)start[i];
        }
        p = device_floats(d, n, host);
        for (size_t s = 0; s < n_steps; s++) {
            struct train_hyper h = {.lr = lr[s],
                                    .beta1 = betas[0],
                                    .beta2 = betas[1],
                                    .eps = golden_get(run, "eps"),
                                    .weight_decay = golden_get(run, "weight_decay")};
            for (size_t i = 0; i < n; i++) {
                host[i] = (float)grads[s * n + i];
            }
            d->ops->upload(d, g, host, n * sizeof *g);
            optim_step(&o, &h, 1, p, g, DTYPE_F32, blob, NULL);
            golden_flatten(json_object_get(json_array_get(steps, s), "params"), want, 64);
            for (size_t i = 0; i < n; i++) {
                assert_close((double)blob[i], want[i], 1e-5, "params", s * 100 + i);
            }
        }
        d->ops->release(d, p);
        d->ops->release(d, g);
        optim_fini(&o);
    }
    device_close(d);
    json_decref(root);
}

// The pieces one behind the other.
struct gathered {
    char *to;
    size_t bytes;
};

static void gather(void *arg, const void *bytes, size_t n)
{
    struct gathered *g = arg;
    memcpy(g->to + g->bytes, bytes, n);
    g->bytes += n;
}

// Two updates of n parameters; blob gets the last rounded copy, masters (host) what stands behind
// it.
static void two_steps(struct device *d, size_t rows, size_t cols, enum dtype t, void *blob,
                      float *masters)
{
    struct table table;
    struct optim o;
    struct rng r = rng_make(3, 4);
    size_t n = rows * cols;
    float *host = calloc(n, sizeof *host);
    table_init(&table, rows, cols);
    assert_int_equal(optim_init(&o, d, &table.params, NULL), ERR_OK);
    assert_int_equal(optim_reserve(&o, NULL), ERR_OK);
    for (size_t i = 0; i < n; i++) {
        host[i] = (float)(rng_f64(&r) - 0.5);
    }
    float *p = device_floats(d, n, host);
    for (size_t i = 0; i < n; i++) {
        host[i] = (float)(rng_f64(&r) - 0.5);
    }
    float *g = device_floats(d, n, host);
    optim_step(&o, &ADAMW, 0.5, p, g, t, blob, NULL);
    optim_step(&o, &ADAMW, 0.5, p, g, t, blob, NULL);
    assert_int_equal(o.steps, 2);
    d->ops->download(d, masters, p, n * sizeof *p);
    void *again = calloc(n, dtype_size(t));
    assert_int_equal(optim_round(&o, p, t, again, NULL, NULL), ERR_OK);
    assert_memory_equal(again, blob, n * dtype_size(t));    // at start and in a step: the same bits
    struct gathered sunk = {again, 0};
    const struct optim_sink sink = {gather, &sunk};
    memset(again, 0, n * dtype_size(t));
    assert_int_equal(optim_round(&o, p, t, NULL, &sink, NULL), ERR_OK);
    assert_int_equal(sunk.bytes, n * dtype_size(t));
    assert_memory_equal(again, blob, n * dtype_size(t));    // in pieces too
    free(again);
    d->ops->release(d, p);
    d->ops->release(d, g);
    optim_fini(&o);
    free(host);
}

// Chunks that actors ask for begin and end anywhere, within a value too.
static void any_range_can_be_rounded_by_itself(void **state)
{
    (void)state;
    enum { N = 20000 };
    static float masters[N];
    static uint16_t whole[N];
    uint8_t range[3 * N];
    struct rng r = rng_make(5, 6);
    for (size_t i = 0; i < N; i++) {
        masters[i] = (float)(rng_f64(&r) - 0.5);
        whole[i] = bf16_from_f32(masters[i]);
    }
    const struct {
        uint64_t offset;
        size_t n;
    } ranges[] = {{0, 2 * N},   {0, 1},         {1, 1},
                  {1, 2},       {2, 8192},      {3, 8192},
                  {777, 20001}, {2 * N - 1, 1}, {2 * N - 8193, 8193},
                  {5, 0}};
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        memset(range, 0xee, sizeof range);
        optim_copy_rounded(masters, DTYPE_BF16, ranges[i].offset, ranges[i].n, range);
        assert_memory_equal(range, (const char *)whole + ranges[i].offset, ranges[i].n);
        assert_int_equal(range[ranges[i].n], 0xee);
        optim_copy_rounded(masters, DTYPE_F32, ranges[i].offset, ranges[i].n, range);
        assert_memory_equal(range, (const char *)masters + ranges[i].offset, ranges[i].n);
    }
}

// More than one piece, an odd tail, and each thread count.
static void updates_do_not_depend_on_threads(void **state)
{
    (void)state;
    enum { ROWS = 1201, COLS = 1001, N = ROWS * COLS };
    uint16_t *blob[2];
    float *masters[2];
    for (int i = 0; i < 2; i++) {
        struct pool *pool = NULL;
        assert_int_equal(pool_create(i + 1, &pool, NULL), ERR_OK);
        struct device *d = open_device(pool);
        blob[i] = calloc(N, sizeof **blob);
        masters[i] = calloc(N, sizeof **masters);
        two_steps(d, ROWS, COLS, DTYPE_BF16, blob[i], masters[i]);
        device_close(d);
        pool_destroy(pool);
    }
    assert_memory_equal(blob[0], blob[1], N * sizeof **blob);
    assert_memory_equal(masters[0], masters[1], N * sizeof **masters);
    for (int i = 0; i < 2; i++) {
        free(blob[i]);
        free(masters[i]);
    }
}

// The published value is rounded, the master keeps what bf16 cannot say.
static void masters_are_finer_than_what_is_published(void **state)
{
    (void)state;
    struct device *d = open_device(NULL);
    uint16_t blob[64];
    float masters[64];
    size_t finer = 0;
    two_steps(d, 8, 8, DTYPE_BF16, blob, masters);
    for (size_t i = 0; i < 64; i++) {
        assert_int_equal(blob[i], bf16_from_f32(masters[i]));
        finer += bf16_to_f32(blob[i]) != masters[i];
    }
    assert_true(finer > 48);
    device_close(d);
}

static void norms_do_not_decay(void **state)
{
    (void)state;
    struct device *d = open_device(NULL);
    const float one = 1;
    for (size_t rows = 1; rows <= 2; rows++) {
        struct table t;
        struct optim o;
        float blob[4];
        table_init(&t, rows, 2);
        assert_int_equal(optim_init(&o, d, &t.params, NULL), ERR_OK);
        assert_int_equal(optim_reserve(&o, NULL), ERR_OK);
        float *p = device_floats(d, 4, (const float[]){1, 1, 1, 1}), *g = device_floats(d, 4, NULL);
        optim_step(&o, &ADAMW, 1, p, g, DTYPE_F32, blob, NULL);
        assert_true(rows == 1 ? blob[0] == one : blob[0] < one);
        d->ops->release(d, p);
        d->ops->release(d, g);
        optim_fini(&o);
    }
    device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_step_of_a_run_learns),
        cmocka_unit_test(falling_schedules_end_at_their_floor),
        cmocka_unit_test(schedules_agree_with_reference),
        cmocka_unit_test(hyper_parameters_come_back_bit_for_bit),
        cmocka_unit_test(damaged_hyper_parameters_are_refused),
        cmocka_unit_test(clipping_agrees_with_reference),
        cmocka_unit_test(no_limit_means_no_clipping),
        cmocka_unit_test(adamw_agrees_with_reference),
        cmocka_unit_test(updates_do_not_depend_on_threads),
        cmocka_unit_test(any_range_can_be_rounded_by_itself),
        cmocka_unit_test(masters_are_finer_than_what_is_published),
        cmocka_unit_test(norms_do_not_decay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
