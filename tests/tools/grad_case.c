// grad_case.c: reading of golden loss cases and one training pass over them. See grad_case.h.
//
// Files are checked as any input: lengths of all per-token arrays must agree with the sequences.

#include "tests/tools/grad_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "common/json.h"

enum { MAX_TOKENS = 1 << 20, MAX_FILE = 64 << 20 };

static enum err read_doubles(const json_t *o, const char *key, size_t n, const char *path,
                             double **out, struct why *why)
{
    const json_t *a = json_object_get(o, key);
    if (json_array_size(a) != n) {
        return why_set(why, ERR_INVALID, "%s: %s has %zu entries, expected %zu", path, key,
                       json_array_size(a), n);
    }
    double *x = calloc(n, sizeof *x);
    if (x == NULL) {
        return why_set(why, ERR_NOMEM, "%s: out of memory", path);
    }
    for (size_t i = 0; i < n; i++) {
        x[i] = json_number_value(json_array_get(a, i));
    }
    *out = x;
    return ERR_OK;
}

static enum err count_tokens(const json_t *seqs, const char *path, struct grad_case *c,
                             struct why *why)
{
    c->n_sequences = json_array_size(seqs);
    for (size_t s = 0; s < c->n_sequences; s++) {
        size_t n = json_array_size(json_array_get(seqs, s));
        if (n == 0 || n > MAX_TOKENS || c->n_tokens > MAX_TOKENS) {
            return why_set(why, ERR_INVALID, "%s: sequence %zu has %zu tokens, not 1..%d", path, s,
                           n, MAX_TOKENS);
        }
        c->n_tokens += n;
    }
    if (c->n_sequences == 0) {
        return why_set(why, ERR_INVALID, "%s: no sequences", path);
    }
    return ERR_OK;
}

static enum err read_sequences(const json_t *o, const char *path, struct grad_case *c,
                               struct why *why)
{
    const json_t *seqs = json_object_get(o, "sequences");
    enum err e = count_tokens(seqs, path, c, why);
    if (e != ERR_OK) {
        return e;
    }
    c->tokens = calloc(c->n_tokens, sizeof *c->tokens);
    c->len = calloc(c->n_sequences, sizeof *c->len);
    c->out_token = calloc(c->n_tokens, sizeof *c->out_token);
    if (c->tokens == NULL || c->len == NULL || c->out_token == NULL) {
        return why_set(why, ERR_NOMEM, "%s: out of memory", path);
    }
    size_t at = 0, out = 0;
    for (size_t s = 0; s < c->n_sequences; s++) {
        const json_t *seq = json_array_get(seqs, s);
        c->len[s] = json_array_size(seq);
        for (size_t i = 0; i < c->len[s]; i++, at++) {
            const json_t *id = json_array_get(seq, i);
            if (!json_is_integer(id) || json_integer_value(id) < 0 ||
                json_integer_value(id) > INT32_MAX) {
                return why_set(why, ERR_INVALID, "%s: sequences[%zu][%zu] is not a token id", path,
                               s, i);
            }
            c->tokens[at] = (uint32_t)json_integer_value(id);
            if (i > 0) {
                c->out_token[out++] = at;
            }
        }
    }
    return read_doubles(o, "mask", c->n_tokens, path, &c->mask, why);
}

// models/*-ref/input.json
static enum err read_tiny(const json_t *o, const char *path, struct grad_case *c, struct why *why)
{
    size_t n = c->n_tokens;
    c->n_losses = 2;
    c->losses[0] = (struct grad_loss){.name = "A", .temperature = 1, .linear = true};
    c->losses[1] = (struct grad_loss){
        .name = "B", .temperature = 0.7, .beta = 0.05, .clip_low = 0.2, .clip_high = 0.272};
    struct grad_loss *b = &c->losses[1];
    enum err e = read_doubles(o, "weights_A", n, path, &c->losses[0].weight, why);
    if (e == ERR_OK) {
        e = read_doubles(o, "old_logprobs_B", n, path, &b->old, why);
    }
    if (e == ERR_OK) {
        e = read_doubles(o, "ref_logprobs_B", n, path, &b->ref, why);
    }
    if (e == ERR_OK) {
        e = read_doubles(o, "advantages_B", n, path, &b->advantage, why);
    }
    if (e == ERR_OK) {
        e = read_doubles(o, "is_weight_B", n, path, &b->is_weight, why);
    }
    return e;
}

