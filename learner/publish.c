// publish.c: one list of versions, one writer thread.
//
// Life of a version:
//
//   publish_buffer ── filled by the trainer ── publish_add: newest, served from memory
//                                                   │ writer thread
//                                                   ▼
//                            file weights/v000042.safetensors (or failed: logged, memory goes on)
//                                                   │ a newer version is added: the blob is given
//                                                   back ▼
//                             served from its file while among the `keep` newest, or pinned; then
//                             removed
//
// A blob is let go when its version is not the newest, its write has ended either way, and nobody
// is copying from it (readers). Three buffers bound the memory: the newest, the one being filled,
// and one that the writer has not finished; if the disk is slower than training, publish_buffer
// waits, and that is the back-pressure. One spare is kept, since faulting in 0.27 GB anew costs a
// tenth of a second.
//
// A file is the flat blob behind a header (safetensors, tensors in table order without gaps), so a
// range of the blob is a range of the file. Its header's metadata carries version and hash: that is
// how a restarted learner knows what it has.
//
// There is one lock. It is not held over a copy or a disk access, except by publish_forget_after,
// which runs before a resumed run begins to serve.

#include "learner/publish.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/json.h"
#include "common/log.h"
#include "model/source.h"

enum { MAX_BUFFERS = 3, BUFFER_WAIT_S = 60, HEADER_MAX = 16 << 20, HUGE_PAGE = 2 << 20 };

struct entry {
    uint64_t version;
    struct hash128 hash;
    void *blob;    // NULL = not in memory
    bool on_disk;
    bool failed;    // the last attempt to write it
    bool writing;
    size_t readers;    // copying from blob or file
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
    void *spare;
    size_t buffers;    // allocated, spare included
    bool writer_busy, tidy, hold, stop;
    enum err error;    // first since the last flush
    struct why error_why;
    pthread_t writer;
};

static char *version_path(const struct publish *p, uint64_t version)
{
    return fs_path("%s/v%06" PRIu64 ".safetensors", p->dir, version);
}

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

static void release_blob(struct publish *p, void *blob)
{
    if (!p->spare) {
        p->spare = blob;
    } else {
        free(blob);
        p->buffers--;
    }
    pthread_cond_broadcast(&p->changed);
}

static bool pending(const struct entry *e)
{
    return e->blob && !e->on_disk && !e->failed;
}

// Lets go of what version no longer needs; its entry may vanish.
static void settle(struct publish *p, uint64_t version)
{
    struct entry *e = find(p, version);
    if (!e || e->readers || e->writing) {
        return;
    }
    if (e->blob && version != p->newest && !pending(e)) {
        release_blob(p, e->blob);
        e->blob = NULL;
    }
    if (!e->blob && !e->on_disk && !e->pins) {
        size_t at = (size_t)(e - p->entries);
        p->n_entries--;
        memmove(e, e + 1, (p->n_entries - at) * sizeof *e);
    }
}

// ---- the writer thread

static enum err write_version(struct publish *p, uint64_t version, struct hash128 hash,
                              const void *blob, struct why *why)
{
    char number[24], hex[HASH_HEX_LEN + 1];
    (void)snprintf(number, sizeof number, "%" PRIu64, version);
    hash_hex(hash, hex);
    const char *const metadata[] = {"version", number, "weights_hash", hex, NULL};
    char *path = version_path(p, version);
    enum err e = path ? safetensors_write_flat(path, &p->params, p->dtype, blob, metadata, why)
                      : why_set(why, ERR_NOMEM, "out of memory");
    free(path);
    return e;
}

