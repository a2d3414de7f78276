// board_metrics.c: /metrics in Prometheus text format 0.0.4.
//
// Every family has one HELP and one TYPE line before its samples. Counters end in _total, units
// stand in names (seconds, bytes, tokens), shares of one are ratios, and whatever counts things or
// has no unit says what it is. Figures of other processes appear under the names of the table below,
// labelled by process; what is not in the table is only on /status.
#include <string.h>

#include "learner/board_internal.h"

struct page {
    struct buf text;
    enum err err;    // first one: out of memory, or over the limit
};

#define PUT(p, ...) ((p)->err = (p)->err ? (p)->err : buf_printf(&(p)->text, __VA_ARGS__))

static void family(struct page *p, const char *name, const char *type, const char *help)
{
    PUT(p, "# HELP caravan_%s %s\n# TYPE caravan_%s %s\n", name, help, name, type);
}

static void metric(struct page *p, const char *name, const char *type, const char *help,
                   double value)
{
    family(p, name, type, help);
    PUT(p, "caravan_%s %.15g\n", name, value);
}

static void counter(struct page *p, const char *name, const char *help, uint64_t value)
{
    family(p, name, "counter", help);
    PUT(p, "caravan_%s %llu\n", name, (unsigned long long)value);
}

// A label's value: backslash, quote and newline are escaped as the format asks.
static void label(struct page *p, const char *name, const char *value)
{
    PUT(p, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n') {
            PUT(p, "\\n");
        } else {
            PUT(p, "%s%c", *value == '"' || *value == '\\' ? "\\" : "", *value);
        }
    }
    PUT(p, "\"");
}

// One sample of a family with one label.
static void labelled(struct page *p, const char *name, const char *key, const char *value,
                     uint64_t n)
{
    PUT(p, "caravan_%s{", name);
    label(p, key, value);
    PUT(p, "} %llu\n", (unsigned long long)n);
}

// ---- the run ----

static void put_run(struct page *p, const struct board *b, const struct board_view *v)
{
    const struct coordinator_status *s = v->status;
    size_t overdue = 0;
    for (size_t i = 0; i < v->n_waits; i++) {
        overdue += v->waits[i].overdue;
    }
    family(p, "run_info", "gauge", "The run that this learner serves; always 1.");
    labelled(p, "run_info", "run_id", b->run->run_id, 1);
    metric(p, "uptime_seconds", "gauge", "Since this learner started.",
           board_since_s(v, b->start_ms));
    metric(p, "run_seconds", "gauge", "Since the first lease, over all starts of the run.",
           s->run_minutes * 60);
    metric(p, "overdue_waits", "gauge", "Waits that take longer than they should (/healthz).",
           (double)overdue);
    metric(p, "policy_version", "gauge", "Newest published policy version.", (double)s->version);
    counter(p, "steps_total", "Optimiser steps done.", s->step);
    counter(p, "no_signal_steps_total", "Steps passed because no group carried a signal.",
            s->no_signal_steps);
    counter(p, "zero_spread_groups_total", "Groups whose rewards were all equal.", s->zero_spread);
    family(p, "groups", "gauge", "Training groups by stage.");
    labelled(p, "groups", "stage", "live", s->groups_live);
    labelled(p, "groups", "stage", "ready", s->groups_ready);
    labelled(p, "groups", "stage", "admissible", s->groups_admissible);
}

static void put_samples(struct page *p, const struct coordinator_status *s)
{
    counter(p, "samples_issued_total", "Samples ever issued; equals consumed + dropped + live.",
            s->issued);
    family(p, "samples", "gauge", "Samples by state.");
    for (size_t i = 0; i < LEDGER_STATE_COUNT; i++) {
        labelled(p, "samples", "state", ledger_state_name((enum ledger_state)i), s->by_state[i]);
    }
    family(
        p, "samples_dropped_total", "counter",
        "Dropped samples by reason and by the bucket of their length: at most so many tokens, 0 = "
        "never received.");
    for (size_t i = 0; i < s->n_drops; i++) {
        for (size_t k = 0; k < LEDGER_LENGTH_BUCKETS; k++) {
            if (s->drops[i].by_length[k]) {
                PUT(p, "caravan_samples_dropped_total{");
                label(p, "reason", s->drops[i].reason);
                PUT(p, ",length_max=\"%llu\"} %llu\n", k ? (1ull << k) - 1 : 0ull,
                    (unsigned long long)s->drops[i].by_length[k]);
            }
        }
    }
    counter(p, "samples_reissued_total", "Leases issued again as a new attempt.", s->reissued);
    counter(p, "submits_duplicate_total",
            "Submits of a sample that had already come with the same content.", s->duplicates);
    counter(p, "submits_superseded_total",
            "Submits of a sample that had already come with other content.", s->superseded);
}

