// fetch.c: four small conversations around one set of weights: where it is, its chunks, the reload
// thread, the long poll for the next version.
//
// A slab that would not do (another machine or user, overtaken by the next version, bytes that are
// not what was published) is not asked for twice: that version comes in chunks, the next one may be
// mapped again. A chunk is asked for only when the reload thread has room for it, so that none is
// carried twice.
#include "actor/fetch.h"

#include "common/log.h"
#include "proto/limits.h"

enum { CALL_MS = 20000 };

void fetch_saw(struct fetch *f, uint64_t newest)
{
    f->newest = MAX(f->newest, newest);
}

void fetch_reset(struct fetch *f, uint64_t newest)
{
    f->newest = newest;
    if (f->loaded > newest) {
        f->loaded = 0;
    }
}

void fetch_pinned(struct fetch *f, uint64_t version)
{
    f->pinned = version;
}

// ---- chunks ----

// What is under way is forgotten, but for a call that has still to come back.
static void forget(struct fetch *f)
{
    f->version = f->offset = f->total = f->updated_us = 0;
    f->for_newest = f->begun = f->chunks = f->mapping = false;
}

static void give_up(struct fetch *f)
{
    reload_abort(f->reload);
    forget(f);
}

static void take_chunk(struct fetch *f, const struct msg_weights_chunk *w)
{
    if (w->version != f->version || w->offset != f->offset || w->bytes.len == 0 ||
        w->offset + w->bytes.len > w->total_bytes ||
        !hash_equal(hash_bytes(w->bytes.data, w->bytes.len), w->chunk_hash)) {
        LOG_WARN("WEIGHTS_CHUNK_REFUSED", "version=%llu offset=%llu",
                 (unsigned long long)w->version, (unsigned long long)w->offset);
        f->on_trouble(f->arg, "WEIGHTS_CHUNK_REFUSED", "not the chunk that was asked for");
        give_up(f);
        return;
    }
    if (!f->begun && reload_begin(f->reload, f->version, w->weights_hash, NULL)) {
        return;    // slabs are busy: the tick asks for the chunk again
    }
    f->begun = true;
    if (reload_chunk(f->reload, w->bytes.data, w->bytes.len)) {
        return;    // out of memory: the same
    }
    f->offset += w->bytes.len;
    f->total = w->total_bytes;
    fetch_more(f);
}

static void on_chunk(void *arg, enum err e, const struct msg *reply, const char *text)
{
    struct fetch *f = arg;
    f->chunk_call = false;
    if (e == ERR_CLOSED || f->stopping) {
        return;
    }
    if (e) {
        LOG_WARN("WEIGHTS_FETCH_FAILED", "version=%llu cause=\"%s\"",
                 (unsigned long long)f->version, text);
        f->on_trouble(f->arg, "WEIGHTS_FETCH_FAILED", text);
        give_up(f);
        return;
    }
    take_chunk(f, &reply->weights_chunk);
}

// Chooses what to load, if nothing is under way. False: there is nothing to load.
static bool choose(struct fetch *f)
{
    if (f->version) {
        return true;
    }
    bool pinned = f->pinned && f->pinned != f->loaded;
    if (reload_active(f->reload) || (!pinned && f->newest <= f->loaded)) {
        return false;
    }
    f->version = pinned ? f->pinned : f->newest;
    f->for_newest = !pinned;
    return true;
}

static void ask_for_chunk(struct fetch *f)
{
    if (f->chunk_call || (f->total && f->offset == f->total) || !reload_has_room(f->reload)) {
        return;
    }
    struct msg m = {.type = MSG_FETCH_WEIGHTS,
                    .fetch_weights = {.incarnation = f->incarnation,
                                      .version = f->version,
                                      .offset = f->offset,
                                      .max_bytes = LIMIT_CHUNK_BYTES}};
    f->chunk_call = bus_client_call(f->bus, &m, CALL_MS, on_chunk, f, NULL) == ERR_OK;
}

// ---- where it is ----

static void take_found(struct fetch *f, const struct msg_weights_found *w)
{
    struct weightslab_name name = {w->slab_pid, w->slab_fd, w->slab_owner};
    f->updated_us = w->updated_us;
    if (!w->slab_pid || !f->slabs || f->refused == f->version) {
        f->chunks = true;
        fetch_more(f);
        return;
    }
    // Refused: every set of weights is in use. The tick asks again.
    f->mapping = reload_map(f->reload, f->version, w->weights_hash, &name, NULL) == ERR_OK;
}

