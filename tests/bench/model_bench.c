// model_bench: what a model costs on this machine: loading, decode at several widths, scoring,
// training.
//
//   model_bench --model DIR|FILE.gguf [--threads N] [--device cpu] [--repeats N] [--only WHAT]
//
// One JSON line per figure: {"what": "decode_64", "tokens_per_s": …, "seconds": …, "cpu_seconds":
// …}, the fastest of the repeats. CPU seconds (of all threads) say what the work cost even where
// other processes share the cores. Decode: sequences of 96 tokens of context grow by 32, all in
// step. Training: one prompt of 96 tokens with completions of 52, 504 rows in one pass; tokens are
// rows. Tokens are arbitrary; nothing here depends on their values.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/kit.h"

enum { PROMPT = 96, STEPS = 32, WIDEST = 64, COMPLETIONS = 8, COMPLETION = 52, KEYS = 1 << 16 };

struct bench {
    const char *path, *kind, *only;
    int threads, repeats;
    struct kit_model k;
    struct model *m;
};

static void report(const char *what, double tokens, struct kit_span s)
{
    printf("{\"what\": \"%s\", \"tokens_per_s\": %.1f, \"seconds\": %.4f, \"cpu_seconds\": %.4f}\n",
           what, tokens / s.wall, s.wall, s.cpu);
    fflush(stdout);
}

static bool wanted(const struct bench *b, const char *what)
{
    return b->only == NULL || strcmp(b->only, what) == 0;
}

static enum err open_all(struct bench *b, struct why *why)
{
    struct kit_span read, pack;
    enum err e = kit_model_open(&b->k, b->path, b->kind, b->threads, true, &read, &pack, why);
    if (e == ERR_OK) {
        const struct model_config *c = source_config(b->k.source);
        double total = (double)source_params(b->k.source)->total;
        report("read_source", total, read);
        report("pack_weights", total, pack);
        const struct model_limits limits = {.max_rows = 512,
                                            .max_index = KEYS,
                                            .max_outs = WIDEST,
                                            .train_rows = 512,
                                            .max_context = 512};
        printf("{\"what\": \"memory\", \"weights_bytes\": %zu, \"model_bytes\": %zu}\n",
               weights_memory(c, DTYPE_BF16, true), model_memory(c, &limits));
        e = model_create(b->k.device, c, &limits, &b->m, why);
    }
    return e;
}

static void close_all(struct bench *b)
{
    model_destroy(b->m);
    kit_model_close(&b->k);
}

// One pass that adds position `pos` to each of n sequences; sequence i owns cache rows i * (PROMPT
// + STEPS) ….
static enum err decode_step(struct bench *b, struct kv_cache *kv, struct batch *batch, size_t n,
                            size_t pos, struct why *why)
{
    struct sample_spec spec[WIDEST];
    struct sample_out out[WIDEST];
    int32_t rows[PROMPT + STEPS];
    enum err e = ERR_OK;
    batch_clear(batch);
    for (size_t i = 0; e == ERR_OK && i < n; i++) {
        int32_t off = 0, row = 0;
        for (size_t j = 0; j <= pos; j++) {
            rows[j] = (int32_t)(i * (PROMPT + STEPS) + j);
        }
        e = batch_add_index(batch, rows, pos + 1, &off);
        if (e == ERR_OK) {
            e = batch_add_row(batch, (int32_t)(17 * i + pos) % 1000, (int32_t)pos, rows[pos], off,
                              (int32_t)pos + 1, &row);
        }
        if (e == ERR_OK) {
            e = batch_add_out(batch, row, -1);
        }
        spec[i] = (struct sample_spec){.temperature = 1, .top_p = 1, .u = 0.5f};
    }
    return e == ERR_OK ? model_forward(b->m, b->k.weights, kv, batch, spec, out, NULL, why) : e;
}

static enum err bench_decode(struct bench *b, size_t n, struct why *why)
{
    struct kv_cache *kv = NULL;
    struct batch batch;
    char what[32];
    snprintf(what, sizeof what, "decode_%zu", n);
    if (!wanted(b, what)) {
        return ERR_OK;
    }
    batch_init(&batch);
    struct kit_span best = kit_never;
    enum err e = kv_cache_create(b->m, n * (PROMPT + STEPS), &kv, why);
    for (int r = 0; e == ERR_OK && r < b->repeats; r++) {
        struct kit_span from = kit_now();
        for (size_t s = 0; e == ERR_OK && s < STEPS; s++) {
            e = decode_step(b, kv, &batch, n, PROMPT + s, why);
        }
        kit_best(&best, from);
    }
    if (e == ERR_OK) {
        report(what, (double)(n * STEPS), best);
    }
    batch_fini(&batch);
    kv_cache_destroy(kv);
    return e;
}

