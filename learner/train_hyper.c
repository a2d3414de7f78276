// train_hyper.c: the learning-rate schedule, and hyper-parameters to JSON and back.
//
// One table says name, place and range of every double, and drives printing as well as parsing, so
// that the two cannot disagree. 17 digits bring every double back bit for bit, which the re-run of
// a recorded step relies on.
//
// Pure functions, any thread.

#include "learner/train_hyper.h"

#include <math.h>

#include "common/json.h"

static const struct field {
    const char *name;
    size_t offset;
    double min, max;
} FIELDS[] = {
    {"lr", offsetof(struct train_hyper, lr), 0, 1e3},
    {"beta1", offsetof(struct train_hyper, beta1), 0, 1},
    {"beta2", offsetof(struct train_hyper, beta2), 0, 1},
    {"eps", offsetof(struct train_hyper, eps), 0, 1},
    {"weight_decay", offsetof(struct train_hyper, weight_decay), 0, 1e3},
    {"grad_clip", offsetof(struct train_hyper, grad_clip), 0, 1e30},
    {"clip_low", offsetof(struct train_hyper, clip_low), 0, 1},
    {"clip_high", offsetof(struct train_hyper, clip_high), 0, 1e9},
    {"kl_beta", offsetof(struct train_hyper, kl_beta), 0, 1e9},
    {"temperature", offsetof(struct train_hyper, temperature), 1e-6, 1e6},
};
static const char ROWS[] = "micro_batch_tokens";

static double scheduled_lr(const struct conf *c, uint64_t step)
{
    double s = (double)step, warm = (double)c->warmup_steps, stop = (double)c->stop_steps;
    if (s <= warm) {
        return c->lr * s / warm;
    }
    if (c->schedule == CONF_LR_LINEAR && stop > warm) {
        double left = stop - s + 1;
        return left > 0 ? c->lr * left / (stop - warm) : 0;
    }
    return c->lr;
}

void train_hyper_at(const struct conf *c, uint64_t step, struct train_hyper *out)
{
    *out = (struct train_hyper){
        .lr = scheduled_lr(c, step),
        .beta1 = c->beta1,
        .beta2 = c->beta2,
        .eps = c->eps,
        .weight_decay = c->weight_decay,
        .grad_clip = c->grad_clip,
        .clip_low = c->clip_low,
        .clip_high = c->clip_high,
        .kl_beta = c->kl_beta,
        .temperature = c->temperature,
        .micro_batch_tokens = c->micro_batch_tokens,
    };
}

char *train_hyper_print(const struct train_hyper *h)
{
    json_t *obj = json_object();
    bool ok = obj != NULL;
    for (size_t i = 0; ok && i < ARRAY_LEN(FIELDS); i++) {
        double x = *(const double *)((const char *)h + FIELDS[i].offset);
        ok = json_object_set_new(obj, FIELDS[i].name, json_real(x)) == 0;
    }
    ok = ok && json_object_set_new(obj, ROWS, json_integer(h->micro_batch_tokens)) == 0;
    char *text = ok ? json_dumps(obj, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(obj);
    return text;
}

static enum err read_fields(const json_t *obj, struct train_hyper *out, struct why *why)
{
    static const char where[] = "hyper-parameters";
    if (!json_is_object(obj)) {
        return why_set(why, ERR_INVALID, "%s: not an object", where);
    }
    struct train_hyper h = {0};
    for (size_t i = 0; i < ARRAY_LEN(FIELDS); i++) {
        const struct field *f = &FIELDS[i];
        enum err e = json_get_num(obj, f->name, f->min, f->max, where,
                                  (double *)((char *)&h + f->offset), why);
        if (e) {
            return e;
        }
    }
    enum err e = json_get_int(obj, ROWS, 1, INT32_MAX, where, &h.micro_batch_tokens, why);
    if (e) {
        return e;
    }
    if (json_object_size(obj) != ARRAY_LEN(FIELDS) + 1) {
        return why_set(why, ERR_INVALID, "%s: %zu members, expected the %zu that are known", where,
                       json_object_size(obj), ARRAY_LEN(FIELDS) + 1);
    }
    *out = h;
    return ERR_OK;
}

enum err train_hyper_parse(const char *json, size_t len, struct train_hyper *out, struct why *why)
{
    json_t *obj = NULL;
    enum err e = json_parse(json, len, "hyper-parameters", &obj, why);
    if (!e) {
        e = read_fields(obj, out, why);
        json_decref(obj);
    }
    return e;
}