static void on_found(void *arg, enum err e, const struct msg *reply, const char *text)
{
    struct fetch *f = arg;
    f->find_call = false;
    if (e == ERR_CLOSED || f->stopping || !f->version) {
        return;
    }
    if (e || reply->weights_found.version != f->version) {
        LOG_WARN("WEIGHTS_FIND_FAILED", "version=%llu cause=\"%s\"", (unsigned long long)f->version,
                 e ? text : "another version was found");
        f->on_trouble(f->arg, "WEIGHTS_FIND_FAILED", e ? text : "another version was found");
        forget(f);
        return;
    }
    take_found(f, &reply->weights_found);
}

static void find_weights(struct fetch *f)
{
    if (f->find_call || f->mapping) {
        return;
    }
    struct msg m = {.type = MSG_FIND_WEIGHTS,
                    .find_weights = {.incarnation = f->incarnation, .version = f->version}};
    f->find_call = bus_client_call(f->bus, &m, CALL_MS, on_found, f, NULL) == ERR_OK;
}

// ---- the next version ----

static void on_version(void *arg, enum err e, const struct msg *reply, const char *text)
{
    struct fetch *f = arg;
    (void)text;
    f->wait_call = false;
    if (!e) {
        fetch_saw(f, reply->version.newest_version);
        fetch_more(f);
    }
}

// Only with the newest weights in hand: what it says it has, the learner leases work for.
static void wait_version(struct fetch *f)
{
    if (f->wait_call || f->loaded < f->newest) {
        return;
    }
    struct msg m = {.type = MSG_WAIT_VERSION,
                    .wait_version = {.incarnation = f->incarnation,
                                     .have_version = f->loaded,
                                     .timeout_ms = LIMIT_LONG_POLL_MS}};
    f->wait_call = bus_client_call(f->bus, &m, CALL_MS, on_version, f, NULL) == ERR_OK;
}

void fetch_more(struct fetch *f)
{
    if (f->reload && !f->stopping) {
        if (choose(f)) {
            if (f->chunks) {
                ask_for_chunk(f);
            } else {
                find_weights(f);
            }
        }
        wait_version(f);
    }
}

// ---- whole versions ----

// Chunks instead. Said once per stretch of versions: it is the same cause each time.
static void refuse_slab(struct fetch *f, const struct reload_outcome *o)
{
    f->refused = o->version;
    if (!f->told) {
        LOG_INFO("WEIGHTS_NOT_MAPPED", "version=%llu cause=\"%s\"", (unsigned long long)o->version,
                 o->text);
        f->told = true;
    }
    fetch_more(f);
}

static void take_loaded(struct fetch *f, const struct reload_outcome *o, uint64_t updated_us)
{
    f->loaded = o->version;
    f->mapped = o->mapped;
    f->told = f->told && !o->mapped;
    f->loaded_at_us = updated_us;
}

void fetch_on_reloaded(void *arg, const struct reload_outcome *o)
{
    struct fetch *f = arg;
    bool newest = f->for_newest, mapping = f->mapping;
    uint64_t updated_us = f->updated_us;
    forget(f);
    if (f->stopping || o->err == ERR_CANCELLED) {
        return;
    }
    if (o->err && mapping) {
        refuse_slab(f, o);
        return;
    }
    if (o->err) {
        LOG_WARN("WEIGHTS_REFUSED", "version=%llu cause=\"%s\"", (unsigned long long)o->version,
                 o->text);
        f->on_trouble(f->arg, "WEIGHTS_REFUSED", o->text);
        return;
    }
    if (compute_weights(f->compute, o->weights, o->version, newest)) {
        reload_recycle(f->reload, o->weights);
        return;
    }
    LOG_INFO("WEIGHTS_LOADED", "version=%llu newest=%d path=%s", (unsigned long long)o->version,
             newest, o->mapped ? "slab" : "chunks");
    if (newest) {
        take_loaded(f, o, updated_us);
    } else if (f->pinned == o->version) {
        f->pinned = 0;
    }
    fetch_more(f);
    f->on_loaded(f->arg);
}

void fetch_on_decoded(struct fetch *f, uint64_t version, uint64_t at_us)
{
    if (version == f->loaded && f->loaded_at_us) {
        f->publish_to_decode_ms = ((double)at_us - (double)f->loaded_at_us) / 1000;
    }
}
