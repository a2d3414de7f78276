// Golden numbers of other implementations: a tiny model of every family and SmolLM2-135M.
//
// CARAVAN_REFERENCE names the folder of reference vectors (models/NAME, models/NAME-ref, smollm2); CARAVAN_MODEL the SmolLM2-135M-Instruct model those were made from (GGUF file or
// folder). Tests whose data is not there skip. Tolerances are several times the float32 reference's
// own distance from its float64 one.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/json.h"
#include "tests/tools/grad_case.h"

#define TINY_LOGP 5e-5
#define TINY_GRAD 1e-4
#define BIG_LOGP 3e-4
#define BIG_NORM 1e-3
#define BIG_TENSOR 5e-3

static struct pool *pool;
static struct device *device;

static int open_device(void **state)
{
    (void)state;
    struct why why;
    int threads = MIN(pool_cores(), 8);
    return pool_create(threads, &pool, &why) == ERR_OK &&
                   device_open("cpu", pool, &device, &why) == ERR_OK
               ? 0
               : -1;
}

static int close_device(void **state)
{
    (void)state;
    device_close(device);
    pool_destroy(pool);
    return 0;
}

// ---- data ----

static const char *reference(void)
{
    const char *dir = getenv("CARAVAN_REFERENCE");
    if (dir == NULL || dir[0] == '\0') {
        skip();
    }
    return dir;
}

static const char *big_model(void)
{
    const char *path = getenv("CARAVAN_MODEL");
    if (path == NULL || path[0] == '\0') {
        skip();
    }
    return path;
}

static void ok(enum err e, const struct why *why)
{
    if (e != ERR_OK) {
        fail_msg("%s: %s", err_text(e), why->text);
    }
}

static json_t *read_json(const char *dir, const char *name)
{
    char *path = fs_path("%s/%s", dir, name), *text = NULL;
    size_t len = 0;
    struct why why = {""};
    json_t *o = NULL;
    ok(fs_read_file(path, 64 << 20, &text, &len, &why), &why);
    ok(json_parse(text, len, path, &o, &why), &why);
    free(text);
    free(path);
    return o;
}

// A raw array of n elements of `size` bytes (free()).
static void *read_raw(const char *dir, const char *name, size_t n, size_t size)
{
    char *path = fs_path("%s/%s", dir, name), *data = NULL;
    size_t len = 0;
    struct why why = {""};
    ok(fs_read_file(path, 64 << 20, &data, &len, &why), &why);
    assert_int_equal(len, n * size);
    free(path);
    return data;
}

static double number(const json_t *array, size_t i)
{
    const json_t *x = json_array_get(array, i);
    assert_true(json_is_number(x));
    return json_number_value(x);
}

struct loaded {
    struct source *s;
    float *flat;
    const struct model_config *config;
    const struct param_table *params;
};

static void load(const char *path, struct loaded *l)
{
    struct why why = {""};
    *l = (struct loaded){0};
    ok(source_open(path, &l->s, &why), &why);
    ok(grad_case_read_flat(l->s, &l->flat, &why), &why);
    l->config = source_config(l->s);
    l->params = source_params(l->s);
}

static void unload(struct loaded *l)
{
    free(l->flat);
    source_close(l->s);
}

static struct weights *make_weights(const struct loaded *l, enum dtype t)
{
    struct why why = {""};
    struct weights *w = NULL;
    ok(grad_case_weights(device, l->config, l->params, l->flat, t, &w, &why), &why);
    return w;
}

static struct model *make_model(const struct model_config *c)
{
    const struct model_limits limits = {
        .max_rows = 600, .max_index = 2048, .max_outs = 64, .max_context = 512};
    struct why why = {""};
    struct model *m = NULL;
    ok(model_create(device, c, &limits, &m, &why), &why);
    return m;
}

static void assert_near(double got, double want, double tolerance, const char *what, size_t i)
{
    if (!(fabs(got - want) <= tolerance)) {
        fail_msg("%s[%zu]: %.9g, expected %.9g within %g", what, i, got, want, tolerance);
    }
}

