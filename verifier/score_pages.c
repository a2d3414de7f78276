// score_pages.c: text for people, JSON for programs, format 0.0.4 for Prometheus.
#include "verifier/score_pages.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/buf.h"
#include "common/clock.h"
#include "verifier/registry.h"

#define PAGE_MAX ((size_t)4 << 20)

// Upper ends in microseconds: a check takes tens of them, a hard sum of polynomials seconds.
static const uint32_t bucket_us[SCORE_PAGES_BUCKETS - 1] = {
    100, 300, 1000, 3000, 10000, 30000, 100000, 300000, 1000000, 3000000, 10000000};

static const char *const cause_names[SCORE_CAUSE_COUNT] = {
    [SCORE_CAUSE_TIMEOUT] = "timeout", [SCORE_CAUSE_CRASH] = "crash",
    [SCORE_CAUSE_SANDBOX] = "sandbox", [SCORE_CAUSE_MEMORY] = "memory",
    [SCORE_CAUSE_WORKER] = "worker",   [SCORE_CAUSE_STOPPED] = "stopped",
    [SCORE_CAUSE_REQUEST] = "request",
};

static const struct {
    const char *begins;
    enum score_cause cause;
} beginnings[] = {
    {"timeout", SCORE_CAUSE_TIMEOUT},
    {"crash", SCORE_CAUSE_CRASH},
    {"sandbox", SCORE_CAUSE_SANDBOX},
    {"out of memory", SCORE_CAUSE_MEMORY},
    {"the check needs more than", SCORE_CAUSE_MEMORY},
    {"no worker", SCORE_CAUSE_WORKER},
    {"the worker ", SCORE_CAUSE_WORKER},
    {"unexpected reply", SCORE_CAUSE_WORKER},
    {"oversized reply", SCORE_CAUSE_WORKER},
    {"malformed reply", SCORE_CAUSE_WORKER},
    {"stopped", SCORE_CAUSE_STOPPED},
    {"", SCORE_CAUSE_REQUEST},
};

void score_pages_count(struct score_snapshot *s, const struct score_result *r, uint32_t elapsed_us)
{
    size_t bucket = 0, i = 0;
    while (bucket < SCORE_PAGES_BUCKETS - 1 && elapsed_us > bucket_us[bucket]) {
        bucket++;
    }
    s->latency[bucket]++;
    s->latency_us_total += elapsed_us;
    if (r->outcome == SCORE_UNSCORED) {
        while (strncmp(r->cause, beginnings[i].begins, strlen(beginnings[i].begins)) != 0) {
            i++;
        }
        s->unscored[beginnings[i].cause]++;
    }
}

// ---- /metrics ----

struct page {
    struct buf text;
    enum err err;    // first one
};

#define PUT(p, ...) ((p)->err = (p)->err ? (p)->err : buf_printf(&(p)->text, __VA_ARGS__))

static void family(struct page *p, const char *name, const char *type, const char *help)
{
    PUT(p, "# HELP caravan_%s %s\n# TYPE caravan_%s %s\n", name, help, name, type);
}

static void number(struct page *p, const char *name, const char *type, const char *help, uint64_t n)
{
    family(p, name, type, help);
    PUT(p, "caravan_%s %llu\n", name, (unsigned long long)n);
}

static void labelled(struct page *p, const char *name, const char *key, const char *value,
                     uint64_t n)
{
    PUT(p, "caravan_%s{%s=\"%s\"} %llu\n", name, key, value, (unsigned long long)n);
}

static void put_latency(struct page *p, const struct score_snapshot *s)
{
    static const char name[] = "verifier_job_seconds";
    uint64_t sum = 0;
    family(p, name, "histogram", "Jobs by the time from first start to verdict, retries included.");
    for (size_t i = 0; i < SCORE_PAGES_BUCKETS - 1; i++) {
        sum += s->latency[i];
        PUT(p, "caravan_%s_bucket{le=\"%g\"} %llu\n", name, bucket_us[i] / 1e6,
            (unsigned long long)sum);
    }
    sum += s->latency[SCORE_PAGES_BUCKETS - 1];
    PUT(p, "caravan_%s_bucket{le=\"+Inf\"} %llu\n", name, (unsigned long long)sum);
    PUT(p, "caravan_%s_sum %.6f\n", name, (double)s->latency_us_total / 1e6);
    PUT(p, "caravan_%s_count %llu\n", name, (unsigned long long)sum);
}

