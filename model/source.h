// source.h: a model on disk, whatever the format: a GGUF v3 file or a Hugging Face folder
// (config.json, model.safetensors or the files of its index, tokenizer.json).
//
// Everything is verified at open: config, every tensor present with the right shape and type and
// inside the file. Tensors are converted to f32 one at a time. GGUF stores the q and k rows of
// Llama in interleaved rotary order; they are put back into the half-split order of the Hugging
// Face layout here.
#ifndef CARAVAN_MODEL_SOURCE_H
#define CARAVAN_MODEL_SOURCE_H

#include "common/hash.h"
#include "common/pool.h"
#include "model/config.h"

struct source;
struct tokenizer;

MUST_CHECK enum err source_open(const char *path, struct source **out, struct why *why);
void source_close(struct source *s);    // NULL is fine
// Gives the memory of the mapped files back to the system, once all tensors have been read; reading
// again is fine.
void source_rest(const struct source *s);
const struct model_config *source_config(const struct source *s);
const struct param_table *source_params(const struct source *s);
const char *source_format(const struct source *s);    // "gguf" or "safetensors"
// One tensor as f32, params->params[index].count elements. Non-finite values are ERR_CORRUPT naming
// tensor and element.
MUST_CHECK enum err source_read(const struct source *s, size_t index, float *out, struct why *why);
// The same for rows first .. first + n - 1 as type `to`, one with a writer (quant.h). out is aligned
// for its type. A finite value that `to` cannot hold is ERR_LIMIT.
struct quant;
MUST_CHECK enum err source_rows(const struct source *s, size_t index, size_t first, size_t n,
                                const struct quant *to, void *out, struct why *why);
// Gives all parameters in table order as one flat blob of type t (what weights_feed takes), piece
// after piece of whole rows. Pieces point into the file where it holds the very bytes, so they need
// not be aligned, and are good during the call only. Converted by pool (NULL: this thread). Pages of
// the file are given back behind it: at no time is much more than one piece resident. The first
// error, of sink or of reading (as source_read), ends it.
typedef enum err source_sink(void *arg, const void *bytes, size_t len, struct why *why);
MUST_CHECK enum err source_stream(const struct source *s, enum dtype t, struct pool *pool,
                                  source_sink *sink, void *arg, struct why *why);
// The tokenizer and chat template that come with the model. A missing or unsupported tokenizer does
// not keep source_open from succeeding: it is reported here.
MUST_CHECK enum err source_tokenizer(const struct source *s, struct tokenizer **out,
                                     struct why *why);
// Puts another chat template in the place of the model's: one of our own by name ("tulu"), or a
// Jinja file by path; "" leaves the model's. For tokenizers made and folders exported from now on.
// A template that is not supported, or a name that is neither, fails here.
MUST_CHECK enum err source_set_template(struct source *s, const char *name_or_path,
                                        struct why *why);
// Of what it says, not of its files: equal for a GGUF file and its export; zero without a
// tokenizer.
struct hash128 source_tokenizer_hash(const struct source *s);

// Lines for people: family and sizes, how tensors are stored, tokenizer, chat template. Appends to
// out.
struct buf;
MUST_CHECK enum err source_describe(const struct source *s, struct buf *out);

// Opens a model and reads all of it, converting with pool (NULL: this thread), and tells every
// problem that it finds: what is missing, misshapen, of a type that is not read, superfluous, not
// finite, a tokenizer or template that cannot be used. A problem that leaves nothing to go on with
// is the last. text: one line, good during the call.
typedef void source_problem(void *arg, const char *text);
struct source_findings {
    size_t n_tensors, n_values;    // read
    size_t n_problems;
};
MUST_CHECK enum err source_check(const char *path, struct pool *pool, source_problem *report,
                                 void *arg, struct source_findings *out, struct why *why);

// From now on values come from a safetensors file of all parameters (a run's published weights)
// instead of the model's own. On failure nothing has changed.
MUST_CHECK enum err source_use_weights(struct source *s, const char *path, struct why *why);

enum export_format {
    // A folder that transformers and vLLM load: config.json, model.safetensors or shards with their
    // index, generation_config.json, tokenizer files, chat template. From a folder, config.json but
    // for its dtype and the tokenizer's files are carried over byte for byte; from a GGUF file they
    // are written from its metadata.
    EXPORT_HF,
    // One GGUF v3 file that llama.cpp loads, tokenizer and chat template included.
    EXPORT_GGUF
};

struct export_options {
    enum export_format format;
    const char *type;        // of the tensors: "BF16" (also NULL), "F16", "F32"
    uint64_t shard_bytes;    // EXPORT_HF: most bytes of tensors in one file; 0 = 5e9
    // Values to write: all parameters in table order, or NULL: those of the source.
    const void *flat;
    enum dtype flat_dtype;
};

// Writes to path, a folder or a file. What an earlier export left there is replaced; every file is
// complete or absent, and a folder has its config.json last. The source itself is refused as a
// place. Values that the type cannot hold are ERR_LIMIT. Holds a MiB of tensors at a time.
MUST_CHECK enum err source_export(const struct source *s, const char *path,
                                  const struct export_options *o, struct why *why);

// One safetensors file of all parameters in table order (the run folder's weights/v*.safetensors);
// metadata: extra string pairs for the header, NULL-terminated key, value, key, value … or NULL.
MUST_CHECK enum err safetensors_write_flat(const char *path, const struct param_table *p,
                                           enum dtype t, const void *flat,
                                           const char *const *metadata, struct why *why);
// The same, of bytes that `copy` gives piece by piece, in order.
typedef void safetensors_copy_fn(void *arg, uint64_t offset, size_t n, void *out);
MUST_CHECK enum err safetensors_write_stream(const char *path, const struct param_table *p,
                                             enum dtype t, safetensors_copy_fn *copy, void *arg,
                                             const char *const *metadata, struct why *why);
// Reads it back (same table), verifying names, shapes and sizes; flat holds p->total elements of
// type t.
MUST_CHECK enum err safetensors_read_flat(const char *path, const struct param_table *p,
                                          enum dtype t, void *flat, struct why *why);

#endif
