// publish.h: the versions that actors can fetch. The newest blobs are in memory, `keep` newest ones (and every pinned one) also as weights/v%06llu.safetensors.
//
// publish_add is called by the compute thread and returns as soon as the version can be served; a writer thread of its own puts the file on disk. All functions are thread-safe.
#ifndef CARAVAN_LEARNER_PUBLISH_H
#define CARAVAN_LEARNER_PUBLISH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/hash.h"
#include "model/config.h"

struct publish;
typedef void publish_news_fn(void *arg, uint64_t version);    // a new version can be served; called on the publishing thread (post to a mailbox)

MUST_CHECK enum err publish_create(const char *weights_dir, const struct param_table *params, enum dtype t, size_t keep, publish_news_fn *news, void *arg, struct publish **out, struct why *why);
void publish_destroy(struct publish *p);    // waits for the writer
// A buffer of blob size to fill; then publish_add hands it over (or publish_cancel gives it back). At most two exist besides the newest.
MUST_CHECK enum err publish_buffer(struct publish *p, void **blob, size_t *bytes, struct why *why);
void publish_cancel(struct publish *p, void *blob);
MUST_CHECK enum err publish_add(struct publish *p, uint64_t version, struct hash128 hash, void *blob, struct why *why);
uint64_t publish_newest(struct publish *p);    // 0 = none yet
// Copies up to max bytes at offset. version 0 = newest. From memory or from its file. ERR_NOT_FOUND: gone (take the newest).
MUST_CHECK enum err publish_read(struct publish *p, uint64_t version, uint64_t offset, size_t max, void *out, size_t *len, uint64_t *resolved, uint64_t *total, struct hash128 *hash, struct why *why);
// A pinned version stays on disk whatever `keep` says. Counted: unpin as often.
void publish_pin(struct publish *p, uint64_t version);
void publish_unpin(struct publish *p, uint64_t version);
// Blocks until every version added so far is on disk (or failed to be, with the first error).
MUST_CHECK enum err publish_flush(struct publish *p, struct why *why);
// Versions above `newest` are removed, memory and disk: the resume rolled back to `newest`.
void publish_forget_after(struct publish *p, uint64_t newest);

#endif
