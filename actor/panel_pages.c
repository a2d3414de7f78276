// panel_pages.c: the three pages, each made from one snapshot.
//
// /status: {role, name, phase, uptime_s, device, learner {…}, waits, slots {…}, samples {…},
// tokens {…}, passes {…}, kv_pages {…}, weights {…}, troubles {…}}; members that have nothing to say
// are null. /metrics carries the same figures under the names that the learner gives them.
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "actor/panel.h"
#include "common/buf.h"

#define PAGE_MAX ((size_t)1 << 20)

static double seconds_since(uint64_t then_ms, uint64_t now_ms)
{
    return now_ms > then_ms ? (double)(now_ms - then_ms) / 1e3 : 0;
}

static const char *phase_of(const struct panel_snapshot *s)
{
    return s->stopping     ? "stopping"
           : !s->greeted   ? "connecting"
           : !s->loaded    ? "loading"
           : s->slots_busy ? "decoding"
                           : "idle";
}

// 1 when nothing was decoded yet.
static double kept_mass(const struct panel_snapshot *s)
{
    return s->decode_tokens ? (double)s->kept_mass_e6 / 1e6 / (double)s->decode_tokens : 1;
}

// ---- /healthz ----

// What keeps the actor from being healthy, or "".
static const char *illness(const struct panel_snapshot *s, uint64_t now_ms, double *for_s)
{
    *for_s = seconds_since(s->own.start_ms, now_ms);
    if (s->stopping) {
        return "stopping, up";
    }
    if (!s->greeted) {
        return "connecting: no answer from the learner";
    }
    if (!s->loaded) {
        return "loading: no weights";
    }
    *for_s = seconds_since(s->heard_ms, now_ms);
    if (*for_s * 1e3 > PANEL_SILENCE_MS) {
        return "no word from the learner";
    }
    *for_s = seconds_since(s->own.moved_ms, now_ms);
    if (s->slots_busy && *for_s * 1e3 > PANEL_STALL_MS) {
        return "samples in slots and no forward pass";
    }
    return "";
}

static char *health(const struct panel_snapshot *s, uint64_t now_ms, int *status)
{
    double for_s;
    const char *what = illness(s, now_ms, &for_s);
    if (!what[0]) {
        return strdup("ok\n");
    }
    struct buf text;
    buf_init(&text, PAGE_MAX);
    enum err e = buf_printf(&text, "%s for %.0f s\n", what, for_s);
    char *out = e ? NULL : buf_take(&text);
    buf_fini(&text);
    *status = 503;
    return out;
}

// ---- /status ----

static json_t *count(uint64_t n)
{
    return json_integer((json_int_t)MIN(n, (uint64_t)INT64_MAX));
}

static json_t *learner(const struct panel_snapshot *s, uint64_t now_ms)
{
    return json_pack("{s:s, s:s, s:b, s:o}", "address", s->learner, "run_id", s->run_id, "greeted",
                     s->greeted, "heard_s",
                     s->heard_ms ? json_real(seconds_since(s->heard_ms, now_ms)) : json_null());
}

static json_t *waits(const struct panel_snapshot *s, uint64_t now_ms)
{
    if (!s->waits_for[0] || !s->waits_since_ms) {
        return json_null();
    }
    return json_pack("{s:s, s:f}", "for", s->waits_for, "s",
                     seconds_since(s->waits_since_ms, now_ms));
}

static json_t *weights(const struct panel_snapshot *s)
{
    json_t *held = json_array();
    for (size_t i = 0; i < ENGINE_SLABS; i++) {
        if (s->versions[i]) {
            json_array_append_new(held, count(s->versions[i]));
        }
    }
    json_t *fetching = s->fetching
                           ? json_pack("{s:o, s:o, s:o}", "version", count(s->fetching), "bytes",
                                       count(s->fetched), "total", count(s->fetch_total))
                           : json_null();
    return json_pack("{s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "version", count(s->loaded), "newest",
                     count(s->newest), "held", held, "transport", s->mapped ? "slab" : "chunks",
                     "slabs", count(s->slabs), "swaps", count(s->swaps), "fetching", fetching);
}

static json_t *troubles(const struct panel_own *o)
{
    json_t *last = o->troubles ? json_pack("{s:s, s:s, s:o}", "event", o->trouble_event, "text",
                                           o->trouble_text, "at_ms", json_integer(o->trouble_at_ms))
                               : json_null();
    return json_pack("{s:o, s:o}", "count", count(o->troubles), "last", last);
}

static char *status(const struct panel_snapshot *s, uint64_t now_ms)
{
    json_t *slots = json_pack("{s:o, s:o, s:o}", "total", count(s->slots), "busy",
                              count(s->slots_busy), "waiting", count(s->waiting));
    json_t *samples =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "held", count(s->held), "outbox",
                  count(s->outbox), "submitting", count(s->submits), "finished", count(s->finished),
                  "abandoned", count(s->abandoned), "straddling", count(s->straddling));
    json_t *tokens =
        json_pack("{s:o, s:o, s:f, s:f, s:f}", "decoded", count(s->decode_tokens), "prefilled",
                  count(s->prefill_tokens), "decode_per_s", s->own.decode_per_s, "prefill_per_s",
                  s->own.prefill_per_s, "kept_mass", kept_mass(s));
    json_t *passes =
        json_pack("{s:o, s:f}", "count", count(s->passes), "busy_s", (double)s->busy_us / 1e6);
    json_t *kv =
        json_pack("{s:o, s:o}", "total", count(s->kv_pages), "used", count(s->kv_pages_used));
    json_t *v = json_pack("{s:s, s:s, s:s, s:f, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                          "role", "actor", "name", s->own.name, "phase", phase_of(s), "uptime_s",
                          seconds_since(s->own.start_ms, now_ms), "device", s->own.device,
                          "learner", learner(s, now_ms), "waits", waits(s, now_ms), "slots", slots,
                          "samples", samples, "tokens", tokens, "passes", passes, "kv_pages", kv,
                          "weights", weights(s), "troubles", troubles(&s->own));
    char *text = v ? json_dumps(v, JSON_INDENT(1)) : NULL;
    json_decref(v);
    return text;
}

