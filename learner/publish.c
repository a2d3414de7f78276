// publish.c: one list of versions, one writer thread.
//
// Life of a version:
//
//   publish_add: a function that copies from memory of the trainer's
//     -> served from there, while the writer thread makes weights/v000042.safetensors of it (or
//        fails to: logged, and memory goes on until it is detached)
//     -> the file is there: ranges are served from it, which is in the page cache for as long as
//        nobody else needs that memory more
//     -> no longer among the `keep` newest, and not pinned: the file is removed
//
// So there is no copy of a version here. Its memory, which the trainer wants back when it makes the
// next one, is let go when the write has ended and nobody copies from it (copying); publish_detach
// waits for that: it is the back-pressure of a disk that is slower than training.
//
// There is one lock. It is not held over a copy or a disk access, except by publish_forget_after,
// which runs before a resumed run begins to serve.

#include "learner/publish.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/log.h"
#include "learner/publish_file.h"

enum { DETACH_WAIT_S = 60, WRITER_NICE = 10 };

struct entry {
    uint64_t version;
    struct hash128 hash;
    uint64_t updated_us;
    publish_copy_fn *copy;    // NULL = not in memory
    void *copy_arg;
    bool on_disk;
    bool failed;    // the last attempt to write it
    bool writing;
    size_t readers;    // of memory or file,
    size_t copying;    // of memory
    size_t pins;
};

struct publish {
    char *dir;
    struct param_table params;    // own copy
    enum dtype dtype;
    size_t keep, bytes;
    publish_news_fn *news;
    void *news_arg;

    pthread_mutex_t lock;
    pthread_cond_t changed;    // anything below
    struct entry *entries;     // ascending versions
    size_t n_entries, cap_entries;
    uint64_t newest;
    bool writer_busy, tidy, hold, stop;
    enum err error;    // first since the last flush
    struct why error_why;
    pthread_t writer;
};

// ---- the list (under the lock)

static struct entry *find(struct publish *p, uint64_t version)
{
    for (size_t i = 0; i < p->n_entries; i++) {
        if (p->entries[i].version == version) {
            return &p->entries[i];
        }
    }
    return NULL;
}

static struct entry *find_or_insert(struct publish *p, uint64_t version)
{
    struct entry *e = find(p, version);
    if (e) {
        return e;
    }
    if (p->n_entries == p->cap_entries) {
        size_t cap = p->cap_entries ? 2 * p->cap_entries : 32;
        struct entry *grown = realloc(p->entries, cap * sizeof *grown);
        if (!grown) {
            return NULL;
        }
        p->entries = grown;
        p->cap_entries = cap;
    }
    size_t at = p->n_entries;
    while (at > 0 && p->entries[at - 1].version > version) {
        at--;
    }
    memmove(&p->entries[at + 1], &p->entries[at], (p->n_entries - at) * sizeof *p->entries);
    p->n_entries++;
    p->entries[at] = (struct entry){.version = version};
    return &p->entries[at];
}

static bool pending(const struct entry *e)
{
    return e->copy && !e->on_disk && !e->failed;
}

// Lets go of what version no longer needs; its entry may vanish.
static void settle(struct publish *p, uint64_t version)
{
    struct entry *e = find(p, version);
    if (!e || e->writing) {
        return;
    }
    if (e->on_disk && !e->copying) {
        e->copy = NULL;
    }
    if (!e->copy && !e->on_disk && !e->pins && !e->readers) {
        size_t at = (size_t)(e - p->entries);
        p->n_entries--;
        memmove(e, e + 1, (p->n_entries - at) * sizeof *e);
    }
}

// ---- the writer thread

static void write_one(struct publish *p, struct entry *entry)
{
    uint64_t version = entry->version;
    struct hash128 hash = entry->hash;
    publish_copy_fn *copy = entry->copy;
    void *arg = entry->copy_arg;
    struct why why = {""};
    entry->writing = p->writer_busy = true;
    pthread_mutex_unlock(&p->lock);
    enum err e = publish_file_write(p->dir, &p->params, p->dtype, version, hash, copy, arg, &why);
    if (e) {
        LOG_ERROR("WEIGHTS_WRITE", "version=%" PRIu64 " error=\"%s\"", version, why.text);
    }
    pthread_mutex_lock(&p->lock);
    entry = find(p, version);
    entry->writing = p->writer_busy = false;
    entry->on_disk = !e;
    entry->failed = e != ERR_OK;
    if (e && !p->error) {
        p->error = e;
        p->error_why = why;
    }
    p->tidy = true;
    settle(p, version);
    pthread_cond_broadcast(&p->changed);
}

