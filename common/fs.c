// fs.c: whole files in, whole files out.
//
// A crash, a full disk or a kill may leave a PATH.tmp behind, never half a PATH: data goes to
// PATH.tmp, is fsynced, renamed, and then the folder is fsynced, since a rename is only durable
// with its folder. Folders that are made here are fsynced into their parents for the same reason.
//
// errno is turned into a code of ours in one place: a full disk, a quota and a file size limit are
// all ERR_FULL, because the answer to each is the same (make room, start again).
//
// Opening uses O_NONBLOCK and looks at the type first, so that a FIFO put in place of a file is an
// error and not a daemon that hangs. Everything is O_CLOEXEC: worker processes inherit nothing.

#include "common/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TREE_MAX_DEPTH 64

// Says "PATH: cannot VERB: reason" and turns errno into a code.
static enum err from_errno(struct why *why, const char *path, const char *verb)
{
    enum err e = ERR_IO;
    switch (errno) {
    case ENOENT:
        e = ERR_NOT_FOUND;
        break;
    case EACCES:
    case EPERM:
    case EROFS:
        e = ERR_DENIED;
        break;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        e = ERR_FULL;
        break;
    case EEXIST:
        e = ERR_EXISTS;
        break;
    case ENOMEM:
        e = ERR_NOMEM;
        break;
    default:
        break;
    }
    return why_set(why, e, "%s: cannot %s: %m", path, verb);
}

char *fs_path(const char *fmt, ...)
{
    va_list ap;
    char *path = NULL;
    va_start(ap, fmt);
    int n = vasprintf(&path, fmt, ap);
    va_end(ap);
    return n < 0 ? NULL : path;
}

bool fs_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

// ---- reading

static enum err open_regular(const char *path, int *fd_out, struct stat *st, struct why *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return from_errno(why, path, "open");
    }
    if (fstat(fd, st) != 0) {
        enum err e = from_errno(why, path, "stat");
        close(fd);
        return e;
    }
    if (!S_ISREG(st->st_mode)) {
        close(fd);
        return why_set(why, ERR_INVALID, "%s: %s, expected a regular file", path,
                       S_ISDIR(st->st_mode) ? "a folder" : "a special file");
    }
    *fd_out = fd;
    return ERR_OK;
}

// Reads up to cap bytes or to the end of the file.
static enum err read_up_to(int fd, char *data, size_t cap, size_t *len, const char *path,
                           struct why *why)
{
    size_t got = 0;
    while (got < cap) {
        ssize_t n = read(fd, data + got, cap - got);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return from_errno(why, path, "read");
        }
        if (n == 0) {
            break;
        }
        got += (size_t)n;
    }
    *len = got;
    return ERR_OK;
}

enum err fs_read_file(const char *path, size_t max, char **data, size_t *len, struct why *why)
{
    int fd = -1;
    struct stat st;
    enum err e = open_regular(path, &fd, &st, why);
    if (e != ERR_OK) {
        return e;
    }
    // One byte more than the size tells: a file that grows meanwhile, or one of /proc whose size
    // reads 0, is then read again with more room.
    size_t cap = MIN(st.st_size > 0 ? (size_t)st.st_size : 4096, max) + 1;
    char *text = NULL;
    size_t got = 0;
    for (;;) {
        char *grown = realloc(text, cap + 1);
        if (grown == NULL) {
            e = why_set(why, ERR_NOMEM, "%s: out of memory for %zu bytes", path, cap);
            break;
        }
        text = grown;
        size_t more = 0;
        e = read_up_to(fd, text + got, cap - got, &more, path, why);
        if (e != ERR_OK) {
            break;
        }
        got += more;
        if (got > max) {
            e = why_set(why, ERR_LIMIT, "%s: larger than %zu bytes", path, max);
            break;
        }
        if (got < cap) {
            text[got] = '\0';
            *data = text;
            *len = got;
            close(fd);
            return ERR_OK;
        }
        cap = cap > max / 2 ? max + 1 : cap * 2;
    }
    free(text);
    close(fd);
    return e;
}

enum err fs_read_token(const char *path, char **out, struct why *why)
{
    char *text = NULL;
    size_t len = 0;
    enum err e = fs_read_file(path, 4096, &text, &len, why);
    if (e != ERR_OK) {
        return e;
    }
    len = strcspn(text, "\r\n");
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t')) {
        len--;
    }
    text[len] = '\0';
    if (len == 0) {
        free(text);
        return why_set(why, ERR_INVALID, "%s: the first line is empty, expected a token", path);
    }
    *out = text;
    return ERR_OK;
}

enum err fs_map_open(const char *path, struct fs_map *out, struct why *why)
{
    int fd = -1;
    struct stat st;
    enum err e = open_regular(path, &fd, &st, why);
    if (e != ERR_OK) {
        return e;
    }
    if (st.st_size == 0) {
        close(fd);
        *out = (struct fs_map){.data = (const uint8_t *)"", .len = 0};
        return ERR_OK;
    }
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) {
        e = from_errno(why, path, "map");
    } else {
        *out = (struct fs_map){.data = p, .len = (size_t)st.st_size};
    }
    close(fd);
    return e;
}

