// safetensors_write.c: models as safetensors: the sharded files of an export, and the one-file form
// of a run's weights (written flat, read back flat).
//
// Tensors stand in the order of the parameter table and the header is padded with blanks to a
// multiple of 8, so that equal weights give equal files and every tensor starts aligned. Shards are
// filled in the same order, each until the next tensor would not fit, and named as transformers
// names them: model-00001-of-00003.safetensors. The index comes last; each file is complete or
// absent.

#include <dirent.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/json.h"
#include "model/export_impl.h"

enum { MAX_SHARDS = 99999, TENSOR_PIECE = 1 << 20 };

// ---- headers ----

static uint64_t tensor_bytes(const struct param *p, const struct quant *type)
{
    return (uint64_t)p->count * type->block_bytes;
}

static json_t *header_entry(const struct param *p, const struct quant *type, uint64_t begin)
{
    json_t *shape = param_is_vector(p)
                        ? json_pack("[I]", (json_int_t)p->count)
                        : json_pack("[I, I]", (json_int_t)p->rows, (json_int_t)p->cols);
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", type->name, "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)(begin + tensor_bytes(p, type)));
}

// The header of a file of parameters first .. end - 1, padded so that the data starts at a multiple
// of 8 (free()); NULL when out of memory or a pair is not UTF-8.
static char *print_header(const struct param_table *p, size_t first, size_t end,
                          const struct quant *type, const char *const *metadata, size_t *len)
{
    json_t *header = json_object(), *pairs = json_pack("{s:s}", "format", "pt");
    bool ok = true;
    for (size_t i = 0; metadata != NULL && metadata[i] != NULL; i += 2) {
        ok = json_object_set_new(pairs, metadata[i], json_string(metadata[i + 1])) == 0 && ok;
    }
    ok = json_object_set_new(header, "__metadata__", pairs) == 0 && ok;
    uint64_t begin = 0;
    for (size_t i = first; i < end; i++) {
        json_t *entry = header_entry(&p->params[i], type, begin);
        ok = json_object_set_new(header, p->params[i].name, entry) == 0 && ok;
        begin += tensor_bytes(&p->params[i], type);
    }
    char *text = ok ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    if (text == NULL) {
        return NULL;
    }
    size_t n = strlen(text), padded = (n + 7) / 8 * 8;
    char *grown = realloc(text, padded + 1);
    if (grown == NULL) {
        free(text);
        return NULL;
    }
    memset(grown + n, ' ', padded - n);
    *len = padded;
    return grown;
}

// Opens path and writes the header.
static enum err begin_file(const char *path, const struct param_table *p, size_t first, size_t end,
                           const struct quant *type, const char *const *metadata,
                           struct fs_writer **out, struct why *why)
{
    size_t len = 0;
    char *header = print_header(p, first, end, type, metadata, &len);
    if (header == NULL) {
        return why_set(why, ERR_NOMEM, "%s: out of memory for the header", path);
    }
    struct fs_writer *w = NULL;
    uint64_t header_len = len;
    enum err e = fs_writer_open(path, &w, why);
    if (e == ERR_OK) {
        e = fs_writer_write(w, &header_len, sizeof header_len, why);
        e = e ? e : fs_writer_write(w, header, len, why);
        if (e != ERR_OK) {
            fs_writer_abort(w);
        }
    }
    free(header);
    if (e == ERR_OK) {
        *out = w;
    }
    return e;
}

static enum err end_file(struct fs_writer *w, enum err e, struct why *why)
{
    if (e == ERR_OK) {
        return fs_writer_commit(w, why);
    }
    fs_writer_abort(w);
    return e;
}

// ---- tensors of an export ----

enum err export_tensor(const struct export *x, size_t index, const struct quant *type,
                       bool interleaved, struct fs_writer *w, struct why *why)
{
    const struct param *p = &x->s->params.params[index];
    const struct source_view *v = &x->views[index];
    size_t stored_bytes = p->cols / v->type->block * v->type->block_bytes;
    size_t row_bytes = p->cols * type->block_bytes, D = (size_t)x->s->config.head_dim;
    size_t step = MIN(p->rows, MAX(TENSOR_PIECE / row_bytes, (size_t)1));
    uint8_t *room = malloc(step * row_bytes);
    enum err e = room != NULL ? ERR_OK
                              : why_set(why, ERR_NOMEM, "tensor %s: no memory for %zu bytes",
                                        p->name, step * row_bytes);
    for (size_t r = 0; e == ERR_OK && r < p->rows; r += step) {
        size_t n = MIN(step, p->rows - r);
        if (!interleaved) {
            e = source_view_rows(x->s, v, p, r, n, type, room, why);
        }
        for (size_t k = r; interleaved && e == ERR_OK && k < r + n; k++) {
            size_t from = k / D * D + k % 2 * (D / 2) + k % D / 2;
            e = source_view_rows(x->s, v, p, from, 1, type, room + (k - r) * row_bytes, why);
        }
        e = e ? e : fs_writer_write(w, room, n * row_bytes, why);
        if (x->views == x->s->views) {    // of mapped files
            fs_map_drop(v->data + r * stored_bytes, n * stored_bytes);
        }
    }
    free(room);
    return e;
}

