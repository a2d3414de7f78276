// recompute.h: the log-probs of a run's samples computed once more, under the versions that the
// samples name, and compared bit for bit.
//
// A sample's forward positions are cut into segments by version (proto/msg.h). Each segment's rows
// run under that version's weights with the keys and values of the earlier segments still in the
// cache, exactly as its actor had them; the forward pass is canonical, so nothing else matters.
#ifndef CARAVAN_CLI_RECOMPUTE_H
#define CARAVAN_CLI_RECOMPUTE_H

#include "common/conf.h"
#include "learner/ledger.h"

struct recompute_report {
    uint64_t samples, straddling;    // compared; of these, with more than one version
    uint64_t tokens, mismatched;     // compared; differing in at least one bit
    uint64_t skipped;                // samples with a version that is not on disk any more
    uint64_t versions_loaded;
    uint64_t wrong_versions;    // files whose weights are not those that the ledger records
    uint64_t malformed;         // samples whose tokens, log-probs and segments do not fit together
};

// Called for each sample that differs or is malformed, for each version that is gone (samples: how
// many name it) or wrong. One line of text.
typedef void recompute_note_fn(void *arg, const char *text);

struct recompute_options {
    uint64_t limit;     // samples, oldest first; 0 = all
    int threads;        // 0 = cores
    size_t kv_bytes;    // room for samples under way; a smaller one loads versions more often
};

MUST_CHECK enum err recompute_run(const char *run_dir, const struct conf *c, struct ledger *l,
                                  const struct recompute_options *o, recompute_note_fn *note,
                                  void *arg, struct recompute_report *out, struct why *why);

#endif
