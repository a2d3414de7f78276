// board_status.c: /status, one JSON object: the coordinator's view plus what heartbeats said.
//
//   run_id, run_dir, phase, step, version, epoch, training, stopping, uptime_s, run_minutes
//   reward {last, trend[]}   staleness {mean, max, bound}   groups {live, ready, admissible, bound}
//   samples {issued, by state…, duplicates, superseded, reissued}   drops {reason: n}
//   rates {decode_tokens_per_s, train_tokens_per_s, verdicts_per_s}
//   verdicts {score, zero, unscored, unscored_by_cause}   logprob {compared…, mismatched…}
//   eval {running, last}   last_step: its row of metrics.jsonl   queues {name: {len, cap}}
//   peers [{name, role, detail, alive, leases, heard_s, waits_for, waits_ms, stats}]
//   waits [{who, what, since_s, overdue}]   recovery {steps_rerun, seconds}   address, http
#include "learner/board_internal.h"

static json_t *of_count(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *of_samples(const struct coordinator_status *s)
{
    json_t *o = json_pack("{s:I}", "issued", (json_int_t)s->issued);
    for (size_t i = 0; i < LEDGER_STATE_COUNT; i++) {
        json_object_set_new(o, ledger_state_name((enum ledger_state)i), of_count(s->by_state[i]));
    }
    json_object_set_new(o, "duplicates", of_count(s->duplicates));
    json_object_set_new(o, "superseded", of_count(s->superseded));
    json_object_set_new(o, "reissued", of_count(s->reissued));
    return o;
}

static json_t *of_groups(const struct coordinator_status *s)
{
    return json_pack("{s:I,s:I,s:I,s:I}", "live", (json_int_t)s->groups_live, "ready",
                     (json_int_t)s->groups_ready, "admissible", (json_int_t)s->groups_admissible,
                     "bound", (json_int_t)s->groups_bound);
}

static json_t *of_drops(const struct coordinator_status *s)
{
    json_t *o = json_object();
    for (size_t i = 0; i < s->n_drops; i++) {
        json_object_set_new(o, s->drops[i].reason, of_count(s->drops[i].n));
    }
    return o;
}

static json_t *of_peer(const struct board_peer *p)
{
    json_t *o = json_pack("{s:s,s:s,s:s,s:b,s:I,s:f}", "name", p->name, "role", board_role(p->role),
                          "detail", p->detail, "alive", p->alive, "leases", (json_int_t)p->leases,
                          "heard_s", p->heard_s);
    json_t *stats = json_object();
    for (size_t i = 0; p->heard && i < p->heard->n; i++) {
        // NaN and infinity are not JSON: json_real refuses them, and they stay away.
        json_object_set_new(stats, p->heard->stat[i].name, json_real(p->heard->stat[i].value));
    }
    json_object_set_new(o, "stats", stats);
    json_object_set_new(o, "waits_for", json_string(p->heard ? p->heard->waits_for : ""));
    json_object_set_new(o, "waits_ms", of_count(p->heard ? p->heard->waits_ms : 0));
    return o;
}

static json_t *of_peers(const struct board_view *v)
{
    json_t *list = json_array();
    for (size_t i = 0; i < v->n_peers; i++) {
        json_array_append_new(list, of_peer(&v->peers[i]));
    }
    return list;
}

static json_t *of_waits(const struct board_view *v)
{
    json_t *list = json_array();
    for (size_t i = 0; i < v->n_waits; i++) {
        const struct coordinator_wait *w = &v->waits[i];
        json_array_append_new(list, json_pack("{s:s,s:s,s:f,s:b}", "who", w->who, "what", w->what,
                                              "since_s", board_since_s(v, w->since_ms), "overdue",
                                              w->overdue));
    }
    return list;
}

static json_t *of_reward(const struct board *b)
{
    json_t *trend = json_array();
    for (size_t i = 0; i < b->n_trend; i++) {
        json_array_append_new(trend, json_real(b->trend[i]));
    }
    return json_pack("{s:f,s:o}", "last", b->n_trend ? b->trend[b->n_trend - 1] : 0.0, "trend",
                     trend);
}

static json_t *of_staleness(const struct board *b)
{
    const json_t *mean = json_object_get(b->last_step, "staleness_mean"),
                 *max = json_object_get(b->last_step, "staleness_max");
    return json_pack("{s:f,s:f,s:I}", "mean", json_number_value(mean), "max",
                     json_number_value(max), "bound", (json_int_t)b->run->conf.staleness_max);
}

static json_t *of_queues(const struct board_service *s)
{
    json_t *o = json_object();
    for (size_t i = 0; i < s->n_queues; i++) {
        json_object_set_new(o, s->queues[i].name,
                            json_pack("{s:I,s:I}", "len", (json_int_t)s->queues[i].len, "cap",
                                      (json_int_t)s->queues[i].cap));
    }
    return o;
}

static json_t *of_verdicts(const struct board *b)
{
    json_t *causes = json_object();
    for (size_t i = 0; i < b->n_causes; i++) {
        json_object_set_new(causes, b->cause[i].name, of_count(b->cause[i].n));
    }
    return json_pack("{s:I,s:I,s:I,s:o}", "score", (json_int_t)b->verdicts[MSG_OUTCOME_SCORE],
                     "zero", (json_int_t)b->verdicts[MSG_OUTCOME_ZERO], "unscored",
                     (json_int_t)b->verdicts[MSG_OUTCOME_UNSCORED], "unscored_by_cause", causes);
}

static json_t *of_rates(const struct board_rates *r)
{
    return json_pack("{s:f,s:f,s:f}", "decode_tokens_per_s", r->decode, "train_tokens_per_s",
                     r->train, "verdicts_per_s", r->verdicts);
}

static json_t *of_eval(const struct board *b, const struct coordinator_status *s)
{
    json_t *running = s->eval_id
                          ? json_pack("{s:I,s:I,s:I}", "id", (json_int_t)s->eval_id, "n",
                                      (json_int_t)s->eval_n, "done", (json_int_t)s->eval_done)
                          : json_null();
    return json_pack("{s:o,s:o}", "running", running, "last",
                     b->last_eval ? json_incref(b->last_eval) : json_null());
}

static void set_run(json_t *o, const struct board *b, const struct board_view *v)
{
    const struct coordinator_status *s = v->status;
    json_object_set_new(o, "run_id", json_string(b->run->run_id));
    json_object_set_new(o, "run_dir", json_string(b->run->dir));
    json_object_set_new(o, "phase", json_string(b->phase));
    json_object_set_new(o, "version", of_count(s->version));
    json_object_set_new(o, "step", of_count(s->step));
    json_object_set_new(o, "epoch", of_count(s->epoch));
    json_object_set_new(o, "training", json_boolean(s->training));
    json_object_set_new(o, "stopping", s->stopping ? json_string(s->stopping) : json_null());
    json_object_set_new(o, "uptime_s", json_real(board_since_s(v, b->start_ms)));
    json_object_set_new(o, "run_minutes", json_real(s->run_minutes));
    json_object_set_new(o, "address", json_string(v->service->address));
    json_object_set_new(o, "http", json_string(v->service->http));
    json_object_set_new(o, "recovery",
                        json_pack("{s:I,s:f}", "steps_rerun", (json_int_t)b->run->steps_rerun,
                                  "seconds", b->run->recovery_s));
}

char *board_make_status(const struct board *b, const struct board_view *v)
{
    const struct coordinator_status *s = v->status;
    json_t *o = json_object();
    set_run(o, b, v);
    json_object_set_new(o, "reward", of_reward(b));
    json_object_set_new(o, "staleness", of_staleness(b));
    json_object_set_new(o, "groups", of_groups(s));
    json_object_set_new(o, "samples", of_samples(s));
    json_object_set_new(o, "drops", of_drops(s));
    json_object_set_new(o, "rates", of_rates(&v->rates));
    json_object_set_new(o, "verdicts", of_verdicts(b));
    json_object_set_new(o, "logprob",
                        json_pack("{s:I,s:I}", "compared_tokens_total", (json_int_t)b->compared,
                                  "mismatched_tokens_total", (json_int_t)b->mismatched));
    json_object_set_new(o, "eval", of_eval(b, s));
    json_object_set_new(o, "last_step", b->last_step ? json_incref(b->last_step) : json_null());
    json_object_set_new(o, "queues", of_queues(v->service));
    json_object_set_new(o, "peers", of_peers(v));
    json_object_set_new(o, "waits", of_waits(v));
    char *text = json_dumps(o, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    json_decref(o);
    return text;
}
