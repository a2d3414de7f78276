// run.h: everything a learner opens before it serves: the run folder, model, data, ledger, trainer;
// and recovery.
//
// run_open is blocking and happens before the loop starts. A new run publishes the model as
// version 1. An existing one goes on: the newest checkpoint is loaded, the steps after it are run
// again from the ledger, and each one's weight hash is compared with the recorded one (DESIGN of
// the ledger: docs/ledger.md). When they differ (another CPU family or build), run_open fails and
// says so; with RUN_BRANCH it goes on from the checkpoint as a new branch.
#ifndef CARAVAN_LEARNER_RUN_H
#define CARAVAN_LEARNER_RUN_H

#include "common/conf.h"
#include "learner/ledger.h"
#include "learner/publish.h"
#include "learner/tasks.h"
#include "learner/trainer.h"
#include "model/tokenizer.h"

// Seed of the held-out tasks from our own templates: they do not move with the order of the data.
#define RUN_EVAL_SEED 0x6865616c64ull

enum run_mode {
    RUN_START,     // a new run; an existing ledger is ERR_EXISTS
    RUN_RESUME,    // goes on; no ledger is ERR_NOT_FOUND
    RUN_BRANCH,    // goes on from the newest checkpoint as a new branch
};

struct publish_slabs;    // publish_slab.h

struct run {
    struct conf conf;
    char dir[CONF_STR];
    char run_id[33];
    int lock_fd;
    struct source *source;
    struct tokenizer *tokenizer;
    struct tasks *train, *eval;    // eval may be NULL
    struct pool *pool;
    struct device *device;
    struct publish *publish;
    struct publish_slabs *slabs;    // NULL: learner.slab is off, or the system has none
    struct trainer *trainer;
    struct ledger *ledger;
    struct hash128 model_hash;    // of version 1
    char *model_config;           // config.json text for actors
    uint32_t stop_ids[32];        // what ends an answer; none with rollout.ignore_eos
    size_t n_stop_ids;
    uint64_t checkpoint_step;    // newest checkpoint
    uint64_t last_step;          // the trainer's state is that after this one
    uint64_t steps_rerun;        // by recovery, all with equal hashes
    double recovery_s;
};

// On failure nothing stays open and `why` says what was wrong. out->conf.run_dir names the folder.
MUST_CHECK enum err run_open(const struct conf *c, enum run_mode mode, struct run *out,
                             struct why *why);
void run_close(struct run *r);    // fine on a zeroed struct
// The configuration a run was last started with, from its ledger.
MUST_CHECK enum err run_stored_conf(const char *dir, struct conf *out, struct why *why);
// "checkpoints/v000012" for a version.
void run_checkpoint_dir(char *out, size_t cap, uint64_t version);

#endif
