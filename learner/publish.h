// publish.h: the versions that actors can fetch. A new one is served from memory of its maker's until
// it is a file; the `keep` newest versions, and every pinned one, are files
// weights/v%06llu.safetensors.
//
// publish_add is called by the compute thread and returns as soon as the version can be served; a
// writer thread of its own puts the file on disk. All functions are thread-safe.
#ifndef CARAVAN_LEARNER_PUBLISH_H
#define CARAVAN_LEARNER_PUBLISH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/fs.h"
#include "common/hash.h"
#include "model/config.h"

struct publish;
// A new version can be served; called on the publishing thread (post to a mailbox).
typedef void publish_news_fn(void *arg, uint64_t version);

// Makes weights_dir and takes in the complete files that a former run left there: they can be read
// (publish_read with their number) but none is the newest until publish_add says so. Temporary
// files are removed. params is copied. keep >= 1. news may be NULL.
MUST_CHECK enum err publish_create(const char *weights_dir, const struct param_table *params,
                                   enum dtype t, size_t keep, publish_news_fn *news, void *arg,
                                   struct publish **out, struct why *why);
void publish_destroy(struct publish *p);    // waits for the writer; NULL is fine
struct publish_version {
    uint64_t version, bytes;
    struct hash128 hash;
    uint64_t updated_us;    // wall clock: the optimiser was done with it; 0 = not known
};

// Gives n bytes of a version's blob from `offset` on, which stay as they are until publish_detach.
// Called by any thread, several at once.
typedef void publish_copy_fn(void *arg, uint64_t offset, size_t n, void *out);

// v->bytes is not read; v->version > publish_newest. The version before is detached.
MUST_CHECK enum err publish_add(struct publish *p, const struct publish_version *v,
                                publish_copy_fn *copy, void *arg, struct why *why);
// What the newest version is copied from is about to change: waits until that is a file and nobody
// copies any more, ERR_TIMEOUT after a minute. A version that the disk refused cannot be served
// afterwards.
MUST_CHECK enum err publish_detach(struct publish *p, struct why *why);
uint64_t publish_newest(struct publish *p);    // 0 = none yet
// version 0 = newest. ERR_NOT_FOUND: gone (take the newest).
MUST_CHECK enum err publish_find(struct publish *p, uint64_t version, struct publish_version *found,
                                 struct why *why);
// publish_find, and copies up to max bytes at offset (len 0 past the end), from memory or from its
// file.
MUST_CHECK enum err publish_read(struct publish *p, uint64_t version, uint64_t offset, size_t max,
                                 void *out, size_t *len, struct publish_version *found,
                                 struct why *why);
// A pinned version stays on disk whatever `keep` says. Counted: unpin as often (more is ignored).
void publish_pin(struct publish *p, uint64_t version);
void publish_unpin(struct publish *p, uint64_t version);
// While held no file is removed. A resumed learner holds from publish_create until it has pinned
// what its live samples name: recovery publishes before that. Not held at first.
void publish_hold(struct publish *p, bool hold);
// Blocks until every version added so far is on disk (or failed to be: the first error since the
// last flush is returned; serving from memory goes on until publish_detach).
MUST_CHECK enum err publish_flush(struct publish *p, struct why *why);
// Versions above `newest` are removed, memory and disk, pinned or not: the resume rolled back to
// `newest`.
void publish_forget_after(struct publish *p, uint64_t newest);
// The file of the newest version, mapped: *blob in it, until fs_map_close. Flushes first.
MUST_CHECK enum err publish_map(struct publish *p, struct fs_map *map, const void **blob,
                                struct why *why);

#endif
