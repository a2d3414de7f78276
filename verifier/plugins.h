// plugins.h: the folder of plug-ins: watched, copied, tried, swapped while everything runs.
//
// A file NAME.so is a shared object against plugin.h; any other file with the execute bit is a
// program that speaks JSON lines (docs/writing-a-verifier.md). Names with a leading dot or a
// trailing ~ are not looked at. What has changed is copied whole to memory and hashed, and a crew
// of workers is started on the copy. Only when its first worker has confirmed the sandbox and named
// checks that nobody else offers does it take over, and the old one answers what it still holds.
// Whatever fails is refused with its reason and the old one stays. A file that goes takes its
// checks along.
//
// On the loop thread of the pool. Internal to the verifier.
#ifndef CARAVAN_VERIFIER_PLUGINS_H
#define CARAVAN_VERIFIER_PLUGINS_H

#include "verifier/crew.h"

#define PLUGINS_MAX 64                         // files
#define PLUGINS_FILE_MAX ((size_t)64 << 20)    // bytes of one
#define PLUGINS_REASON_BYTES 256

struct plugins;

struct plugins_config {
    const char *folder;
    struct crew_config crew;    // sandbox: the level that the pool has settled on; host unset
};

// A check on offer. Texts are valid until the next change.
struct plugins_check {
    const char *id;
    const char *version;    // "DECLARED+HASH": of the very bytes that answer
    const char *doc, *file;
};

// `changed` is called after every change of what is offered or refused, and once when the first look at the
// folder is over, even if it is empty. Errors: ERR_NOT_FOUND, no such folder.
MUST_CHECK enum err plugins_create(uv_loop_t *loop, const struct plugins_config *c,
                                   void (*changed)(void *arg), void *arg, struct plugins **out,
                                   struct why *why);
bool plugins_settled(const struct plugins *p);    // the first look is over
// The crew that answers a check now; NULL: nobody offers it.
struct crew *plugins_find(const struct plugins *p, const char *id, size_t len,
                          const char **version);
// i = 0, 1, …: false past the end.
bool plugins_check_at(const struct plugins *p, size_t i, struct plugins_check *out);
// Files that were refused as they are now, "NAME: reason".
const char *plugins_refusal_at(const struct plugins *p, size_t i);
void plugins_close(struct plugins *p, void (*closed)(void *arg), void *arg);
void plugins_destroy(struct plugins *p);    // NULL is fine; closed ones only

#endif
