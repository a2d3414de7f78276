// panel.c: the snapshot that is served, with what only time tells: rates, stalls, troubles.
#include "actor/panel.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "model/utf8.h"

enum { SAMPLES_MAX = 11, SAMPLE_EVERY_MS = PANEL_WINDOW_MS / (SAMPLES_MAX - 1) };

struct totals {
    uint64_t at_ms, decode, prefill;
};

struct panel {
    struct http_server *http;
    char path[PANEL_TEXT];    // of the unix socket, "" = none
    // loop thread
    struct panel_own own;
    uint64_t last_passes;
    struct totals window[SAMPLES_MAX];    // oldest first
    size_t n_window;

    pthread_mutex_t lock;
    struct panel_snapshot shown;
};

static void on_get(void *arg, const char *path, struct http_reply *out)
{
    struct panel *p = arg;
    pthread_mutex_lock(&p->lock);
    struct panel_snapshot s = p->shown;
    pthread_mutex_unlock(&p->lock);
    panel_render(&s, clock_mono_ms(), path, out);
}

enum err panel_create(const char *address, const char *name, const char *device, struct panel **out,
                      struct why *why)
{
    bool is_path = strchr(address, '/') != NULL;
    struct panel *p = calloc(1, sizeof *p);
    if (!p) {
        return why_set(why, ERR_NOMEM, "status pages: out of memory");
    }
    if (is_path && strlen(address) >= sizeof p->path) {
        free(p);
        return why_set(why, ERR_LIMIT, "%.300s: path is longer than %zu bytes", address,
                       sizeof p->path - 1);
    }
    pthread_mutex_init(&p->lock, NULL);
    utf8_clean(p->own.name, sizeof p->own.name, name, strlen(name));
    utf8_clean(p->own.device, sizeof p->own.device, device, strlen(device));
    p->own.start_ms = p->own.moved_ms = clock_mono_ms();
    panel_show(p, &(struct panel_snapshot){.waits_for = ""}, p->own.start_ms);
    enum err e = ERR_OK;
    if (is_path) {
        memcpy(p->path, address, strlen(address) + 1);
        e = http_server_create("", p->path, on_get, p, &p->http, why);
    } else if (address[0]) {
        e = http_server_create(address, NULL, on_get, p, &p->http, why);
    }
    if (e) {
        panel_destroy(p);
        return e;
    }
    *out = p;
    return ERR_OK;
}

void panel_destroy(struct panel *p)
{
    if (!p) {
        return;
    }
    if (p->http) {
        http_server_destroy(p->http);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
}

const char *panel_address(const struct panel *p)
{
    return p->path[0] || !p->http ? p->path : http_server_address(p->http);
}

void panel_trouble(struct panel *p, const char *event, const char *text)
{
    p->own.troubles++;
    utf8_clean(p->own.trouble_event, sizeof p->own.trouble_event, event, strlen(event));
    utf8_clean(p->own.trouble_text, sizeof p->own.trouble_text, text, strlen(text));
    p->own.trouble_at_ms = clock_wall_ms();
}

// Differences over the window; it begins anew when the totals do.
static void measure_rates(struct panel *p, const struct panel_snapshot *s, uint64_t now_ms)
{
    struct totals now = {now_ms, s->decode_tokens, s->prefill_tokens};
    const struct totals *last = p->n_window ? &p->window[p->n_window - 1] : NULL;
    if (last && (now.decode < last->decode || now.prefill < last->prefill)) {
        p->n_window = 0;
        last = NULL;
    }
    if (!last || now_ms - last->at_ms >= SAMPLE_EVERY_MS) {
        if (p->n_window == SAMPLES_MAX) {
            memmove(p->window, p->window + 1, (SAMPLES_MAX - 1) * sizeof *p->window);
            p->n_window--;
        }
        p->window[p->n_window++] = now;
    }
    double seconds = (double)(now_ms - p->window[0].at_ms) / 1e3;
    p->own.decode_per_s = seconds > 0 ? (double)(now.decode - p->window[0].decode) / seconds : 0;
    p->own.prefill_per_s = seconds > 0 ? (double)(now.prefill - p->window[0].prefill) / seconds : 0;
}

void panel_show(struct panel *p, const struct panel_snapshot *s, uint64_t now_ms)
{
    measure_rates(p, s, now_ms);
    if (s->slots_busy == 0 || s->passes != p->last_passes) {
        p->own.moved_ms = now_ms;
        p->last_passes = s->passes;
    }
    struct panel_snapshot full = *s;
    full.own = p->own;
    utf8_clean(full.learner, sizeof full.learner, s->learner, strlen(s->learner));
    utf8_clean(full.run_id, sizeof full.run_id, s->run_id, strlen(s->run_id));
    pthread_mutex_lock(&p->lock);
    p->shown = full;
    pthread_mutex_unlock(&p->lock);
}