static double l2(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i] * (double)x[i];
    }
    return sqrt(sum);
}

// sum of x[i] * v[i] with a fixed pseudo-random v: sees signs and order, which a norm does not.
static double dot_lcg(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t r = (uint32_t)(i * UINT64_C(2654435761));
        sum += (double)x[i] * ((double)r / 2147483648.0 - 1);
    }
    return sum;
}

// Greedy continuation through a KV cache, row by row; ids and logp (n) =.
static void greedy(struct model *m, const struct weights *w, const uint32_t *prompt,
                   size_t n_prompt, size_t n, int32_t *ids, float *logp)
{
    struct why why = {""};
    struct kv_cache *kv = NULL;
    int32_t rows[1024];
    assert_true(n_prompt + n <= ARRAY_LEN(rows));
    ok(kv_cache_create(m, ARRAY_LEN(rows), &kv, &why), &why);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        rows[i] = (int32_t)(i * 389 % 1024);    // a permutation: the cache is never in order
    }
    const struct sample_spec spec = {.temperature = 0, .top_p = 1};
    size_t have = 0;
    for (size_t s = 0; s < n; s++) {
        struct batch b;
        struct sample_out out;
        int32_t off = 0, row = 0;
        size_t to = n_prompt + s;
        batch_init(&b);
        assert_int_equal(batch_add_index(&b, rows, to, &off), ERR_OK);
        for (; have < to; have++) {
            int32_t token = have < n_prompt ? (int32_t)prompt[have] : ids[have - n_prompt];
            assert_int_equal(
                batch_add_row(&b, token, (int32_t)have, rows[have], off, (int32_t)have + 1, &row),
                ERR_OK);
        }
        assert_int_equal(batch_add_out(&b, row, -1), ERR_OK);
        ok(model_forward(m, w, kv, &b, &spec, &out, NULL, &why), &why);
        ids[s] = out.token;
        logp[s] = out.logp;
        batch_fini(&b);
    }
    kv_cache_destroy(kv);
}

static size_t read_ids(const json_t *array, uint32_t *out, size_t cap)
{
    size_t n = json_array_size(array);
    assert_true(n > 0 && n <= cap);
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint32_t)json_integer_value(json_array_get(array, i));
    }
    return n;
}

// ---- a tiny model of every family ----

static const char *const tiny_names[] = {"llama", "llama3", "mistral", "qwen2",
                                         "qwen3", "olmo2",  "sharded"};

struct tiny_data {
    char *model, *ref;
    struct loaded l;
    struct grad_case c;
};

static void open_tiny(struct tiny_data *t, const char *name)
{
    const char *dir = reference();
    struct why why = {""};
    t->model = fs_path("%s/models/%s", dir, name);
    t->ref = fs_path("%s/models/%s-ref", dir, name);
    char *input = fs_path("%s/input.json", t->ref);
    ok(grad_case_read(input, &t->c, &why), &why);
    free(input);
    load(t->model, &t->l);
}

static void close_tiny(struct tiny_data *t)
{
    unload(&t->l);
    grad_case_fini(&t->c);
    free(t->model);
    free(t->ref);
}

static void check_tiny_scores(const struct tiny_data *t, struct model *m, const struct weights *w,
                              float temperature)
{
    struct batch b;
    struct why why = {""};
    char name[64];
    float logp[256], entropy[256];
    batch_init(&b);
    assert_int_equal(grad_case_batch(&t->c, &b), ERR_OK);
    assert_true(b.n_out <= ARRAY_LEN(logp));
    ok(model_score(m, w, &b, temperature, logp, entropy, NULL, &why), &why);
    snprintf(name, sizeof name, "logprobs_t%.1f.f64", (double)temperature);
    double *want = read_raw(t->ref, name, t->c.n_tokens, sizeof *want);
    snprintf(name, sizeof name, "entropy_t%.1f.f64", (double)temperature);
    double *want_entropy = read_raw(t->ref, name, t->c.n_tokens, sizeof *want);
    for (size_t i = 0; i < b.n_out; i++) {
        size_t token = t->c.out_token[i];
        assert_near((double)logp[i], want[token], TINY_LOGP, "logp", i);
        assert_near((double)entropy[i], want_entropy[token - 1], TINY_LOGP, "entropy", i);
    }
    free(want);
    free(want_entropy);
    batch_fini(&b);
}

