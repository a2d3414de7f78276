// fs.h: files that are complete or absent. Blocking calls: keep them off loop threads except at
// start.
//
// In: paths and bytes. Out: whole files, mappings, locks; messages name the path and what the
// system said. A write is durable when the call returns: the file is fsynced before the rename, the
// folder after it, so a power cut leaves the old content or the new. A file under its temporary
// name that a crash left behind is overwritten by the next write.
//
// Any thread; the calls share no state.
#ifndef CARAVAN_COMMON_FS_H
#define CARAVAN_COMMON_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

// Reads a whole regular file of at most max bytes; *data is NUL-terminated past len (free()).
MUST_CHECK enum err fs_read_file(const char *path, size_t max, char **data, size_t *len,
                                 struct why *why);
// The first line of a file of at most 4 KiB, without blanks at its end (free()): a shared secret.
// An empty one is ERR_INVALID.
MUST_CHECK enum err fs_read_token(const char *path, char **out, struct why *why);
// Writes path.tmp, fsyncs, renames over path, fsyncs the folder.
MUST_CHECK enum err fs_write_file(const char *path, const void *data, size_t len, struct why *why);

// The same in pieces, for large files: open, write…, then commit or abort (abort removes the
// temporary file; both free).
struct fs_writer;
MUST_CHECK enum err fs_writer_open(const char *path, struct fs_writer **out, struct why *why);
MUST_CHECK enum err fs_writer_write(struct fs_writer *w, const void *data, size_t len,
                                    struct why *why);
MUST_CHECK enum err fs_writer_commit(struct fs_writer *w, struct why *why);
void fs_writer_abort(struct fs_writer *w);    // NULL is fine

// A read-only mapping of a whole file. An empty file maps to data = "" with len 0.
struct fs_map {
    const uint8_t *data;
    size_t len;
};
MUST_CHECK enum err fs_map_open(const char *path, struct fs_map *out, struct why *why);
// Gives the pages read so far back to the system; reading again is fine. Zeroed struct too.
void fs_map_rest(const struct fs_map *m);
// Parts of a mapping: will be read now, all of it; will not be read again soon (reading is fine).
// Hints: they make no difference to what is read.
void fs_map_need(const void *part, size_t len);
void fs_map_drop(const void *part, size_t len);
void fs_map_close(struct fs_map *m);    // zeroed struct is fine

MUST_CHECK enum err fs_make_dirs(const char *path, struct why *why);    // mkdir -p, 0755
// Does not follow links; absent is OK.
MUST_CHECK enum err fs_remove_tree(const char *path, struct why *why);
bool fs_exists(const char *path);

// Takes an exclusive flock on path (created if absent), written with our pid. Held elsewhere:
// ERR_BUSY and `why` names the pid.
MUST_CHECK enum err fs_lock(const char *path, int *fd, struct why *why);
void fs_unlock(int fd);

// snprintf into a fresh string (free()); NULL when out of memory.
char *fs_path(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
