// source_impl.h: inside of a source, shared by the readers of the two formats (gguf_model.c, hf.c),
// source.c and export.c.
//
// A source is a mapping of files and, for every parameter, a view of where its bytes lie and how
// they are stored. The readers fill it; source.c converts on demand and export.c writes. Nobody
// outside these files includes this. The views point into the mappings and die with them.
#ifndef CARAVAN_MODEL_SOURCE_IMPL_H
#define CARAVAN_MODEL_SOURCE_IMPL_H

#include "model/gguf.h"
#include "model/quant.h"
#include "model/safetensors.h"
#include "model/source.h"
#include "model/tokenizer_spec.h"

// Where one parameter lies. Rows are stored one after the other, each a whole number of blocks.
struct source_view {
    const uint8_t *data;
    const struct quant *type;
    bool interleaved;    // q and k rows of a GGUF file: row 2j + s of a head is row
                         // s * head_dim / 2 + j of the Hugging Face layout
};

struct source {
    const char *format;
    char *path;
    struct model_config config;
    struct param_table params;
    struct source_view *views;    // (params.n), owned
    struct gguf *gguf;            // one of the two
    struct safetensors **files;
    size_t n_files;
    // NULL: spec_err and spec_why say why (a model can be computed with, given ids).
    struct tokenizer_spec *spec;
    enum err spec_err;
    struct why spec_why;
    bool own_template;    // no longer the chat template that came with the model
};

// Fill config, params, views and what holds the bytes; source_close cleans up after a failure.
MUST_CHECK enum err gguf_model_open(struct source *s, struct why *why);
MUST_CHECK enum err hf_open(struct source *s, struct why *why);
// The tokenizer's description, not yet finished (tokenizer_spec_finish).
MUST_CHECK enum err gguf_model_spec(const struct source *s, struct tokenizer_spec **out,
                                    struct why *why);
MUST_CHECK enum err hf_spec(const struct source *s, struct tokenizer_spec **out, struct why *why);
// Allocates params and views for s->config.
MUST_CHECK enum err source_make_table(struct source *s, struct why *why);

// The configuration in a GGUF file's metadata (gguf_config.c).
MUST_CHECK enum err gguf_model_config(const struct gguf *g, struct model_config *out,
                                      struct why *why);
#define GGUF_ROPE_FREQS "rope_freqs.weight"    // divisors of the rotary frequencies, (head_dim / 2)
// The name of a parameter in GGUF files; false: it has none.
bool gguf_model_name(const struct param *p, char name[GGUF_MAX_NAME + 1]);
// Whether GGUF files of this architecture hold the rows of p interleaved (source_view).
bool gguf_model_interleaves(const struct model_config *c, const struct param *p);

// The format of a published type.
const struct quant *source_quant(enum dtype t);
// Rows first .. first + n - 1 of p, in Hugging Face order, from v as type `to` (one with a writer):
// out (n, cols) =, aligned for its type.
MUST_CHECK enum err source_view_rows(const struct source *s, const struct source_view *v,
                                     const struct param *p, size_t first, size_t n,
                                     const struct quant *to, void *out, struct why *why);

bool param_is_vector(const struct param *p);    // stored with one dimension
MUST_CHECK enum err safetensors_check_shape(const struct safetensors *s,
                                            const struct safetensors_tensor *t,
                                            const struct param *p, struct why *why);

#endif