// The logits of every position of the packed sequences, one batch for each.
static void check_tiny_logits(const struct tiny_data *t, struct model *m, const struct weights *w)
{
    size_t V = (size_t)t->l.config->vocab, first = 0;
    float *want = read_raw(t->ref, "logits.f32", t->c.n_tokens * V, sizeof *want);
    float *got = malloc(V * sizeof *got);
    assert_non_null(got);
    for (size_t s = 0; s < t->c.n_sequences; first += t->c.len[s++]) {
        struct batch b;
        struct why why = {""};
        batch_init(&b);
        assert_int_equal(batch_add_group(&b, t->c.tokens + first, t->c.len[s], NULL, 0), ERR_OK);
        for (size_t i = 0; i < t->c.len[s]; i++) {
            assert_int_equal(batch_add_out(&b, (int32_t)i, 0), ERR_OK);
            ok(model_logits(m, w, &b, i, got, &why), &why);
            for (size_t v = 0; v < V; v++) {
                assert_near((double)got[v], (double)want[(first + i) * V + v], TINY_LOGP, "logit",
                            v);
            }
        }
        batch_fini(&b);
    }
    free(want);
    free(got);
}

static void check_tiny_model(const char *name)
{
    struct tiny_data t;
    open_tiny(&t, name);
    for (int dt = 0; dt < 2;
         dt++) {    // its weights are bf16 values, so both precisions hold them exactly
        struct weights *w = make_weights(&t.l, dt == 0 ? DTYPE_BF16 : DTYPE_F32);
        struct model *m = make_model(t.l.config);
        check_tiny_scores(&t, m, w, 1.0f);
        check_tiny_scores(&t, m, w, 0.7f);
        check_tiny_logits(&t, m, w);
        model_destroy(m);
        weights_destroy(w);
    }
    close_tiny(&t);
}

static void tiny_scores_and_logits_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tiny_names); i++) {
        check_tiny_model(tiny_names[i]);
    }
}

static void check_tiny_greedy(const char *name)
{
    struct tiny_data t;
    open_tiny(&t, name);
    json_t *input = read_json(t.ref, "input.json");
    const json_t *g = json_object_get(input, "greedy"), *steps = json_object_get(g, "steps");
    uint32_t prompt[64];
    int32_t ids[16];
    float logp[16];
    size_t n_prompt = read_ids(json_object_get(g, "prompt"), prompt, ARRAY_LEN(prompt));
    assert_int_equal(json_array_size(steps), ARRAY_LEN(ids));
    struct weights *w = make_weights(&t.l, DTYPE_BF16);
    struct model *m = make_model(t.l.config);
    greedy(m, w, prompt, n_prompt, ARRAY_LEN(ids), ids, logp);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        const json_t *s = json_array_get(steps, i);
        assert_int_equal(ids[i], json_integer_value(json_object_get(s, "id")));
        assert_near((double)logp[i], json_number_value(json_object_get(s, "logprob")), TINY_LOGP,
                    "greedy logp", i);
    }
    json_decref(input);
    model_destroy(m);
    weights_destroy(w);
    close_tiny(&t);
}

static void tiny_greedy_tokens_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tiny_names); i++) {
        check_tiny_greedy(tiny_names[i]);
    }
}

