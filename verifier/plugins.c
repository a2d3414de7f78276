// plugins.c: one file at a time, in the order of names, each tried before it counts.
//
// A look at the folder (scan) picks the first file whose identity (inode, size, times, mode) is not
// the one that was tried last, and starts a candidate; its end starts the next look; a look that
// finds nothing to do waits for the folder's next event, or RESCAN_MS for file systems that send
// none. Files younger than YOUNG_MS may still be written and are left for a moment. The bytes are
// copied to an anonymous file and must be the same file before and after, so what runs was never
// half of something.
#include "verifier/plugins.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>
#include <xxhash.h>

#include "common/fs.h"
#include "common/log.h"
#include "verifier/pluginline.h"
#include "verifier/registry.h"

enum { RESCAN_MS = 2000, EVENT_MS = 20, YOUNG_MS = 100, START_MS = 10000, NAME_BYTES = 128 };

struct identity {
    uint64_t inode, size, changed_ns, modified_ns;
    mode_t mode;
};

// What one file offers, and the workers that answer for it.
struct generation {
    struct plugins *owner;
    struct plugin *plugin;    // NULL: retired or refused, only its crew is still closing
    struct crew *crew;
    struct jobframe_check checks[JOBFRAME_MAX_CHECKS];
    size_t n_checks;
    uint64_t hash;
};

struct plugin {
    char name[NAME_BYTES];
    struct identity tried;
    bool present;
    bool clashes;                          // refused because of another plug-in's checks
    struct generation *now, *next;         // next: the candidate
    char refusal[PLUGINS_REASON_BYTES];    // "NAME: reason", or ""
};

struct plugins {
    uv_loop_t *loop;
    char *folder;
    struct crew_config crew;
    void (*changed)(void *arg);
    void *arg;
    struct plugin *list[PLUGINS_MAX];    // in the order of names
    size_t n;
    struct generation *trying;
    bool settled, closing;
    uv_fs_event_t events;
    uv_timer_t timer;
    int open;    // handles and crews not yet closed
    void (*closed)(void *arg);
    void *closed_arg;
};

static void scan(struct plugins *p);

// ---- closing ----

static void part_closed(struct plugins *p)
{
    if (--p->open == 0 && p->closing) {
        p->closed(p->closed_arg);
    }
}

static void on_crew_closed(void *arg)
{
    struct generation *g = arg;
    struct plugins *p = g->owner;
    crew_destroy(g->crew);
    free(g);
    part_closed(p);
}

static void drop(struct generation *g, void (*how)(struct crew *, void (*)(void *), void *))
{
    if (g) {
        g->plugin = NULL;
        how(g->crew, on_crew_closed, g);
    }
}

// ---- files ----

static uint64_t nanoseconds(struct timespec t)
{
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct identity identity_of(const struct stat *st)
{
    return (struct identity){.inode = st->st_ino,
                             .size = (uint64_t)st->st_size,
                             .changed_ns = nanoseconds(st->st_ctim),
                             .modified_ns = nanoseconds(st->st_mtim),
                             .mode = st->st_mode};
}

static bool same(const struct identity *a, const struct identity *b)
{
    return a->inode == b->inode && a->size == b->size && a->changed_ns == b->changed_ns &&
           a->modified_ns == b->modified_ns && a->mode == b->mode;
}

static bool is_young(const struct identity *id)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t t = nanoseconds(now);
    return t >= id->modified_ns && t - id->modified_ns < YOUNG_MS * UINT64_C(1000000);
}

static bool is_object(const char *name)
{
    size_t len = strlen(name);
    return len > 3 && strcmp(name + len - 3, ".so") == 0;
}

static bool is_plugin(const char *name, const struct stat *st)
{
    size_t len = strlen(name);
    return S_ISREG(st->st_mode) && name[0] != '.' && len < NAME_BYTES && name[len - 1] != '~' &&
           (is_object(name) || (st->st_mode & 0111) != 0);
}

