// panel.h: what an actor says about itself over HTTP: /status (JSON), /metrics (Prometheus, format
// 0.0.4) and /healthz.
//
// The loop thread fills a snapshot a few times a second and shows it; the HTTP thread copies the
// snapshot under a short lock and makes the page from its copy. Neither waits for the other longer
// than a copy of about a kilobyte, and the compute thread knows nothing of it: decoding goes on
// whoever asks.
//
// Every text in a snapshot is printable UTF-8 (utf8_clean), whatever the learner has sent.
#ifndef CARAVAN_ACTOR_PANEL_H
#define CARAVAN_ACTOR_PANEL_H

#include "actor/engine.h"
#include "actor/reload.h"
#include "proto/http.h"
#include "proto/limits.h"

enum {
    PANEL_TEXT = 256,            // bytes of a text, NUL included
    PANEL_SILENCE_MS = 30000,    // without a word from the learner: not healthy
    PANEL_STALL_MS = 60000,      // slots busy and no forward pass: not healthy
    PANEL_WINDOW_MS = 10000,     // of the rates
};

// Times are of the monotonic clock in ms, 0 = never, except where said.

// What panel.c itself knows.
struct panel_own {
    char name[PANEL_TEXT], device[PANEL_TEXT];
    uint64_t start_ms;
    double decode_per_s, prefill_per_s;    // over the last PANEL_WINDOW_MS
    uint64_t moved_ms;                     // last time when passes had grown or no slot was busy
    uint64_t troubles;
    char trouble_event[64], trouble_text[PANEL_TEXT];    // the last one
    int64_t trouble_at_ms;                               // wall clock
};

struct panel_snapshot {
    char learner[PANEL_TEXT], run_id[PANEL_TEXT];
    bool greeted, stopping;
    uint64_t heard_ms;        // last answer to a hello or a heartbeat
    const char *waits_for;    // static text, "" = nothing
    uint64_t waits_since_ms;
    size_t held, outbox, submits;    // samples: leased, finished and not acknowledged, on their way
    size_t slots;
    uint64_t newest, loaded;                    // versions: known, decoded with
    bool mapped;                                // `loaded` stands in a slab
    uint64_t fetching, fetched, fetch_total;    // version under way (0 = none), its bytes
    size_t slabs;                               // sets of weights in memory
    // of the engine, 0 before there is one
    uint64_t versions[ENGINE_SLABS];    // that the engine holds, 0 = none
    uint64_t decode_tokens, prefill_tokens, passes, busy_us, kept_mass_e6;
    uint64_t finished, abandoned, straddling, swaps;
    uint64_t slots_busy, waiting, kv_pages, kv_pages_used;

    struct panel_own own;    // filled in by panel_show
};

struct panel;

// address: "HOST:PORT" (port 0 = any free), the path of a unix socket (contains '/'), or "": nobody
// is served, the rest works all the same. device: for people, "cpu (avx2)".
MUST_CHECK enum err panel_create(const char *address, const char *name, const char *device,
                                 struct panel **out, struct why *why);
void panel_destroy(struct panel *p);                 // NULL is fine; waits for running handlers
const char *panel_address(const struct panel *p);    // as bound: HOST:PORT or the path, or ""

// Loop thread. Something went wrong that the actor has survived: counted, the last one is kept.
void panel_trouble(struct panel *p, const char *event, const char *text);
// Loop thread. The snapshot that is served from now on.
void panel_show(struct panel *p, const struct panel_snapshot *s, uint64_t now_ms);

// Answers a GET from a snapshot; 404 for a page that is not here. Pure, any thread.
void panel_render(const struct panel_snapshot *s, uint64_t now_ms, const char *path,
                  struct http_reply *out);

#endif
