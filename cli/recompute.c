// recompute.c: many samples, few versions, each set of weights loaded as rarely as the cache
// allows.
//
//   sweep over the versions, ascending:
//     samples that begin with this version get pages while there are free ones
//     the rows of every sample whose next segment has this version run, packed into passes
//     finished samples give their pages back, and more may begin
//   until no sample is left (a second sweep is needed only when the cache was full)
//
// Every sweep moves each sample under way by at least one segment, so the sweeps end.
#include "cli/recompute.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/pages.h"
#include "common/fs.h"
#include "model/model.h"
#include "model/source.h"

enum { PASS_ROWS = 512, PASS_INDEX = 1 << 17 };

enum state { WAITING, UNDER_WAY, OVER };

struct sample {
    uint64_t id;
    enum state state;
    uint32_t *tokens;    // prompt, then completion
    size_t n_prompt, n;
    float *logprobs;    // (n - n_prompt)
    struct msg_segment *segments;
    size_t n_segments, segment, done;    // next segment; forward positions that have run
    struct page_list pages;
    float temperature;
    uint64_t mismatched;
};

struct version {
    uint64_t version, missing;    // missing: samples that name it although it is gone
    bool on_disk;
};

struct work {
    const char *run_dir;
    const struct recompute_options *o;
    struct ledger *ledger;
    recompute_note_fn *note;
    void *note_arg;
    struct recompute_report report;
    struct sample *samples;
    size_t n_samples, cap_samples, left;    // left: neither skipped nor finished
    struct version *versions;
    size_t n_versions;
    enum err err;    // of the callback that reads the ledger
    // compute
    struct source *source;
    struct pool *pool;
    struct device *device;
    struct weights *weights;
    struct model *model;
    struct kv_cache *kv;
    struct pages pages;
    enum dtype dtype;
    uint64_t loaded;    // version in `weights`
    void *flat;
    // one pass
    struct batch batch;
    struct sample_spec spec[PASS_ROWS];
    struct sample_out result[PASS_ROWS];
    struct {
        struct sample *sample;
        size_t token;    // index into its log-probs
    } out[PASS_ROWS];
    int32_t *index;
};