// The oldest file that nothing holds any more, beyond the `keep` newest ones.
static struct entry *superfluous(struct publish *p)
{
    struct entry *oldest = NULL;
    size_t files = 0;
    for (size_t i = p->n_entries; i > 0; i--) {
        struct entry *e = &p->entries[i - 1];
        if (e->on_disk && ++files > p->keep && !e->pins && !e->readers && !e->copy &&
            e->version != p->newest) {
            oldest = e;
        }
    }
    return oldest;
}

static void remove_files(struct publish *p)
{
    p->tidy = false;
    struct entry *e;
    while (!p->hold && (e = superfluous(p)) != NULL) {
        uint64_t version = e->version;
        e->on_disk = false;
        p->writer_busy = true;
        settle(p, version);
        pthread_mutex_unlock(&p->lock);
        char *path = publish_file_path(p->dir, version);
        if (!path || unlink(path) != 0) {
            LOG_WARN("WEIGHTS_REMOVE", "version=%" PRIu64 " error=\"%s\"", version,
                     path ? strerror(errno) : "out of memory");
        }
        free(path);
        pthread_mutex_lock(&p->lock);
        p->writer_busy = false;
    }
    pthread_cond_broadcast(&p->changed);
}

static struct entry *next_pending(struct publish *p)
{
    for (size_t i = 0; i < p->n_entries; i++) {
        if (pending(&p->entries[i])) {
            return &p->entries[i];
        }
    }
    return NULL;
}

static void *writer_main(void *arg)
{
    struct publish *p = arg;
    // Copying 0.27 GB to the disk begins when actors take the version over; they go first.
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), WRITER_NICE);
    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct entry *e = next_pending(p);
        if (e) {
            write_one(p, e);
        } else if (p->tidy) {
            remove_files(p);
        } else if (p->stop) {
            break;
        } else {
            pthread_cond_wait(&p->changed, &p->lock);
        }
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

// ---- what a former run left

static enum err take_in_file(struct publish *p, const char *name, struct why *why)
{
    uint64_t version = publish_file_version(name);
    size_t len = strlen(name);
    char *path = fs_path("%s/%s", p->dir, name);
    enum err e = path ? ERR_OK : why_set(why, ERR_NOMEM, "%s: out of memory", p->dir);
    if (!e && len > 4 && strcmp(name + len - 4, ".tmp") == 0) {
        (void)unlink(path);    // cut short by a crash
    } else if (!e && version) {
        struct why bad;
        struct hash128 hash;
        struct entry *entry;
        if (publish_file_hash(path, p->bytes, &hash, &bad)) {
            LOG_WARN("WEIGHTS_IGNORED", "error=\"%s\"", bad.text);
        } else if ((entry = find_or_insert(p, version)) == NULL) {
            e = why_set(why, ERR_NOMEM, "%s: out of memory", p->dir);
        } else {
            entry->hash = hash;
            entry->on_disk = true;
        }
    }
    free(path);
    return e;
}

static enum err take_in_folder(struct publish *p, struct why *why)
{
    DIR *dir = opendir(p->dir);
    if (!dir) {
        return why_set(why, ERR_IO, "%s: cannot read the folder: %m", p->dir);
    }
    enum err e = ERR_OK;
    struct dirent *entry;
    while (!e && (entry = readdir(dir)) != NULL) {
        e = take_in_file(p, entry->d_name, why);
    }
    closedir(dir);
    return e;
}

// ---- create and destroy

static void free_publish(struct publish *p)
{
    free(p->entries);
    free(p->params.params);
    free(p->dir);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static void init_locks(struct publish *p)
{
    pthread_condattr_t attr;
    CHECK(pthread_condattr_init(&attr) == 0);
    CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_mutex_init(&p->lock, NULL) == 0);
    CHECK(pthread_cond_init(&p->changed, &attr) == 0);
    pthread_condattr_destroy(&attr);
}