static void check_tiny_gradient(const struct tiny_data *t, const struct weights *w,
                                const struct grad_loss *loss, const json_t *all)
{
    struct why why = {""};
    struct grad_result r;
    char name[32];
    const json_t *info = json_object_get(all, loss->name);
    const json_t *tensors = json_object_get(info, "tensors");
    snprintf(name, sizeof name, "grads_%s.f32", loss->name);
    float *want = read_raw(t->ref, name, t->l.params->total, sizeof *want);
    ok(grad_case_run(device, t->l.config, w, &t->c, loss, &r, &why), &why);
    double value = json_number_value(json_object_get(info, "loss_f64"));
    assert_near(r.loss, value, 1e-5 * fmax(1, fabs(value)), "loss", 0);
    assert_int_equal(json_array_size(tensors), t->l.params->n);
    for (size_t i = 0; i < t->l.params->n; i++) {
        const json_t *x = json_array_get(tensors, i);
        int index = param_table_find(t->l.params, json_string_value(json_object_get(x, "name")));
        assert_true(index >= 0);
        const struct param *p = &t->l.params->params[index];
        size_t offset = (size_t)json_integer_value(json_object_get(x, "offset"));
        double tolerance = TINY_GRAD * json_number_value(json_object_get(x, "max_abs"));
        assert_true(offset + p->count <= t->l.params->total);
        for (size_t j = 0; j < p->count; j++) {
            assert_near((double)r.grads[p->offset + j], (double)want[offset + j], tolerance,
                        p->name, j);
        }
    }
    free(want);
    free(r.grads);
    free(r.logp);
}

static void check_tiny_gradients(const char *name)
{
    struct tiny_data t;
    open_tiny(&t, name);
    json_t *all = read_json(t.ref, "loss.json");
    struct weights *w = make_weights(&t.l, DTYPE_BF16);
    assert_int_equal(t.c.n_losses, 2);
    check_tiny_gradient(&t, w, &t.c.losses[0], all);
    check_tiny_gradient(&t, w, &t.c.losses[1], all);
    weights_destroy(w);
    json_decref(all);
    close_tiny(&t);
}

static void tiny_gradients_of_every_parameter_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tiny_names); i++) {
        check_tiny_gradients(tiny_names[i]);
    }
}

// ---- SmolLM2 ----

static const char *const set_names[] = {"weights_bf16", "weights_f32"};
static const enum dtype set_types[] = {DTYPE_BF16, DTYPE_F32};

static void check_continuation(struct model *m, const struct weights *w, const json_t *p,
                               const json_t *set)
{
    static const struct {
        float temperature;
        const char *key;
    } cases[] = {{1.0f, "continuation_logprobs_f64"}, {0.7f, "continuation_logprobs_t0.7_f64"}};
    uint32_t prompt[512], comp[64];
    struct why why = {""};
    struct batch b;
    size_t n_prompt = read_ids(json_object_get(p, "prompt_ids"), prompt, ARRAY_LEN(prompt));
    size_t n = read_ids(json_object_get(p, "continuation_ids"), comp, ARRAY_LEN(comp));
    const struct batch_completion c = {comp, n};
    batch_init(&b);
    assert_int_equal(batch_add_group(&b, prompt, n_prompt, &c, 1), ERR_OK);
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        float logp[64], entropy[64];
        ok(model_score(m, w, &b, cases[k].temperature, logp, entropy, NULL, &why), &why);
        for (size_t i = 0; i < n; i++) {
            assert_near((double)logp[i], number(json_object_get(set, cases[k].key), i), BIG_LOGP,
                        cases[k].key, i);
            if (k == 0) {
                assert_near((double)entropy[i], number(json_object_get(set, "entropy_f64"), i),
                            BIG_LOGP, "entropy", i);
            }
        }
    }
    batch_fini(&b);
}

static void check_greedy(struct model *m, const struct weights *w, const json_t *p,
                         const json_t *set)
{
    uint32_t prompt[512];
    int32_t ids[32];
    float logp[32];
    size_t n_prompt = read_ids(json_object_get(p, "prompt_ids"), prompt, ARRAY_LEN(prompt));
    const json_t *want = json_object_get(set, "greedy_ids");
    assert_int_equal(json_array_size(want), ARRAY_LEN(ids));
    greedy(m, w, prompt, n_prompt, ARRAY_LEN(ids), ids, logp);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        assert_int_equal(ids[i], json_integer_value(json_array_get(want, i)));
        assert_near((double)logp[i], number(json_object_get(set, "greedy_logprobs"), i), BIG_LOGP,
                    "greedy logp", i);
    }
}

