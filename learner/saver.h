// saver.h: a checkpoint written on a thread of its own, beside training.
//
// Masters and moments change only in a step's update; forward and backward leave them alone. So a
// save runs beside the next step, and only the update waits for it (saver_wait). What it costs
// training is memory bandwidth, and the part of it that takes longer than a forward and backward.
//
// Belongs to the compute thread, one save at a time; `done` is called on the saving thread.
#ifndef CARAVAN_LEARNER_SAVER_H
#define CARAVAN_LEARNER_SAVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "learner/checkpoint.h"

// ERR_OK: the folder is durable. ERR_CANCELLED: nothing is left of it.
typedef void saver_done_fn(void *arg, enum err e, const struct why *why);

struct saver {
    pthread_t thread;
    bool runs;    // to be joined
    // of the save under way
    struct checkpoint state;
    char *dir;
    const atomic_bool *cancel;
    saver_done_fn *done;
    void *arg;
};

// Waits for the save before, then begins this one. ERR_OK: done will be called once; until
// saver_wait returns, nothing that *state points to may change. cancel (NULL = never) is looked at
// between windows of 8 MiB. The struct is zeroed before its first use.
MUST_CHECK enum err saver_begin(struct saver *s, const struct checkpoint *state, const char *dir,
                                const atomic_bool *cancel, saver_done_fn *done, void *arg,
                                struct why *why);
void saver_wait(struct saver *s);    // until no save runs; done has been called

#endif
