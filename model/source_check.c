// source_check.c: a model on disk, looked at: all that is wrong with it, or what it is.
//
// The same readers run as for source_open, but with a place to put problems (source_found), so that
// one wrong tensor does not hide the next. Values are converted as they would be for training, and
// given to nobody.

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "model/source_impl.h"
#include "model/tokenizer.h"

// ---- problems ----

static enum err discard(void *arg, const void *bytes, size_t len, struct why *why)
{
    (void)arg;
    (void)bytes;
    (void)len;
    (void)why;
    return ERR_OK;
}

static enum err check_values(struct source *s, struct pool *pool, struct source_findings *f,
                             struct why *why)
{
    const struct quant *f32 = source_quant(DTYPE_F32);
    uint8_t *room = malloc(source_room(s, f32));
    if (room == NULL) {
        return why_set(why, ERR_NOMEM, "%s: out of memory", s->path);
    }
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < s->params.n; i++) {
        const struct source_view *v = &s->views[i];
        if (v->data == NULL) {
            continue;    // reported before
        }
        const struct quant *to = v->type->first_nonfinite != NULL ? v->type : f32;
        e = source_found(s, source_stream_tensor(s, i, to, pool, room, discard, NULL, why), why);
        f->n_tensors++;
        f->n_values += s->params.params[i].count;
    }
    free(room);
    return e;
}

static enum err check_tokenizer(struct source *s, struct why *why)
{
    struct tokenizer *t = NULL;
    enum err e = source_tokenizer(s, &t, why);
    tokenizer_destroy(t);
    return source_found(s, e, why);
}

enum err source_check(const char *path, struct pool *pool, source_problem *report, void *arg,
                      struct source_findings *out, struct why *why)
{
    struct source_findings f = {0};
    struct why local = {""};
    struct source *s = calloc(1, sizeof *s);
    if (s == NULL || (s->path = strdup(path)) == NULL) {
        free(s);
        return why_set(why, ERR_NOMEM, "%s: out of memory", path);
    }
    s->report = report;
    s->report_arg = arg;
    enum err e = source_open_format(s, &local);
    if (e == ERR_OK) {
        source_open_spec(s);
        e = check_tokenizer(s, &local);
        e = e ? e : check_values(s, pool, &f, &local);
    } else {
        e = source_found(s, e, &local);
    }
    f.n_problems = s->n_problems;
    source_close(s);
    if (e != ERR_OK) {
        return why_set(why, e, "%s", local.text);
    }
    *out = f;
    return ERR_OK;
}

// ---- description ----

static enum err describe_types(const struct source *s, struct buf *out)
{
    enum err e = buf_printf(out, "stored    %s, %zu file%s:", s->format,
                            s->gguf != NULL ? (size_t)1 : s->n_files,
                            s->gguf == NULL && s->n_files != 1 ? "s" : "");
    for (size_t i = 0; !e && i < s->params.n; i++) {
        const struct quant *type = s->views[i].type;
        size_t n = 0, values = 0;
        bool first = true;
        for (size_t k = 0; k < s->params.n; k++) {
            if (s->views[k].type == type) {
                first = first && k >= i;
                n++;
                values += s->params.params[k].count;
            }
        }
        if (first) {
            e = buf_printf(out, " %s %.2f M in %zu tensors;", type->name, (double)values / 1e6, n);
        }
    }
    if (!e) {
        out->data[out->len - 1] = '\n';    // instead of the last semicolon
    }
    return e;
}

static enum err describe_token(const struct tokenizer_spec *spec, const char *what, int64_t id,
                               struct buf *out)
{
    if (id < 0 || (size_t)id >= spec->n_tokens) {
        return ERR_OK;
    }
    size_t len = 0;
    const char *text = tokenizer_spec_text(spec, (size_t)id, &len);
    return buf_printf(out, ", %s %" PRId64 " %.*s", what, id, (int)MIN(len, (size_t)40), text);
}

static enum err describe_tokenizer(const struct source *s, struct buf *out)
{
    const struct tokenizer_spec *spec = s->spec;
    if (spec == NULL) {
        return buf_printf(out, "tokenizer cannot be used: %s\n", s->spec_why.text);
    }
    enum err e = buf_printf(out, "tokenizer %s BPE, %zu tokens, %zu merges",
                            spec->alphabet == SPEC_BYTES ? "byte-level" : "SentencePiece",
                            spec->n_tokens, spec->n_merges);
    e = e ? e : describe_token(spec, "BOS", spec->bos_id, out);
    for (size_t i = 0; !e && i < spec->n_stop; i++) {
        e = describe_token(spec, "stop", spec->stop[i], out);
    }
    e = e ? e : buf_printf(out, "\n");
    return e ? e
           : spec->chat_template == NULL
               ? buf_printf(out, "template  none\n")
               : buf_printf(out, "template  %zu bytes of Jinja\n", spec->chat_template_len);
}

enum err source_describe(const struct source *s, struct buf *out)
{
    const struct model_config *c = &s->config;
    enum err e = buf_printf(
        out,
        "model     %s: %s, %.2f M parameters in %zu tensors\n"
        "sizes     %d layers, hidden %d, %d heads of %d, %d of keys, feed-forward %d, vocabulary "
        "%d%s\n"
        "context   %d\n",
        s->path, c->family, (double)s->params.total / 1e6, s->params.n, c->layers, c->hidden,
        c->heads, c->head_dim, c->kv_heads, c->ffn, c->vocab,
        c->tied ? ", head tied to the embedding" : "", c->max_positions);
    e = e ? e : describe_types(s, out);
    return e ? e : describe_tokenizer(s, out);
}