static void check_last_logits(struct model *m, const struct weights *w, const json_t *p,
                              const char *dir, size_t prompt_index, const char *type)
{
    uint32_t prompt[512];
    struct why why = {""};
    struct batch b;
    char name[64];
    size_t V = (size_t)model_get_config(m)->vocab;
    size_t n = read_ids(json_object_get(p, "prompt_ids"), prompt, ARRAY_LEN(prompt));
    snprintf(name, sizeof name, "last_logits_p%zu_%s.f32", prompt_index, type);
    float *want = read_raw(dir, name, V, sizeof *want), *got = malloc(V * sizeof *got);
    assert_non_null(got);
    batch_init(&b);
    assert_int_equal(batch_add_group(&b, prompt, n, NULL, 0), ERR_OK);
    assert_int_equal(batch_add_out(&b, (int32_t)n - 1, -1), ERR_OK);
    ok(model_logits(m, w, &b, 0, got, &why), &why);
    for (size_t v = 0; v < V; v++) {
        assert_near((double)got[v], (double)want[v], BIG_LOGP, name, v);
    }
    free(want);
    free(got);
    batch_fini(&b);
}

static void smollm2_scores_and_greedy_tokens_agree(void **state)
{
    (void)state;
    const char *model = big_model();
    char *dir = fs_path("%s/smollm2", reference());
    struct loaded l;
    load(model, &l);
    json_t *all = read_json(dir, "prompts.json");
    const json_t *prompts = json_object_get(all, "prompts");
    assert_true(json_array_size(prompts) >= 2);
    for (size_t s = 0; s < ARRAY_LEN(set_names); s++) {
        struct weights *w = make_weights(&l, set_types[s]);
        struct model *m = make_model(l.config);
        for (size_t i = 0; i < json_array_size(prompts); i++) {
            const json_t *p = json_array_get(prompts, i);
            const json_t *set = json_object_get(p, set_names[s]);
            check_continuation(m, w, p, set);
            check_greedy(m, w, p, set);
            if (i < 2) {
                check_last_logits(m, w, p, dir, i, s == 0 ? "bf16" : "f32");
            }
        }
        model_destroy(m);
        weights_destroy(w);
    }
    json_decref(all);
    unload(&l);
    free(dir);
}

static void check_big_tensors(const struct loaded *l, const float *grads, const json_t *want)
{
    const json_t *tensors = json_object_get(want, "tensors");
    assert_int_equal(json_array_size(tensors), l->params->n);
    for (size_t i = 0; i < l->params->n; i++) {
        const json_t *x = json_array_get(tensors, i);
        int index = param_table_find(l->params, json_string_value(json_object_get(x, "name")));
        assert_true(index >= 0);
        const struct param *p = &l->params->params[index];
        double norm = json_number_value(json_object_get(x, "l2_f64"));
        assert_near(l2(grads + p->offset, p->count), norm, BIG_TENSOR * norm, p->name, 0);
        // A random direction sees |g| * sqrt(1/3); an error of the allowed norm may point anywhere
        // along it.
        assert_near(dot_lcg(grads + p->offset, p->count),
                    json_number_value(json_object_get(x, "dot_lcg_f64")), 2 * BIG_TENSOR * norm,
                    p->name, 1);
    }
}

static void check_big_gradient(const struct loaded *l, const struct weights *w,
                               const struct grad_case *c, const struct grad_loss *loss,
                               const json_t *want)
{
    struct why why = {""};
    struct grad_result r;
    ok(grad_case_run(device, l->config, w, c, loss, &r, &why), &why);
    double norm = json_number_value(json_object_get(want, "grad_norm_f64"));
    const json_t *logp = json_object_get(want, "logprobs_f64");
    for (size_t i = 0; i < c->n_tokens - c->n_sequences; i++) {
        assert_near((double)r.logp[i], number(logp, c->out_token[i]), BIG_LOGP, "logp", i);
    }
    assert_near(r.loss, json_number_value(json_object_get(want, "loss_f64")), 1e-4, "loss", 0);
    assert_near(l2(r.grads, l->params->total), norm, BIG_NORM * norm, "global norm", 0);
    check_big_tensors(l, r.grads, want);
    free(r.grads);
    free(r.logp);
}

