// board.c: /status is the coordinator's view plus what heartbeats said; /metrics is the same in
// Prometheus text format 0.0.4, every family with HELP and TYPE and its unit in its name; /healthz
// is 503 as soon as one wait is overdue, naming it.
//
// Rates are differences over the last RATE_WINDOW seconds of totals. An actor that restarts begins
// its totals at 0; the window then shows less for a while, never a negative number.
#include "learner/board.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "proto/limits.h"

enum { MAX_PEERS = 256, MAX_TREND = 60, MAX_WAITS = 64, RATE_WINDOW = 10, MAX_CAUSES = 32 };

struct peer_stats {
    struct msg_incarnation incarnation;
    struct {
        char name[48];
        double value;
    } stat[LIMIT_STATS];
    size_t n;
    char waits_for[64];
    uint32_t waits_ms;
    uint64_t heard_ms;
};

struct totals {
    uint64_t at_ms;
    double decode, train, verdicts;
};

struct cause_count {
    char cause[64];
    uint64_t n;
};

struct board {
    const struct run *run;
    uint64_t start_ms;
    const char *phase;
    struct peer_stats peers[MAX_PEERS];
    size_t n_peers;
    double trend[MAX_TREND];
    size_t n_trend;
    json_t *last_step, *last_eval;
    uint64_t compared, mismatched, trained_tokens, verdicts[4];
    struct cause_count cause[MAX_CAUSES];
    size_t n_causes;
    struct totals window[RATE_WINDOW + 1];
    size_t n_window;
    pthread_mutex_t lock;    // guards text, healthy
    char *text[BOARD_TEXTS];
    bool healthy;
};

enum err board_create(const struct run *r, struct board **out)
{
    struct board *b = calloc(1, sizeof *b);
    if (!b) {
        return ERR_NOMEM;
    }
    b->run = r;
    b->start_ms = clock_mono_ms();
    b->phase = "starting";
    pthread_mutex_init(&b->lock, NULL);
    *out = b;
    return ERR_OK;
}

void board_destroy(struct board *b)
{
    if (!b) {
        return;
    }
    for (size_t i = 0; i < BOARD_TEXTS; i++) {
        free(b->text[i]);
    }
    json_decref(b->last_step);
    json_decref(b->last_eval);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

void board_phase(struct board *b, const char *phase)
{
    b->phase = phase;
}

// ---- collecting ----

// The entry of this process; the one unheard of for the longest time makes room.
static struct peer_stats *find_peer(struct board *b, struct msg_incarnation id)
{
    size_t oldest = 0;
    for (size_t i = 0; i < b->n_peers; i++) {
        if (msg_incarnation_equal(b->peers[i].incarnation, id)) {
            return &b->peers[i];
        }
        if (b->peers[i].heard_ms < b->peers[oldest].heard_ms) {
            oldest = i;
        }
    }
    struct peer_stats *p = b->n_peers < MAX_PEERS ? &b->peers[b->n_peers++] : &b->peers[oldest];
    *p = (struct peer_stats){.incarnation = id};
    return p;
}

// Names from outside become metric names: only [a-z0-9_] passes.
static bool clean_name(const struct msg_text *t, char *out, size_t cap)
{
    if (t->len == 0 || t->len >= cap) {
        return false;
    }
    for (size_t i = 0; i < t->len; i++) {
        char c = t->data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9' && i) || c == '_')) {
            return false;
        }
        out[i] = c;
    }
    out[t->len] = '\0';
    return true;
}

void board_heartbeat(struct board *b, const struct msg_heartbeat *m, uint64_t now_ms)
{
    struct peer_stats *p = find_peer(b, m->incarnation);
    p->heard_ms = now_ms;
    p->n = 0;
    for (size_t i = 0; i < m->n_stats && p->n < LIMIT_STATS; i++) {
        if (clean_name(&m->stats[i].name, p->stat[p->n].name, sizeof p->stat[p->n].name)) {
            p->stat[p->n++].value = m->stats[i].value;
        }
    }
    size_t len = MIN(m->waits_for.len, sizeof p->waits_for - 1);
    if (len) {
        memcpy(p->waits_for, m->waits_for.data, len);
    }
    p->waits_for[len] = '\0';
    p->waits_ms = m->waits_ms;
}

