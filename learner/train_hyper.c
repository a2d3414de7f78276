// train_hyper.c: the learning-rate schedule, and hyper-parameters to JSON and back.
//
// Tables say name, place and range of every member, and drive printing as well as parsing, so that
// the two cannot disagree. 17 digits bring every double back bit for bit, which the re-run of
// a recorded step relies on.
//
// Pure functions, any thread.

#include "learner/train_hyper.h"

#include <math.h>
#include <string.h>

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
    {"dual_clip", offsetof(struct train_hyper, dual_clip), 0, 1e9},
};

static const struct count {
    const char *name;
    size_t offset;
} COUNTS[] = {
    {"micro_batch_tokens", offsetof(struct train_hyper, micro_batch_tokens)},
    {"max_tokens", offsetof(struct train_hyper, max_tokens)},
};

static const char *const KL_NAMES[] = {"k1", "k2", "k3", "k4"};
static const char *const POLICY_NAMES[] = {"clip", "cispo", "gspo"};
static const char *const AGGREGATE_NAMES[] = {"token_mean", "seq_mean", "dr_grpo"};

// In words, as in the configuration: people read the ledger.
static const struct choice {
    const char *name;
    size_t offset;
    const char *const *names;
    unsigned n;
} CHOICES[] = {
    {"kl_estimator", offsetof(struct train_hyper, kl_estimator), KL_NAMES, ARRAY_LEN(KL_NAMES)},
    {"policy", offsetof(struct train_hyper, policy), POLICY_NAMES, ARRAY_LEN(POLICY_NAMES)},
    {"aggregate", offsetof(struct train_hyper, aggregate), AGGREGATE_NAMES,
     ARRAY_LEN(AGGREGATE_NAMES)},
};
_Static_assert(sizeof(enum conf_kl) == sizeof(unsigned), "choices are read as unsigned");
enum { N_MEMBERS = ARRAY_LEN(FIELDS) + ARRAY_LEN(COUNTS) + ARRAY_LEN(CHOICES) };

static double scheduled_lr(const struct conf *c, uint64_t step)
{
    double s = (double)step, warm = (double)c->warmup_steps, stop = (double)c->stop_steps;
    if (s <= warm) {
        return c->lr * s / warm;
    }
    if (c->schedule == CONF_LR_CONSTANT || stop <= warm) {
        return c->lr;
    }
    double left = MAX(0.0, (stop - s + 1) / (stop - warm));
    if (c->schedule == CONF_LR_COSINE) {
        left = (1 + cos(3.14159265358979323846 * (1 - left))) / 2;
    }
    return c->lr * (c->lr_min_ratio + (1 - c->lr_min_ratio) * left);
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
        .dual_clip = c->dual_clip,
        .micro_batch_tokens = c->micro_batch_tokens,
        .max_tokens = c->max_tokens,
        .kl_estimator = c->kl_estimator,
        .policy = c->policy,
        .aggregate = c->aggregate,
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
    for (size_t i = 0; ok && i < ARRAY_LEN(CHOICES); i++) {
        unsigned at = *(const unsigned *)((const char *)h + CHOICES[i].offset);
        CHECK(at < CHOICES[i].n);
        ok = json_object_set_new(obj, CHOICES[i].name, json_string(CHOICES[i].names[at])) == 0;
    }
    for (size_t i = 0; ok && i < ARRAY_LEN(COUNTS); i++) {
        int64_t n = *(const int64_t *)((const char *)h + COUNTS[i].offset);
        ok = json_object_set_new(obj, COUNTS[i].name, json_integer(n)) == 0;
    }
    char *text = ok ? json_dumps(obj, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(obj);
    return text;
}

static enum err read_choice(const json_t *obj, const struct choice *c, const char *where,
                            unsigned *out, struct why *why)
{
    const char *text = json_string_value(json_object_get(obj, c->name));
    for (unsigned i = 0; text && i < c->n; i++) {
        if (strcmp(text, c->names[i]) == 0) {
            *out = i;
            return ERR_OK;
        }
    }
    return why_set(why, ERR_INVALID, "%s: %s: '%.40s', expected one of %s … %s", where, c->name,
                   text ? text : "", c->names[0], c->names[c->n - 1]);
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
    for (size_t i = 0; i < ARRAY_LEN(CHOICES); i++) {
        enum err e =
            read_choice(obj, &CHOICES[i], where, (unsigned *)((char *)&h + CHOICES[i].offset), why);
        if (e) {
            return e;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(COUNTS); i++) {
        enum err e = json_get_int(obj, COUNTS[i].name, 1, INT32_MAX, where,
                                  (int64_t *)((char *)&h + COUNTS[i].offset), why);
        if (e) {
            return e;
        }
    }
    if (json_object_size(obj) != N_MEMBERS) {
        return why_set(why, ERR_INVALID, "%s: %zu members, expected the %d that are known", where,
                       json_object_size(obj), N_MEMBERS);
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