// ---- shards ----

struct shards {
    const struct export *x;
    const char *dir;
    size_t *first;    // (n + 1): shard i holds parameters first[i] .. first[i + 1] - 1
    size_t n;
};

static void shard_name(const struct shards *h, size_t i, char name[64])
{
    if (h->n == 1) {
        (void)snprintf(name, 64, "model.safetensors");
    } else {
        (void)snprintf(name, 64, "model-%05zu-of-%05zu.safetensors", i + 1, h->n);
    }
}

static enum err plan_shards(struct shards *h, uint64_t limit, struct why *why)
{
    const struct param_table *p = &h->x->s->params;
    h->first = calloc(p->n + 1, sizeof *h->first);
    if (h->first == NULL) {
        return why_set(why, ERR_NOMEM, "%s: out of memory", h->dir);
    }
    uint64_t used = 0;
    for (size_t i = 0; i < p->n; i++) {
        uint64_t bytes = tensor_bytes(&p->params[i], h->x->type);
        if (i == 0 || used + bytes > limit) {
            h->first[h->n++] = i;
            used = 0;
        }
        used += bytes;
    }
    h->first[h->n] = p->n;
    return h->n <= MAX_SHARDS
               ? ERR_OK
               : why_set(why, ERR_LIMIT, "%s: %zu shards, at most %d", h->dir, h->n, MAX_SHARDS);
}

static enum err write_shard(const struct shards *h, size_t i, struct why *why)
{
    char name[64];
    shard_name(h, i, name);
    char *path = fs_path("%s/%s", h->dir, name);
    struct fs_writer *w = NULL;
    enum err e = path == NULL ? why_set(why, ERR_NOMEM, "%s: out of memory", h->dir)
                              : begin_file(path, &h->x->s->params, h->first[i], h->first[i + 1],
                                           h->x->type, NULL, &w, why);
    free(path);
    if (e != ERR_OK) {
        return e;
    }
    for (size_t k = h->first[i]; e == ERR_OK && k < h->first[i + 1]; k++) {
        e = export_tensor(h->x, k, h->x->type, false, w, why);
    }
    return end_file(w, e, why);
}

static enum err write_index(const struct shards *h, struct why *why)
{
    const struct param_table *p = &h->x->s->params;
    json_t *map = json_object();
    bool ok = true;
    for (size_t i = 0; i < h->n; i++) {
        char name[64];
        shard_name(h, i, name);
        for (size_t k = h->first[i]; k < h->first[i + 1]; k++) {
            ok = json_object_set_new(map, p->params[k].name, json_string(name)) == 0 && ok;
        }
    }
    json_int_t total = (json_int_t)((uint64_t)p->total * h->x->type->block_bytes);
    json_t *index = json_pack("{s:{s:I, s:I}, s:o}", "metadata", "total_parameters",
                              (json_int_t)p->total, "total_size", total, "weight_map", map);
    char *text = ok && index != NULL ? json_dumps(index, JSON_INDENT(2)) : NULL;
    char *path = fs_path("%s/model.safetensors.index.json", h->dir);
    enum err e = text == NULL || path == NULL
                     ? why_set(why, ERR_NOMEM, "%s: out of memory for the index", h->dir)
                     : fs_write_file(path, text, strlen(text), why);
    json_decref(index);
    free(text);
    free(path);
    return e;
}