void board_verdict(struct board *b, enum msg_outcome outcome, const char *cause, size_t cause_len)
{
    b->verdicts[outcome & 3]++;
    if (outcome != MSG_OUTCOME_UNSCORED) {
        return;
    }
    char name[64];
    size_t len = MIN(cause_len, sizeof name - 1);
    if (len) {
        memcpy(name, cause, len);
    }
    name[len] = '\0';
    size_t i = 0;
    while (i < b->n_causes && strcmp(b->cause[i].cause, name) != 0) {
        i++;
    }
    if (i == MAX_CAUSES) {
        return;
    }
    if (i == b->n_causes) {
        b->n_causes++;
        memcpy(b->cause[i].cause, name, sizeof name);
    }
    b->cause[i].n++;
}

void board_step(struct board *b, const json_t *row, const struct train_result *r)
{
    json_decref(b->last_step);
    b->last_step = json_deep_copy(row);
    b->compared += r->compared_tokens;
    b->mismatched += r->mismatched_tokens;
    b->trained_tokens += r->tokens;
    const json_t *reward = json_object_get(row, "reward_mean");
    if (!json_is_number(reward)) {
        return;
    }
    if (b->n_trend == MAX_TREND) {
        memmove(b->trend, b->trend + 1, (MAX_TREND - 1) * sizeof *b->trend);
        b->n_trend--;
    }
    b->trend[b->n_trend++] = json_number_value(reward);
}

void board_eval(struct board *b, const struct coordinator_eval *e)
{
    json_decref(b->last_eval);
    b->last_eval =
        json_pack("{s:I,s:I,s:I,s:f}", "version", (json_int_t)e->version, "step",
                  (json_int_t)e->step, "n", (json_int_t)e->n_scored, "reward", e->reward_mean);
}

// ---- rates ----

static double stat_sum(const struct board *b, const char *name)
{
    double sum = 0;
    for (size_t i = 0; i < b->n_peers; i++) {
        for (size_t k = 0; k < b->peers[i].n; k++) {
            sum += strcmp(b->peers[i].stat[k].name, name) == 0 ? b->peers[i].stat[k].value : 0;
        }
    }
    return sum;
}

static struct totals rates(struct board *b, uint64_t now_ms)
{
    struct totals now = {.at_ms = now_ms,
                         .decode = stat_sum(b, "decode_tokens_total"),
                         .train = (double)b->trained_tokens,
                         .verdicts = (double)(b->verdicts[MSG_OUTCOME_SCORE] +
                                              b->verdicts[MSG_OUTCOME_ZERO] +
                                              b->verdicts[MSG_OUTCOME_UNSCORED])};
    if (b->n_window == 0 || now_ms - b->window[b->n_window - 1].at_ms >= 1000) {
        if (b->n_window == RATE_WINDOW + 1) {
            memmove(b->window, b->window + 1, RATE_WINDOW * sizeof *b->window);
            b->n_window--;
        }
        b->window[b->n_window++] = now;
    }
    const struct totals *then = &b->window[0];
    double s = (double)(now_ms - then->at_ms) / 1000;
    if (s <= 0) {
        return (struct totals){0};
    }
    return (struct totals){.decode = MAX(0, (now.decode - then->decode) / s),
                           .train = MAX(0, (now.train - then->train) / s),
                           .verdicts = MAX(0, (now.verdicts - then->verdicts) / s)};
}

// ---- /status ----

static json_t *json_of_samples(const struct coordinator_status *s)
{
    json_t *o = json_pack("{s:I}", "issued", (json_int_t)s->issued);
    for (size_t i = 0; i < LEDGER_STATE_COUNT; i++) {
        json_object_set_new(o, ledger_state_name((enum ledger_state)i),
                            json_integer((json_int_t)s->by_state[i]));
    }
    json_object_set_new(o, "duplicates", json_integer((json_int_t)s->duplicates));
    json_object_set_new(o, "superseded", json_integer((json_int_t)s->superseded));
    json_object_set_new(o, "reissued", json_integer((json_int_t)s->reissued));
    return o;
}

static json_t *json_of_drops(const struct coordinator_status *s)
{
    json_t *o = json_object();
    for (size_t i = 0; i < s->n_drops; i++) {
        json_object_set_new(o, s->drops[i].reason, json_integer((json_int_t)s->drops[i].n));
    }
    return o;
}

