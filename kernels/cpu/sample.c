// sample.c: from a row of logits to a token, its log-probability, the entropy; and the gradient of
// the log-probability.
//
// What a score is, and how a draw finds its token, is in vocab.h, which the fused head shares: a token
// scored later gets the bits it was drawn with, whichever of the three ops does it.
//
// With top-k, top-p or min-p the weights of the kept tokens are summed one by one in double.
// What is kept is a `cut`: every x above a threshold and the first so many equal to it. The
// threshold is found by radix selection over the order-preserving integer image of x (11 + 11 + 10
// bits), counting tokens for top-k and mass for top-p, so ties are settled by index and no sort is
// needed. Min-p needs no selection: p >= min_p p_max is x >= m + T log min_p, whatever the other
// two have left, because renormalising changes both sides alike.

#include "kernels/cpu/vocab.h"

struct row_view {
    struct vocab_row v;
    const float *x;    // logits (V)
};

// ---- choosing a token
struct cut {
    uint32_t key;    // tokens with a larger image are kept
    size_t ties;     // and this many of those equal to it, lowest index first
};

static const struct cut KEEP_ALL = {0, SIZE_MAX};

// Integers that order like floats; both zeros give the same, NaN sorts below everything.
static uint32_t order_image(float x)
{
    float y = x + 0.0f;
    if (!(y == y)) {
        return 0;
    }
    uint32_t u;
    memcpy(&u, &y, sizeof u);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

// Walks a row in vocabulary order.
struct walk {
    const struct row_view *row;
    size_t i;    // token, then the next
    double factor;
    float t[VOCAB_BLOCK], e[VOCAB_BLOCK];
    uint32_t key;     // of the token
    double weight;    // exp((x - m) / T)
};

static void walk_start(struct walk *w, const struct row_view *r)
{
    w->row = r;
    w->i = 0;
}

static bool walk_next(struct walk *w)
{
    const struct row_view *r = w->row;
    if (w->i == r->v.V) {
        return false;
    }
    size_t j = w->i % VOCAB_BLOCK;
    if (j == 0) {
        size_t b = w->i / VOCAB_BLOCK, n = vocab_block_len(r->v.V, b);
        struct vocab_stats s = r->v.stats[b];
        vocab_load(r->x + w->i, n, w->t);
        memcpy(w->e, w->t, sizeof w->e);
        w->factor = 0.0;
        if (s.max > -INFINITY) {
            vocab_exp(w->e, n, r->v.T, &s, NULL);
            w->factor = vocab_factor(&r->v, b);
        } else {
            memset(w->e, 0, sizeof w->e);
        }
    }
    w->key = order_image(w->t[j]);
    w->weight = w->factor * (double)w->e[j];
    w->i++;
    return true;
}

// Whether the walk's token is inside the cut; *seen counts the ties met so far.
static bool inside(const struct cut *c, const struct walk *w, size_t *seen)
{
    if (w->key != c->key) {
        return w->key > c->key;
    }
    return (*seen)++ < c->ties;
}

enum goal { GOAL_COUNT, GOAL_MASS };

// The smallest set of best tokens within `old` whose count or mass reaches the goal (mass: a share
// of what `old` keeps). At least one token.
static struct cut select_cut(const struct row_view *r, const struct cut *old, enum goal kind,
                             double goal)
{
    static const int shift[3] = {21, 10, 0}, bits[3] = {11, 11, 10};
    uint32_t prefix = 0;
    double above = 0.0;    // what lies above the current bucket
    struct walk w;
    for (int level = 0; level < 3; level++) {
        double hist[2048] = {0};
        size_t seen = 0;
        walk_start(&w, r);
        while (walk_next(&w)) {
            if (inside(old, &w, &seen) &&
                (level == 0 || w.key >> (shift[level] + bits[level]) == prefix)) {
                uint32_t bucket = (w.key >> shift[level]) & ((1u << bits[level]) - 1u);
                hist[bucket] += kind == GOAL_COUNT ? 1.0 : w.weight;
            }
        }
        size_t top = (size_t)1 << bits[level];
        if (level == 0 && kind == GOAL_MASS) {
            double total = 0.0;
            for (size_t b = top; b-- > 0;) {
                total += hist[b];
            }
            goal *= total;
        }
        size_t b = top, lowest = top;    // lowest: the last bucket that holds anything
        while (b-- > 0) {
            if (hist[b] > 0.0) {
                lowest = b;
                if (above + hist[b] >= goal) {
                    break;
                }
                above += hist[b];
            }
        }
        if (lowest == top) {
            return *old;    // no weight at all: nothing to choose by
        }
        if (b == SIZE_MAX) {
            above -= hist[lowest];    // rounding kept the goal out of reach: all of the last bucket
            goal = INFINITY;
        }
        prefix = prefix << bits[level] | (uint32_t)lowest;
    }
    struct cut cut = {prefix, 0};
    size_t seen = 0;
    walk_start(&w, r);
    while (walk_next(&w) && (cut.ties == 0 || above < goal)) {
        if (inside(old, &w, &seen) && w.key == cut.key) {
            above += kind == GOAL_COUNT ? 1.0 : w.weight;
            cut.ties++;
        }
    }
    return cut;
}

// Narrows a cut to the tokens with x >= m + T log min_p. All ties at the threshold stay.
static struct cut min_p_cut(const struct row_view *r, struct cut old, float min_p)
{
    double least = (double)r->v.max + (double)r->v.T * mathfun_log((double)min_p);
    uint32_t key = order_image((float)least);
    if ((double)(float)least >= least && key > 0) {
        key--;    // not rounded down below the threshold: a logit equal to it stays
    }
    return key >= old.key ? (struct cut){key, 0} : old;
}

static int32_t greedy(const struct row_view *r)
{
    for (size_t i = 0; i < r->v.V; i++) {
        if (r->x[i] == r->v.max) {
            return (int32_t)i;
        }
    }
    return 0;
}

static int32_t draw_all(const struct row_view *r, float u)
{
    struct vocab_mark m = {.block = 0};
    if (!vocab_find_block(&r->v, u, &m)) {
        return 0;
    }
    float e[VOCAB_BLOCK], pieces[VOCAB_PIECES];
    struct vocab_stats s = r->v.stats[m.block];
    size_t first = m.block * VOCAB_BLOCK, n = vocab_block_len(r->v.V, m.block);
    vocab_load(r->x + first, n, e);
    vocab_exp(e, n, r->v.T, &s, pieces);
    vocab_find_piece(&r->v, pieces, &m);
    size_t start = m.piece * VOCAB_PIECE;
    size_t token = vocab_find_token(&r->v, e + start, MIN(n - start, (size_t)VOCAB_PIECE), &m);
    return (int32_t)(first + start + token);
}

// The same over the tokens inside a cut; *kept = their mass.
static int32_t draw_cut(const struct row_view *r, const struct cut *c, float u, float *kept)
{
    double total = 0.0, sum = 0.0;
    struct walk w;
    size_t seen = 0;
    walk_start(&w, r);
    while (walk_next(&w)) {
        if (inside(c, &w, &seen)) {
            total += w.weight;
        }
    }
    int32_t token = -1;
    seen = 0;
    walk_start(&w, r);
    while (walk_next(&w) && !(sum > (double)u * total)) {
        if (inside(c, &w, &seen) && w.weight > 0.0) {
            token = (int32_t)w.i - 1;
            sum += w.weight;
        }
    }
    double share = total / r->v.S;
    *kept = share < 1.0 ? (float)share : 1.0f;
    return token >= 0 ? token : 0;
}

static struct sample_out choose(const struct row_view *r, const struct sample_spec *s)
{
    struct sample_out out = {.token = s->target, .kept = 1.0f};
    if (s->target >= 0) {
        CHECK((size_t)s->target < r->v.V);
    } else if (s->temperature == 0.0f) {
        out.token = greedy(r);
    } else {
        struct cut cut = KEEP_ALL;
        if (s->top_k > 0 && (size_t)s->top_k < r->v.V) {
            cut = select_cut(r, &cut, GOAL_COUNT, (double)s->top_k);
        }
        if (s->top_p < 1.0f) {
            cut = select_cut(r, &cut, GOAL_MASS, (double)s->top_p);
        }
        if (s->min_p > 0.0f) {
            cut = min_p_cut(r, cut, s->min_p);
        }
        out.token = cut.ties == SIZE_MAX ? draw_all(r, s->u) : draw_cut(r, &cut, s->u, &out.kept);
    }
    out.logp = vocab_logp(&r->v, r->x[out.token]);
    out.entropy = vocab_entropy(&r->v);
    return out;
}

// ---- the ops
enum { BLOCKS_PER_TASK = 8 };

struct score_args {
    size_t V, ldl, n_blocks, tasks_per_row;
    const float *logits;
    float *inout;    // score_backward
    struct vocab_stats *stats;
    // sample
    const struct sample_spec *spec;
    struct sample_out *out;
    // score
    float temperature;
    const int32_t *target;
    float *logp, *entropy, *lse;
    const float *lse_in, *coef;
};

static float row_temperature(const struct score_args *a, size_t r)
{
    float T = a->spec != NULL ? a->spec[r].temperature : a->temperature;
    return T == 0.0f ? 1.0f : T;
}

static void stats_task(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct score_args *a = arg;
    size_t r = chunk / a->tasks_per_row, first = chunk % a->tasks_per_row * BLOCKS_PER_TASK;
    size_t end = MIN(a->n_blocks, first + BLOCKS_PER_TASK);
    for (size_t b = first; b < end; b++) {
        const float *x = a->logits + r * a->ldl + b * VOCAB_BLOCK;
        float t[VOCAB_BLOCK];
        a->stats[r * a->n_blocks + b] =
            vocab_block_stats(x, vocab_block_len(a->V, b), row_temperature(a, r), t, NULL);
    }
}

static void finish_task(void *arg, size_t r, int thread)
{
    (void)thread;
    const struct score_args *a = arg;
    struct row_view row = {.x = a->logits + r * a->ldl};
    row.v = vocab_row(a->V, row_temperature(a, r), a->stats + r * a->n_blocks);
    if (a->spec != NULL) {
        a->out[r] = choose(&row, &a->spec[r]);
        return;
    }
    CHECK(a->target[r] >= 0 && (size_t)a->target[r] < a->V);
    a->logp[r] = vocab_logp(&row.v, row.x[a->target[r]]);
    a->lse[r] = (float)vocab_lse(&row.v);
    if (a->entropy != NULL) {
        a->entropy[r] = vocab_entropy(&row.v);
    }
}

// As many rows at a time as their statistics have room.
static void run_rows(struct device *d, size_t R, struct score_args *a)
{
    CHECK(a->V >= 1 && a->V <= DEVICE_MAX_VOCAB);
    a->n_blocks = cpu_div_up(a->V, VOCAB_BLOCK);
    a->tasks_per_row = cpu_div_up(a->n_blocks, BLOCKS_PER_TASK);
    a->stats = ((struct cpu_device *)d)->stats;
    size_t step = STATS_MAX / a->n_blocks;
    for (size_t r = 0; r < R; r += step) {
        size_t n = MIN(step, R - r);
        struct score_args b = *a;
        b.logits += r * a->ldl;
        if (a->spec != NULL) {
            b.spec += r;
            b.out += r;
        } else {
            b.target += r;
            b.logp += r;
            b.lse += r;
            b.entropy = a->entropy != NULL ? a->entropy + r : NULL;
        }
        cpu_run(d, n * a->tasks_per_row, stats_task, &b);
        cpu_run(d, n, finish_task, &b);
    }
}

void OP(sample)(struct device *d, size_t R, size_t V, const float *logits, size_t ldl,
                const struct sample_spec *spec, struct sample_out *out)
{
    struct score_args a = {.V = V, .ldl = ldl, .logits = logits};
    a.spec = spec;
    a.out = out;
    run_rows(d, R, &a);
}

void OP(score)(struct device *d, size_t R, size_t V, const float *logits, size_t ldl,
               float temperature, const int32_t *target, float *logp, float *entropy, float *lse)
{
    struct score_args a = {.V = V, .ldl = ldl, .logits = logits};
    a.temperature = temperature;
    a.target = target;
    a.logp = logp;
    a.entropy = entropy;
    a.lse = lse;
    run_rows(d, R, &a);
}

static void back_task(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct score_args *a = arg;
    size_t r = chunk / a->tasks_per_row;
    size_t first = chunk % a->tasks_per_row * BLOCKS_PER_TASK * VOCAB_BLOCK;
    size_t end = MIN(a->V, first + BLOCKS_PER_TASK * VOCAB_BLOCK);
    float T = row_temperature(a, r), coef = a->coef[r] / T;
    float *x = a->inout + r * a->ldl;
    v16 vT = v16_set1(T), lse = v16_set1(a->lse_in[r]), minus = v16_set1(-coef);
    for (size_t i = first; i < end; i += LANES) {
        size_t n = MIN(end - i, (size_t)LANES);
        v16 p = v16_exp(v16_sub(v16_div(v16_load_n(x + i, n), vT), lse));
        v16_store_n(x + i, v16_mul(minus, p), n);
    }
    size_t target = (size_t)a->target[r];
    if (target >= first && target < end) {
        x[target] += coef;
    }
}

void OP(score_backward)(struct device *d, size_t R, size_t V, float *logits, size_t ldl,
                        float temperature, const int32_t *target, const float *lse,
                        const float *coef)
{
    struct score_args a = {.V = V, .ldl = ldl, .inout = logits, .temperature = temperature};
    for (size_t r = 0; r < R; r++) {
        CHECK(target[r] >= 0 && (size_t)target[r] < V);
    }
    a.tasks_per_row = cpu_div_up(V, (size_t)BLOCKS_PER_TASK * VOCAB_BLOCK);
    a.target = target;
    a.lse_in = lse;
    a.coef = coef;
    cpu_run(d, R * a.tasks_per_row, back_task, &a);
}