enum err publish_create(const char *weights_dir, const struct param_table *params, enum dtype t,
                        size_t keep, publish_news_fn *news, void *arg, struct publish **out,
                        struct why *why)
{
    CHECK(keep >= 1);
    struct publish *p = calloc(1, sizeof *p);
    if (!p) {
        return why_set(why, ERR_NOMEM, "%s: out of memory", weights_dir);
    }
    init_locks(p);
    p->dtype = t;
    p->keep = keep;
    p->bytes = params->total * dtype_size(t);
    p->news = news;
    p->news_arg = arg;
    p->params = *params;
    p->params.params = malloc(params->n * sizeof *params->params);
    p->dir = strdup(weights_dir);
    enum err e = p->params.params && p->dir
                     ? ERR_OK
                     : why_set(why, ERR_NOMEM, "%s: out of memory", weights_dir);
    if (!e) {
        memcpy(p->params.params, params->params, params->n * sizeof *params->params);
        e = fs_make_dirs(weights_dir, why);
    }
    e = e ? e : take_in_folder(p, why);
    if (!e && pthread_create(&p->writer, NULL, writer_main, p) != 0) {
        e = why_set(why, ERR_NOMEM, "%s: cannot start the writer thread", weights_dir);
    }
    if (e) {
        free_publish(p);
        return e;
    }
    *out = p;
    return ERR_OK;
}

void publish_destroy(struct publish *p)
{
    if (!p) {
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->writer, NULL);
    free_publish(p);
}

// ---- new versions

// The newest version, while somebody may read what it is copied from.
static struct entry *attached(struct publish *p)
{
    struct entry *e = find(p, p->newest);
    return e && (pending(e) || e->writing || e->copying) ? e : NULL;
}

// Under the lock, which it gives up meanwhile.
static enum err detach(struct publish *p, struct why *why)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += DETACH_WAIT_S;
    while (attached(p)) {
        if (pthread_cond_timedwait(&p->changed, &p->lock, &until) == ETIMEDOUT && attached(p)) {
            return why_set(why, ERR_TIMEOUT,
                           "%s: the disk did not take version %" PRIu64 " in %d s", p->dir,
                           p->newest, DETACH_WAIT_S);
        }
    }
    struct entry *e = find(p, p->newest);
    if (e && e->copy) {
        e->copy = NULL;
        settle(p, p->newest);
    }
    return ERR_OK;
}

enum err publish_detach(struct publish *p, struct why *why)
{
    pthread_mutex_lock(&p->lock);
    enum err e = detach(p, why);
    pthread_mutex_unlock(&p->lock);
    return e;
}

// Under the lock.
static enum err add_version(struct publish *p, const struct publish_version *v,
                            publish_copy_fn *copy, void *arg, struct why *why)
{
    uint64_t version = v->version;
    if (version <= p->newest) {
        return why_set(why, ERR_INVALID, "version %" PRIu64 " published after %" PRIu64, version,
                       p->newest);
    }
    enum err err = detach(p, why);
    if (err) {
        return err;
    }
    struct entry *e = find_or_insert(p, version);
    if (!e) {
        return why_set(why, ERR_NOMEM, "version %" PRIu64 ": out of memory", version);
    }
    e->on_disk = e->on_disk && hash_equal(e->hash, v->hash);
    e->hash = v->hash;
    e->updated_us = v->updated_us;
    e->copy = copy;
    e->copy_arg = arg;
    e->failed = false;
    p->newest = version;
    settle(p, version);    // a former run may have left its file
    pthread_cond_broadcast(&p->changed);
    return ERR_OK;
}

enum err publish_add(struct publish *p, const struct publish_version *v, publish_copy_fn *copy,
                     void *arg, struct why *why)
{
    pthread_mutex_lock(&p->lock);
    enum err e = add_version(p, v, copy, arg, why);
    pthread_mutex_unlock(&p->lock);
    if (!e && p->news) {
        p->news(p->news_arg, v->version);
    }
    return e;
}

uint64_t publish_newest(struct publish *p)
{
    pthread_mutex_lock(&p->lock);
    uint64_t version = p->newest;
    pthread_mutex_unlock(&p->lock);
    return version;
}

// ---- reading

// Under the lock. version 0 = newest; NULL: gone.
static struct entry *find_served(struct publish *p, uint64_t version, struct publish_version *found,
                                 struct why *why)
{
    version = version ? version : p->newest;
    struct entry *e = version ? find(p, version) : NULL;
    if (!e || (!e->copy && !e->on_disk)) {
        (void)why_set(why, ERR_NOT_FOUND, "version %" PRIu64 " is gone", version);
        return NULL;
    }
    *found = (struct publish_version){version, p->bytes, e->hash, e->updated_us};
    return e;
}

