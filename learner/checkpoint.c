// checkpoint.c: masters and moments to files and back, through a window of 8 MiB.
//
// The state is gigabytes and stands in device memory; it leaves by `download` in pieces, so that
// saving needs no second copy. Checksums are computed on the way out and over the mapped file on
// the way in, before a single byte of the state is overwritten: a damaged checkpoint is an error
// that names the file, and the trainer is what it was.
//
// state.json is written last. A folder without it was cut short under its temporary name, which the
// next save removes.
//
// Saving runs beside training and beside the ledger's fsyncs, so it hands every window to the disk
// at once (fs_writer does) and its pages back to the system in the end: what is read again only
// after a crash need not push other files out of memory.
//
// Saving: the saver's thread or any; loading: the compute thread.

#include "learner/checkpoint.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/hash.h"
#include "common/json.h"
#include "common/log.h"

enum { FORMAT = 1, WINDOW = 2 << 20 /* floats */ };

// ---- saving

static bool has_moments(const struct optim *o)
{
    return o->m && o->v;
}

// One file of floats on its way to disk.
struct output {
    struct device *device;
    struct fs_writer *file;
    struct hash_state *hash;
    float *window;
    const atomic_bool *cancel;
};

// Appends n device floats to the file and to its hash.
static enum err write_floats(struct output *o, const float *from, size_t n, struct why *why)
{
    enum err e = ERR_OK;
    for (size_t at = 0; !e && at < n; at += WINDOW) {
        size_t bytes = MIN(n - at, (size_t)WINDOW) * sizeof(float);
        if (o->cancel && atomic_load(o->cancel)) {
            return why_set(why, ERR_CANCELLED, "cancelled");
        }
        o->device->ops->download(o->device, o->window, from + at, bytes);
        hash_update(o->hash, o->window, bytes);
        e = fs_writer_write(o->file, o->window, bytes, why);
    }
    return e;
}

static void drop_from_cache(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);    // advice only
        close(fd);
    }
}

// Writes n floats of each array that is not NULL to DIR/name.
static enum err write_arrays(struct device *d, const char *dir, const char *name,
                             const float *const *arrays, size_t n_arrays, size_t n,
                             const atomic_bool *cancel, struct hash128 *out, struct why *why)
{
    enum err e = ERR_NOMEM;
    char *path = fs_path("%s/%s", dir, name);
    struct output o = {.device = d,
                       .hash = hash_create(),
                       .window = malloc(WINDOW * sizeof *o.window),
                       .cancel = cancel};
    if (!path || !o.hash || !o.window) {
        (void)why_set(why, e, "%s/%s: out of memory", dir, name);
        goto done;
    }
    e = fs_writer_open(path, &o.file, why);
    for (size_t i = 0; !e && i < n_arrays; i++) {
        if (arrays[i]) {
            e = write_floats(&o, arrays[i], n, why);
        }
    }
    if (e) {
        fs_writer_abort(o.file);
        goto done;
    }
    e = fs_writer_commit(o.file, why);
    *out = hash_final(o.hash);
    drop_from_cache(path);
done:
    free(o.window);
    hash_destroy(o.hash);
    free(path);
    return e;
}

static enum err write_state(const struct checkpoint *c, const char *dir, struct hash128 policy,
                            struct hash128 moments, struct why *why)
{
    char hex[2][HASH_HEX_LEN + 1];
    hash_hex(policy, hex[0]);
    hash_hex(moments, hex[1]);
    char *path = fs_path("%s/state.json", dir);
    char *text = fs_path("{\n  \"format\": %d,\n  \"step\": %" PRIu64 ",\n  \"version\": %" PRIu64
                         ",\n  \"optimiser_steps\": %" PRIu64 ",\n  \"parameters\": %zu,\n"
                         "  \"moments\": %s,\n  \"policy_xxh3\": \"%s\",\n"
                         "  \"moments_xxh3\": \"%s\"\n}\n",
                         FORMAT, c->step, c->version, c->optim->steps, c->optim->params->total,
                         has_moments(c->optim) ? "true" : "false", hex[0], hex[1]);
    enum err e = path && text ? fs_write_file(path, text, strlen(text), why)
                              : why_set(why, ERR_NOMEM, "%s: out of memory", dir);
    free(path);
    free(text);
    return e;
}