// ---- /metrics ----

struct page {
    struct buf text;
    enum err err;    // first one
};

static void number(struct page *p, const char *name, const char *type, const char *help, double n)
{
    if (!p->err) {
        p->err =
            buf_printf(&p->text, "# HELP caravan_%s %s\n# TYPE caravan_%s %s\ncaravan_%s %.15g\n",
                       name, help, name, type, name, n);
    }
}

static void put_counters(struct page *p, const struct panel_snapshot *s)
{
    number(p, "actor_decode_tokens_total", "counter", "Tokens decoded.", (double)s->decode_tokens);
    number(p, "actor_kept_mass_total", "counter",
           "Probability left by top-k, top-p and min-p, summed over tokens decoded.",
           (double)s->kept_mass_e6 / 1e6);
    number(p, "actor_prefill_tokens_total", "counter", "Prompt tokens prefilled.",
           (double)s->prefill_tokens);
    number(p, "actor_passes_total", "counter", "Forward passes.", (double)s->passes);
    number(p, "actor_busy_seconds_total", "counter", "In forward passes.",
           (double)s->busy_us / 1e6);
    number(p, "actor_samples_finished_total", "counter", "Samples finished.", (double)s->finished);
    number(p, "actor_samples_abandoned_total", "counter",
           "Samples given up because the learner asked for it.", (double)s->abandoned);
    number(p, "actor_samples_straddling_total", "counter",
           "Finished samples that saw a swap of weights.", (double)s->straddling);
    number(p, "actor_weight_swaps_total", "counter", "Versions swapped in.", (double)s->swaps);
    number(p, "actor_troubles_total", "counter", "Failures that the actor has survived.",
           (double)s->own.troubles);
}

static void put_gauges(struct page *p, const struct panel_snapshot *s, uint64_t now_ms)
{
    number(p, "uptime_seconds", "gauge", "Since this actor started.",
           seconds_since(s->own.start_ms, now_ms));
    number(p, "actor_greeted", "gauge", "1 once the learner has answered.", s->greeted);
    if (s->heard_ms) {
        number(p, "actor_learner_silence_seconds", "gauge", "Since the learner's last answer.",
               seconds_since(s->heard_ms, now_ms));
    }
    number(p, "actor_slots", "gauge", "Samples that can be decoded at once.", (double)s->slots);
    number(p, "actor_slots_busy", "gauge", "Samples being decoded.", (double)s->slots_busy);
    number(p, "actor_samples_waiting", "gauge", "Leased samples that wait for a slot.",
           (double)s->waiting);
    number(p, "actor_samples_held", "gauge", "Leased samples, finished ones included.",
           (double)s->held);
    number(p, "actor_outbox_samples", "gauge", "Finished samples not acknowledged yet.",
           (double)s->outbox);
    number(p, "actor_kv_pages", "gauge", "Pages of the KV cache.", (double)s->kv_pages);
    number(p, "actor_kv_pages_used", "gauge", "Pages in use.", (double)s->kv_pages_used);
    number(p, "actor_policy_version", "gauge", "Version that new tokens are decoded with.",
           (double)s->loaded);
    number(p, "actor_newest_version", "gauge", "Newest version that the learner has told of.",
           (double)s->newest);
    number(p, "actor_fetch_bytes", "gauge", "Bytes here of the version being fetched.",
           (double)s->fetched);
    number(p, "actor_fetch_size_bytes", "gauge", "Bytes of the version being fetched; 0: none.",
           (double)s->fetch_total);
}

static char *metrics(const struct panel_snapshot *s, uint64_t now_ms)
{
    struct page p = {.err = ERR_OK};
    buf_init(&p.text, PAGE_MAX);
    put_counters(&p, s);
    put_gauges(&p, s, now_ms);
    char *text = p.err ? NULL : buf_take(&p.text);
    buf_fini(&p.text);
    return text;
}

void panel_render(const struct panel_snapshot *s, uint64_t now_ms, const char *path,
                  struct http_reply *out)
{
    *out = (struct http_reply){.status = 200, .content_type = "text/plain; charset=utf-8"};
    if (strcmp(path, "/status") == 0) {
        out->content_type = "application/json";
        out->body = status(s, now_ms);
    } else if (strcmp(path, "/metrics") == 0) {
        out->content_type = "text/plain; version=0.0.4; charset=utf-8";
        out->body = metrics(s, now_ms);
    } else if (strcmp(path, "/healthz") == 0) {
        out->body = health(s, now_ms, &out->status);
    } else {
        out->status = 404;
        out->body = strdup("try /status, /metrics or /healthz\n");
    }
    if (!out->body) {
        out->status = 500;
        return;
    }
    out->len = strlen(out->body);
}
