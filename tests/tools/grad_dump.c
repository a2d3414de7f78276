// grad_dump: prints the L2 norm of each parameter's gradient for a case file, one JSON line per
// parameter, so that gradients can be compared with another implementation's.
//
//   grad_dump --model DIR|FILE.gguf --case FILE [--loss NAME] [--weights bf16|f32] [--threads N]
//   {"name": "model.embed_tokens.weight", "l2": 12.607783}
//
// Case files: see tests/tools/grad_case.h. --loss: A, B, dapo, dapo_kl; the file's first by
// default. --weights: the precision that the model's weights are rounded to before the pass, bf16
// by default. A last line on stderr gives the loss and the global norm.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tools/grad_case.h"

struct options {
    const char *model, *file, *loss, *weights;
    int threads;
};

static int usage(const char *problem)
{
    fprintf(stderr,
            "grad_dump: %s\n"
            "usage: grad_dump --model DIR|FILE.gguf --case FILE [--loss NAME] "
            "[--weights bf16|f32] [--threads N]\n",
            problem);
    return 2;
}

static int parse_options(int argc, char **argv, struct options *o)
{
    *o = (struct options){.weights = "bf16", .threads = 1};
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (value == NULL) {
            return usage("an option needs a value");
        }
        if (strcmp(argv[i], "--model") == 0) {
            o->model = value;
        } else if (strcmp(argv[i], "--case") == 0) {
            o->file = value;
        } else if (strcmp(argv[i], "--loss") == 0) {
            o->loss = value;
        } else if (strcmp(argv[i], "--weights") == 0) {
            o->weights = value;
        } else if (strcmp(argv[i], "--threads") == 0) {
            char *end = NULL;
            long n = strtol(value, &end, 10);
            if (*end != '\0' || n < 1 || n > 256) {
                return usage("--threads is not in 1..256");
            }
            o->threads = (int)n;
        } else {
            return usage("unknown option");
        }
    }
    if (o->model == NULL || o->file == NULL) {
        return usage("--model and --case are needed");
    }
    if (strcmp(o->weights, "bf16") != 0 && strcmp(o->weights, "f32") != 0) {
        return usage("--weights is bf16 or f32");
    }
    return 0;
}

static const struct grad_loss *find_loss(const struct grad_case *c, const char *name)
{
    for (size_t i = 0; i < c->n_losses; i++) {
        if (name == NULL || strcmp(c->losses[i].name, name) == 0) {
            return &c->losses[i];
        }
    }
    return NULL;
}

static void print_norms(const struct param_table *p, const struct grad_result *r)
{
    double total = 0;
    for (size_t i = 0; i < p->n; i++) {
        double sum = 0;
        for (size_t j = 0; j < p->params[i].count; j++) {
            double g = (double)r->grads[p->params[i].offset + j];
            sum += g * g;
        }
        total += sum;
        printf("{\"name\": \"%s\", \"l2\": %.9g}\n", p->params[i].name, sqrt(sum));
    }
    fprintf(stderr, "loss %.9g, global gradient norm %.9g\n", r->loss, sqrt(total));
}

static enum err dump(const struct options *o, const struct grad_case *c,
                     const struct grad_loss *loss, struct device *d, struct why *why)
{
    struct source *s = NULL;
    struct weights *w = NULL;
    float *flat = NULL;
    struct grad_result r = {0};
    enum dtype t = strcmp(o->weights, "bf16") == 0 ? DTYPE_BF16 : DTYPE_F32;
    enum err e = source_open(o->model, &s, why);
    if (e == ERR_OK) {
        e = grad_case_read_flat(s, &flat, why);
    }
    if (e == ERR_OK) {
        e = grad_case_weights(d, source_config(s), source_params(s), flat, t, &w, why);
    }
    free(flat);
    if (e == ERR_OK) {
        e = grad_case_run(d, source_config(s), w, c, loss, &r, why);
    }
    if (e == ERR_OK) {
        print_norms(source_params(s), &r);
    }
    free(r.grads);
    free(r.logp);
    weights_destroy(w);
    source_close(s);
    return e;
}

int main(int argc, char **argv)
{
    struct options o;
    struct why why = {""};
    struct grad_case c = {0};
    struct pool *pool = NULL;
    struct device *d = NULL;
    int rc = parse_options(argc, argv, &o);
    if (rc != 0) {
        return rc;
    }
    enum err e = grad_case_read(o.file, &c, &why);
    const struct grad_loss *loss = e == ERR_OK ? find_loss(&c, o.loss) : NULL;
    if (e == ERR_OK && loss == NULL) {
        e = why_set(&why, ERR_NOT_FOUND, "%s: no loss \"%.40s\"", o.file, o.loss);
    }
    if (e == ERR_OK) {
        e = pool_create(o.threads, &pool, &why);
    }
    if (e == ERR_OK) {
        e = device_open("cpu", pool, &d, &why);
    }
    if (e == ERR_OK) {
        e = dump(&o, &c, loss, d, &why);
    }
    if (e != ERR_OK) {
        fprintf(stderr, "grad_dump: %s\n", why.text);
    }
    device_close(d);
    pool_destroy(pool);
    grad_case_fini(&c);
    return e == ERR_OK ? 0 : 1;
}