static enum err spread_advantages(const json_t *o, const char *path, const struct grad_case *c,
                                  double **out, struct why *why)
{
    double *per_seq = NULL;
    enum err e = read_doubles(o, "advantages_per_sequence", c->n_sequences, path, &per_seq, why);
    if (e != ERR_OK) {
        return e;
    }
    double *x = calloc(c->n_tokens, sizeof *x);
    size_t at = 0;
    for (size_t s = 0; x != NULL && s < c->n_sequences; s++) {
        for (size_t i = 0; i < c->len[s]; i++) {
            x[at++] = per_seq[s];
        }
    }
    free(per_seq);
    *out = x;
    return x == NULL ? why_set(why, ERR_NOMEM, "%s: out of memory", path) : ERR_OK;
}

// smollm2/grad_batch.json
static enum err read_batch(const json_t *o, const char *path, struct grad_case *c, struct why *why)
{
    static const char *const names[] = {"dapo", "dapo_kl"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const json_t *l = json_object_get(o, names[i]);
        if (!json_is_object(l)) {
            continue;
        }
        struct grad_loss *g = &c->losses[c->n_losses++];
        *g = (struct grad_loss){.name = names[i]};
        enum err e = json_get_num(l, "temperature", 1e-6, 1e6, path, &g->temperature, why);
        if (e == ERR_OK) {
            e = json_get_num(l, "beta", 0, 1e6, path, &g->beta, why);
        }
        if (e == ERR_OK) {
            e = json_get_num(l, "clip_low", 0, 1, path, &g->clip_low, why);
        }
        if (e == ERR_OK) {
            e = json_get_num(l, "clip_high", 0, 1e6, path, &g->clip_high, why);
        }
        if (e == ERR_OK) {
            e = read_doubles(l, "old_logprobs", c->n_tokens, path, &g->old, why);
        }
        if (e == ERR_OK) {
            e = read_doubles(l, "ref_logprobs", c->n_tokens, path, &g->ref, why);
        }
        if (e == ERR_OK) {
            e = spread_advantages(o, path, c, &g->advantage, why);
        }
        if (e != ERR_OK) {
            return e;
        }
    }
    return c->n_losses > 0 ? ERR_OK : why_set(why, ERR_INVALID, "%s: no known loss", path);
}

enum err grad_case_read(const char *path, struct grad_case *out, struct why *why)
{
    char *text = NULL;
    size_t len = 0;
    json_t *o = NULL;
    struct grad_case c = {0};
    enum err e = fs_read_file(path, MAX_FILE, &text, &len, why);
    if (e == ERR_OK) {
        e = json_parse(text, len, path, &o, why);
    }
    if (e == ERR_OK) {
        e = read_sequences(o, path, &c, why);
    }
    if (e == ERR_OK) {
        bool tiny = json_object_get(o, "weights_A") != NULL;
        e = tiny ? read_tiny(o, path, &c, why) : read_batch(o, path, &c, why);
    }
    json_decref(o);
    free(text);
    if (e != ERR_OK) {
        grad_case_fini(&c);
        return e;
    }
    *out = c;
    return ERR_OK;
}

void grad_case_fini(struct grad_case *c)
{
    for (size_t i = 0; i < GRAD_CASE_LOSSES; i++) {
        struct grad_loss *l = &c->losses[i];
        free(l->weight);
        free(l->advantage);
        free(l->old);
        free(l->ref);
        free(l->is_weight);
    }
    free(c->tokens);
    free(c->len);
    free(c->mask);
    free(c->out_token);
    *c = (struct grad_case){0};
}

enum err grad_case_batch(const struct grad_case *c, struct batch *b)
{
    const uint32_t *at = c->tokens;
    for (size_t s = 0; s < c->n_sequences; s++) {
        const struct batch_completion rest = {at + 1, c->len[s] - 1};
        enum err e = batch_add_group(b, at, 1, &rest, 1);
        if (e != ERR_OK) {
            return e;
        }
        at += c->len[s];
    }
    return ERR_OK;
}

static double clipped_token(const struct grad_loss *l, size_t i, double new, double *grad)
{
    double A = l->advantage[i], is = l->is_weight != NULL ? l->is_weight[i] : 1;
    double r = exp(new - l->old[i]), d = new - l->ref[i];
    double clipped = fmin(fmax(r, 1 - l->clip_low), 1 + l->clip_high);
    bool active = -A * r >= -A * clipped;
    *grad = (active ? -A * r * is : 0) + l->beta * (1 - exp(-d));
    return fmax(-A * r, -A * clipped) * is + l->beta * (expm1(-d) + d);
}

