// weightslab.c: memfd, seals, locks and a header of one page.
//
//   file: | header, 4096 bytes | panels, panel_bytes | zeros to the end of the page |
//
// Locks are flock's, which belong to an open file: the writer's is the one that memfd_create gave,
// each reader opens /proc/PID/fd/N and so has one of its own. The order on either side is lock, then
// header, so a reader that has its lock sees a header that nobody is changing.
//
// A reader is careful about what a name leads to, because the name comes over a network: the link is
// read before anything is opened (opening a tape drive rewinds it), the seals prove that it is an
// anonymous file whose size is final, and only then is it mapped. From there on a hostile writer can
// still change the contents under the reader; it has the same user id, and could as well attach a
// debugger.

#include "model/weightslab.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/model.h"

#define FILE_NAME "caravan-weights"
#define LINK_START "/memfd:" FILE_NAME

enum {
    PAGE = 4096,
    REVISION = 2,    // also of the panels' layout
    SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL,
    STATE_EMPTY = 0,
    STATE_WHOLE = 1,
    FILL_CHUNK = 4 << 20,
};
static const char MAGIC[8] = "CARAVANW";

struct header {
    char magic[8];
    uint32_t revision, dtype;
    uint64_t panel_bytes;
    char numerics_id[40];
    struct hash128 owner;
    _Atomic uint32_t state;
    uint32_t unused;
    uint64_t version;
    struct hash128 hash;
    struct weights_sums sums;
};
_Static_assert(sizeof(struct header) <= PAGE, "the header is one page");

struct weightslab {
    int fd;
    size_t bytes;
    struct header *header;    // start of the mapping
    struct hash128 owner;
};

struct weightview {
    int fd;
    size_t bytes, panel_bytes;
    struct weightslab_name name;
    const struct header *header;
};

static size_t file_bytes(size_t panel_bytes)
{
    return PAGE + (panel_bytes + PAGE - 1) / PAGE * PAGE;
}

static bool lock(int fd, int how)
{
    int rc;
    do {
        rc = flock(fd, how | LOCK_NB);
    } while (rc != 0 && errno == EINTR);
    return rc == 0;
}

// ---- writer

struct populate {
    char *from;
    size_t bytes;
    atomic_int error;    // errno
};

static void populate_chunk(void *arg, size_t chunk, int thread)
{
    (void)thread;
    struct populate *p = arg;
    size_t at = chunk * FILL_CHUNK, n = MIN(p->bytes - at, (size_t)FILL_CHUNK);
    if (madvise(p->from + at, n, MADV_POPULATE_WRITE) != 0) {
        atomic_store(&p->error, errno);
    }
}

// Touching a page that cannot be had would be a signal; asking for it is an error.
static enum err populate(struct weightslab *s, struct pool *pool, struct why *why)
{
    struct populate p = {.from = (char *)s->header, .bytes = s->bytes};
    pool_run(pool, (s->bytes + FILL_CHUNK - 1) / FILL_CHUNK, populate_chunk, &p);
    int error = atomic_load(&p.error);
    if (error == EINVAL) {    // before Linux 5.14
        error = posix_fallocate(s->fd, 0, (off_t)s->bytes);
    }
    return error ? why_set(why, ERR_NOMEM, "weight slab: no memory for %zu bytes: %s", s->bytes,
                           strerror(error))
                 : ERR_OK;
}