static void tell(struct work *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void tell(struct work *w, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    w->note(w->note_arg, text);
}

// ---- reading the samples ----

static size_t forward_rows(const struct sample *s)
{
    return s->n - 1;    // the last token is never a forward position
}

static bool well_formed(const struct ledger_row *r, size_t vocab)
{
    uint32_t before = 0;
    if (r->n_prompt == 0 || r->n_tokens == 0 || r->n_segments == 0) {
        return false;
    }
    for (size_t i = 0; i < r->n_segments; i++) {
        if (r->segments[i].end <= before) {
            return false;
        }
        before = r->segments[i].end;
    }
    for (size_t i = 0; i < r->n_prompt; i++) {
        if (r->prompt_tokens[i] >= vocab) {
            return false;
        }
    }
    for (size_t i = 0; i < r->n_tokens; i++) {
        if (r->tokens[i] >= vocab) {
            return false;
        }
    }
    return before == r->n_prompt + r->n_tokens - 1;
}

static void sample_fini(struct sample *s)
{
    free(s->tokens);
    free(s->logprobs);
    free(s->segments);
    free(s->pages.page);
}

static bool sample_copy(struct sample *s, const struct ledger_row *r)
{
    *s = (struct sample){.id = r->sample_id,
                         .n_prompt = r->n_prompt,
                         .n = r->n_prompt + r->n_tokens,
                         .n_segments = r->n_segments,
                         .temperature = r->temperature};
    s->tokens = malloc(s->n * sizeof *s->tokens);
    s->logprobs = malloc(r->n_tokens * sizeof *s->logprobs);
    s->segments = malloc(r->n_segments * sizeof *s->segments);
    if (!s->tokens || !s->logprobs || !s->segments) {
        sample_fini(s);
        return false;
    }
    memcpy(s->tokens, r->prompt_tokens, r->n_prompt * sizeof *s->tokens);
    memcpy(s->tokens + r->n_prompt, r->tokens, r->n_tokens * sizeof *s->tokens);
    memcpy(s->logprobs, r->logprobs, r->n_tokens * sizeof *s->logprobs);
    memcpy(s->segments, r->segments, r->n_segments * sizeof *s->segments);
    return true;
}

static bool on_row(void *arg, const struct ledger_row *r)
{
    struct work *w = arg;
    if (w->o->limit && w->n_samples == w->o->limit) {
        return false;
    }
    if (!well_formed(r, (size_t)source_config(w->source)->vocab)) {
        w->report.malformed++;
        tell(w, "sample %llu: its tokens and version segments do not fit together",
             (unsigned long long)r->sample_id);
        return true;
    }
    if (w->n_samples == w->cap_samples) {
        size_t cap = w->cap_samples ? w->cap_samples * 2 : 256;
        struct sample *grown = realloc(w->samples, cap * sizeof *grown);
        if (!grown) {
            w->err = ERR_NOMEM;
            return false;
        }
        w->samples = grown;
        w->cap_samples = cap;
    }
    if (!sample_copy(&w->samples[w->n_samples], r)) {
        w->err = ERR_NOMEM;
        return false;
    }
    w->n_samples++;
    return true;
}

// ---- versions ----

static char *version_path(const struct work *w, uint64_t version)
{
    return fs_path("%s/weights/v%06llu.safetensors", w->run_dir, (unsigned long long)version);
}

static int by_version(const void *a, const void *b)
{
    uint64_t x = ((const struct version *)a)->version, y = ((const struct version *)b)->version;
    return x < y ? -1 : x > y;
}

static struct version *find_version(struct work *w, uint64_t version)
{
    struct version key = {.version = version};
    return bsearch(&key, w->versions, w->n_versions, sizeof *w->versions, by_version);
}

// Lists the distinct versions of all samples, ascending.
static enum err list_versions(struct work *w)
{
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < w->n_samples; i++) {
        n += w->samples[i].n_segments;
    }
    w->versions = calloc(n + 1, sizeof *w->versions);
    if (!w->versions) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < w->n_samples; i++) {
        for (size_t k = 0; k < w->samples[i].n_segments; k++) {
            w->versions[w->n_versions++].version = w->samples[i].segments[k].version;
        }
    }
    qsort(w->versions, w->n_versions, sizeof *w->versions, by_version);
    for (size_t i = 0; i < w->n_versions; i++) {
        if (i == 0 || w->versions[i].version != w->versions[kept - 1].version) {
            w->versions[kept++] = w->versions[i];
        }
    }
    w->n_versions = kept;
    for (size_t i = 0; i < kept; i++) {
        char *path = version_path(w, w->versions[i].version);
        if (!path) {
            return ERR_NOMEM;
        }
        w->versions[i].on_disk = fs_exists(path);
        free(path);
    }
    return ERR_OK;
}

static void skip_samples(struct work *w)
{
    for (size_t i = 0; i < w->n_samples; i++) {
        struct sample *s = &w->samples[i];
        bool whole = true;
        for (size_t k = 0; k < s->n_segments; k++) {
            struct version *v = find_version(w, s->segments[k].version);
            v->missing += !v->on_disk;
            whole &= v->on_disk;
        }
        s->state = whole ? WAITING : OVER;
        w->left += whole;
        w->report.skipped += !whole;
        w->report.samples += whole;
        w->report.straddling += whole && s->n_segments > 1;
    }
    for (size_t i = 0; i < w->n_versions; i++) {
        if (w->versions[i].missing) {
            tell(w, "version %llu is not on disk any more: %llu samples skipped",
                 (unsigned long long)w->versions[i].version,
                 (unsigned long long)w->versions[i].missing);
        }
    }
}

