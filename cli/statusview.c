// statusview.c: formatting; whatever shows a run (run, status, top) calls these.
//
// Text is gathered in a buffer and printed by the caller, so that a redrawn block never appears
// half. Numbers are short on purpose (three digits and a unit): whoever needs more asks for --json.
#include "cli/statusview.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fs.h"
#include "common/json.h"
#include "proto/http.h"

#define STATUS_MAX_BYTES ((size_t)16 << 20)

const json_t *status_at(const json_t *o, const char *path)
{
    char key[64];
    while (o && *path) {
        size_t len = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)len, path);
        o = json_object_get(o, key);
        path += len + (path[len] == '.');
    }
    return o;
}

double status_num(const json_t *o, const char *path)
{
    return json_number_value(status_at(o, path));
}

const char *status_str(const json_t *o, const char *path)
{
    const char *s = json_string_value(status_at(o, path));
    return s ? s : "";
}

// Mean of the values that fall into column i of `columns`.
static double column_mean(const json_t *values, size_t i, size_t columns)
{
    size_t n = json_array_size(values), from = i * n / columns, to = (i + 1) * n / columns;
    double sum = 0;
    for (size_t k = from; k < to; k++) {
        sum += json_number_value(json_array_get(values, k));
    }
    return sum / (double)(to - from);
}