static enum err copy_bytes(int from, int to, uint64_t *hash, struct why *why)
{
    XXH3_state_t *state = XXH3_createState();
    char *chunk = malloc(1 << 16);
    ssize_t n = -1;
    size_t total = 0;
    if (state && chunk) {
        XXH3_64bits_reset(state);
        while ((n = read(from, chunk, 1 << 16)) > 0 && total <= PLUGINS_FILE_MAX) {
            XXH3_64bits_update(state, chunk, (size_t)n);
            total += (size_t)n;
            if (write(to, chunk, (size_t)n) != n) {
                n = -1;
                break;
            }
        }
        *hash = XXH3_64bits_digest(state);
    }
    XXH3_freeState(state);
    free(chunk);
    return n == 0  ? ERR_OK
           : n < 0 ? why_set(why, ERR_IO, "cannot be copied: %s", strerror(errno))
                   : why_set(why, ERR_LIMIT, "over %zu bytes", PLUGINS_FILE_MAX);
}

// *out: an anonymous file with the bytes of the file whose identity is *id. ERR_CLOSED: it is
// changing.
static enum err copy_file(const char *path, const struct identity *id, int *out, uint64_t *hash,
                          struct why *why)
{
    struct stat st;
    int from = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int to = memfd_create("plugin", MFD_CLOEXEC);
    enum err e = from < 0 || to < 0 ? why_set(why, ERR_IO, "cannot be read: %s", strerror(errno))
                                    : copy_bytes(from, to, hash, why);
    if (!e) {
        struct identity after = {0};
        if (fstat(from, &st) == 0) {
            after = identity_of(&st);
        }
        e = same(&after, id) ? ERR_OK : ERR_CLOSED;
    }
    if (from >= 0) {
        close(from);
    }
    if (e && to >= 0) {
        close(to);
    }
    *out = to;
    return e;
}

// ---- candidates ----

static void refuse(struct plugin *l, const char *reason)
{
    (void)snprintf(l->refusal, sizeof l->refusal, "%.100s: %.140s", l->name, reason);
    LOG_WARN("PLUGIN_REFUSED", "file=%s cause=\"%s\"", l->name, reason);
}

static const struct generation *offerer(const struct plugins *p, const char *id, size_t len,
                                        size_t *index)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct generation *g = p->list[i]->now;
        for (size_t k = 0; g && k < g->n_checks; k++) {
            if (strlen(g->checks[k].id) == len && memcmp(g->checks[k].id, id, len) == 0) {
                *index = k;
                return g;
            }
        }
    }
    return NULL;
}

static enum err admit(struct plugins *p, struct plugin *l, const struct jobframe_check *checks,
                      size_t n, struct why *why)
{
    enum err e = pluginline_check(checks, n, why);
    for (size_t i = 0; i < n && !e; i++) {
        size_t len = strlen(checks[i].id), index;
        const struct generation *other = offerer(p, checks[i].id, len, &index);
        if (registry_find(checks[i].id, len)) {
            e = why_set(why, ERR_INVALID, "%s is built in", checks[i].id);
        } else if (other && other->plugin != l) {
            l->clashes = true;
            e = why_set(why, ERR_INVALID, "%s is offered by %s", checks[i].id, other->plugin->name);
        }
    }
    return e;
}

// What somebody's checks were in the way of may be tried again.
static void let_clashing_try(struct plugins *p)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->list[i]->clashes) {
            p->list[i]->clashes = false;
            p->list[i]->tried = (struct identity){0};
        }
    }
}

static void replace(struct plugins *p, struct plugin *l, struct generation *g,
                    const struct jobframe_check *checks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        g->checks[i] = checks[i];
        size_t declared = strlen(checks[i].version);
        (void)snprintf(g->checks[i].version + declared, sizeof g->checks[i].version - declared,
                       "+%08x", (unsigned)(g->hash & 0xFFFFFFFFu));
    }
    g->n_checks = n;
    drop(l->now, crew_retire);
    l->now = g;
    l->next = NULL;
    l->refusal[0] = 0;
    LOG_INFO("PLUGIN_LOADED", "file=%s checks=%zu first=%s version=%s", l->name, n, g->checks[0].id,
             g->checks[0].version);
    let_clashing_try(p);
    p->changed(p->arg);
}

