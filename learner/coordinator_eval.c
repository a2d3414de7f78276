// coordinator_eval.c: evaluations and stop rules.
//
// An evaluation is n groups of one greedy sample, all pinned to one version; it is written down
// when it is due, so a restart does not forget it, and its groups are issued as actors ask for work
// (before training). It is over when every task has a group and no sample of it is being generated
// or scored; then its scored samples are consumed by it. One runs before the first step, one after
// every eval.every_steps steps, one after the last; a version is not evaluated twice.
//
// Stop rules: steps done, epochs drawn and trained, minutes since the first lease (summed over
// restarts). A running step is finished, then the last evaluation runs, then the service is told.
// Samples still alive stay so: a resume with a later stop goes on with them.
#include <stdlib.h>

#include "learner/coordinator_internal.h"

double coordinator_run_ms(const struct coordinator *c)
{
    return (double)c->run_ms_before +
           (c->first_lease_ms > 0 ? (double)(c->now_ms - MIN(c->first_lease_ms, c->now_ms)) : 0.0);
}

void coordinator_put_eval(struct coordinator *c, struct ledger_txn *t)
{
    if (c->config.n_eval == 0 || c->evaluated_version == c->version) {
        return;
    }
    struct eval *grown = realloc(c->evals, (c->n_evals + 1) * sizeof *grown);
    if (grown == NULL) {
        coordinator_fail(c);
        return;
    }
    c->evals = grown;
    struct eval *v = &c->evals[c->n_evals++];
    *v = (struct eval){
        .id = c->next_eval++, .version = c->version, .step = c->last_done, .n = c->config.n_eval};
    c->evaluated_version = c->version;
    ledger_put_eval(t, v->id, v->version, v->step, v->n);
    c->ops.pin(c->ops.arg, v->version, true);
    c->work_news[MSG_ROLE_ACTOR] = true;
}

void coordinator_begin_eval(struct coordinator *c)
{
    if (c->config.n_eval == 0 || c->evaluated_version == c->version || !coordinator_can_send(c)) {
        return;
    }
    struct ledger_txn *t = coordinator_txn(c);
    if (t != NULL) {
        coordinator_put_eval(c, t);
        coordinator_send(c, t, NULL);
    }
}

static bool is_over(const struct coordinator *c, const struct eval *v)
{
    if (v->n_issued < v->n) {
        return false;
    }
    for (size_t g = 0; g < c->n_groups; g++) {
        const struct group *group = c->groups[g];
        for (uint32_t i = 0; group->row.eval_id == v->id && i < group->row.n_samples; i++) {
            if (group->samples[i].state == LEDGER_GENERATING ||
                group->samples[i].state == LEDGER_RECEIVED) {
                return false;
            }
        }
    }
    return true;
}

static void end_eval(struct coordinator *c, const struct eval *v)
{
    struct coordinator_eval result = {
        .eval_id = v->id, .version = v->version, .step = v->step, .n = v->n};
    json_t *kinds = coordinator_eval_stats(c, v->id, &result.n_scored, &result.reward_mean);
    char *text = kinds != NULL ? json_dumps(kinds, JSON_COMPACT) : NULL;
    struct ledger_txn *t = coordinator_txn(c);
    struct pending *p = coordinator_pending(c, PENDING_EVAL_DONE);
    if (text == NULL || t == NULL || p == NULL) {
        json_decref(kinds);
        free(text);
        ledger_txn_destroy(t);
        coordinator_fail(c);
        return;
    }
    ledger_put_eval_done(t, v->id, result.n_scored, result.reward_mean, text);
    ledger_put_counter(t, "run_ms", (int64_t)coordinator_run_ms(c));
    free(text);
    for (size_t g = 0; g < c->n_groups; g++) {
        for (uint32_t i = 0; c->groups[g]->row.eval_id == v->id && i < c->groups[g]->row.n_samples;
             i++) {
            if (c->groups[g]->samples[i].state == LEDGER_SCORED) {
                coordinator_move(c, &c->groups[g]->samples[i], LEDGER_CONSUMED);
            }
        }
    }
    p->eval = result;
    p->json = kinds;
    c->ops.pin(c->ops.arg, v->version, false);
    coordinator_send(c, t, p);
}

void coordinator_check_evals(struct coordinator *c)
{
    for (size_t i = 0; i < c->n_evals && coordinator_can_send(c);) {
        if (!is_over(c, &c->evals[i])) {
            i++;
            continue;
        }
        struct eval over = c->evals[i];
        for (size_t k = i + 1; k < c->n_evals; k++) {
            c->evals[k - 1] = c->evals[k];
        }
        c->n_evals--;
        end_eval(c, &over);
    }
}

void coordinator_check_stop(struct coordinator *c)
{
    const struct conf *f = c->conf;
    if (c->stopping == NULL) {
        if (f->stop_steps > 0 && c->last_done >= (uint64_t)f->stop_steps) {
            c->stopping = "steps";
        } else if (f->stop_minutes > 0 && coordinator_run_ms(c) >= f->stop_minutes * 60000.0) {
            c->stopping = "minutes";
        } else if (coordinator_exhausted(c) && c->step == NULL &&
                   coordinator_live_groups(c, LEDGER_TRAIN) == 0) {
            c->stopping = "epochs";
        }
    }
    // The last evaluation, of what the last step made; again and again asked for because the
    // ledger's queue may be full.
    if (c->stopping != NULL && c->step == NULL && c->last_done > 0) {
        coordinator_begin_eval(c);
    }
}