static void put_metrics(struct page *p, const struct score_snapshot *s)
{
    family(p, "uptime_seconds", "gauge", "Since this verifier started.");
    PUT(p, "caravan_uptime_seconds %.3f\n", (double)(clock_mono_ms() - s->start_ms) / 1e3);
    number(p, "verifier_jobs_total", "counter", "Jobs finished.", s->pool.jobs_total);
    family(p, "verifier_unscored_total", "counter", "Jobs that ended without a score, by cause.");
    for (size_t i = 0; i < SCORE_CAUSE_COUNT; i++) {
        labelled(p, "verifier_unscored_total", "cause", cause_names[i], s->unscored[i]);
    }
    number(p, "verifier_retries_total", "counter", "Jobs tried again on a fresh worker.",
           s->pool.retries_total);
    number(p, "verifier_worker_restarts_total", "counter", "Worker processes that were replaced.",
           s->pool.restarts_total);
    number(p, "verifier_workers", "gauge", "Worker processes.", s->pool.workers);
    number(p, "verifier_workers_busy", "gauge", "Workers with a job.", s->pool.busy);
    number(p, "verifier_queue_length", "gauge", "Jobs that wait for a worker.", s->pool.queued);
    family(p, "verifier_requests_total", "counter",
           "POST /score by the status of the answer; 499: the client went away before it.");
    labelled(p, "verifier_requests_total", "status", "200", s->requests_scored);
    labelled(p, "verifier_requests_total", "status", "400", s->requests_invalid);
    labelled(p, "verifier_requests_total", "status", "503", s->requests_busy);
    labelled(p, "verifier_requests_total", "status", "499", s->requests_gone);
    number(p, "verifier_requests_waiting", "gauge", "POST /score not yet answered.",
           s->requests_waiting);
    number(p, "verifier_items_total", "counter", "Items of answered requests.", s->items_total);
    put_latency(p, s);
    if (s->learner.present) {
        number(p, "verifier_greeted", "gauge", "1 once the learner has answered.",
               s->learner.greeted);
        number(p, "verifier_jobs_held", "gauge", "The learner's jobs, scored ones included.",
               s->learner.held);
    }
}

static char *metrics(const struct score_snapshot *s)
{
    struct page p = {.err = ERR_OK};
    buf_init(&p.text, PAGE_MAX);
    put_metrics(&p, s);
    char *text = p.err ? NULL : buf_take(&p.text);
    buf_fini(&p.text);
    return text;
}

// ---- JSON ----

static char *dump(json_t *v, size_t flags)
{
    char *text = v != NULL ? json_dumps(v, flags) : NULL;
    json_decref(v);
    return text;
}

char *score_pages_plugins(const struct plugins *plugins)
{
    json_t *offered = json_array(), *refused = json_array();
    struct plugins_check c;
    const char *text;
    for (size_t i = 0; plugins && plugins_check_at(plugins, i, &c); i++) {
        json_array_append_new(offered, json_pack("{s:s, s:s, s:s, s:[], s:s, s:s}", "id", c.id,
                                                 "version", c.version, "kind", "plug-in", "args",
                                                 "doc", c.doc, "file", c.file));
    }
    for (size_t i = 0; plugins && (text = plugins_refusal_at(plugins, i)) != NULL; i++) {
        json_array_append_new(refused, json_string(text));
    }
    return dump(json_pack("{s:o, s:o}", "offered", offered, "refused", refused), JSON_COMPACT);
}

static json_t *plugins_in(const struct score_snapshot *s, const char *key)
{
    json_t *all = s->plugins ? json_loads(s->plugins, 0, NULL) : NULL;
    json_t *list = json_incref(json_object_get(all, key));
    json_decref(all);
    return list ? list : json_array();
}

static json_t *learner(const struct score_learner *l)
{
    if (!l->present) {
        return json_null();
    }
    double since_s = (double)(clock_mono_ms() - l->heard_ms) / 1e3;
    return json_pack("{s:b, s:o, s:I}", "greeted", l->greeted, "heard_s",
                     l->heard_ms ? json_real(since_s) : json_null(), "held", (json_int_t)l->held);
}

static char *status(const struct score_snapshot *s)
{
    json_t *unscored = json_object();
    for (size_t i = 0; i < SCORE_CAUSE_COUNT; i++) {
        json_object_set_new(unscored, cause_names[i], json_integer((json_int_t)s->unscored[i]));
    }
    json_t *v = json_pack(
        "{s:b, s:b, s:s, s:I, s:{s:I, s:I, s:I}, s:{s:I, s:I, s:I, s:o}, s:{s:I, s:I, s:I, s:I, "
        "s:I, s:I}}",
        "ready", s->ready, "stopping", s->stopping, "sandbox",
        strncmp(s->detail, "sandbox=", 8) == 0 ? s->detail + 8 : "", "uptime_s",
        (json_int_t)((clock_mono_ms() - s->start_ms) / 1000), "workers", "ready",
        (json_int_t)s->pool.workers, "busy", (json_int_t)s->pool.busy, "restarts",
        (json_int_t)s->pool.restarts_total, "jobs", "finished", (json_int_t)s->pool.jobs_total,
        "queued", (json_int_t)s->pool.queued, "retries", (json_int_t)s->pool.retries_total,
        "unscored", unscored, "requests", "waiting", (json_int_t)s->requests_waiting, "scored",
        (json_int_t)s->requests_scored, "invalid", (json_int_t)s->requests_invalid, "busy",
        (json_int_t)s->requests_busy, "gone", (json_int_t)s->requests_gone, "items",
        (json_int_t)s->items_total);
    json_object_set_new(v, "learner", learner(&s->learner));
    json_object_set_new(v, "plugins_refused", plugins_in(s, "refused"));
    return dump(v, JSON_INDENT(1));
}