static void smollm2_gradients_agree(void **state)
{
    (void)state;
    const char *model = big_model();
    char *dir = fs_path("%s/smollm2", reference()), *path = fs_path("%s/grad_batch.json", dir);
    struct grad_case c;
    struct loaded l;
    struct why why = {""};
    load(model, &l);
    ok(grad_case_read(path, &c, &why), &why);
    json_t *all = read_json(dir, "grad_reference.json");
    for (size_t s = 0; s < ARRAY_LEN(set_names); s++) {
        struct weights *w = make_weights(&l, set_types[s]);
        for (size_t i = 0; i < c.n_losses; i++) {
            char key[64];
            snprintf(key, sizeof key, "%s_%s", c.losses[i].name, set_names[s]);
            check_big_gradient(&l, w, &c, &c.losses[i], json_object_get(all, key));
        }
        weights_destroy(w);
    }
    json_decref(all);
    grad_case_fini(&c);
    unload(&l);
    free(path);
    free(dir);
}

// ---- AdamW on SmolLM2: two steps from f32 weights ----

struct optimiser {
    void *p, *m, *v, *grads;    // device, flat
    size_t n;
    float *before, *after;    // host
};

static void optimiser_init(struct optimiser *o, const struct loaded *l)
{
    struct why why = {""};
    o->n = l->params->total;
    size_t bytes = o->n * sizeof(float);
    void **const arrays[] = {&o->p, &o->m, &o->v, &o->grads};
    for (size_t i = 0; i < ARRAY_LEN(arrays); i++) {
        ok(device->ops->alloc(device, bytes, arrays[i], &why), &why);
    }
    o->before = malloc(bytes);
    o->after = malloc(bytes);
    assert_true(o->before != NULL && o->after != NULL);
    memcpy(o->after, l->flat, bytes);
    device->ops->upload(device, o->p, l->flat, bytes);
}

static void optimiser_fini(struct optimiser *o)
{
    void *const arrays[] = {o->p, o->m, o->v, o->grads};
    for (size_t i = 0; i < ARRAY_LEN(arrays); i++) {
        device->ops->release(device, arrays[i]);
    }
    free(o->before);
    free(o->after);
}

// One clipped step from o->after; o->before keeps the old parameters.
static void optimiser_step(struct optimiser *o, const struct loaded *l, const struct grad_case *c,
                           const json_t *all, float beta2, int t, const json_t *want)
{
    struct why why = {""};
    struct grad_result r;
    struct loaded now = *l;
    now.flat = o->after;
    struct weights *w = make_weights(&now, DTYPE_F32);
    ok(grad_case_run(device, l->config, w, c, &c->losses[0], &r, &why), &why);
    weights_destroy(w);
    device->ops->upload(device, o->grads, r.grads, o->n * sizeof(float));
    double norm = sqrt(device->ops->sum_squares(device, o->n, o->grads));
    double want_norm = json_number_value(json_object_get(want, "grad_norm_before_clip"));
    assert_near(norm, want_norm, BIG_NORM * want_norm, "gradient norm", (size_t)t);
    const struct adamw a = {
        .lr = (float)json_number_value(json_object_get(all, "lr")),
        .beta1 = 0.9f,
        .beta2 = beta2,
        .eps = (float)json_number_value(json_object_get(all, "eps")),
        .weight_decay = 0,
        .bias1 = (float)(1 - pow(0.9, t)),
        .bias2 = (float)(1 - pow((double)beta2, t)),
        .grad_scale = (float)fmin(1, 1 / (norm + 1e-6)),
    };
    device->ops->adamw(device, o->n, &a, o->p, o->m, o->v, o->grads, DTYPE_F32, NULL);
    memcpy(o->before, o->after, o->n * sizeof(float));
    device->ops->download(device, o->after, o->p, o->n * sizeof(float));
    free(r.grads);
    free(r.logp);
}