void fs_map_rest(const struct fs_map *m)
{
    if (m->len > 0) {
        (void)madvise((void *)(uintptr_t)m->data, m->len, MADV_DONTNEED);    // of a file: no loss
    }
}

// Pages that part touches at all, or only those that it covers from its first page on.
static void advise(const void *part, size_t len, bool whole, int advice)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)part, end = begin + len;
    begin -= begin % page;
    end = whole ? (end + page - 1) / page * page : end / page * page;
    if (end > begin) {
        (void)madvise((void *)begin, end - begin, advice);
    }
}

void fs_map_need(const void *part, size_t len)
{
    advise(part, len, true, MADV_POPULATE_READ);
}

void fs_map_drop(const void *part, size_t len)
{
    advise(part, len, false, MADV_DONTNEED);    // of a file: no loss
}

void fs_map_close(struct fs_map *m)
{
    if (m->len > 0) {
        // munmap takes a plain pointer; the cast goes through an integer because the view is const.
        munmap((void *)(uintptr_t)m->data, m->len);
    }
    *m = (struct fs_map){0};
}

// ---- writing

enum { WINDOW = 8 << 20 };    // bytes handed to the disk together

struct fs_writer {
    char *path;
    char *tmp;
    int fd;
    off_t written, handed, waited;    // bytes written, given to the disk, taken by it
};

static enum err sync_fd(int fd, const char *path, struct why *why)
{
    while (fsync(fd) != 0) {
        if (errno == EINVAL || errno == ENOTSUP) {
            return ERR_OK;    // a file system without fsync (some FUSE and special files)
        }
        if (errno != EINTR) {
            return from_errno(why, path, "fsync");
        }
    }
    return ERR_OK;
}

// fsync of the folder that holds path.
static enum err sync_folder_of(const char *path, struct why *why)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL   ? fs_path(".")
                   : slash == path ? fs_path("/")
                                   : fs_path("%.*s", (int)(slash - path), path);
    if (folder == NULL) {
        return why_set(why, ERR_NOMEM, "%s: out of memory", path);
    }
    enum err e;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        e = from_errno(why, folder, "open");
    } else {
        e = sync_fd(fd, folder, why);
        close(fd);
    }
    free(folder);
    return e;
}

static void writer_free(struct fs_writer *w)
{
    if (w->fd >= 0) {
        close(w->fd);
    }
    free(w->path);
    free(w->tmp);
    free(w);
}

enum err fs_writer_open(const char *path, struct fs_writer **out, struct why *why)
{
    struct fs_writer *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return why_set(why, ERR_NOMEM, "%s: out of memory", path);
    }
    w->fd = -1;
    w->path = fs_path("%s", path);
    w->tmp = fs_path("%s.tmp", path);
    if (w->path == NULL || w->tmp == NULL) {
        writer_free(w);
        return why_set(why, ERR_NOMEM, "%s: out of memory", path);
    }
    w->fd = open(w->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (w->fd < 0) {
        enum err e = from_errno(why, w->tmp, "create");
        writer_free(w);
        return e;
    }
    *out = w;
    return ERR_OK;
}

// Hands the last full window to the disk at once and waits for the one before it. A file of
// gigabytes that is only dirty memory until its fsync would make every other fsync of the file
// system wait for it, the ledger's among them. Where the system cannot, commit's fsync does all of
// it; but an error of the disk, once told here, is not told to that fsync again.
static enum err pace(struct fs_writer *w, struct why *why)
{
    if (w->written - w->handed < WINDOW) {
        return ERR_OK;
    }
    int rc = sync_file_range(w->fd, w->handed, w->written - w->handed, SYNC_FILE_RANGE_WRITE);
    if (rc == 0 && w->handed > w->waited) {
        rc = sync_file_range(w->fd, w->waited, w->handed - w->waited,
                             SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                 SYNC_FILE_RANGE_WAIT_AFTER);
    }
    w->waited = w->handed;
    w->handed = w->written;
    return rc != 0 && (errno == EIO || errno == ENOSPC || errno == EDQUOT)
               ? from_errno(why, w->tmp, "write")
               : ERR_OK;
}

enum err fs_writer_write(struct fs_writer *w, const void *data, size_t len, struct why *why)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = write(w->fd, p, MIN(len, (size_t)WINDOW));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return from_errno(why, w->tmp, "write");
        }
        p += n;
        len -= (size_t)n;
        w->written += n;
        enum err e = pace(w, why);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}

