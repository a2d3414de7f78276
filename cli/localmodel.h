// localmodel.h: a model in this process, for the commands that compute without any daemon.
//
// Opening is in two steps: localmodel_open reads config and tokenizer, which is all that tokenize
// and detokenize need; localmodel_load opens the device and packs the weights. They are rounded to
// the published dtype, so that what is computed here has the bits that actors and learner compute.
//
// One thread. Every call blocks, the larger ones for seconds; memory is that of the packed weights
// and, for scoring, scratch for the longest sequence so far.
#ifndef CARAVAN_CLI_LOCALMODEL_H
#define CARAVAN_CLI_LOCALMODEL_H

#include <jansson.h>

#include "model/model.h"
#include "model/source.h"
#include "model/tokenizer.h"

struct localmodel {
    struct source *source;
    struct tokenizer *tokenizer;
    struct pool *pool;
    struct device *device;
    struct weights *weights;    // NULL until localmodel_load
    struct model *model;        // for localmodel_score
    size_t max_rows;            // of model
};

// "bf16" or "f32".
MUST_CHECK enum err localmodel_dtype(const char *text, enum dtype *out, struct why *why);
// Opens file or folder and its tokenizer; no weights yet.
MUST_CHECK enum err localmodel_open(const char *path, struct localmodel *out, struct why *why);
// Another chat template than the model's, as in source_set_template; NULL: the model's.
MUST_CHECK enum err localmodel_template(struct localmodel *m, const char *name_or_path,
                                        struct why *why);
// Device (threads 0 = cores) and weights, rounded to t as a learner would publish them.
MUST_CHECK enum err localmodel_load(struct localmodel *m, enum dtype t, int threads,
                                    struct why *why);
// The same on a device of this kind (device_open).
MUST_CHECK enum err localmodel_load_on(struct localmodel *m, const char *device_kind, enum dtype t,
                                       int threads, struct why *why);
void localmodel_close(struct localmodel *m);    // zeroed struct is fine
// Log-probs of ids[1…n-1] given what stands before each. logp (n - 1) =.
MUST_CHECK enum err localmodel_score(struct localmodel *m, const uint32_t *ids, size_t n,
                                     float temperature, float *logp, struct why *why);
// Token ids of {"ids"} or {"messages"}: what a prompt may be in a request.
MUST_CHECK enum err localmodel_prompt(const struct localmodel *m, const json_t *in,
                                      const char *where, bool add_generation_prompt,
                                      struct token_ids *out, struct why *why);

#endif
