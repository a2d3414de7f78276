// gguf_model.c: a GGUF file as a model: tensors to parameters. gguf_config.c reads the configuration,
// gguf_tokenizer.c the vocabulary.
//
// GGUF names differ from Hugging Face's (family.c has both) and so does one layout: the converter
// stores the rows of q and k of the llama architecture with the two halves of a head interleaved
// (row 2j is j of the first half, row 2j + 1 is j of the second), since its rotary embedding turns
// neighbours. The views say so and source_read puts the rows back. The other architectures keep the
// order.
//
// A tensor that no parameter asks for is refused: a bias that is silently left out gives a model
// that is silently wrong.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/family.h"
#include "model/source_impl.h"

// ---- tensors ----

static enum err check_dims(const struct gguf *g, const struct gguf_tensor *t, const struct param *p,
                           struct why *why)
{
    bool same =
        t->dims[0] == p->cols && t->dims[1] == p->rows && t->dims[2] == 1 && t->dims[3] == 1;
    if (same) {
        return ERR_OK;
    }
    return why_set(why, ERR_CORRUPT,
                   "%s: tensor %s: dimensions [%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64
                   "], expected [%zu, %zu, 1, 1]",
                   gguf_where(g), t->name, t->dims[0], t->dims[1], t->dims[2], t->dims[3], p->cols,
                   p->rows);
}

bool gguf_model_name(const struct param *p, char name[GGUF_MAX_NAME + 1])
{
    (void)snprintf(name, GGUF_MAX_NAME + 1, "%s", p->gguf);
    return p->gguf[0] != '\0';
}

bool gguf_model_interleaves(const struct model_config *c, const struct param *p)
{
    return family_find(c->family)->gguf_interleaved && (p->kind == PARAM_Q || p->kind == PARAM_K);
}

// *out is set as soon as there is a tensor of the name, even one of a wrong shape.
static enum err find_tensor(const struct source *s, const struct param *p,
                            const struct gguf_tensor **out, struct why *why)
{
    char name[GGUF_MAX_NAME + 1];
    if (!gguf_model_name(p, name)) {
        return why_set(why, ERR_UNSUPPORTED, "%s: parameter %s has no name in GGUF files", s->path,
                       p->name);
    }
    const struct gguf_tensor *t = gguf_tensor_find(s->gguf, name);
    if (t == NULL) {
        return why_set(why, ERR_CORRUPT, "%s: tensor %s is missing", s->path, name);
    }
    *out = t;
    return check_dims(s->gguf, t, p, why);
}

static enum err map_tensors(struct source *s, struct why *why)
{
    size_t n = gguf_n_tensors(s->gguf);
    bool *used = calloc(n + 1, sizeof *used);
    if (used == NULL) {
        return why_set(why, ERR_NOMEM, "%s: out of memory for %zu tensors", s->path, n);
    }
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < s->params.n; i++) {
        const struct param *p = &s->params.params[i];
        const struct gguf_tensor *t = NULL;
        enum err found = find_tensor(s, p, &t, why);
        if (t != NULL) {
            used[t - gguf_tensor_at(s->gguf, 0)] = true;
        }
        if (found == ERR_OK) {
            s->views[i] =
                (struct source_view){t->data, t->type, gguf_model_interleaves(&s->config, p)};
        }
        e = source_found(s, found, why);
    }
    for (size_t i = 0; e == ERR_OK && i < n; i++) {
        const char *name = gguf_tensor_at(s->gguf, i)->name;
        if (!used[i] && strcmp(name, GGUF_ROPE_FREQS) != 0) {    // those are in the config
            e = source_found(s,
                             why_set(why, ERR_UNSUPPORTED,
                                     "%s: tensor %s is not part of a %s model as computed here",
                                     s->path, name, s->config.family),
                             why);
        }
    }
    free(used);
    return e;
}

// A model may be split over files, each of which holds all metadata and some tensors.
static enum err refuse_parts(const struct gguf *g, struct why *why)
{
    int64_t parts = 1;
    enum err e = gguf_opt_int(g, "split.count", 0, INT64_MAX, &parts, why);
    if (e == ERR_OK && parts > 1) {
        e = why_set(why, ERR_UNSUPPORTED,
                    "%s: key split.count: one of %" PRId64
                    " parts of a model, expected a file that is whole",
                    gguf_where(g), parts);
    }
    return e;
}

enum err gguf_model_open(struct source *s, struct why *why)
{
    enum err e = gguf_open(s->path, &s->gguf, why);
    if (e == ERR_OK) {
        e = refuse_parts(s->gguf, why);
    }
    if (e == ERR_OK) {
        e = gguf_model_config(s->gguf, &s->config, why);
    }
    if (e == ERR_OK) {
        e = source_make_table(s, why);
    }
    return e == ERR_OK ? map_tensors(s, why) : e;
}