enum err spark_append(struct buf *out, const json_t *values, size_t columns)
{
    static const char *const block[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    size_t n = json_array_size(values);
    columns = MIN(columns, n);
    double lo = INFINITY, hi = -INFINITY;
    for (size_t i = 0; i < columns; i++) {
        double x = column_mean(values, i, columns);
        lo = fmin(lo, x);
        hi = fmax(hi, x);
    }
    enum err e = ERR_OK;
    double span = fmax(hi - lo, 0.1);
    for (size_t i = 0; i < columns && !e; i++) {
        double x = (column_mean(values, i, columns) - lo) / span;
        int height = isfinite(x) ? (int)(x * 7 + 0.5) : 0;
        e = buf_printf(out, "%s", block[MAX(0, MIN(7, height))]);
    }
    return e;
}

void status_count(char out[STATUS_NUMBER_BYTES], double x)
{
    if (x < 99.95) {
        snprintf(out, STATUS_NUMBER_BYTES, "%.*f", x < 9.95 && x > 0 ? 1 : 0, x);
    } else if (x < 9999.5) {
        snprintf(out, STATUS_NUMBER_BYTES, "%.0f", x);
    } else if (x < 999950) {
        snprintf(out, STATUS_NUMBER_BYTES, "%.1fk", x / 1e3);
    } else {
        snprintf(out, STATUS_NUMBER_BYTES, "%.1fM", fmin(x / 1e6, 99999));
    }
}

void status_duration(char out[STATUS_NUMBER_BYTES], double seconds)
{
    long s = (long)fmin(fmax(seconds, 0), 3.6e8);
    if (s < 60) {
        snprintf(out, STATUS_NUMBER_BYTES, "%ld s", s);
    } else if (s < 3600) {
        snprintf(out, STATUS_NUMBER_BYTES, "%ld:%02ld", s / 60, s % 60);
    } else {
        snprintf(out, STATUS_NUMBER_BYTES, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    }
}

enum err status_fetch(const char *where, uint32_t timeout_ms, json_t **out, struct why *why)
{
    struct stat st;
    bool folder = stat(where, &st) == 0 && S_ISDIR(st.st_mode);
    char *address = folder ? fs_path("%s/http.sock", where) : strdup(where);
    char *body = NULL;
    size_t len = 0;
    int code = 0;
    enum err e = address ? http_get(address, "/status", timeout_ms, STATUS_MAX_BYTES, &code, &body,
                                    &len, why)
                         : why_set(why, ERR_NOMEM, "out of memory");
    if (!e && code != 200) {
        e = why_set(why, ERR_INVALID, "%s: /status answered %d", address, code);
    }
    e = e ? e : json_parse(body, len, address, out, why);
    free(body);
    free(address);
    return e;
}

// ---- texts ----

struct out {
    struct buf *buf;
    enum err err;
};

static void put(struct out *o, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void put(struct out *o, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    o->err = o->err ? o->err : buf_printf(o->buf, "%s", text);
}

static void put_reward(struct out *o, const json_t *s)
{
    const json_t *trend = status_at(s, "reward.trend");
    if (!json_array_size(trend)) {
        put(o, "reward     no step yet\n");
        return;
    }
    put(o, "reward     %-8.3f ", status_num(s, "reward.last"));
    o->err = o->err ? o->err : spark_append(o->buf, trend, 40);
    put(o, "  (first shown %.3f)\n", json_number_value(json_array_get(trend, 0)));
}

static void put_eval(struct out *o, const json_t *s)
{
    const json_t *running = status_at(s, "eval.running"), *last = status_at(s, "eval.last");
    if (json_is_object(running)) {
        put(o, "held-out   evaluating: %.0f of %.0f answers\n", status_num(running, "done"),
            status_num(running, "n"));
    } else if (json_is_object(last)) {
        put(o, "held-out   %.3f on %.0f tasks, version %.0f\n", status_num(last, "reward"),
            status_num(last, "n"), status_num(last, "version"));
    }
}

static void put_queues(struct out *o, const json_t *s)
{
    void *it;
    json_t *queues = json_object_get(s, "queues");
    put(o, "queues     groups %.0f of %.0f", status_num(s, "groups.live"),
        status_num(s, "groups.bound"));
    for (it = json_object_iter(queues); it; it = json_object_iter_next(queues, it)) {
        const json_t *q = json_object_iter_value(it);
        put(o, ", %s %.0f of %.0f", json_object_iter_key(it), status_num(q, "len"),
            status_num(q, "cap"));
    }
    put(o, "\n");
}

static void put_drops(struct out *o, const json_t *s)
{
    void *it;
    json_t *drops = json_object_get(s, "drops");
    if (status_num(s, "samples.dropped") <= 0) {
        return;
    }
    put(o, "dropped    %.0f", status_num(s, "samples.dropped"));
    for (it = json_object_iter(drops); it; it = json_object_iter_next(drops, it)) {
        put(o, ", %s %.0f", json_object_iter_key(it),
            json_number_value(json_object_iter_value(it)));
    }
    put(o, "\n");
}

static void put_waits(struct out *o, const json_t *s, bool full)
{
    const json_t *w, *list = json_object_get(s, "waits");
    size_t i;
    json_array_foreach(list, i, w)
    {
        bool overdue = json_is_true(json_object_get(w, "overdue"));
        if (full || overdue) {
            put(o, "%s %s waits for %s (%.1f s)\n", overdue ? "OVERDUE   " : "waits     ",
                status_str(w, "who"), status_str(w, "what"), status_num(w, "since_s"));
        }
    }
}

enum err status_print(struct buf *out, const json_t *s, bool full)
{
    struct out o = {.buf = out};
    char decode[STATUS_NUMBER_BYTES], train[STATUS_NUMBER_BYTES], up[STATUS_NUMBER_BYTES];
    status_duration(up, status_num(s, "uptime_s"));
    status_count(decode, status_num(s, "rates.decode_tokens_per_s"));
    status_count(train, status_num(s, "rates.train_tokens_per_s"));
    put(&o, "step       %-8.0f version %.0f, %s, up %s\n", status_num(s, "step"),
        status_num(s, "version"), status_str(s, "phase"), up);
    put_reward(&o, s);
    put_eval(&o, s);
    put(&o, "tokens/s   %s decoded by actors, %s trained by the learner\n", decode, train);
    put(&o, "staleness  mean %.2f, largest %.0f (bound %.0f)\n", status_num(s, "staleness.mean"),
        status_num(s, "staleness.max"), status_num(s, "staleness.bound"));
    put(&o, "verifiers  %.1f verdicts/s, %.0f unscored\n", status_num(s, "rates.verdicts_per_s"),
        status_num(s, "verdicts.unscored"));
    put_queues(&o, s);
    put_drops(&o, s);
    if (status_num(s, "logprob.mismatched_tokens_total") > 0) {
        put(&o, "MISMATCH   %.0f of %.0f log-probs differ between actor and learner\n",
            status_num(s, "logprob.mismatched_tokens_total"),
            status_num(s, "logprob.compared_tokens_total"));
    }
    if (full) {
        o.err = o.err ? o.err : status_print_peers(out, s);
    }
    put_waits(&o, s, full);
    return o.err;
}

// What a peer reports that fits into a column, by role.
static void put_peer_figures(struct out *o, const json_t *p)
{
    const json_t *stats = json_object_get(p, "stats");
    char tokens[STATUS_NUMBER_BYTES];
    if (strcmp(status_str(p, "role"), "actor") == 0) {
        status_count(tokens, status_num(stats, "decode_tokens_total"));
        put(o, "v%-5.0f %6s tokens, %3.0f slots busy, weights %s", status_num(stats, "version"),
            tokens, status_num(stats, "slots_busy"),
            status_num(stats, "weights_in_slab") > 0 ? "in a slab" : "its own");
    } else {
        status_count(tokens, status_num(stats, "verify_jobs_total"));
        put(o, "%6s jobs, %2.0f of %.0f workers busy, %.0f restarts", tokens,
            status_num(stats, "workers_busy"), status_num(stats, "workers"),
            status_num(stats, "worker_restarts_total"));
    }
}

enum err status_print_peers(struct buf *out, const json_t *s)
{
    struct out o = {.buf = out};
    const json_t *p, *peers = json_object_get(s, "peers");
    size_t i;
    put(&o, "\n%-14s %-9s %-6s %-22s %6s  %s\n", "name", "role", "alive", "detail", "leases",
        "work");
    json_array_foreach(peers, i, p)
    {
        put(&o, "%-14.14s %-9.9s %-6s %-22.22s %6.0f  ", status_str(p, "name"),
            status_str(p, "role"), json_is_true(json_object_get(p, "alive")) ? "yes" : "NO",
            status_str(p, "detail"), status_num(p, "leases"));
        put_peer_figures(&o, p);
        if (*status_str(p, "waits_for")) {
            put(&o, "; waits for %.60s (%.1f s)", status_str(p, "waits_for"),
                status_num(p, "waits_ms") / 1000);
        }
        put(&o, "\n");
    }
    put(&o, "\n");
    return o.err;
}
