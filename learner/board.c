// board.c: figures as they come, texts as they are asked for.
//
// Rates are differences over the last BOARD_WINDOW seconds of totals. An actor that restarts begins
// its totals at 0; the window then shows less for a while, never a negative number.
#include "learner/board.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "learner/board_internal.h"
#include "model/utf8.h"

enum err board_create(const struct run *r, struct board **out)
{
    struct board *b = calloc(1, sizeof *b);
    if (!b) {
        return ERR_NOMEM;
    }
    b->run = r;
    b->start_ms = clock_mono_ms();
    b->phase = "starting";
    b->healthy = true;
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

// ---- text from outside ----

// Names of figures become names of metrics: only [a-z0-9_] passes.
static bool stat_name(const struct msg_text *t, char *out, size_t cap)
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

// ---- collecting ----

static struct board_heard *find_heard(struct board *b, struct msg_incarnation id)
{
    for (size_t i = 0; i < b->n_heard; i++) {
        if (msg_incarnation_equal(b->heard[i].incarnation, id)) {
            return &b->heard[i];
        }
    }
    return NULL;
}

// The one unheard of for the longest time makes room.
static struct board_heard *new_heard(struct board *b, struct msg_incarnation id)
{
    struct board_heard *h = &b->heard[0];
    if (b->n_heard < BOARD_PEERS) {
        h = &b->heard[b->n_heard++];
    }
    for (size_t i = 0; i < b->n_heard && b->n_heard == BOARD_PEERS; i++) {
        h = b->heard[i].heard_ms < h->heard_ms ? &b->heard[i] : h;
    }
    *h = (struct board_heard){.incarnation = id};
    return h;
}

void board_heartbeat(struct board *b, const struct msg_heartbeat *m, uint64_t now_ms)
{
    struct board_heard *h = find_heard(b, m->incarnation);
    h = h ? h : new_heard(b, m->incarnation);
    h->heard_ms = now_ms;
    h->n = 0;
    for (size_t i = 0; i < m->n_stats && h->n < LIMIT_STATS; i++) {
        if (stat_name(&m->stats[i].name, h->stat[h->n].name, sizeof h->stat[h->n].name)) {
            h->stat[h->n++].value = m->stats[i].value;
        }
    }
    utf8_clean(h->waits_for, sizeof h->waits_for, m->waits_for.data, m->waits_for.len);
    h->waits_ms = m->waits_ms;
}

double board_heard_max(const struct board *b, const char *stat, uint64_t since_ms)
{
    double max = -1;
    for (size_t i = 0; i < b->n_heard; i++) {
        const struct board_heard *h = &b->heard[i];
        for (size_t k = 0; h->heard_ms >= since_ms && k < h->n; k++) {
            max = strcmp(h->stat[k].name, stat) == 0 ? MAX(max, h->stat[k].value) : max;
        }
    }
    return max;
}

static void count_cause(struct board *b, const char *name)
{
    size_t i = 0;
    while (i < b->n_causes && strcmp(b->cause[i].name, name) != 0) {
        i++;
    }
    if (i == b->n_causes && i + 1 >= BOARD_CAUSES) {
        i = BOARD_CAUSES - 1;
        name = "other";
    }
    if (i >= b->n_causes) {
        b->n_causes = i + 1;
        snprintf(b->cause[i].name, sizeof b->cause[i].name, "%s", name);
    }
    b->cause[i].n++;
}

void board_verdict(struct board *b, enum msg_outcome outcome, const char *cause, size_t cause_len)
{
    char name[sizeof b->cause[0].name];
    b->verdicts[outcome & 3]++;
    if (outcome == MSG_OUTCOME_UNSCORED) {
        utf8_clean(name, sizeof name, cause, cause_len);
        count_cause(b, name);
    }
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
    if (b->n_trend == BOARD_TREND) {
        memmove(b->trend, b->trend + 1, (BOARD_TREND - 1) * sizeof *b->trend);
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
    for (size_t i = 0; i < b->n_heard; i++) {
        for (size_t k = 0; k < b->heard[i].n; k++) {
            sum += strcmp(b->heard[i].stat[k].name, name) == 0 ? b->heard[i].stat[k].value : 0;
        }
    }
    return sum;
}

static struct board_rates rates(struct board *b, uint64_t now_ms)
{
    struct board_totals now = {.at_ms = now_ms,
                               .decode = stat_sum(b, "decode_tokens_total"),
                               .train = (double)b->trained_tokens,
                               .verdicts = (double)(b->verdicts[MSG_OUTCOME_SCORE] +
                                                    b->verdicts[MSG_OUTCOME_ZERO] +
                                                    b->verdicts[MSG_OUTCOME_UNSCORED])};
    if (b->n_window == 0 || now_ms - b->window[b->n_window - 1].at_ms >= 1000) {
        if (b->n_window == BOARD_WINDOW + 1) {
            memmove(b->window, b->window + 1, BOARD_WINDOW * sizeof *b->window);
            b->n_window--;
        }
        b->window[b->n_window++] = now;
    }
    const struct board_totals *then = &b->window[0];
    double s = (double)(now_ms - then->at_ms) / 1000;
    if (s <= 0) {
        return (struct board_rates){0};
    }
    return (struct board_rates){.decode = MAX(0, (now.decode - then->decode) / s),
                                .train = MAX(0, (now.train - then->train) / s),
                                .verdicts = MAX(0, (now.verdicts - then->verdicts) / s)};
}

// ---- /healthz ----

char *board_make_health(const struct board_view *v, bool *healthy)
{
    struct buf m;
    enum err e = ERR_OK;
    buf_init(&m, 1 << 20);
    *healthy = true;
    for (size_t i = 0; i < v->n_waits && !e; i++) {
        const struct coordinator_wait *w = &v->waits[i];
        if (w->overdue) {
            *healthy = false;
            e = buf_printf(&m, "%s waits for %s since %.1f s\n", w->who, w->what,
                           board_since_s(v, w->since_ms));
        }
    }
    if (*healthy) {
        e = buf_printf(&m, "ok\n");
    }
    char *text = e ? NULL : buf_take(&m);
    buf_fini(&m);
    return text;
}

// ---- texts ----

static size_t view_peers(struct board *b, struct coordinator *c, uint64_t now_ms)
{
    struct coordinator_peer peer[BOARD_PEERS];
    size_t n = coordinator_peers(c, now_ms, peer, BOARD_PEERS);
    for (size_t i = 0; i < n; i++) {
        struct board_peer *p = &b->peers[i];
        *p = (struct board_peer){.incarnation = peer[i].incarnation,
                                 .role = peer[i].role,
                                 .leases = peer[i].leases,
                                 .heard_s = (double)(now_ms - MIN(now_ms, peer[i].heard_ms)) / 1000,
                                 .alive = peer[i].alive,
                                 .heard = find_heard(b, peer[i].incarnation)};
        utf8_clean(p->name, sizeof p->name, peer[i].name, strlen(peer[i].name));
        utf8_clean(p->detail, sizeof p->detail, peer[i].detail, strlen(peer[i].detail));
    }
    return n;
}

static size_t view_waits(struct coordinator *c, uint64_t now_ms, struct coordinator_wait *waits)
{
    size_t n = coordinator_waits(c, now_ms, waits, BOARD_WAITS);
    for (size_t i = 0; i < n; i++) {
        struct coordinator_wait raw = waits[i];
        utf8_clean(waits[i].who, sizeof waits[i].who, raw.who, strlen(raw.who));
        utf8_clean(waits[i].what, sizeof waits[i].what, raw.what, strlen(raw.what));
    }
    return n;
}

void board_refresh(struct board *b, struct coordinator *c, const struct board_service *s,
                   uint64_t now_ms)
{
    struct coordinator_status status;
    struct coordinator_wait waits[BOARD_WAITS];
    coordinator_get_status(c, now_ms, &status);
    struct board_view v = {.status = &status,
                           .service = s,
                           .waits = waits,
                           .n_waits = view_waits(c, now_ms, waits),
                           .peers = b->peers,
                           .n_peers = view_peers(b, c, now_ms),
                           .rates = rates(b, now_ms),
                           .now_ms = now_ms};
    bool healthy;
    char *text[BOARD_TEXTS] = {[BOARD_STATUS] = board_make_status(b, &v),
                               [BOARD_METRICS] = board_make_metrics(b, &v),
                               [BOARD_HEALTH] = board_make_health(&v, &healthy)};
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