static void write_one(struct publish *p, struct entry *entry)
{
    uint64_t version = entry->version;
    struct hash128 hash = entry->hash;
    void *blob = entry->blob;
    struct why why = {""};
    entry->writing = p->writer_busy = true;
    pthread_mutex_unlock(&p->lock);
    enum err e = write_version(p, version, hash, blob, &why);
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
        if (e->on_disk && ++files > p->keep && !e->pins && !e->readers && !e->blob) {
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
        char *path = version_path(p, version);
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

// v000042.safetensors -> 42; 0 = another name.
static uint64_t version_of_name(const char *name)
{
    size_t digits = name[0] == 'v' ? strspn(name + 1, "0123456789") : 0;
    if (digits < 6 || digits > 18 || strcmp(name + 1 + digits, ".safetensors") != 0) {
        return 0;
    }
    return strtoull(name + 1, NULL, 10);
}

// Bytes before the blob, from the first 8 of the file; checks that the rest is as long as a blob.
static enum err header_bytes(const struct publish *p, const char *path, const uint8_t first[8],
                             uint64_t file_bytes, uint64_t *out, struct why *why)
{
    uint64_t header = 0;
    for (int i = 7; i >= 0; i--) {
        header = header << 8 | first[i];
    }
    if (header > HEADER_MAX || file_bytes != 8 + header + p->bytes) {
        return why_set(why, ERR_CORRUPT,
                       "%s: %" PRIu64 " bytes, expected a header and %zu of weights", path,
                       file_bytes, p->bytes);
    }
    *out = 8 + header;
    return ERR_OK;
}

static enum err file_hash(const struct publish *p, const char *path, struct hash128 *out,
                          struct why *why)
{
    struct fs_map map = {0};
    uint64_t before = 0;
    json_t *header = NULL;
    const char *hex = NULL;
    enum err e = fs_map_open(path, &map, why);
    if (!e && map.len < 8) {
        e = why_set(why, ERR_CORRUPT, "%s: %zu bytes, expected a header", path, map.len);
    }
    e = e ? e : header_bytes(p, path, map.data, map.len, &before, why);
    e = e ? e : json_parse((const char *)map.data + 8, before - 8, path, &header, why);
    if (!e) {
        json_t *metadata = json_object_get(header, "__metadata__");
        e = json_is_object(metadata)
                ? json_get_str(metadata, "weights_hash", path, &hex, why)
                : why_set(why, ERR_CORRUPT, "%s: no __metadata__ in the header", path);
    }
    if (!e && !hash_from_hex(hex, out)) {
        e = why_set(why, ERR_CORRUPT, "%s: weights_hash \"%.40s\", expected 32 hex digits", path,
                    hex);
    }
    json_decref(header);
    fs_map_close(&map);
    return e;
}

static enum err take_in_file(struct publish *p, const char *name, struct why *why)
{
    uint64_t version = version_of_name(name);
    size_t len = strlen(name);
    char *path = fs_path("%s/%s", p->dir, name);
    enum err e = path ? ERR_OK : why_set(why, ERR_NOMEM, "%s: out of memory", p->dir);
    if (!e && len > 4 && strcmp(name + len - 4, ".tmp") == 0) {
        (void)unlink(path);    // cut short by a crash
    } else if (!e && version) {
        struct why bad;
        struct hash128 hash;
        struct entry *entry;
        if (file_hash(p, path, &hash, &bad)) {
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
    for (size_t i = 0; i < p->n_entries; i++) {
        free(p->entries[i].blob);
    }
    free(p->entries);
    free(p->spare);
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

// ---- buffers and new versions

// Huge pages where the system grants them: 0.27 GB are then 128 page faults and not 65,000.
static void *allocate_blob(size_t bytes)
{
    size_t page = bytes < HUGE_PAGE ? 64 : HUGE_PAGE;
    void *blob = aligned_alloc(page, (bytes + page - 1) / page * page);
    if (blob && page == HUGE_PAGE) {
        (void)madvise(blob, bytes, MADV_HUGEPAGE);    // advice only
    }
    return blob;
}

static void *take_buffer(struct publish *p)
{
    void *blob = p->spare;
    p->spare = NULL;
    if (!blob && p->buffers < MAX_BUFFERS) {
        blob = allocate_blob(p->bytes);
        p->buffers += blob != NULL;
    }
    return blob;
}

enum err publish_buffer(struct publish *p, void **blob, size_t *bytes, struct why *why)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += BUFFER_WAIT_S;
    enum err e = ERR_OK;
    void *b = NULL;
    pthread_mutex_lock(&p->lock);
    while (!e && (b = take_buffer(p)) == NULL) {
        if (p->buffers < MAX_BUFFERS) {
            e = why_set(why, ERR_NOMEM, "no memory for %zu bytes of weights", p->bytes);
        } else if (pthread_cond_timedwait(&p->changed, &p->lock, &until) == ETIMEDOUT) {
            e = why_set(why, ERR_TIMEOUT, "%s: the disk did not take a version in %d s", p->dir,
                        BUFFER_WAIT_S);
        }
    }
    pthread_mutex_unlock(&p->lock);
    if (!e) {
        *blob = b;
        *bytes = p->bytes;
    }
    return e;
}

void publish_cancel(struct publish *p, void *blob)
{
    if (blob) {
        pthread_mutex_lock(&p->lock);
        release_blob(p, blob);
        pthread_mutex_unlock(&p->lock);
    }
}

// Under the lock. What was newest is let go, and tried again if its write had failed.
static enum err add_version(struct publish *p, uint64_t version, struct hash128 hash, void *blob,
                            struct why *why)
{
    if (version <= p->newest) {
        return why_set(why, ERR_INVALID, "version %" PRIu64 " published after %" PRIu64, version,
                       p->newest);
    }
    struct entry *e = find_or_insert(p, version);
    if (!e) {
        return why_set(why, ERR_NOMEM, "version %" PRIu64 ": out of memory", version);
    }
    e->on_disk = e->on_disk && hash_equal(e->hash, hash);
    e->hash = hash;
    e->blob = blob;
    e->failed = false;
    uint64_t former = p->newest;
    p->newest = version;
    struct entry *before = find(p, former);
    if (before && before->failed) {
        before->failed = false;
    }
    settle(p, former);
    pthread_cond_broadcast(&p->changed);
    return ERR_OK;
}

enum err publish_add(struct publish *p, uint64_t version, struct hash128 hash, void *blob,
                     struct why *why)
{
    pthread_mutex_lock(&p->lock);
    enum err e = add_version(p, version, hash, blob, why);
    pthread_mutex_unlock(&p->lock);
    if (!e && p->news) {
        p->news(p->news_arg, version);
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

static enum err pread_all(int fd, const char *path, void *out, size_t n, uint64_t at,
                          struct why *why)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = pread(fd, (char *)out + got, n - got, (off_t)(at + got));
        if (r == 0 || (r < 0 && errno != EINTR)) {
            return r == 0 ? why_set(why, ERR_CORRUPT, "%s: ends early", path)
                          : why_set(why, ERR_IO, "%s: cannot read: %m", path);
        }
        got += r > 0 ? (size_t)r : 0;
    }
    return ERR_OK;
}

static enum err read_file_range(const struct publish *p, uint64_t version, uint64_t offset,
                                void *out, size_t n, struct why *why)
{
    char *path = version_path(p, version);
    if (!path) {
        return why_set(why, ERR_NOMEM, "version %" PRIu64 ": out of memory", version);
    }
    uint8_t first[8];
    uint64_t before = 0;
    struct stat st;
    enum err e = ERR_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        e = why_set(why, ERR_IO, "%s: cannot open: %m", path);
    }
    e = e ? e : pread_all(fd, path, first, sizeof first, 0, why);
    e = e ? e : header_bytes(p, path, first, (uint64_t)st.st_size, &before, why);
    e = e ? e : pread_all(fd, path, out, n, before + offset, why);
    if (fd >= 0) {
        close(fd);
    }
    free(path);
    return e;
}

enum err publish_read(struct publish *p, uint64_t version, uint64_t offset, size_t max, void *out,
                      size_t *len, uint64_t *resolved, uint64_t *total, struct hash128 *hash,
                      struct why *why)
{
    pthread_mutex_lock(&p->lock);
    version = version ? version : p->newest;
    struct entry *entry = version ? find(p, version) : NULL;
    if (!entry || (!entry->blob && !entry->on_disk)) {
        pthread_mutex_unlock(&p->lock);
        return why_set(why, ERR_NOT_FOUND, "version %" PRIu64 " is gone", version);
    }
    const char *blob = entry->blob;
    struct hash128 h = entry->hash;
    entry->readers++;
    pthread_mutex_unlock(&p->lock);

    size_t n = offset < p->bytes ? (size_t)MIN((uint64_t)max, p->bytes - offset) : 0;
    enum err e = ERR_OK;
    if (n && blob) {
        memcpy(out, blob + offset, n);
    } else if (n) {
        e = read_file_range(p, version, offset, out, n, why);
    }

    pthread_mutex_lock(&p->lock);
    find(p, version)->readers--;
    settle(p, version);
    if (!blob) {
        p->tidy = p->newest != 0;    // it may have outlived its turn while it was read
    }
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    if (!e) {
        *len = n;
        *resolved = version;
        *total = p->bytes;
        *hash = h;
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
    char *path = version_path(p, e->version);
    if (!path || (unlink(path) != 0 && errno != ENOENT)) {
        LOG_WARN("WEIGHTS_REMOVE", "version=%" PRIu64 " error=\"%s\"", e->version,
                 path ? strerror(errno) : "out of memory");
    }
    free(path);
    if (e->blob) {
        release_blob(p, e->blob);
        e->blob = NULL;
    }
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

size_t publish_memory(struct publish *p)
{
    pthread_mutex_lock(&p->lock);
    size_t bytes = p->buffers * p->bytes;
    pthread_mutex_unlock(&p->lock);
    return bytes;
}