static void on_ready(void *arg, enum err e, enum sandbox_level level, const char *text,
                     const struct jobframe_check *checks, size_t n)
{
    struct generation *g = arg;
    struct plugins *p = g->owner;
    struct plugin *l = g->plugin;
    struct why why = {{0}};
    (void)level;
    p->trying = NULL;
    if (!l || p->closing) {
        return;    // withdrawn meanwhile: its crew is closing
    }
    e = e ? why_set(&why, e, "%s", text) : admit(p, l, checks, n, &why);
    if (!e) {
        replace(p, l, g, checks, n);
    } else {
        refuse(l, why.text);
        l->next = NULL;
        drop(g, crew_close);
        p->changed(p->arg);
    }
    scan(p);
}

static enum err try_file(struct plugins *p, struct plugin *l, int fd, uint64_t hash)
{
    struct generation *g = calloc(1, sizeof *g);
    struct crew_config c = p->crew;
    c.host = is_object(l->name) ? "object" : "program";
    c.host_fd = fd;
    c.start_ms = START_MS;
    if (g) {
        *g = (struct generation){.owner = p, .plugin = l, .hash = hash};
    }
    enum err e = g ? crew_create(p->loop, &c, on_ready, g, &g->crew) : ERR_NOMEM;
    if (e) {
        free(g);
        close(fd);
        return e;
    }
    p->open++;
    p->trying = l->next = g;
    return ERR_OK;
}

// Starts what is new in the file. True when a candidate was started.
static bool look_at(struct plugins *p, struct plugin *l, const struct identity *id, bool *again)
{
    int fd = -1;
    uint64_t hash = 0;
    struct why why = {{0}};
    char *path = fs_path("%s/%s", p->folder, l->name);
    enum err e = path ? copy_file(path, id, &fd, &hash, &why) : ERR_NOMEM;
    free(path);
    if (e == ERR_CLOSED) {
        *again = true;
        return false;
    }
    l->tried = *id;
    l->refusal[0] = 0;
    if (!e && l->now && l->now->hash == hash) {
        close(fd);    // touched, the same bytes
        return false;
    }
    e = e ? e : try_file(p, l, fd, hash);
    if (e) {
        refuse(l, why.text[0] ? why.text : err_text(e));
    }
    return !e;
}

// ---- the folder ----

// NULL: no room, or no memory.
static struct plugin *find_or_add(struct plugins *p, const char *name)
{
    size_t at = 0;
    while (at < p->n && strcmp(p->list[at]->name, name) < 0) {
        at++;
    }
    if (at < p->n && strcmp(p->list[at]->name, name) == 0) {
        return p->list[at];
    }
    struct plugin *l = p->n < PLUGINS_MAX ? calloc(1, sizeof *l) : NULL;
    if (l) {
        memcpy(l->name, name, strlen(name) + 1);
        memmove(&p->list[at + 1], &p->list[at], (p->n - at) * sizeof p->list[0]);
        p->list[at] = l;
        p->n++;
    }
    return l;
}

// The file is gone. True when its checks went with it.
static bool withdraw(struct plugins *p, size_t at)
{
    struct plugin *l = p->list[at];
    bool offered = l->now != NULL;
    if (l->next) {
        p->trying = NULL;
        drop(l->next, crew_close);
    }
    drop(l->now, crew_retire);
    if (offered) {
        LOG_INFO("PLUGIN_REMOVED", "file=%s", l->name);
    }
    p->n--;
    memmove(&p->list[at], &p->list[at + 1], (p->n - at) * sizeof p->list[0]);
    free(l);
    return offered;
}

static void see_file(struct plugins *p, const char *name, bool *again)
{
    struct stat st;
    char *path = fs_path("%s/%s", p->folder, name);
    int rc = path ? lstat(path, &st) : -1;
    free(path);
    struct plugin *l = rc == 0 && is_plugin(name, &st) ? find_or_add(p, name) : NULL;
    if (!l) {
        return;
    }
    struct identity id = identity_of(&st);
    l->present = true;
    if (same(&id, &l->tried)) {
        return;
    }
    if (is_young(&id)) {
        *again = true;
    } else if (!p->trying) {
        (void)look_at(p, l, &id, again);
    }
}

static void forget_absent(struct plugins *p)
{
    bool lost = false;
    for (size_t i = p->n; i-- > 0;) {
        if (!p->list[i]->present) {
            lost |= withdraw(p, i);
        }
    }
    if (lost) {
        let_clashing_try(p);
        p->changed(p->arg);
    }
}