static void put_verdicts(struct page *p, const struct board *b)
{
    family(p, "verdicts_total", "counter", "Verdicts by outcome.");
    labelled(p, "verdicts_total", "outcome", "score", b->verdicts[MSG_OUTCOME_SCORE]);
    labelled(p, "verdicts_total", "outcome", "zero", b->verdicts[MSG_OUTCOME_ZERO]);
    labelled(p, "verdicts_total", "outcome", "unscored", b->verdicts[MSG_OUTCOME_UNSCORED]);
    family(p, "verdicts_unscored_total", "counter", "Unscored verdicts by cause.");
    for (size_t i = 0; i < b->n_causes; i++) {
        labelled(p, "verdicts_unscored_total", "cause", b->cause[i].name, b->cause[i].n);
    }
}

static void put_work(struct page *p, const struct board *b, const struct board_view *v)
{
    counter(p, "logprob_compared_tokens_total",
            "Tokens of fresh samples whose actor and learner log-probs were compared bit for bit.",
            b->compared);
    counter(p, "logprob_mismatched_tokens_total", "Those that differed.", b->mismatched);
    counter(p, "trained_tokens_total", "Completion tokens in the loss.", b->trained_tokens);
    metric(p, "decode_tokens_per_second", "gauge",
           "Tokens decoded by all actors, over the last ten seconds.", v->rates.decode);
    metric(p, "train_tokens_per_second", "gauge",
           "Completion tokens trained, over the last ten seconds.", v->rates.train);
    metric(p, "verdicts_per_second", "gauge", "Verdicts received, over the last ten seconds.",
           v->rates.verdicts);
}

static void put_service(struct page *p, const struct board_service *s)
{
    counter(p, "bus_malformed_messages_total", "Messages refused by the decoder.", s->malformed);
    counter(p, "ledger_transactions_total", "Transactions written to the ledger.",
            s->journal.transactions);
    counter(p, "ledger_commits_total", "Group commits (one fsync each).", s->journal.commits);
    metric(p, "ledger_commit_seconds_total", "counter", "Seconds in commits.", s->journal.commit_s);
    family(p, "queue_length", "gauge", "Entries in a bounded queue.");
    for (size_t i = 0; i < s->n_queues; i++) {
        labelled(p, "queue_length", "queue", s->queues[i].name, s->queues[i].len);
    }
    family(p, "queue_capacity", "gauge", "Entries that the queue holds at most.");
    for (size_t i = 0; i < s->n_queues; i++) {
        labelled(p, "queue_capacity", "queue", s->queues[i].name, s->queues[i].cap);
    }
}

// ---- the last step and evaluation ----

struct figure {
    const char *key, *name, *help;
};

static void put_figures(struct page *p, const json_t *row, const struct figure *f, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_object_get(row, f[i].key);
        if (json_is_number(value)) {
            metric(p, f[i].name, "gauge", f[i].help, json_number_value(value));
        }
    }
}

static void put_step(struct page *p, const struct board *b)
{
    static const struct figure step[] = {
        {"reward_mean", "step_reward", "Mean reward of the last step's samples."},
        {"entropy", "step_entropy_nats", "Mean token entropy of the policy."},
        {"kl", "step_kl_nats", "Mean estimate of the KL divergence to the initial policy."},
        {"clip_fraction", "step_clipped_ratio", "Share of tokens whose ratio was clipped."},
        {"ratio_mean", "step_importance_ratio", "Mean importance ratio."},
        {"grad_norm", "step_gradient_norm", "Global gradient norm before clipping."},
        {"lr", "step_learning_rate", "Learning rate of the last step."},
        {"length_mean", "step_completion_tokens", "Mean completion length."},
        {"stop_rate", "step_stopped_ratio", "Share of completions that ended with a stop token."},
        {"staleness_mean", "step_staleness_versions", "Mean staleness of the step's samples."},
        {"forward_backward_s", "step_forward_backward_seconds", "In forward and backward passes."},
        {"optimiser_s", "step_optimiser_seconds", "In gradient norm and AdamW."},
        {"publish_s", "step_publish_seconds", "In packing and handing over the new version."},
        {"save_wait_s", "step_save_wait_seconds", "Waiting for a checkpoint that was being saved."},
        {"wait_s", "step_wait_seconds", "Between the last two steps, not training."},
    };
    static const struct figure eval[] = {
        {"reward", "eval_reward", "Mean reward on held-out tasks in the last evaluation."},
        {"version", "eval_version", "Policy version of the last evaluation."},
    };
    put_figures(p, b->last_step, step, ARRAY_LEN(step));
    put_figures(p, b->last_eval, eval, ARRAY_LEN(eval));
}

// ---- processes ----

// Name and role are what people chose, and two processes may share them; incarnations differ.
static void put_peer_labels(struct page *p, const struct board_peer *peer)
{
    char hex[2 * sizeof peer->incarnation.bytes + 1];
    for (size_t i = 0; i < sizeof peer->incarnation.bytes; i++) {
        snprintf(hex + 2 * i, 3, "%02x", peer->incarnation.bytes[i]);
    }
    PUT(p, "{");
    label(p, "name", peer->name);
    PUT(p, ",role=\"%s\",incarnation=\"%s\"}", board_role(peer->role), hex);
}