static enum err map_and_seal(struct weightslab *s, struct pool *pool, struct why *why)
{
    s->fd = memfd_create(FILE_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (s->fd < 0) {
        return why_set(why, ERR_UNSUPPORTED, "weight slab: memfd_create: %m");
    }
    if (ftruncate(s->fd, (off_t)s->bytes) != 0) {
        return why_set(why, ERR_NOMEM, "weight slab: no memory for %zu bytes: %m", s->bytes);
    }
    void *at = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (at == MAP_FAILED) {
        return why_set(why, ERR_NOMEM, "weight slab: cannot map %zu bytes: %m", s->bytes);
    }
    s->header = at;
    (void)madvise(at, s->bytes, MADV_HUGEPAGE);    // advice only
    enum err e = populate(s, pool, why);
    if (!e && fcntl(s->fd, F_ADD_SEALS, SEALS) != 0) {
        e = why_set(why, ERR_UNSUPPORTED, "weight slab: cannot seal: %m");
    }
    return e;
}

enum err weightslab_create(const struct weightslab_layout *l, struct hash128 owner,
                           struct pool *pool, struct weightslab **out, struct why *why)
{
    struct weightslab *s = calloc(1, sizeof *s);
    if (!s) {
        return why_set(why, ERR_NOMEM, "weight slab: out of memory");
    }
    *s = (struct weightslab){.fd = -1, .bytes = file_bytes(l->panel_bytes), .owner = owner};
    enum err e = map_and_seal(s, pool, why);
    if (e) {
        weightslab_destroy(s);
        return e;
    }
    struct header *h = s->header;
    memcpy(h->magic, MAGIC, sizeof h->magic);
    h->revision = REVISION;
    h->dtype = (uint32_t)l->dtype;
    h->panel_bytes = l->panel_bytes;
    (void)snprintf(h->numerics_id, sizeof h->numerics_id, "%s", l->numerics_id);
    h->owner = owner;
    *out = s;
    return ERR_OK;
}

void weightslab_destroy(struct weightslab *s)
{
    if (!s) {
        return;
    }
    if (s->header) {
        munmap(s->header, s->bytes);
    }
    if (s->fd >= 0) {
        close(s->fd);
    }
    free(s);
}

bool weightslab_claim(struct weightslab *s)
{
    if (!lock(s->fd, LOCK_EX)) {
        return false;
    }
    atomic_store(&s->header->state, STATE_EMPTY);
    s->header->version = 0;
    return true;
}

void weightslab_finish(struct weightslab *s, uint64_t version, struct hash128 hash,
                       const struct weights_sums *sums)
{
    struct header *h = s->header;
    h->version = version;
    h->hash = hash;
    h->sums = *sums;
    atomic_store(&h->state, STATE_WHOLE);
    (void)lock(s->fd, LOCK_UN);
}

void weightslab_abandon(struct weightslab *s)
{
    (void)lock(s->fd, LOCK_UN);    // the header states no version since the claim
}

void *weightslab_panels(struct weightslab *s)
{
    return (char *)s->header + PAGE;
}

struct weightslab_name weightslab_name(const struct weightslab *s)
{
    return (struct weightslab_name){(uint64_t)getpid(), (uint32_t)s->fd, s->owner};
}

// ---- reader

// /proc/PID/fd/N, opened if its link says that it is a slab.
static enum err open_named(const struct weightslab_name *n, int *fd, struct why *why)
{
    char path[64], link[sizeof LINK_START + 16] = "";
    if (n->pid == 0 || n->pid > INT_MAX || n->fd > INT_MAX) {
        return why_set(why, ERR_NOT_FOUND, "weight slab: process %" PRIu64 ", file %" PRIu32,
                       n->pid, n->fd);
    }
    (void)snprintf(path, sizeof path, "/proc/%" PRIu64 "/fd/%" PRIu32, n->pid, n->fd);
    ssize_t len = readlink(path, link, sizeof link - 1);
    if (len < 0) {
        return why_set(why, ERR_NOT_FOUND, "weight slab: %s: %m", path);
    }
    if (strncmp(link, LINK_START, strlen(LINK_START)) != 0) {
        return why_set(why, ERR_NOT_FOUND, "weight slab: %s is \"%s\", expected \"%s\"", path, link,
                       LINK_START);
    }
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return *fd < 0 ? why_set(why, ERR_NOT_FOUND, "weight slab: %s: %m", path) : ERR_OK;
}

static enum err check_file(int fd, size_t bytes, struct why *why)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS) {
        return why_set(why, ERR_MISMATCH, "weight slab: a file without the seals of a slab");
    }
    if (fstat(fd, &st) != 0) {
        return why_set(why, ERR_IO, "weight slab: fstat: %m");
    }
    if (st.st_uid != geteuid()) {
        return why_set(why, ERR_DENIED, "weight slab: belongs to user %u, this is user %u",
                       (unsigned)st.st_uid, (unsigned)geteuid());
    }
    if (st.st_size < 0 || (uint64_t)st.st_size != bytes) {
        return why_set(why, ERR_MISMATCH, "weight slab: %lld bytes, expected %zu",
                       (long long)st.st_size, bytes);
    }
    return ERR_OK;
}