static void ones(void *arg, size_t first, size_t n, const float *logp, const float *entropy,
                 float *coef)
{
    (void)arg;
    (void)first;
    (void)logp;
    (void)entropy;
    for (size_t i = 0; i < n; i++) {
        coef[i] = 1;
    }
}

static enum err make_group(struct batch *batch)
{
    uint32_t tokens[PROMPT + COMPLETION];
    struct batch_completion c[COMPLETIONS];
    for (uint32_t i = 0; i < PROMPT + COMPLETION; i++) {
        tokens[i] = i * 7 % 1000;
    }
    for (size_t i = 0; i < COMPLETIONS; i++) {
        c[i] = (struct batch_completion){tokens + PROMPT - i, COMPLETION};
    }
    return batch_add_group(batch, tokens, PROMPT, c, COMPLETIONS);
}

static enum err bench_score(struct bench *b, const struct batch *batch, struct why *why)
{
    float logp[COMPLETIONS * COMPLETION];
    struct kit_span best = kit_never;
    enum err e = ERR_OK;
    for (int r = 0; e == ERR_OK && r < b->repeats; r++) {
        struct kit_span from = kit_now();
        e = model_score(b->m, b->k.weights, batch, 1, logp, NULL, NULL, why);
        kit_best(&best, from);
    }
    if (e == ERR_OK) {
        report("score", (double)batch->n_rows, best);
    }
    return e;
}

static enum err bench_train(struct bench *b, const struct batch *batch, struct why *why)
{
    void *grads = NULL;
    struct kit_span best = kit_never;
    enum err e = b->k.device->ops->alloc(b->k.device, model_params(b->m)->total * sizeof(float),
                                         &grads, why);
    for (int r = 0; e == ERR_OK && r < b->repeats; r++) {
        struct kit_span from = kit_now();
        e = model_train(b->m, b->k.weights, batch, 1, ones, NULL, grads, NULL, why);
        kit_best(&best, from);
    }
    if (e == ERR_OK) {
        report("train", (double)batch->n_rows, best);
    }
    b->k.device->ops->release(b->k.device, grads);
    return e;
}

static enum err bench_group(struct bench *b, struct why *why)
{
    struct batch batch;
    batch_init(&batch);
    enum err e = make_group(&batch);
    if (e == ERR_OK && wanted(b, "score")) {
        e = bench_score(b, &batch, why);
    }
    if (e == ERR_OK && wanted(b, "train")) {
        e = bench_train(b, &batch, why);
    }
    batch_fini(&batch);
    return e;
}

static int usage(void)
{
    fprintf(stderr, "usage: model_bench --model DIR|FILE.gguf [--threads N] [--device KIND] "
                    "[--repeats N] [--only WHAT]\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct bench b = {.kind = "cpu", .threads = pool_cores(), .repeats = 3};
    struct why why = {""};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--model") == 0) {
            b.path = argv[i + 1];
        } else if (strcmp(argv[i], "--device") == 0) {
            b.kind = argv[i + 1];
        } else if (strcmp(argv[i], "--only") == 0) {
            b.only = argv[i + 1];
        } else if (strcmp(argv[i], "--threads") == 0) {
            b.threads = (int)kit_number(argv[i], argv[i + 1], 1, 256);
        } else if (strcmp(argv[i], "--repeats") == 0) {
            b.repeats = (int)kit_number(argv[i], argv[i + 1], 1, 1000);
        } else {
            return usage();
        }
    }
    if (b.path == NULL) {
        return usage();
    }
    static const size_t widths[] = {64, 8, 1};
    enum err e = open_all(&b, &why);
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(widths); i++) {
        e = bench_decode(&b, widths[i], &why);
    }
    if (e == ERR_OK) {
        e = bench_group(&b, &why);
    }
    if (e != ERR_OK) {
        fprintf(stderr, "model_bench: %s\n", why.text);
    }
    close_all(&b);
    return e == ERR_OK ? 0 : 1;
}