// Updates of step 1 are nearly lr * sign(g): their size is sure, the signs of tiny gradients are
// not.
static void check_updates(struct optimiser *o, const struct loaded *l, const json_t *want, int t)
{
    double total = json_number_value(json_object_get(want, "update_l2_total"));
    for (size_t i = 0; i < o->n; i++) {
        o->before[i] = o->after[i] - o->before[i];
    }
    assert_near(l2(o->before, o->n), total, 1e-3 * total, "update", (size_t)t);
    const json_t *tensors = json_object_get(want, "tensors");
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const json_t *x = json_array_get(tensors, i);
        int index = param_table_find(l->params, json_string_value(json_object_get(x, "name")));
        assert_true(index >= 0);
        const struct param *p = &l->params->params[index];
        double norm = json_number_value(json_object_get(x, "update_l2"));
        assert_near(l2(o->before + p->offset, p->count), norm, 0.02 * norm, p->name, (size_t)t);
    }
}

static void check_adamw_run(const struct loaded *l, const struct grad_case *c, const json_t *all,
                            const char *key, float beta2)
{
    struct optimiser o;
    struct why why = {""};
    struct batch b;
    const json_t *run = json_object_get(json_object_get(all, "runs"), key);
    optimiser_init(&o, l);
    for (int t = 1; t <= 2; t++) {
        const json_t *want = json_array_get(json_object_get(run, "steps"), (size_t)t - 1);
        optimiser_step(&o, l, c, all, beta2, t, want);
        check_updates(&o, l, want, t);
    }
    struct loaded now = *l;
    now.flat = o.after;
    struct weights *w = make_weights(&now, DTYPE_F32);
    struct model *m = make_model(l->config);
    float *logp = calloc(c->n_tokens, sizeof *logp);
    assert_non_null(logp);
    batch_init(&b);
    assert_int_equal(grad_case_batch(c, &b), ERR_OK);
    ok(model_score(m, w, &b, 1, logp, NULL, NULL, &why), &why);
    double mean = 0;
    for (size_t i = 0; i < b.n_out; i++) {
        double want = number(json_object_get(run, "logprobs_after_2_steps"), c->out_token[i]);
        assert_near((double)logp[i], want, 10 * BIG_LOGP, "logp after two steps", i);
        mean += fabs((double)logp[i] - want) / (double)b.n_out;
    }
    assert_near(mean, 0, BIG_LOGP, "mean distance after two steps", 0);
    free(logp);
    batch_fini(&b);
    model_destroy(m);
    weights_destroy(w);
    optimiser_fini(&o);
}

static void smollm2_adamw_steps_agree(void **state)
{
    (void)state;
    const char *model = big_model();
    char *dir = fs_path("%s/smollm2", reference()), *path = fs_path("%s/grad_batch.json", dir);
    struct grad_case c;
    struct loaded l;
    struct why why = {""};
    load(model, &l);
    ok(grad_case_read(path, &c, &why), &why);
    json_t *all = read_json(dir, "adamw.json");
    check_adamw_run(&l, &c, all, "beta1_0.9_beta2_0.95", 0.95f);
    check_adamw_run(&l, &c, all, "beta1_0.9_beta2_0.999", 0.999f);
    json_decref(all);
    grad_case_fini(&c);
    unload(&l);
    free(path);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_scores_and_logits_agree),
        cmocka_unit_test(tiny_greedy_tokens_agree),
        cmocka_unit_test(tiny_gradients_of_every_parameter_agree),
        cmocka_unit_test(smollm2_scores_and_greedy_tokens_agree),
        cmocka_unit_test(smollm2_gradients_agree),
        cmocka_unit_test(smollm2_adamw_steps_agree),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
