// train_thread.h: the compute thread of the learner: steps, checkpoints and the final export, begun
// one after the other. A checkpoint is written beside the step that follows it.
#ifndef CARAVAN_LEARNER_TRAIN_THREAD_H
#define CARAVAN_LEARNER_TRAIN_THREAD_H

#include "learner/run.h"
#include "model/model.h"

typedef struct uv_loop_s uv_loop_t;
struct train_thread;

enum train_job { TRAIN_STEP, TRAIN_CHECKPOINT, TRAIN_EXPORT };
struct train_done {
    enum train_job job;
    enum err err;
    struct why why;
    const struct train_step *step;    // TRAIN_STEP: as given
    struct train_result result;
    char dir[64];                    // TRAIN_CHECKPOINT: relative to the run folder
    uint64_t at_step, at_version;    // TRAIN_CHECKPOINT
    double seconds;
};
typedef void train_done_fn(void *arg, const struct train_done *d);    // loop thread

// r is borrowed: its trainer, publish and source belong to the thread until train_thread_close.
MUST_CHECK enum err train_thread_create(uv_loop_t *loop, struct run *r, train_done_fn *done,
                                        void *arg, struct train_thread **out, struct why *why);
MUST_CHECK enum err train_thread_step(struct train_thread *t,
                                      const struct train_step *s);    // s stays valid until done
// Saves the state after `step`, which has run as the last one; steps asked for later do not wait.
MUST_CHECK enum err train_thread_checkpoint(struct train_thread *t, uint64_t step,
                                            uint64_t version);
// Waits for the weight files, then writes RUN_DIR/model, a Hugging Face folder of the newest
// version.
MUST_CHECK enum err train_thread_export(struct train_thread *t);
// Cancels the running step and save, joins; loop thread.
void train_thread_close(struct train_thread *t);
void train_thread_destroy(struct train_thread *t);    // NULL is fine

#endif
