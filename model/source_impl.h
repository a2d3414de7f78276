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
    // While source_check looks: takes what is wrong, one problem each, so that looking goes on.
    source_problem *report;
    void *report_arg;
    size_t n_problems;
    bool own_template;    // no longer the chat template that came with the model
};

// Sets spec, or spec_err and spec_why.
void source_open_spec(struct source *s);
// What a reader does with the outcome of one tensor: passes it on, or, while source_check looks,
// reports it and goes on as if all were well; the tensor's view stays without data.
MUST_CHECK enum err source_found(struct source *s, enum err e, struct why *why);
// Opens s->path by its format; s is zero but for path and report.
MUST_CHECK enum err source_open_format(struct source *s, struct why *why);

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

// One tensor of the stream (source_stream); room: source_room bytes.
MUST_CHECK enum err source_stream_tensor(const struct source *s, size_t index,
                                         const struct quant *to, struct pool *pool, uint8_t *room,
                                         source_sink *sink, void *arg, struct why *why);
size_t source_room(const struct source *s, const struct quant *to);

bool param_is_vector(const struct param *p);    // stored with one dimension
MUST_CHECK enum err safetensors_check_shape(const struct safetensors *s,
                                            const struct safetensors_tensor *t,
                                            const struct param *p, struct why *why);
// That s holds exactly the tensors of p, all as dtype (NULL: as any that is read).
MUST_CHECK enum err safetensors_check_flat(const struct safetensors *s, const struct param_table *p,
                                           const char *dtype, struct why *why);

#endif