// Fsyncs the folder that holds path, so that a rename in it is durable.
static enum err sync_parent(const char *path, struct why *why)
{
    const char *slash = strrchr(path, '/');
    char *parent = slash == path ? strdup("/")
                   : slash       ? strndup(path, (size_t)(slash - path))
                                 : strdup(".");
    if (!parent) {
        return why_set(why, ERR_NOMEM, "%s: out of memory", path);
    }
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum err e = fd >= 0 && fsync(fd) == 0
                     ? ERR_OK
                     : why_set(why, ERR_IO, "%s: cannot sync the folder: %m", parent);
    if (fd >= 0) {
        close(fd);
    }
    free(parent);
    return e;
}

// tmp -> dir. An older folder of that name is exchanged for the new one in one step and then
// removed.
static enum err move_into_place(const char *tmp, const char *dir, struct why *why)
{
    enum err e = ERR_OK;
    if (renameat2(AT_FDCWD, tmp, AT_FDCWD, dir, RENAME_EXCHANGE) == 0) {
        e = fs_remove_tree(tmp, why);
    } else {
        e = fs_remove_tree(dir, why);    // absent, or a file system that cannot exchange
        if (!e && rename(tmp, dir) != 0) {
            e = why_set(why, ERR_IO, "%s: cannot rename to %s: %m", tmp, dir);
        }
    }
    return e ? e : sync_parent(dir, why);
}

enum err checkpoint_save(const struct checkpoint *c, const char *dir, const atomic_bool *cancel,
                         struct why *why)
{
    char *tmp = fs_path("%s.tmp", dir);
    if (!tmp) {
        return why_set(why, ERR_NOMEM, "%s: out of memory", dir);
    }
    struct device *d = c->optim->device;
    size_t n = c->optim->params->total;
    const float *const policy[] = {c->masters};
    bool both = has_moments(c->optim);
    const float *const moments[] = {both ? c->optim->m : NULL, both ? c->optim->v : NULL};
    struct hash128 hash[2];
    enum err e = fs_remove_tree(tmp, why);
    e = e ? e : fs_make_dirs(tmp, why);
    e = e ? e : write_arrays(d, tmp, "policy.bin", policy, 1, n, cancel, &hash[0], why);
    e = e ? e : write_arrays(d, tmp, "moments.bin", moments, 2, n, cancel, &hash[1], why);
    e = e ? e : write_state(c, tmp, hash[0], hash[1], why);
    e = e ? e : move_into_place(tmp, dir, why);
    if (e) {
        if (fs_remove_tree(tmp, NULL)) {
            LOG_WARN("CHECKPOINT_LEFTOVER", "path=\"%s\"", tmp);
        }
        (void)why_prefix(why, e, "checkpoint");
    }
    free(tmp);
    return e;
}

// ---- loading

struct state {
    int64_t step, version, optimiser_steps, parameters;
    bool moments;
    struct hash128 policy_hash, moments_hash;
};

static enum err read_hash(const json_t *obj, const char *key, const char *where,
                          struct hash128 *out, struct why *why)
{
    const char *hex = NULL;
    enum err e = json_get_str(obj, key, where, &hex, why);
    if (!e && !hash_from_hex(hex, out)) {
        e = why_set(why, ERR_CORRUPT, "%s: %s: \"%.40s\", expected 32 lower-case hex digits", where,
                    key, hex);
    }
    return e;
}