static enum err load_version(struct work *w, uint64_t version, struct why *why)
{
    struct ledger_version known;
    struct hash128 hash;
    if (w->loaded == version) {
        return ERR_OK;
    }
    const struct param_table *p = source_params(w->source);
    char *path = version_path(w, version);
    enum err e = path ? safetensors_read_flat(path, p, w->dtype, w->flat, why) : ERR_NOMEM;
    free(path);
    if (e) {
        return e;
    }
    weights_begin(w->weights);
    e = weights_feed(w->weights, w->flat, p->total * dtype_size(w->dtype), why);
    e = e ? e : weights_end(w->weights, &hash, why);
    e = e ? e : ledger_get_version(w->ledger, version, &known, why);
    if (e) {
        return e;
    }
    w->loaded = version;
    w->report.versions_loaded++;
    if (!hash_equal(hash, known.weights_hash)) {
        w->report.wrong_versions++;
        tell(w, "version %llu: the file's weights are not those that the ledger records",
             (unsigned long long)version);
    }
    return ERR_OK;
}

// ---- passes ----

static void compare(struct work *w, size_t i)
{
    struct sample *s = w->out[i].sample;
    float was = s->logprobs[w->out[i].token];
    w->report.tokens++;
    if (memcmp(&was, &w->result[i].logp, sizeof was) != 0) {
        w->report.mismatched++;
        if (s->mismatched++ == 0) {
            tell(w,
                 "sample %llu, token %zu, version %llu: log-prob %.9g in the ledger, %.9g computed",
                 (unsigned long long)s->id, w->out[i].token, (unsigned long long)w->loaded,
                 (double)was, (double)w->result[i].logp);
        }
    }
}

static enum err run_pass(struct work *w, struct why *why)
{
    if (w->batch.n_rows == 0) {
        return ERR_OK;
    }
    enum err e =
        model_forward(w->model, w->weights, w->kv, &w->batch, w->spec, w->result, NULL, why);
    for (size_t i = 0; i < w->batch.n_out && !e; i++) {
        compare(w, i);
    }
    batch_clear(&w->batch);
    return e;
}

// Puts forward positions [done, end) of s into the batch; the keys of all before it are cached.
static enum err add_rows(struct work *w, struct sample *s, size_t end)
{
    int32_t off, row;
    for (size_t p = 0; p < end; p++) {
        w->index[p] = page_row(&s->pages, p);
    }
    enum err e = batch_add_index(&w->batch, w->index, end, &off);
    for (size_t p = s->done; p < end && !e; p++) {
        e = batch_add_row(&w->batch, (int32_t)s->tokens[p], (int32_t)p, page_row(&s->pages, p), off,
                          (int32_t)(p + 1), &row);
        if (!e && p + 1 >= s->n_prompt) {
            size_t i = w->batch.n_out;
            w->out[i].sample = s;
            w->out[i].token = p + 1 - s->n_prompt;
            w->spec[i] = (struct sample_spec){
                .temperature = s->temperature, .top_p = 1, .target = (int32_t)s->tokens[p + 1]};
            e = batch_add_out(&w->batch, row, (int32_t)s->tokens[p + 1]);
        }
    }
    s->done = end;
    return e;
}

// The next segment of s under the weights that are loaded.
static enum err run_segment(struct work *w, struct sample *s, struct why *why)
{
    size_t end = s->segments[s->segment].end;
    enum err e = ERR_OK;
    while (s->done < end && !e) {
        size_t room = PASS_ROWS - w->batch.n_rows, n = MIN(room, end - s->done);
        if (n == 0 || w->batch.n_index + s->done + n > PASS_INDEX + s->n) {
            e = run_pass(w, why);
            continue;
        }
        e = add_rows(w, s, s->done + n);
        if (e) {
            (void)why_set(why, e, "recomputing: %s", err_text(e));
        }
    }
    s->segment++;
    return e;
}

static void finish_sample(struct work *w, struct sample *s)
{
    pages_give(&w->pages, &s->pages);
    s->state = OVER;
    w->left--;
}

static bool wants(const struct sample *s, uint64_t version)
{
    return s->state != OVER && s->segments[s->segment].version == version;
}