static json_t *json_of_peers(const struct board *b, struct coordinator *c, uint64_t now_ms)
{
    struct coordinator_peer peer[MAX_PEERS];
    size_t n = coordinator_peers(c, now_ms, peer, MAX_PEERS);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *o =
            json_pack("{s:s,s:s,s:s,s:b,s:I,s:f}", "name", peer[i].name, "role",
                      peer[i].role == MSG_ROLE_ACTOR ? "actor" : "verifier", "detail",
                      peer[i].detail, "alive", peer[i].alive, "leases", (json_int_t)peer[i].leases,
                      "heard_s", (double)(now_ms - MIN(now_ms, peer[i].heard_ms)) / 1000);
        if (!o) {
            continue;    // a name that is not UTF-8
        }
        json_t *stats = json_object();
        for (size_t k = 0; k < b->n_peers; k++) {
            const struct peer_stats *p = &b->peers[k];
            if (!msg_incarnation_equal(p->incarnation, peer[i].incarnation)) {
                continue;
            }
            for (size_t m = 0; m < p->n; m++) {
                json_object_set_new(stats, p->stat[m].name, json_real(p->stat[m].value));
            }
            json_object_set_new(o, "waits_for", json_string(p->waits_for));
            json_object_set_new(o, "waits_ms", json_integer(p->waits_ms));
        }
        json_object_set_new(o, "stats", stats);
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *json_of_waits(const struct coordinator_wait *w, size_t n, uint64_t now_ms)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, json_pack("{s:s,s:s,s:f,s:b}", "who", w[i].who, "what",
                                              w[i].what, "since_s",
                                              (double)(now_ms - MIN(now_ms, w[i].since_ms)) / 1000,
                                              "overdue", w[i].overdue));
    }
    return list;
}

static json_t *json_of_trend(const struct board *b)
{
    json_t *trend = json_array();
    for (size_t i = 0; i < b->n_trend; i++) {
        json_array_append_new(trend, json_real(b->trend[i]));
    }
    return json_pack("{s:f,s:o}", "last", b->n_trend ? b->trend[b->n_trend - 1] : 0.0, "trend",
                     trend);
}

static json_t *json_of_queues(const struct board_service *s)
{
    json_t *o = json_object();
    for (size_t i = 0; i < s->n_queues; i++) {
        json_object_set_new(o, s->queues[i].name,
                            json_pack("{s:I,s:I}", "len", (json_int_t)s->queues[i].len, "cap",
                                      (json_int_t)s->queues[i].cap));
    }
    return o;
}

static json_t *json_of_causes(const struct board *b)
{
    json_t *o = json_object();
    for (size_t i = 0; i < b->n_causes; i++) {
        json_object_set_new(o, b->cause[i].cause, json_integer((json_int_t)b->cause[i].n));
    }
    return o;
}

static void set_run_figures(json_t *o, const struct board *b, const struct coordinator_status *s,
                            const struct totals *rate)
{
    json_object_set_new(o, "groups",
                        json_pack("{s:I,s:I,s:I,s:I}", "live", (json_int_t)s->groups_live, "ready",
                                  (json_int_t)s->groups_ready, "admissible",
                                  (json_int_t)s->groups_admissible, "bound",
                                  (json_int_t)s->groups_bound));
    json_object_set_new(o, "samples", json_of_samples(s));
    json_object_set_new(o, "drops", json_of_drops(s));
    json_object_set_new(o, "rates",
                        json_pack("{s:f,s:f,s:f}", "decode_tokens_per_s", rate->decode,
                                  "train_tokens_per_s", rate->train, "verdicts_per_s",
                                  rate->verdicts));
    json_object_set_new(o, "verdicts",
                        json_pack("{s:I,s:I,s:I,s:o}", "score",
                                  (json_int_t)b->verdicts[MSG_OUTCOME_SCORE], "zero",
                                  (json_int_t)b->verdicts[MSG_OUTCOME_ZERO], "unscored",
                                  (json_int_t)b->verdicts[MSG_OUTCOME_UNSCORED],
                                  "unscored_by_cause", json_of_causes(b)));
    json_object_set_new(o, "logprob",
                        json_pack("{s:I,s:I}", "compared_tokens_total", (json_int_t)b->compared,
                                  "mismatched_tokens_total", (json_int_t)b->mismatched));
    json_t *running = s->eval_id
                          ? json_pack("{s:I,s:I,s:I}", "id", (json_int_t)s->eval_id, "n",
                                      (json_int_t)s->eval_n, "done", (json_int_t)s->eval_done)
                          : json_null();
    json_object_set_new(o, "eval",
                        json_pack("{s:o,s:O?}", "running", running, "last", b->last_eval));
    json_object_set_new(o, "last_step", b->last_step ? json_incref(b->last_step) : json_null());
}