static enum err parse_state(const json_t *obj, const char *where, struct state *s, struct why *why)
{
    int64_t format = 0;
    enum err e = json_get_int(obj, "format", FORMAT, FORMAT, where, &format, why);
    e = e ? e : json_get_int(obj, "step", 0, INT64_MAX, where, &s->step, why);
    e = e ? e : json_get_int(obj, "version", 0, INT64_MAX, where, &s->version, why);
    e = e ? e : json_get_int(obj, "optimiser_steps", 0, INT64_MAX, where, &s->optimiser_steps, why);
    e = e ? e : json_get_int(obj, "parameters", 1, INT64_MAX, where, &s->parameters, why);
    e = e ? e : json_opt_bool(obj, "moments", where, &s->moments, why);
    e = e ? e : read_hash(obj, "policy_xxh3", where, &s->policy_hash, why);
    return e ? e : read_hash(obj, "moments_xxh3", where, &s->moments_hash, why);
}

static enum err read_state(const char *dir, struct state *s, struct why *why)
{
    char *path = fs_path("%s/state.json", dir);
    char *text = NULL;
    size_t len = 0;
    json_t *obj = NULL;
    enum err e = path ? fs_read_file(path, 1 << 16, &text, &len, why) : ERR_NOMEM;
    e = e ? e : json_parse(text, len, path, &obj, why);
    if (!e && !json_is_object(obj)) {
        e = why_set(why, ERR_CORRUPT, "%s: not an object", path);
    }
    e = e ? e : parse_state(obj, path, s, why);
    json_decref(obj);
    free(text);
    free(path);
    return e;
}

static enum err open_verified(const char *dir, const char *name, size_t floats, struct hash128 want,
                              struct fs_map *out, struct why *why)
{
    char *path = fs_path("%s/%s", dir, name);
    struct fs_map map = {0};
    enum err e = path ? fs_map_open(path, &map, why) : ERR_NOMEM;
    if (!e && map.len != floats * sizeof(float)) {
        e = why_set(why, ERR_CORRUPT, "%s: %zu bytes, expected %zu", path, map.len,
                    floats * sizeof(float));
    }
    if (!e) {
        struct hash128 is = hash_bytes(map.data, map.len);
        char hex[2][HASH_HEX_LEN + 1];
        hash_hex(is, hex[0]);
        hash_hex(want, hex[1]);
        if (!hash_equal(is, want)) {
            e = why_set(why, ERR_CORRUPT, "%s: checksum %s, expected %s: the file is damaged", path,
                        hex[0], hex[1]);
        }
    }
    if (e) {
        fs_map_close(&map);
    } else {
        *out = map;
    }
    free(path);
    return e;
}

static void take_over(struct checkpoint *c, const struct state *s, const struct fs_map *policy,
                      const struct fs_map *moments)
{
    struct optim *o = c->optim;
    struct device *d = o->device;
    size_t bytes = o->params->total * sizeof(float);
    d->ops->upload(d, c->masters, policy->data, bytes);
    if (s->moments) {
        d->ops->upload(d, o->m, moments->data, bytes);
        d->ops->upload(d, o->v, moments->data + bytes, bytes);
    } else if (has_moments(o)) {
        d->ops->zero(d, o->m, bytes);
        d->ops->zero(d, o->v, bytes);
    }
    o->steps = (uint64_t)s->optimiser_steps;
    c->step = (uint64_t)s->step;
    c->version = (uint64_t)s->version;
}

enum err checkpoint_load(struct checkpoint *c, const char *dir, struct why *why)
{
    struct state s = {0};
    struct fs_map policy = {0}, moments = {0};
    size_t n = c->optim->params->total;
    enum err e = read_state(dir, &s, why);
    if (!e && (uint64_t)s.parameters != n) {
        e = why_set(why, ERR_MISMATCH, "%s: of a model with %" PRId64 " parameters, this has %zu",
                    dir, s.parameters, n);
    }
    e = e ? e : open_verified(dir, "policy.bin", n, s.policy_hash, &policy, why);
    e = e ? e
          : open_verified(dir, "moments.bin", s.moments ? 2 * n : 0, s.moments_hash, &moments, why);
    if (!e && s.moments) {
        e = optim_reserve(c->optim, why);
    }
    if (!e) {
        take_over(c, &s, &policy, &moments);
    }
    fs_map_close(&policy);
    fs_map_close(&moments);
    return e ? why_prefix(why, e, "checkpoint") : ERR_OK;
}
