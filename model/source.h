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

// Writes a Hugging Face folder: config.json, model.safetensors (one file), tokenizer.json,
// tokenizer_config.json, special_tokens_map.json, generation_config.json, chat template. Tokenizer
// files are carried over byte for byte from a folder source, or written from GGUF metadata. flat:
// all parameters in table order, dtype t. Existing files are replaced; each is complete or absent.
MUST_CHECK enum err source_export(const struct source *s, const char *dir, enum dtype t,
                                  const void *flat, struct why *why);

// One safetensors file of all parameters in table order (the run folder's weights/v*.safetensors);
// metadata: extra string pairs for the header, NULL-terminated key, value, key, value … or NULL.
MUST_CHECK enum err safetensors_write_flat(const char *path, const struct param_table *p,
                                           enum dtype t, const void *flat,
                                           const char *const *metadata, struct why *why);
// Reads it back (same table), verifying names, shapes and sizes; flat holds p->total elements of
// type t.
MUST_CHECK enum err safetensors_read_flat(const char *path, const struct param_table *p,
                                          enum dtype t, void *flat, struct why *why);

#endif