static json_t *json_of_staleness(const struct board *b)
{
    const json_t *mean = json_object_get(b->last_step, "staleness_mean"),
                 *max = json_object_get(b->last_step, "staleness_max");
    return json_pack("{s:f,s:f,s:I}", "mean", json_number_value(mean), "max",
                     json_number_value(max), "bound", (json_int_t)b->run->conf.staleness_max);
}

static char *make_status(struct board *b, struct coordinator *c, const struct coordinator_status *s,
                         const struct board_service *v, const struct coordinator_wait *w,
                         size_t n_waits, const struct totals *rate, uint64_t now_ms)
{
    json_t *o =
        json_pack("{s:s,s:s,s:s,s:I,s:I,s:f,s:f}", "run_id", b->run->run_id, "run_dir", b->run->dir,
                  "phase", b->phase, "version", (json_int_t)s->version, "step", (json_int_t)s->step,
                  "uptime_s", (double)(now_ms - b->start_ms) / 1000, "run_minutes", s->run_minutes);
    json_object_set_new(o, "training", json_boolean(s->training));
    json_object_set_new(o, "epoch", json_integer((json_int_t)s->epoch));
    json_object_set_new(o, "reward", json_of_trend(b));
    json_object_set_new(o, "staleness", json_of_staleness(b));
    set_run_figures(o, b, s, rate);
    json_object_set_new(o, "queues", json_of_queues(v));
    json_object_set_new(o, "peers", json_of_peers(b, c, now_ms));
    json_object_set_new(o, "waits", json_of_waits(w, n_waits, now_ms));
    json_object_set_new(o, "stopping", s->stopping ? json_string(s->stopping) : json_null());
    json_object_set_new(o, "address", json_string(v->address));
    json_object_set_new(o, "http", json_string(v->http));
    json_object_set_new(o, "recovery",
                        json_pack("{s:I,s:f}", "steps_rerun", (json_int_t)b->run->steps_rerun,
                                  "seconds", b->run->recovery_s));
    char *text = json_dumps(o, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    json_decref(o);
    return text;
}

// ---- /metrics ----

static void family(struct buf *out, const char *name, const char *type, const char *help)
{
    (void)!buf_printf(out, "# HELP caravan_%s %s\n# TYPE caravan_%s %s\n", name, help, name, type);
}

static void metric(struct buf *out, const char *name, const char *type, const char *help,
                   double value)
{
    family(out, name, type, help);
    (void)!buf_printf(out, "caravan_%s %.17g\n", name, value);
}

// Label values: backslash, quote and newline are escaped as the format asks.
static void label(struct buf *out, const char *value)
{
    for (; *value; value++) {
        if (*value == '\n') {
            (void)!buf_printf(out, "\\n");
        } else {
            (void)!buf_printf(out, "%s%c", *value == '"' || *value == '\\' ? "\\" : "", *value);
        }
    }
}

static void metrics_of_samples(struct buf *m, const struct board *b,
                               const struct coordinator_status *s)
{
    metric(m, "samples_issued_total", "counter",
           "Samples ever issued; equals consumed + dropped + live.", (double)s->issued);
    family(m, "samples", "gauge", "Samples by state.");
    for (size_t i = 0; i < LEDGER_STATE_COUNT; i++) {
        (void)!buf_printf(m, "caravan_samples{state=\"%s\"} %llu\n",
                          ledger_state_name((enum ledger_state)i),
                          (unsigned long long)s->by_state[i]);
    }
    family(m, "samples_dropped_total", "counter",
           "Dropped samples by reason and completion length (upper bound in tokens, 0 = never "
           "received).");
    for (size_t i = 0; i < s->n_drops; i++) {
        for (size_t k = 0; k < LEDGER_LENGTH_BUCKETS; k++) {
            if (s->drops[i].by_length[k]) {
                (void)!buf_printf(m, "caravan_samples_dropped_total{reason=\"");
                label(m, s->drops[i].reason);
                (void)!buf_printf(m, "\",length_le=\"%llu\"} %llu\n", k ? (1ull << k) - 1 : 0ull,
                                  (unsigned long long)s->drops[i].by_length[k]);
            }
        }
    }
    metric(m, "samples_reissued_total", "counter", "Leases issued again as a new attempt.",
           (double)s->reissued);
    metric(m, "submits_duplicate_total", "counter",
           "Submits of a sample that had already come with the same content.",
           (double)s->duplicates);
    metric(m, "submits_superseded_total", "counter",
           "Submits of a sample that had already come with other content.", (double)s->superseded);
    family(m, "verdicts_total", "counter", "Verdicts by outcome.");
    (void)!buf_printf(
        m,
        "caravan_verdicts_total{outcome=\"score\"} %llu\ncaravan_verdicts_total{outcome=\"zero\"} "
        "%llu\ncaravan_verdicts_total{outcome=\"unscored\"} %llu\n",
        (unsigned long long)b->verdicts[MSG_OUTCOME_SCORE],
        (unsigned long long)b->verdicts[MSG_OUTCOME_ZERO],
        (unsigned long long)b->verdicts[MSG_OUTCOME_UNSCORED]);
    family(m, "verdicts_unscored_total", "counter", "Unscored verdicts by cause.");
    for (size_t i = 0; i < b->n_causes; i++) {
        (void)!buf_printf(m, "caravan_verdicts_unscored_total{cause=\"");
        label(m, b->cause[i].cause);
        (void)!buf_printf(m, "\"} %llu\n", (unsigned long long)b->cause[i].n);
    }
}

static void metrics_of_step(struct buf *m, const struct board *b)
{
    static const struct {
        const char *key, *name, *help;
    } row[] = {
        {"reward_mean", "step_reward_ratio", "Mean reward of the last step's samples."},
        {"entropy", "step_entropy_nats", "Mean token entropy of the policy."},
        {"kl", "step_kl_nats", "Mean k3 estimate of the KL divergence to the initial policy."},
        {"clip_fraction", "step_clip_ratio", "Share of tokens whose ratio was clipped."},
        {"ratio_mean", "step_importance_ratio", "Mean importance ratio."},
        {"grad_norm", "step_gradient_norm_ratio", "Global gradient norm before clipping."},
        {"length_mean", "step_completion_tokens", "Mean completion length."},
        {"stop_rate", "step_stop_ratio", "Share of completions that ended with a stop token."},
        {"forward_backward_s", "step_forward_backward_seconds",
         "Seconds in forward and backward passes of the last step."},
        {"optimiser_s", "step_optimiser_seconds", "Seconds in the optimiser of the last step."},
        {"publish_s", "step_publish_seconds",
         "Seconds in rounding, packing and handing over of the last version."},
        {"wait_s", "step_wait_seconds",
         "Seconds between the last two steps in which the learner did not train."},
        {"staleness_mean", "step_staleness_versions", "Mean staleness of the last step's samples."},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        const json_t *v = json_object_get(b->last_step, row[i].key);
        if (json_is_number(v)) {
            metric(m, row[i].name, "gauge", row[i].help, json_number_value(v));
        }
    }
}

static void metrics_of_peers(struct buf *m, const struct board *b, struct coordinator *c,
                             uint64_t now_ms)
{
    struct coordinator_peer peer[MAX_PEERS];
    size_t n = coordinator_peers(c, now_ms, peer, MAX_PEERS);
    family(m, "peer_up", "gauge", "1 while the process has been heard of within its lease.");
    for (size_t i = 0; i < n; i++) {
        (void)!buf_printf(m, "caravan_peer_up{name=\"");
        label(m, peer[i].name);
        (void)!buf_printf(m, "\",role=\"%s\"} %d\n",
                          peer[i].role == MSG_ROLE_ACTOR ? "actor" : "verifier", peer[i].alive);
    }
    family(m, "peer_stat", "untyped", "Figures from heartbeats, by process and name.");
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < b->n_peers; k++) {
            const struct peer_stats *p = &b->peers[k];
            for (size_t s = 0; msg_incarnation_equal(p->incarnation, peer[i].incarnation) &&
                               peer[i].alive && s < p->n;
                 s++) {
                (void)!buf_printf(m, "caravan_peer_stat{name=\"");
                label(m, peer[i].name);
                (void)!buf_printf(m, "\",stat=\"%s\"} %.17g\n", p->stat[s].name, p->stat[s].value);
            }
        }
    }
}