static const struct peer_figure {
    enum msg_role role;
    const char *stat, *name, *type, *help;
} peer_figures[] = {
    {MSG_ROLE_ACTOR, "decode_tokens_total", "actor_decode_tokens_total", "counter",
     "Tokens decoded."},
    {MSG_ROLE_ACTOR, "kept_mass_total", "actor_kept_mass_total", "counter",
     "Probability left by top-k, top-p and min-p, summed over tokens decoded."},
    {MSG_ROLE_ACTOR, "prefill_tokens_total", "actor_prefill_tokens_total", "counter",
     "Prompt tokens prefilled."},
    {MSG_ROLE_ACTOR, "passes_total", "actor_passes_total", "counter", "Forward passes."},
    {MSG_ROLE_ACTOR, "busy_seconds_total", "actor_busy_seconds_total", "counter",
     "In forward passes."},
    {MSG_ROLE_ACTOR, "samples_finished_total", "actor_samples_finished_total", "counter",
     "Samples finished."},
    {MSG_ROLE_ACTOR, "samples_abandoned_total", "actor_samples_abandoned_total", "counter",
     "Samples given up because the learner asked for it."},
    {MSG_ROLE_ACTOR, "samples_straddling_total", "actor_samples_straddling_total", "counter",
     "Finished samples that saw a swap of weights."},
    {MSG_ROLE_ACTOR, "weight_swaps_total", "actor_weight_swaps_total", "counter",
     "Versions swapped in."},
    {MSG_ROLE_ACTOR, "slots", "actor_slots", "gauge", "Samples that can be decoded at once."},
    {MSG_ROLE_ACTOR, "slots_busy", "actor_slots_busy", "gauge", "Samples being decoded."},
    {MSG_ROLE_ACTOR, "samples_waiting", "actor_samples_waiting", "gauge",
     "Leased samples that wait for a slot."},
    {MSG_ROLE_ACTOR, "outbox_samples", "actor_outbox_samples", "gauge",
     "Finished samples not acknowledged yet."},
    {MSG_ROLE_ACTOR, "kv_pages", "actor_kv_pages", "gauge", "Pages of the KV cache."},
    {MSG_ROLE_ACTOR, "kv_pages_used", "actor_kv_pages_used", "gauge", "Pages in use."},
    {MSG_ROLE_ACTOR, "weights_in_slab", "actor_weights_in_slab", "gauge",
     "1: its weights stand in memory shared with the learner, 0: in its own."},
    {MSG_ROLE_ACTOR, "version", "actor_policy_version", "gauge",
     "Version that new tokens are decoded with."},
    {MSG_ROLE_VERIFIER, "verify_jobs_total", "verifier_jobs_total", "counter", "Jobs finished."},
    {MSG_ROLE_VERIFIER, "verify_unscored_total", "verifier_unscored_total", "counter",
     "Jobs that ended without a score."},
    {MSG_ROLE_VERIFIER, "verify_retries_total", "verifier_retries_total", "counter",
     "Jobs tried again on a fresh worker."},
    {MSG_ROLE_VERIFIER, "worker_restarts_total", "verifier_worker_restarts_total", "counter",
     "Worker processes replaced before their time."},
    {MSG_ROLE_VERIFIER, "workers", "verifier_workers", "gauge", "Worker processes."},
    {MSG_ROLE_VERIFIER, "workers_busy", "verifier_workers_busy", "gauge", "Workers with a job."},
    {MSG_ROLE_VERIFIER, "queue", "verifier_queue_length", "gauge", "Jobs that wait for a worker."},
};

static void put_peer_figure(struct page *p, const struct board_view *v, const struct peer_figure *f)
{
    bool begun = false;
    for (size_t i = 0; i < v->n_peers; i++) {
        const struct board_peer *peer = &v->peers[i];
        for (size_t k = 0;
             peer->alive && peer->role == f->role && peer->heard && k < peer->heard->n; k++) {
            if (strcmp(peer->heard->stat[k].name, f->stat) != 0) {
                continue;
            }
            if (!begun) {
                family(p, f->name, f->type, f->help);
                begun = true;
            }
            PUT(p, "caravan_%s", f->name);
            put_peer_labels(p, peer);
            PUT(p, " %.15g\n", peer->heard->stat[k].value);
            break;    // a figure named twice in a heartbeat counts once
        }
    }
}

static void put_peers(struct page *p, const struct board_view *v)
{
    family(p, "peer_up", "gauge", "1 while the process has been heard of within its lease.");
    for (size_t i = 0; i < v->n_peers; i++) {
        PUT(p, "caravan_peer_up");
        put_peer_labels(p, &v->peers[i]);
        PUT(p, " %d\n", v->peers[i].alive);
    }
    for (size_t i = 0; i < ARRAY_LEN(peer_figures); i++) {
        put_peer_figure(p, v, &peer_figures[i]);
    }
}

char *board_make_metrics(const struct board *b, const struct board_view *v)
{
    struct page p = {.err = ERR_OK};
    buf_init(&p.text, 4 << 20);
    put_run(&p, b, v);
    put_samples(&p, v->status);
    put_verdicts(&p, b);
    put_work(&p, b, v);
    put_service(&p, v->service);
    put_step(&p, b);
    put_peers(&p, v);
    char *text = p.err ? NULL : buf_take(&p.text);
    buf_fini(&p.text);
    return text;
}