static json_t *args_of(const struct check_row *row)
{
    static const char *const types[] = {
        [CHECK_ARG_INT] = "integer",      [CHECK_ARG_NUMBER] = "number",
        [CHECK_ARG_BOOL] = "boolean",     [CHECK_ARG_STR] = "string",
        [CHECK_ARG_STR_LIST] = "strings", [CHECK_ARG_RELATION] = "relation",
    };
    json_t *args = json_array();
    for (const struct check_arg_spec *a = row->args; a->type != CHECK_ARG_END; a++) {
        json_t *arg = json_pack("{s:s, s:s, s:b}", "name", a->name, "type", types[a->type],
                                "required", a->fallback == NULL);
        if (a->fallback != NULL) {
            json_object_set_new(arg, "default", json_loads(a->fallback, JSON_DECODE_ANY, NULL));
        }
        json_array_append_new(args, arg);
    }
    return args;
}

static char *checks(const struct score_snapshot *s)
{
    static const char *const kinds[] = {
        [CHECK_INSTRUCTION] = "instruction",
        [CHECK_FUNCTION] = "function",
        [CHECK_TRUTH] = "truth",
        [CHECK_SUITE] = "suite",
    };
    json_t *list = json_array();
    for (size_t i = 0; i < registry_count(); i++) {
        const struct check_row *row = registry_at(i);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o, s:s}", "id", row->id, "version",
                                              row->version, "kind", kinds[row->kind], "args",
                                              args_of(row), "doc", row->doc));
    }
    json_t *plugged = plugins_in(s, "offered");
    json_array_extend(list, plugged);
    json_decref(plugged);
    return dump(list, JSON_INDENT(1));
}

void score_pages_error(int status_code, const char *text, struct http_reply *out)
{
    json_t *body = json_pack("{s:s}", "error", text);    // NULL too when text is no UTF-8
    if (body == NULL) {
        char plain[sizeof((struct why *)0)->text];
        size_t n = 0;
        for (; text[n] != 0 && n + 1 < sizeof plain; n++) {
            plain[n] = (char)((unsigned char)text[n] < 0x80 ? text[n] : '?');
        }
        plain[n] = 0;
        body = json_pack("{s:s}", "error", plain);
    }
    *out = (struct http_reply){.status = status_code,
                               .content_type = "application/json",
                               .body = dump(body, JSON_COMPACT),
                               .retry_after_s = status_code == 503 ? 1 : 0};
    out->len = out->body != NULL ? strlen(out->body) : 0;
}

static const char *const pages[] = {"/healthz", "/status", "/metrics", "/checks"};

bool score_pages_has(const char *path)
{
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        if (strcmp(path, pages[i]) == 0) {
            return true;
        }
    }
    return false;
}

void score_pages_render(const struct score_snapshot *s, const char *path, struct http_reply *out)
{
    *out = (struct http_reply){.status = 200, .content_type = "application/json"};
    if (strcmp(path, "/score") == 0) {
        score_pages_error(405, "POST a list of items", out);
        out->allow = "POST";
        return;
    }
    if (!score_pages_has(path)) {
        score_pages_error(404, "POST /score, or try /status, /metrics, /checks or /healthz", out);
        return;
    }
    if (strcmp(path, "/status") == 0) {
        out->body = status(s);
    } else if (strcmp(path, "/checks") == 0) {
        out->body = checks(s);
    } else if (strcmp(path, "/metrics") == 0) {
        out->content_type = "text/plain; version=0.0.4; charset=utf-8";
        out->body = metrics(s);
    } else {
        bool healthy = s->ready && !s->stopping;
        out->content_type = "text/plain; charset=utf-8";
        out->status = healthy ? 200 : 503;
        out->body = strdup(healthy ? "ok\n" : s->stopping ? "stopping\n" : "starting\n");
    }
    if (out->body == NULL) {
        out->status = 500;
        return;
    }
    out->len = strlen(out->body);
}