static char *make_metrics(struct board *b, struct coordinator *c,
                          const struct coordinator_status *s, const struct board_service *v,
                          const struct totals *rate, uint64_t now_ms)
{
    struct buf m;
    buf_init(&m, 4 << 20);
    metric(&m, "policy_version_info", "gauge", "Newest published policy version.",
           (double)s->version);
    metric(&m, "steps_total", "counter", "Optimiser steps done.", (double)s->step);
    metric(&m, "no_signal_steps_total", "counter",
           "Steps passed because no group carried a signal.", (double)s->no_signal_steps);
    metric(&m, "zero_spread_groups_total", "counter", "Groups whose rewards were all equal.",
           (double)s->zero_spread);
    metrics_of_samples(&m, b, s);
    family(&m, "groups", "gauge", "Training groups by stage.");
    (void)!buf_printf(&m,
                      "caravan_groups{stage=\"live\"} %llu\ncaravan_groups{stage=\"ready\"} "
                      "%llu\ncaravan_groups{stage=\"admissible\"} %llu\n",
                      (unsigned long long)s->groups_live, (unsigned long long)s->groups_ready,
                      (unsigned long long)s->groups_admissible);
    metric(&m, "logprob_compared_tokens_total", "counter",
           "Tokens of fresh samples whose actor and learner log-probs were compared bit for bit.",
           (double)b->compared);
    metric(&m, "logprob_mismatched_tokens_total", "counter", "Those that differed.",
           (double)b->mismatched);
    metric(&m, "trained_tokens_total", "counter", "Completion tokens in the loss.",
           (double)b->trained_tokens);
    metric(&m, "decode_tokens_per_second", "gauge",
           "Tokens decoded by all actors, over the last ten seconds.", rate->decode);
    metric(&m, "train_tokens_per_second", "gauge",
           "Completion tokens trained, over the last ten seconds.", rate->train);
    metric(&m, "verdicts_per_second", "gauge", "Verdicts received, over the last ten seconds.",
           rate->verdicts);
    metric(&m, "bus_malformed_messages_total", "counter", "Messages refused by the decoder.",
           (double)v->malformed);
    metric(&m, "ledger_transactions_total", "counter", "Transactions written to the ledger.",
           (double)v->journal.transactions);
    metric(&m, "ledger_commits_total", "counter", "Group commits (one fsync each).",
           (double)v->journal.commits);
    metric(&m, "ledger_commit_seconds_total", "counter", "Seconds in commits.",
           v->journal.commit_s);
    family(&m, "queue_length", "gauge", "Entries in a bounded queue.");
    for (size_t i = 0; i < v->n_queues; i++) {
        (void)!buf_printf(&m, "caravan_queue_length{queue=\"%s\"} %zu\n", v->queues[i].name,
                          v->queues[i].len);
    }
    metrics_of_step(&m, b);
    metrics_of_peers(&m, b, c, now_ms);
    char *text = buf_take(&m);
    buf_fini(&m);
    return text;
}