static void on_timer(uv_timer_t *t)
{
    scan(t->data);
}

static void scan(struct plugins *p)
{
    struct dirent **names = NULL;
    bool again = false;
    if (p->closing) {
        return;
    }
    int n = scandir(p->folder, &names, NULL, alphasort);
    for (size_t i = 0; i < p->n; i++) {
        p->list[i]->present = false;
    }
    for (int i = 0; i < n; i++) {
        see_file(p, names[i]->d_name, &again);
        free(names[i]);
    }
    free(names);
    forget_absent(p);
    if (!p->trying && !again && !p->settled) {
        p->settled = true;
        p->changed(p->arg);
    }
    if (!p->closing) {
        (void)uv_timer_start(&p->timer, on_timer, again ? YOUNG_MS : RESCAN_MS, 0);
    }
}

static void on_event(uv_fs_event_t *h, const char *name, int events, int status)
{
    struct plugins *p = h->data;
    (void)name;
    (void)events;
    (void)status;
    if (!p->closing) {
        (void)uv_timer_start(&p->timer, on_timer, EVENT_MS, 0);
    }
}

// ---- life ----

enum err plugins_create(uv_loop_t *loop, const struct plugins_config *c, void (*changed)(void *arg),
                        void *arg, struct plugins **out, struct why *why)
{
    struct stat st;
    if (stat(c->folder, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return why_set(why, ERR_NOT_FOUND, "plug-ins: %s: no such folder", c->folder);
    }
    struct plugins *p = calloc(1, sizeof *p);
    char *folder = realpath(c->folder, NULL);
    if (!p || !folder) {
        free(p);
        free(folder);
        return why_set(why, ERR_NOMEM, "plug-ins: out of memory");
    }
    p->loop = loop;
    p->folder = folder;
    p->crew = c->crew;
    p->changed = changed;
    p->arg = arg;
    p->open = 2;
    (void)uv_timer_init(loop, &p->timer);
    (void)uv_fs_event_init(loop, &p->events);
    p->timer.data = p->events.data = p;
    (void)uv_fs_event_start(&p->events, on_event, folder, 0);    // else the timer alone
    (void)uv_timer_start(&p->timer, on_timer, 0, 0);
    *out = p;
    return ERR_OK;
}

bool plugins_settled(const struct plugins *p)
{
    return p->settled;
}

struct crew *plugins_find(const struct plugins *p, const char *id, size_t len, const char **version)
{
    size_t index = 0;
    const struct generation *g = offerer(p, id, len, &index);
    if (!g) {
        return NULL;
    }
    *version = g->checks[index].version;
    return g->crew;
}

bool plugins_check_at(const struct plugins *p, size_t i, struct plugins_check *out)
{
    for (size_t k = 0; k < p->n; k++) {
        const struct generation *g = p->list[k]->now;
        if (g && i < g->n_checks) {
            const struct jobframe_check *c = &g->checks[i];
            *out = (struct plugins_check){c->id, c->version, c->doc, p->list[k]->name};
            return true;
        }
        i -= g ? g->n_checks : 0;
    }
    return false;
}

const char *plugins_refusal_at(const struct plugins *p, size_t i)
{
    for (size_t k = 0; k < p->n; k++) {
        if (p->list[k]->refusal[0] && i-- == 0) {
            return p->list[k]->refusal;
        }
    }
    return NULL;
}

static void on_handle_closed(uv_handle_t *h)
{
    part_closed(h->data);
}

void plugins_close(struct plugins *p, void (*closed)(void *arg), void *arg)
{
    p->closing = true;
    p->closed = closed;
    p->closed_arg = arg;
    for (size_t i = 0; i < p->n; i++) {
        drop(p->list[i]->next, crew_close);
        drop(p->list[i]->now, crew_close);
        p->list[i]->now = p->list[i]->next = NULL;
    }
    uv_close((uv_handle_t *)&p->timer, on_handle_closed);
    uv_close((uv_handle_t *)&p->events, on_handle_closed);
}

void plugins_destroy(struct plugins *p)
{
    if (!p) {
        return;
    }
    for (size_t i = 0; i < p->n; i++) {
        free(p->list[i]);
    }
    free(p->folder);
    free(p);
}
