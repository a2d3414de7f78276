// service_steps.c: what the coordinator asks for, and what comes of it: tasks and texts, steps for
// the train thread, their outcomes, evaluations, the rows of metrics.jsonl, the end of a run.
//
// A row of metrics.jsonl is made of the batch's figures (the coordinator's, before the step) and
// the trainer's (after it). Loop thread.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "learner/service_internal.h"

enum { HEARD_MS = 5 * SERVICE_HEARTBEAT_MS };

// ---- what the coordinator asks for ----

static enum err op_task(void *arg, enum ledger_purpose purpose, uint64_t ordinal,
                        struct coordinator_task *out)
{
    struct service *s = arg;
    uint64_t epoch = 0;
    struct tasks *set = purpose == LEDGER_TRAIN ? s->run->train : s->run->eval;
    size_t row = (size_t)ordinal;
    if (purpose == LEDGER_TRAIN) {
        row = tasks_draw(set, s->run->conf.shuffle, s->run->conf.seed, ordinal, &epoch);
    } else if (!set || ordinal >= tasks_count(set)) {
        return ERR_NOT_FOUND;
    }
    const struct task *t = tasks_get(set, row);
    *out = (struct coordinator_task){.task_index = row,
                                     .epoch = epoch,
                                     .prompt = t->prompt,
                                     .n_prompt = t->n_prompt,
                                     .prompt_text = msg_text_of(t->prompt_text),
                                     .dataset = msg_text_of(t->dataset),
                                     .checks = msg_text_of(t->checks),
                                     .ground_truth = msg_text_of(t->ground_truth),
                                     .kind = msg_text_of(t->kind),
                                     .needs = msg_text_of(t->needs)};
    return ERR_OK;
}

static enum err op_detokenise(void *arg, const uint32_t *tokens, size_t n, struct buf *out,
                              struct why *why)
{
    struct service *s = arg;
    return tokenizer_decode(s->run->tokenizer, tokens, n, true, out, why);
}

static void op_pin(void *arg, uint64_t version, bool pinned)
{
    struct service *s = arg;
    if (pinned) {
        publish_pin(s->run->publish, version);
    } else {
        publish_unpin(s->run->publish, version);
    }
}

static void op_step(void *arg, const struct train_step *step, const json_t *stats)
{
    struct service *s = arg;
    if (s->stopping) {
        return;    // released by one of the journal's last commits: it begins again at the resume
    }
    json_decref(s->step_stats);
    s->step_stats = json_deep_copy(stats);
    enum err e = train_thread_step(s->train, step);
    if (e) {
        service_fail(s, e, "the train thread does not take a step");
    }
}