void grad_case_loss(const struct grad_case *c, const struct grad_loss *l, size_t first, size_t n,
                    const float *logp, float *coef, double *sum)
{
    double tokens = 0, total = 0;
    for (size_t i = 0; i < c->n_tokens; i++) {
        tokens += c->mask[i];
    }
    for (size_t k = 0; k < n; k++) {
        size_t i = c->out_token[first + k];
        double grad = 0;
        if (l->linear) {
            grad = -l->weight[i];
            total += grad * (double)logp[k];
        } else if (c->mask[i] != 0) {
            total += clipped_token(l, i, (double)logp[k], &grad) * c->mask[i] / tokens;
            grad *= c->mask[i] / tokens;
        }
        coef[k] = (float)grad;
    }
    if (sum != NULL) {
        *sum += total;
    }
}

enum err grad_case_read_flat(const struct source *s, float **out, struct why *why)
{
    const struct param_table *p = source_params(s);
    float *flat = malloc(p->total * sizeof *flat);
    enum err e =
        flat == NULL ? why_set(why, ERR_NOMEM, "%zu parameters: out of memory", p->total) : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < p->n; i++) {
        e = source_read(s, i, flat + p->params[i].offset, why);
    }
    if (e != ERR_OK) {
        free(flat);
        return e;
    }
    *out = flat;
    return ERR_OK;
}

static enum err feed_rounded(struct weights *w, const float *x, size_t n, struct why *why)
{
    uint16_t piece[4096];
    enum err e = ERR_OK;
    for (size_t at = 0; e == ERR_OK && at < n; at += ARRAY_LEN(piece)) {
        size_t m = MIN(ARRAY_LEN(piece), n - at);
        for (size_t i = 0; i < m; i++) {
            piece[i] = bf16_from_f32(x[at + i]);
        }
        e = weights_feed(w, piece, m * sizeof *piece, why);
    }
    return e;
}

enum err grad_case_weights(struct device *d, const struct model_config *c,
                           const struct param_table *p, const float *flat, enum dtype t,
                           struct weights **out, struct why *why)
{
    struct weights *w = NULL;
    struct hash128 hash;
    enum err e = weights_create(d, c, t, &w, why);
    if (e != ERR_OK) {
        return e;
    }
    weights_begin(w);
    e = t == DTYPE_BF16 ? feed_rounded(w, flat, p->total, why)
                        : weights_feed(w, flat, p->total * sizeof *flat, why);
    if (e == ERR_OK) {
        e = weights_end(w, &hash, why);
    }
    if (e != ERR_OK) {
        weights_destroy(w);
        return e;
    }
    *out = w;
    return ERR_OK;
}

struct run {
    const struct grad_case *c;
    const struct grad_loss *l;
    struct grad_result *out;
};

static void run_loss(void *arg, size_t first, size_t n, const float *logp, const float *entropy,
                     float *coef)
{
    (void)entropy;
    struct run *r = arg;
    memcpy(r->out->logp + first, logp, n * sizeof *logp);
    grad_case_loss(r->c, r->l, first, n, logp, coef, &r->out->loss);
}

static enum err make_model(struct device *d, const struct model_config *c,
                           const struct grad_case *k, const struct batch *b, struct model **out,
                           struct why *why)
{
    size_t longest = 0;
    for (size_t s = 0; s < k->n_sequences; s++) {
        longest = MAX(longest, k->len[s]);
    }
    const struct model_limits limits = {.max_index = b->n_index,
                                        .train_rows = b->n_rows,
                                        .weights = DTYPE_F32,    // or bf16
                                        .max_context = longest};
    return model_create(d, c, &limits, out, why);
}

enum err grad_case_run(struct device *d, const struct model_config *c, const struct weights *w,
                       const struct grad_case *k, const struct grad_loss *l,
                       struct grad_result *out, struct why *why)
{
    struct grad_result r = {0};
    struct model *m = NULL;
    struct batch b;
    void *grads = NULL;
    batch_init(&b);
    enum err e = grad_case_batch(k, &b);
    if (e == ERR_OK) {
        e = make_model(d, c, k, &b, &m, why);
    }
    if (e == ERR_OK) {
        size_t bytes = model_params(m)->total * sizeof(float);
        struct run run = {k, l, &r};
        r.grads = malloc(bytes);
        r.logp = calloc(b.n_out + 1, sizeof *r.logp);
        e = r.grads == NULL || r.logp == NULL ? why_set(why, ERR_NOMEM, "gradients: out of memory")
                                              : d->ops->alloc(d, bytes, &grads, why);
        if (e == ERR_OK) {
            e = model_train(m, w, &b, (float)l->temperature, run_loss, &run, grads, NULL, why);
        }
        if (e == ERR_OK) {
            d->ops->download(d, r.grads, grads, bytes);
        }
    }
    d->ops->release(d, grads);
    model_destroy(m);
    batch_fini(&b);
    if (e != ERR_OK) {
        free(r.grads);
        free(r.logp);
        return e;
    }
    *out = r;
    return ERR_OK;
}
