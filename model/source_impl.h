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

bool param_is_vector(const struct param *p);    // stored with one dimension
MUST_CHECK enum err safetensors_check_shape(const struct safetensors *s,
                                            const struct safetensors_tensor *t,
                                            const struct param *p, struct why *why);

#endif