// model.safetensors, model-NNNNN-of-NNNNN.safetensors or the index.
static bool is_tensor_file(const char *name)
{
#define FIVE "[0-9][0-9][0-9][0-9][0-9]"
    static const char *const patterns[] = {"model.safetensors", "model.safetensors.index.json",
                                           "model-" FIVE "-of-" FIVE ".safetensors"};
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        if (fnmatch(patterns[i], name, 0) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_written(const struct shards *h, const char *name)
{
    char ours[64];
    for (size_t i = 0; i < h->n; i++) {
        shard_name(h, i, ours);
        if (strcmp(ours, name) == 0) {
            return true;
        }
    }
    return h->n > 1 && strcmp(name, "model.safetensors.index.json") == 0;
}

static void remove_others(const struct shards *h)
{
    DIR *d = opendir(h->dir);
    for (struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL;) {
        if (is_tensor_file(entry->d_name) && !is_written(h, entry->d_name)) {
            (void)unlinkat(dirfd(d), entry->d_name, 0);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
}

enum err export_safetensors(const struct export *x, const char *dir, uint64_t shard_bytes,
                            struct why *why)
{
    struct shards h = {.x = x, .dir = dir};
    enum err e = plan_shards(&h, shard_bytes, why);
    for (size_t i = 0; e == ERR_OK && i < h.n; i++) {
        e = write_shard(&h, i, why);
    }
    if (e == ERR_OK && h.n > 1) {
        e = write_index(&h, why);
    }
    if (e == ERR_OK) {
        remove_others(&h);
    }
    free(h.first);
    return e;
}

// ---- a run's weights: one file, flat ----

enum err safetensors_write_flat(const char *path, const struct param_table *p, enum dtype t,
                                const void *flat, const char *const *metadata, struct why *why)
{
    struct fs_writer *w = NULL;
    enum err e = begin_file(path, p, 0, p->n, source_quant(t), metadata, &w, why);
    if (e != ERR_OK) {
        return e;
    }
    return end_file(w, fs_writer_write(w, flat, p->total * dtype_size(t), why), why);
}

enum err safetensors_write_stream(const char *path, const struct param_table *p, enum dtype t,
                                  safetensors_copy_fn *copy, void *arg, const char *const *metadata,
                                  struct why *why)
{
    size_t bytes = p->total * dtype_size(t);
    struct fs_writer *w = NULL;
    uint8_t *piece = malloc(TENSOR_PIECE);
    if (piece == NULL) {
        return why_set(why, ERR_NOMEM, "%s: out of memory", path);
    }
    enum err e = begin_file(path, p, 0, p->n, source_quant(t), metadata, &w, why);
    for (size_t at = 0; e == ERR_OK && at < bytes; at += TENSOR_PIECE) {
        size_t n = MIN(bytes - at, (size_t)TENSOR_PIECE);
        copy(arg, at, n, piece);
        e = fs_writer_write(w, piece, n, why);
    }
    free(piece);
    return end_file(w, e, why);
}

enum err safetensors_check_flat(const struct safetensors *s, const struct param_table *p,
                                const char *dtype, struct why *why)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct param *want = &p->params[i];
        const struct safetensors_tensor *have = safetensors_find(s, want->name);
        if (have == NULL) {
            return why_set(why, ERR_CORRUPT, "%s: tensor %s is missing", safetensors_where(s),
                           want->name);
        }
        enum err e = safetensors_check_shape(s, have, want, why);
        if (e != ERR_OK) {
            return e;
        }
        bool same =
            dtype != NULL ? strcmp(have->dtype, dtype) == 0 : quant_by_name(have->dtype) != NULL;
        if (!same) {
            return why_set(why, ERR_MISMATCH, "%s: tensor %s: dtype %s, expected %s",
                           safetensors_where(s), want->name, have->dtype,
                           dtype != NULL ? dtype : "F32, F16 or BF16");
        }
    }
    if (safetensors_n_tensors(s) != p->n) {
        return why_set(why, ERR_CORRUPT, "%s: %zu tensors, expected %zu", safetensors_where(s),
                       safetensors_n_tensors(s), p->n);
    }
    return ERR_OK;
}

enum err safetensors_read_flat(const char *path, const struct param_table *p, enum dtype t,
                               void *flat, struct why *why)
{
    struct safetensors *s = NULL;
    enum err e = safetensors_open(path, &s, why);
    if (e == ERR_OK) {
        e = safetensors_check_flat(s, p, source_quant(t)->name, why);
    }
    for (size_t i = 0; e == ERR_OK && i < p->n; i++) {
        const struct safetensors_tensor *have = safetensors_find(s, p->params[i].name);
        memcpy((uint8_t *)flat + p->params[i].offset * dtype_size(t), have->data, have->bytes);
    }
    safetensors_close(s);
    return e;
}