// Runs what can run under this version. *moved counts segments.
static enum err run_round(struct work *w, uint64_t version, size_t *moved, struct why *why)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < w->n_samples && !e; i++) {
        struct sample *s = &w->samples[i];
        if (!wants(s, version) ||
            (s->state == WAITING && pages_take(&w->pages, forward_rows(s), &s->pages))) {
            continue;
        }
        s->state = UNDER_WAY;
        e = load_version(w, version, why);
        e = e ? e : run_segment(w, s, why);
        ++*moved;
    }
    e = e ? e : run_pass(w, why);
    for (size_t i = 0; i < w->n_samples && !e; i++) {
        if (w->samples[i].state == UNDER_WAY && w->samples[i].segment == w->samples[i].n_segments) {
            finish_sample(w, &w->samples[i]);
        }
    }
    return e;
}

static enum err sweep(struct work *w, struct why *why)
{
    enum err e = ERR_OK;
    while (w->left && !e) {
        for (size_t i = 0; i < w->n_versions && !e; i++) {
            size_t moved;
            do {
                moved = 0;
                e = run_round(w, w->versions[i].version, &moved, why);
            } while (moved && !e);
        }
    }
    return e;
}

// ---- set-up ----

static enum err open_compute(struct work *w, struct why *why)
{
    const struct model_config *c = source_config(w->source);
    size_t longest = 1;
    for (size_t i = 0; i < w->n_samples; i++) {
        longest = MAX(longest, w->samples[i].n);
    }
    size_t rows = MAX(w->o->kv_bytes / kv_cache_row_bytes(c), longest + PAGE_ROWS);
    rows = (rows + PAGE_ROWS - 1) / PAGE_ROWS * PAGE_ROWS;
    struct model_limits l = {.max_rows = PASS_ROWS,
                             .max_index = PASS_INDEX + longest,
                             .max_outs = PASS_ROWS,
                             .max_context = longest};
    enum err e = pool_create(w->o->threads ? w->o->threads : pool_cores(), &w->pool, why);
    e = e ? e : device_open("cpu", w->pool, &w->device, why);
    e = e ? e : weights_create(w->device, c, w->dtype, &w->weights, why);
    e = e ? e : model_create(w->device, c, &l, &w->model, why);
    e = e ? e : kv_cache_create(w->model, rows, &w->kv, why);
    if (e) {
        return e;
    }
    w->flat = malloc(weights_blob_bytes(c, w->dtype));
    w->index = malloc(longest * sizeof *w->index);
    return w->flat && w->index && pages_init(&w->pages, rows) == ERR_OK
               ? ERR_OK
               : why_set(why, ERR_NOMEM, "no memory to recompute log-probs");
}

static void work_free(struct work *w)
{
    for (size_t i = 0; i < w->n_samples; i++) {
        sample_fini(&w->samples[i]);
    }
    batch_fini(&w->batch);
    pages_fini(&w->pages);
    kv_cache_destroy(w->kv);
    model_destroy(w->model);
    weights_destroy(w->weights);
    device_close(w->device);
    pool_destroy(w->pool);
    source_close(w->source);
    free(w->samples);
    free(w->versions);
    free(w->index);
    free(w->flat);
    free(w);
}

enum err recompute_run(const char *run_dir, const struct conf *c, struct ledger *l,
                       const struct recompute_options *o, recompute_note_fn *note, void *arg,
                       struct recompute_report *out, struct why *why)
{
    struct work *w = calloc(1, sizeof *w);
    if (!w) {
        return why_set(why, ERR_NOMEM, "out of memory");
    }
    w->run_dir = run_dir;
    w->o = o;
    w->ledger = l;
    w->note = note;
    w->note_arg = arg;
    w->dtype = c->dtype == CONF_DTYPE_BF16 ? DTYPE_BF16 : DTYPE_F32;
    batch_init(&w->batch);
    enum err e = source_open(c->model, &w->source, why);
    e = e ? e : ledger_each_received(l, on_row, w, why);
    if (!e && (w->err || list_versions(w))) {
        e = why_set(why, ERR_NOMEM, "no memory for the samples of the run");
    }
    if (!e) {
        skip_samples(w);
        e = w->left ? open_compute(w, why) : ERR_OK;
    }
    e = e ? e : sweep(w, why);
    if (!e) {
        *out = w->report;
    }
    work_free(w);
    return e;
}
