// summary.c: the end of a run, told in a screen.
//
// Rewards are those of metrics.jsonl; where a step stands twice (a branch went over it again) the
// later row counts. Held-out answers come from the ledger: the first and the last evaluation that
// ended, the same task in both, tasks that went from wrong to right first.
#include "cli/summary.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "learner/ledger.h"

enum { ENDS = 5, EXAMPLES = 2, MAX_STEPS = 1 << 24 };

// ---- reward ----

struct rewards {
    double *value;    // by step - 1
    size_t n, cap;
};

static void set_reward(struct rewards *r, json_int_t step, double value)
{
    if (step < 1 || step > MAX_STEPS) {
        return;
    }
    if ((size_t)step > r->cap) {
        size_t cap = MAX((size_t)step * 2, (size_t)256);
        double *grown = realloc(r->value, cap * sizeof *grown);
        if (!grown) {
            return;
        }
        r->value = grown;
        r->cap = cap;
    }
    while (r->n < (size_t)step) {
        r->value[r->n++] = value;    // a step without a row takes its successor's
    }
    r->value[step - 1] = value;
    r->n = (size_t)step;    // later rows of an abandoned branch are forgotten
}

static void read_rewards(const char *run_dir, struct rewards *r)
{
    char *path = fs_path("%s/metrics.jsonl", run_dir), *line = NULL;
    FILE *f = path ? fopen(path, "re") : NULL;
    size_t cap = 0;
    while (f && getline(&line, &cap, f) > 0) {
        json_t *row = json_loads(line, 0, NULL);
        const json_t *reward = json_object_get(row, "reward_mean");
        if (json_is_number(reward)) {
            set_reward(r, json_integer_value(json_object_get(row, "step")),
                       json_number_value(reward));
        }
        json_decref(row);
    }
    if (f) {
        fclose(f);
    }
    free(line);
    free(path);
}

static double mean(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
    }
    return sum / (double)n;
}

static enum err print_rewards(const char *run_dir, struct buf *out)
{
    struct rewards r = {0};
    enum err e = ERR_OK;
    read_rewards(run_dir, &r);
    size_t ends = MIN(r.n, (size_t)ENDS);
    if (r.n) {
        double first = mean(r.value, ends), last = mean(r.value + r.n - ends, ends);
        e = buf_printf(
            out, "reward     %.3f → %.3f   (mean of the first and the last %zu of %zu steps)\n",
            first, last, ends, r.n);
    }
    free(r.value);
    return e;
}

// ---- held-out answers ----

struct answer {
    uint64_t task;
    double reward;
    char *prompt, *response;
};
struct answers {
    struct answer *a;
    size_t n, cap;
    bool failed;
};

static bool keep_answer(void *arg, const struct ledger_row *row)
{
    struct answers *s = arg;
    if (row->state != LEDGER_CONSUMED) {
        return true;
    }
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 256;
        struct answer *grown = realloc(s->a, cap * sizeof *grown);
        if (!grown) {
            s->failed = true;
            return false;
        }
        s->a = grown;
        s->cap = cap;
    }
    struct answer *a = &s->a[s->n];
    *a = (struct answer){.task = row->task_index,
                         .reward = row->reward,
                         .prompt = strndup(row->prompt.data, row->prompt.len),
                         .response = strndup(row->response.data, row->response.len)};
    s->n++;
    s->failed = !a->prompt || !a->response;
    return !s->failed;
}

static void answers_fini(struct answers *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->a[i].prompt);
        free(s->a[i].response);
    }
    free(s->a);
}

static const struct answer *find_task(const struct answers *s, uint64_t task)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->a[i].task == task) {
            return &s->a[i];
        }
    }
    return NULL;
}

// Text on one line, in at most `max` bytes, cut between characters.
static enum err print_flat(struct buf *out, const char *text, size_t max)
{
    size_t len = strlen(text), n = MIN(len, max);
    while (n < len && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) {
        n--;
    }
    enum err e = ERR_OK;
    for (size_t i = 0; i < n && !e; i++) {
        char c = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? ' ' : text[i];
        e = buf_append(out, &c, 1);
    }
    return e ? e : buf_printf(out, "%s\n", n < len ? " …" : "");
}

static enum err print_example(struct buf *out, const struct answer *was, const struct answer *is)
{
    enum err e = buf_printf(out, "\n  task       ");
    e = e ? e : print_flat(out, was->prompt, 240);
    e = e ? e : buf_printf(out, "  before %.0f   ", was->reward);
    e = e ? e : print_flat(out, was->response, 240);
    e = e ? e : buf_printf(out, "  after  %.0f   ", is->reward);
    return e ? e : print_flat(out, is->response, 240);
}