static void write_metrics(struct service *s, const json_t *row)
{
    char *line = json_dumps(row, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (line && s->metrics && (fprintf(s->metrics, "%s\n", line) < 0 || fflush(s->metrics))) {
        LOG_WARN("METRICS_NOT_WRITTEN", "cause=\"%s\"", strerror(errno));
    }
    free(line);
}

static void op_no_signal(void *arg, uint64_t step, const json_t *stats)
{
    struct service *s = arg;
    json_t *row = json_deep_copy(stats);
    json_object_set_new(row, "step", json_integer((json_int_t)step));
    json_object_set_new(row, "no_signal", json_true());
    write_metrics(s, row);
    json_decref(row);
    LOG_INFO("STEP_NO_SIGNAL", "step=%llu", (unsigned long long)step);
}

static void op_eval_done(void *arg, const struct coordinator_eval *e)
{
    struct service *s = arg;
    board_eval(s->board, e);
    json_t *row =
        json_pack("{s:{s:I,s:I,s:I,s:I,s:f,s:O}}", "eval", "version", (json_int_t)e->version,
                  "step", (json_int_t)e->step, "n", (json_int_t)e->n, "scored",
                  (json_int_t)e->n_scored, "reward_mean", e->reward_mean, "by_kind", e->by_kind);
    write_metrics(s, row);
    json_decref(row);
    LOG_INFO("EVALUATION", "version=%llu step=%llu n=%llu reward=%.4f",
             (unsigned long long)e->version, (unsigned long long)e->step,
             (unsigned long long)e->n_scored, e->reward_mean);
}

static void op_finished(void *arg, const char *cause)
{
    struct service *s = arg;
    LOG_INFO("RUN_FINISHED", "cause=\"%s\" step=%llu", cause, (unsigned long long)s->last_step);
    board_phase(s->board, "finishing");
    s->complete = true;
    service_finish(s);
}

// Only notes: the coordinator may be inside a retry of the same list. service_settle does the work.
static void op_work(void *arg, enum msg_role role)
{
    struct service *s = arg;
    if (role == MSG_ROLE_ACTOR) {
        s->retry_generate = true;
    } else {
        s->retry_score = true;
    }
}

static void op_version(void *arg, uint64_t version)
{
    struct service *s = arg;
    (void)version;
    s->retry_version = true;
}

struct coordinator_ops service_ops(struct service *s)
{
    return (struct coordinator_ops){.arg = s,
                                    .task = op_task,
                                    .detokenise = op_detokenise,
                                    .work = op_work,
                                    .step = op_step,
                                    .no_signal = op_no_signal,
                                    .version = op_version,
                                    .pin = op_pin,
                                    .eval_done = op_eval_done,
                                    .finished = op_finished};
}

// ---- outcomes of the train thread ----

static void set_real(json_t *row, const char *key, double v)
{
    json_object_set_new(row, key, json_real(v));
}

// Samples dropped so far, by reason: the run's totals, so that two rows tell what came between.
static void add_drops(const struct service *s, json_t *row)
{
    struct coordinator_status status;
    coordinator_get_status(s->coordinator, clock_mono_ms(), &status);
    json_t *drops = json_object();
    for (size_t i = 0; i < status.n_drops; i++) {
        json_object_set_new(drops, status.drops[i].reason,
                            json_integer((json_int_t)status.drops[i].n));
    }
    json_object_set_new(row, "dropped_total", drops);
}

static json_t *step_row(const struct service *s, const struct train_done *d, double wait_s)
{
    const struct train_result *r = &d->result;
    json_t *row = s->step_stats ? json_deep_copy(s->step_stats) : json_object();
    char hash[HASH_HEX_LEN + 1];
    hash_hex(r->weights_hash, hash);
    json_object_set_new(row, "step", json_integer((json_int_t)d->step->step));
    json_object_set_new(row, "version", json_integer((json_int_t)d->step->new_version));
    json_object_set_new(row, "time_ms", json_integer((json_int_t)clock_wall_ms()));
    json_object_set_new(row, "weights_hash", json_string(hash));
    json_object_set_new(row, "tokens", json_integer((json_int_t)r->tokens));
    json_object_set_new(row, "rows", json_integer((json_int_t)r->rows));
    json_object_set_new(row, "logprob_compared_tokens",
                        json_integer((json_int_t)r->compared_tokens));
    json_object_set_new(row, "logprob_mismatched_tokens",
                        json_integer((json_int_t)r->mismatched_tokens));
    set_real(row, "lr", d->step->hyper.lr);
    set_real(row, "loss", r->loss);
    set_real(row, "grad_norm", r->grad_norm);
    set_real(row, "entropy", r->entropy);
    set_real(row, "kl", r->kl);
    set_real(row, "ratio_mean", r->ratio_mean);
    set_real(row, "ratio_max", r->ratio_max);
    set_real(row, "clip_fraction", r->clip_fraction);
    set_real(row, "forward_backward_s", r->forward_backward_s);
    set_real(row, "optimiser_s", r->optimiser_s);
    set_real(row, "publish_s", r->publish_s);
    set_real(row, "save_wait_s", r->save_wait_s);
    set_real(row, "wait_s", wait_s);
    set_real(row, "train_tokens_per_s", d->seconds > 0 ? (double)r->tokens / d->seconds : 0);
    return row;
}

// Mean and largest age from stats.age {"0": n, "1": n, …}.
static void add_staleness(json_t *row)
{
    double n = 0, sum = 0, max = 0;
    const char *age;
    json_t *count;
    json_object_foreach(json_object_get(row, "age"), age, count)
    {
        double a = strtod(age, NULL), c = json_number_value(count);
        n += c;
        sum += a * c;
        max = c > 0 ? MAX(max, a) : max;
    }
    set_real(row, "staleness_mean", n > 0 ? sum / n : 0);
    set_real(row, "staleness_max", max);
}

// How long the version that this step began from took to reach the slowest actor.
static void add_sync(const struct service *s, json_t *row)
{
    uint64_t now = clock_mono_ms();
    double ms = board_heard_max(s->board, "publish_to_decode_ms", now - MIN(now, HEARD_MS));
    if (ms >= 0) {
        set_real(row, "publish_to_decode_ms", ms);
    }
}

void service_report_step(struct service *s)
{
    if (!s->step_metrics) {
        return;
    }
    enum err e = coordinator_step_done(s->coordinator, &s->step_done.result, s->step_metrics,
                                       clock_mono_ms());
    if (e == ERR_FULL) {
        return;    // the tick tries again
    }
    free(s->step_metrics);
    s->step_metrics = NULL;
    if (e) {
        service_fail(s, e, "the coordinator does not take the step's outcome");
    }
}

static void on_step_done(struct service *s, const struct train_done *d)
{
    double wait_s = MAX(0, clock_mono_s() - d->seconds - s->train_idle_since_s);
    json_t *row = step_row(s, d, wait_s);
    add_staleness(row);
    add_drops(s, row);
    add_sync(s, row);
    s->train_idle_since_s = clock_mono_s();
    s->last_step = d->step->step;
    s->last_version = d->step->new_version;
    s->step_done = *d;
    s->step_metrics = json_dumps(row, JSON_COMPACT);
    board_step(s->board, row, &d->result);
    write_metrics(s, row);
    if (d->result.mismatched_tokens) {
        LOG_ERROR("LOGPROB_MISMATCH", "step=%llu mismatched=%llu compared=%llu",
                  (unsigned long long)d->step->step,
                  (unsigned long long)d->result.mismatched_tokens,
                  (unsigned long long)d->result.compared_tokens);
    }
    LOG_INFO("STEP",
             "step=%llu version=%llu reward=%.4f tokens=%llu grad_norm=%.4f seconds=%.2f wait=%.2f",
             (unsigned long long)d->step->step, (unsigned long long)d->step->new_version,
             json_number_value(json_object_get(row, "reward_mean")),
             (unsigned long long)d->result.tokens, d->result.grad_norm, d->seconds, wait_s);
    json_decref(row);
    service_report_step(s);
    service_maybe_checkpoint(s, false);
}

void service_on_train_done(void *arg, const struct train_done *d)
{
    struct service *s = arg;
    if (s->stopping || d->err == ERR_CANCELLED) {
        return;
    }
    if (d->job == TRAIN_CHECKPOINT) {
        service_on_checkpoint(s, d);
    } else if (d->err) {
        service_fail(s, d->err, d->why.text);
    } else if (d->job == TRAIN_STEP) {
        on_step_done(s, d);
    } else {
        LOG_INFO("EXPORTED", "dir=%s/model version=%llu", s->run->dir,
                 (unsigned long long)publish_newest(s->run->publish));
        daemon_stop(s->daemon, "complete");
        return;
    }
    if (s->complete) {
        service_finish(s);
    }
}

// After the last evaluation: a checkpoint of the final state, then the export, then the end.
void service_finish(struct service *s)
{
    if (s->checkpoint_runs || s->exporting) {
        return;    // its outcome comes back here
    }
    if (!s->final_asked) {
        s->final_asked = true;    // once: a full disk must not keep the run from ending
        service_maybe_checkpoint(s, true);
        if (s->checkpoint_runs) {
            return;
        }
    }
    s->exporting = true;
    if (train_thread_export(s->train)) {
        service_fail(s, ERR_NOMEM, "the export could not be started");
    }
}