enum err fs_writer_commit(struct fs_writer *w, struct why *why)
{
    enum err e = sync_fd(w->fd, w->tmp, why);
    if (e == ERR_OK && rename(w->tmp, w->path) != 0) {
        e = from_errno(why, w->path, "rename the finished file to");
    }
    if (e != ERR_OK) {
        fs_writer_abort(w);
        return e;
    }
    e = sync_folder_of(w->path, why);
    writer_free(w);
    return e;
}

void fs_writer_abort(struct fs_writer *w)
{
    if (w != NULL) {
        unlink(w->tmp);
        writer_free(w);
    }
}

enum err fs_write_file(const char *path, const void *data, size_t len, struct why *why)
{
    struct fs_writer *w = NULL;
    enum err e = fs_writer_open(path, &w, why);
    if (e != ERR_OK) {
        return e;
    }
    e = fs_writer_write(w, data, len, why);
    if (e != ERR_OK) {
        fs_writer_abort(w);
        return e;
    }
    return fs_writer_commit(w, why);
}

// ---- folders

// Makes one level. A level that is already there, also through a link, is fine.
static enum err make_level(const char *path, struct why *why)
{
    if (mkdir(path, 0755) == 0) {
        return sync_folder_of(path, why);
    }
    struct stat st;
    int saved_errno = errno;
    if (stat(path, &st) == 0) {
        return S_ISDIR(st.st_mode)
                   ? ERR_OK
                   : why_set(why, ERR_EXISTS, "%s: is a file, expected a folder", path);
    }
    errno = saved_errno;
    return from_errno(why, path, "make the folder");
}

enum err fs_make_dirs(const char *path, struct why *why)
{
    char *copy = fs_path("%s", path);
    if (copy == NULL) {
        return why_set(why, ERR_NOMEM, "%s: out of memory", path);
    }
    size_t len = strlen(copy);
    while (len > 1 && copy[len - 1] == '/') {
        copy[--len] = '\0';
    }
    enum err e = len > 0 ? ERR_OK : why_set(why, ERR_INVALID, "the name of a folder is empty");
    for (char *p = copy + 1; e == ERR_OK && len > 0 && *p != '\0'; p++) {
        if (*p == '/' && p[-1] != '/') {
            *p = '\0';
            e = make_level(copy, why);
            *p = '/';
        }
    }
    if (e == ERR_OK) {
        e = make_level(copy, why);
    }
    free(copy);
    return e;
}

static enum err remove_children(int folder, const char *path, int depth, struct why *why);

// Removes one entry of the open folder `parent`; path is for messages only.
static enum err remove_entry(int parent, const char *name, const char *path, int depth,
                             struct why *why)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) {
        return ERR_OK;
    }
    if (errno != EISDIR && errno != EPERM) {
        return from_errno(why, path, "remove");
    }
    if (depth >= TREE_MAX_DEPTH) {
        return why_set(why, ERR_LIMIT, "%s: folders nested deeper than %d", path, TREE_MAX_DEPTH);
    }
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return from_errno(why, path, "open");
    }
    enum err e = remove_children(fd, path, depth + 1, why);
    if (e == ERR_OK && unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
        e = from_errno(why, path, "remove");
    }
    return e;
}

// Takes over the descriptor.
static enum err remove_children(int folder, const char *path, int depth, struct why *why)
{
    DIR *dir = fdopendir(folder);
    if (dir == NULL) {
        enum err e = from_errno(why, path, "read");
        close(folder);
        return e;
    }
    enum err e = ERR_OK;
    while (e == ERR_OK) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            e = errno != 0 ? from_errno(why, path, "read") : ERR_OK;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        char *child = fs_path("%s/%s", path, entry->d_name);
        e = child == NULL ? why_set(why, ERR_NOMEM, "%s: out of memory", path)
                          : remove_entry(dirfd(dir), entry->d_name, child, depth, why);
        free(child);
    }
    closedir(dir);
    return e;
}

enum err fs_remove_tree(const char *path, struct why *why)
{
    return remove_entry(AT_FDCWD, path, path, 0, why);
}

// ---- lock

static enum err lock_held(int fd, const char *path, struct why *why)
{
    char text[32];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    text[strspn(text, "0123456789")] = '\0';
    return why_set(why, ERR_BUSY, "%s: in use by process %s", path,
                   text[0] != '\0' ? text : "(unknown)");
}

enum err fs_lock(const char *path, int *fd_out, struct why *why)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (fd < 0) {
        return from_errno(why, path, "open");
    }
    enum err e = ERR_OK;
    char pid[32];
    int len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        e = errno == EWOULDBLOCK ? lock_held(fd, path, why) : from_errno(why, path, "lock");
    } else if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)len, 0) != len) {
        e = from_errno(why, path, "write our process id to");
    }
    if (e != ERR_OK) {
        close(fd);
        return e;
    }
    *fd_out = fd;
    return ERR_OK;
}

void fs_unlock(int fd)
{
    if (fd >= 0) {
        int ignored = ftruncate(fd, 0);    // the next reader of the file finds no stale id
        (void)ignored;
        close(fd);
    }
}