// ---- /healthz ----

static char *make_health(const struct coordinator_wait *w, size_t n, uint64_t now_ms, bool *healthy)
{
    struct buf m;
    buf_init(&m, 1 << 20);
    *healthy = true;
    for (size_t i = 0; i < n; i++) {
        if (w[i].overdue) {
            *healthy = false;
            (void)!buf_printf(&m, "%s waits for %s since %.1f s\n", w[i].who, w[i].what,
                              (double)(now_ms - MIN(now_ms, w[i].since_ms)) / 1000);
        }
    }
    if (*healthy) {
        (void)!buf_printf(&m, "ok\n");
    }
    char *text = buf_take(&m);
    buf_fini(&m);
    return text;
}

void board_refresh(struct board *b, struct coordinator *c, const struct board_service *v,
                   uint64_t now_ms)
{
    struct coordinator_status s;
    struct coordinator_wait waits[MAX_WAITS];
    coordinator_get_status(c, now_ms, &s);
    size_t n = coordinator_waits(c, now_ms, waits, MAX_WAITS);
    struct totals rate = rates(b, now_ms);
    bool healthy;
    char *text[BOARD_TEXTS] = {
        [BOARD_STATUS] = make_status(b, c, &s, v, waits, n, &rate, now_ms),
        [BOARD_METRICS] = make_metrics(b, c, &s, v, &rate, now_ms),
        [BOARD_HEALTH] = make_health(waits, n, now_ms, &healthy),
    };
    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < BOARD_TEXTS; i++) {
        char *old = b->text[i];
        b->text[i] = text[i];
        text[i] = old;
    }
    b->healthy = healthy;
    pthread_mutex_unlock(&b->lock);
    for (size_t i = 0; i < BOARD_TEXTS; i++) {
        free(text[i]);
    }
}

char *board_copy(struct board *b, enum board_text which, size_t *len, bool *healthy)
{
    pthread_mutex_lock(&b->lock);
    char *copy = b->text[which] ? strdup(b->text[which]) : strdup("");
    if (healthy) {
        *healthy = b->healthy;
    }
    pthread_mutex_unlock(&b->lock);
    *len = copy ? strlen(copy) : 0;
    return copy;
}