enum err publish_find(struct publish *p, uint64_t version, struct publish_version *found,
                      struct why *why)
{
    pthread_mutex_lock(&p->lock);
    bool there = find_served(p, version, found, why) != NULL;
    pthread_mutex_unlock(&p->lock);
    return there ? ERR_OK : ERR_NOT_FOUND;
}

enum err publish_read(struct publish *p, uint64_t version, uint64_t offset, size_t max, void *out,
                      size_t *len, struct publish_version *found, struct why *why)
{
    pthread_mutex_lock(&p->lock);
    struct entry *entry = find_served(p, version, found, why);
    if (!entry) {
        pthread_mutex_unlock(&p->lock);
        return ERR_NOT_FOUND;
    }
    version = entry->version;
    publish_copy_fn *copy = entry->on_disk ? NULL : entry->copy;
    void *arg = entry->copy_arg;
    entry->readers++;
    entry->copying += copy != NULL;
    pthread_mutex_unlock(&p->lock);

    size_t n = offset < p->bytes ? (size_t)MIN((uint64_t)max, p->bytes - offset) : 0;
    enum err e = ERR_OK;
    if (n && copy) {
        copy(arg, offset, n, out);
    } else if (n) {
        e = publish_file_read(p->dir, version, p->bytes, offset, out, n, why);
    }

    pthread_mutex_lock(&p->lock);
    entry = find(p, version);
    entry->readers--;
    entry->copying -= copy != NULL;
    settle(p, version);
    if (!copy) {
        p->tidy = p->newest != 0;    // it may have outlived its turn while it was read
    }
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    if (!e) {
        *len = n;
    }
    return e;
}

// ---- holding, waiting, forgetting

void publish_pin(struct publish *p, uint64_t version)
{
    pthread_mutex_lock(&p->lock);
    struct entry *e = find_or_insert(p, version);
    if (e) {
        e->pins++;
    } else {
        LOG_ERROR("WEIGHTS_PIN", "version=%" PRIu64 " error=\"out of memory\"", version);
    }
    pthread_mutex_unlock(&p->lock);
}

void publish_unpin(struct publish *p, uint64_t version)
{
    pthread_mutex_lock(&p->lock);
    struct entry *e = find(p, version);
    if (e && e->pins > 0 && --e->pins == 0) {
        settle(p, version);
        p->tidy = p->newest != 0;
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
}

void publish_hold(struct publish *p, bool hold)
{
    pthread_mutex_lock(&p->lock);
    p->hold = hold;
    p->tidy = p->newest != 0;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

enum err publish_flush(struct publish *p, struct why *why)
{
    pthread_mutex_lock(&p->lock);
    while (p->writer_busy || p->tidy || next_pending(p)) {
        pthread_cond_wait(&p->changed, &p->lock);
    }
    enum err e = p->error;
    if (e) {
        (void)why_set(why, e, "%s", p->error_why.text);
    }
    p->error = ERR_OK;
    pthread_mutex_unlock(&p->lock);
    return e;
}

// Lets go of entry e, memory and file. Its pins stay, and with them the entry, until they are
// undone.
static void forget(struct publish *p, struct entry *e)
{
    char *path = publish_file_path(p->dir, e->version);
    if (!path || (unlink(path) != 0 && errno != ENOENT)) {
        LOG_WARN("WEIGHTS_REMOVE", "version=%" PRIu64 " error=\"%s\"", e->version,
                 path ? strerror(errno) : "out of memory");
    }
    free(path);
    e->copy = NULL;
    e->on_disk = false;
    settle(p, e->version);
}

void publish_forget_after(struct publish *p, uint64_t newest)
{
    pthread_mutex_lock(&p->lock);
    p->newest = MIN(p->newest, newest);
    size_t i = p->n_entries;
    while (i > 0 && p->entries[i - 1].version > newest) {
        struct entry *e = &p->entries[i - 1];
        if (p->writer_busy || e->readers) {
            pthread_cond_wait(&p->changed, &p->lock);
            i = p->n_entries;
        } else {
            forget(p, e);
            i--;
        }
    }
    pthread_mutex_unlock(&p->lock);
}

enum err publish_map(struct publish *p, struct fs_map *map, const void **blob, struct why *why)
{
    enum err e = publish_flush(p, why);
    uint64_t version = publish_newest(p);
    if (!e && version == 0) {
        return why_set(why, ERR_NOT_FOUND, "%s: no weights yet", p->dir);
    }
    return e ? e : publish_file_map(p->dir, version, p->bytes, map, blob, why);
}