static enum err check_header(const struct header *h, const struct weightslab_name *n,
                             const struct weightslab_layout *l, struct why *why)
{
    char id[sizeof h->numerics_id];
    memcpy(id, h->numerics_id, sizeof id);
    id[sizeof id - 1] = '\0';
    if (memcmp(h->magic, MAGIC, sizeof MAGIC) != 0 || h->revision != REVISION) {
        return why_set(why, ERR_MISMATCH, "weight slab: revision %" PRIu32 ", expected %d",
                       h->revision, REVISION);
    }
    if (!hash_equal(h->owner, n->owner)) {
        return why_set(why, ERR_MISMATCH, "weight slab: of another writer");
    }
    if (strcmp(id, l->numerics_id) != 0 || h->dtype != (uint32_t)l->dtype ||
        h->panel_bytes != l->panel_bytes) {
        return why_set(why, ERR_MISMATCH,
                       "weight slab: %s type %" PRIu32 " of %" PRIu64
                       " bytes, expected %s type %d of %zu",
                       id, h->dtype, h->panel_bytes, l->numerics_id, (int)l->dtype, l->panel_bytes);
    }
    return ERR_OK;
}

enum err weightview_map(const struct weightslab_name *n, const struct weightslab_layout *l,
                        struct weightview **out, struct why *why)
{
    struct weightview *v = calloc(1, sizeof *v);
    if (!v) {
        return why_set(why, ERR_NOMEM, "weight slab: out of memory");
    }
    *v = (struct weightview){
        .fd = -1, .bytes = file_bytes(l->panel_bytes), .panel_bytes = l->panel_bytes, .name = *n};
    enum err e = open_named(n, &v->fd, why);
    e = e ? e : check_file(v->fd, v->bytes, why);
    if (!e) {
        void *at = mmap(NULL, v->bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, v->fd, 0);
        e = at == MAP_FAILED
                ? why_set(why, ERR_NOMEM, "weight slab: cannot map %zu bytes: %m", v->bytes)
                : ERR_OK;
        v->header = e ? NULL : at;
    }
    e = e ? e : check_header(v->header, n, l, why);
    if (e) {
        weightview_unmap(v);
        return e;
    }
    *out = v;
    return ERR_OK;
}

void weightview_unmap(struct weightview *v)
{
    if (!v) {
        return;
    }
    if (v->header) {
        munmap((void *)(uintptr_t)v->header, v->bytes);
    }
    if (v->fd >= 0) {
        close(v->fd);    // the lock goes with it
    }
    free(v);
}

bool weightview_is(const struct weightview *v, const struct weightslab_name *n)
{
    return v->name.pid == n->pid && v->name.fd == n->fd && hash_equal(v->name.owner, n->owner);
}

bool weightview_of(const struct weightview *v, struct hash128 owner)
{
    return hash_equal(v->name.owner, owner);
}

enum err weightview_hold(struct weightview *v, uint64_t version, struct hash128 hash,
                         struct weights_sums *sums, struct why *why)
{
    if (!lock(v->fd, LOCK_SH)) {
        return why_set(why, ERR_BUSY, "weight slab: version %" PRIu64 " is being replaced",
                       version);
    }
    const struct header *h = v->header;
    uint64_t has = h->version;
    if (atomic_load(&h->state) != STATE_WHOLE || has != version || !hash_equal(h->hash, hash)) {
        weightview_drop(v);
        return why_set(why, ERR_MISMATCH,
                       "weight slab: has version %" PRIu64 ", expected %" PRIu64
                       " whole and with its hash",
                       has, version);
    }
    *sums = h->sums;
    return ERR_OK;
}

void weightview_drop(struct weightview *v)
{
    (void)lock(v->fd, LOCK_UN);
}

void *weightview_panels(const struct weightview *v)
{
    return (char *)(uintptr_t)v->header + PAGE;
}