// Wrong to right first; then whatever changed; then anything.
static enum err print_examples(struct buf *out, const struct answers *before,
                               const struct answers *after)
{
    size_t shown = 0;
    enum err e = ERR_OK;
    for (int pass = 0; pass < 3 && shown < EXAMPLES && !e; pass++) {
        for (size_t i = 0; i < before->n && shown < EXAMPLES && !e; i++) {
            const struct answer *was = &before->a[i], *is = find_task(after, was->task);
            bool right = is && was->reward <= 0 && is->reward > 0;
            bool changed = is && !right && strcmp(was->response, is->response) != 0;
            if (is && (pass == 0 ? right : pass == 1 ? changed : !right && !changed)) {
                e = print_example(out, was, is);
                shown++;
            }
        }
    }
    return e;
}

static enum err print_evals(struct ledger *l, struct buf *out, struct why *why)
{
    struct ledger_eval *evals = NULL, first = {0}, last = {0};
    size_t n = 0;
    enum err e = ledger_list_evals(l, &evals, &n, why);
    if (e) {
        return e;
    }
    for (size_t i = 0; i < n; i++) {
        if (evals[i].done && !evals[i].ended) {
            first = first.eval_id ? first : evals[i];
            last = evals[i];
        }
    }
    free(evals);
    if (!first.eval_id) {
        return ERR_OK;
    }
    if (first.eval_id == last.eval_id) {
        return buf_printf(out, "held-out   %.3f on %llu tasks, version %llu\n", first.reward_mean,
                          (unsigned long long)first.n_scored, (unsigned long long)first.version);
    }
    struct answers before = {0}, after = {0};
    e = buf_printf(out, "held-out   %.3f → %.3f   (greedy, %llu tasks, version %llu and %llu)\n",
                   first.reward_mean, last.reward_mean, (unsigned long long)last.n_scored,
                   (unsigned long long)first.version, (unsigned long long)last.version);
    e = e ? e : ledger_each_in_eval(l, first.eval_id, keep_answer, &before, why);
    e = e ? e : ledger_each_in_eval(l, last.eval_id, keep_answer, &after, why);
    e = e ? e : before.failed || after.failed ? ERR_NOMEM : print_examples(out, &before, &after);
    answers_fini(&before);
    answers_fini(&after);
    return e;
}

// ---- the whole ----

static enum err print_counts(struct ledger *l, struct buf *out, struct why *why)
{
    struct ledger_counts c;
    enum err e = ledger_get_counts(l, &c, why);
    return e ? e
             : buf_printf(
                   out, "samples    %llu issued, %llu consumed, %llu dropped, %llu live\n",
                   (unsigned long long)c.issued, (unsigned long long)c.by_state[LEDGER_CONSUMED],
                   (unsigned long long)c.by_state[LEDGER_DROPPED],
                   (unsigned long long)(c.by_state[LEDGER_GENERATING] +
                                        c.by_state[LEDGER_RECEIVED] + c.by_state[LEDGER_SCORED]));
}

static enum err print_places(const char *dir, struct buf *out)
{
    char *model = fs_path("%s/model", dir);
    bool exported = model && fs_exists(model);
    free(model);
    enum err e = ERR_OK;
    if (exported) {
        e = buf_printf(out, "\nmodel      %s/model  (a Hugging Face folder)\n", dir);
    } else {
        e = buf_printf(out, "\nmodel      caravan export %s --out %s/model\n", dir, dir);
    }
    e = e ? e : buf_printf(out, "ledger     %s/ledger.db  (SQLite)\n", dir);
    e = e ? e : buf_printf(out, "metrics    %s/metrics.jsonl\n", dir);
    e = e ? e
          : buf_printf(out,
                       "\nnext\n  caravan samples %s --step 1      prompts, answers and rewards of "
                       "a step\n",
                       dir);
    e = e ? e
          : buf_printf(
                out, "  caravan audit %s                 check the books and recompute log-probs\n",
                dir);
    return e ? e
             : buf_printf(out, "  caravan run --resume %s --set stop.minutes=20   train on\n", dir);
}

enum err summary_print(const char *run_dir, struct buf *out, struct why *why)
{
    struct ledger *l;
    char *db = fs_path("%s/ledger.db", run_dir);
    enum err e = db ? ledger_open_read(db, &l, why) : why_set(why, ERR_NOMEM, "out of memory");
    free(db);
    if (e) {
        return e;
    }
    e = print_rewards(run_dir, out);
    e = e ? e : print_counts(l, out, why);
    e = e ? e : print_evals(l, out, why);
    ledger_close(l);
    return e ? e : print_places(run_dir, out);
}
