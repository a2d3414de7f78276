// source.c: what the two formats have in common once they are open: a table of parameters and where
// each lies.
//
// Opening does all the checking that needs no tensor data: shapes, types, ranges, names. What is
// left for reading is conversion and the search for infinities and NaNs, row by row while a row is
// in the L1 cache. A tokenizer that cannot be used does not make the weights unusable, so its error
// is kept and given to whoever asks for the tokenizer.

#include "model/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fs.h"
#include "model/chat.h"
#include "model/jinja.h"
#include "model/source_impl.h"

bool param_is_vector(const struct param *p)
{
    return p->kind == PARAM_ATTN_NORM || p->kind == PARAM_FFN_NORM || p->kind == PARAM_FINAL_NORM;
}

enum err source_make_table(struct source *s, struct why *why)
{
    enum err e = param_table_create(&s->config, &s->params, why);
    if (e != ERR_OK) {
        return e;
    }
    s->views = calloc(s->params.n, sizeof *s->views);
    return s->views != NULL
               ? ERR_OK
               : why_set(why, ERR_NOMEM, "%s: out of memory for %zu tensors", s->path, s->params.n);
}

static enum err open_format(struct source *s, struct why *why)
{
    struct stat st;
    if (stat(s->path, &st) != 0) {
        return why_set(why, ERR_NOT_FOUND,
                       "%s: no such file or folder, expected a GGUF file or a Hugging Face folder",
                       s->path);
    }
    if (S_ISDIR(st.st_mode)) {
        s->format = "safetensors";
        return hf_open(s, why);
    }
    s->format = "gguf";
    return gguf_model_open(s, why);
}

static void open_spec(struct source *s)
{
    s->spec_err = s->gguf != NULL ? gguf_model_spec(s, &s->spec, &s->spec_why)
                                  : hf_spec(s, &s->spec, &s->spec_why);
    if (s->spec_err == ERR_OK) {
        s->spec_err = tokenizer_spec_finish(s->spec, &s->config, s->path, &s->spec_why);
    }
    if (s->spec_err != ERR_OK) {
        tokenizer_spec_destroy(s->spec);
        s->spec = NULL;
    }
}

enum err source_open(const char *path, struct source **out, struct why *why)
{
    struct source *s = calloc(1, sizeof *s);
    if (s == NULL || (s->path = strdup(path)) == NULL) {
        free(s);
        return why_set(why, ERR_NOMEM, "%s: out of memory", path);
    }
    enum err e = open_format(s, why);
    if (e != ERR_OK) {
        source_close(s);
        return e;
    }
    open_spec(s);
    *out = s;
    return ERR_OK;
}

void source_rest(const struct source *s)
{
    if (s->gguf) {
        gguf_rest(s->gguf);
    }
    for (size_t i = 0; i < s->n_files; i++) {
        safetensors_rest(s->files[i]);
    }
}

void source_close(struct source *s)
{
    if (s == NULL) {
        return;
    }
    tokenizer_spec_destroy(s->spec);
    free(s->views);
    param_table_destroy(&s->params);
    gguf_close(s->gguf);
    for (size_t i = 0; i < s->n_files; i++) {
        safetensors_close(s->files[i]);
    }
    free(s->files);
    free(s->path);
    free(s);
}

const struct model_config *source_config(const struct source *s)
{
    return &s->config;
}

const struct param_table *source_params(const struct source *s)
{
    return &s->params;
}

const char *source_format(const struct source *s)
{
    return s->format;
}

// ---- tensors ----

// The row of the Hugging Face layout that stored row r is.
static size_t row_of(const struct source *s, const struct source_view *v, size_t r)
{
    if (!v->interleaved) {
        return r;
    }
    size_t head_dim = (size_t)s->config.head_dim, head = r / head_dim, within = r % head_dim;
    return head * head_dim + within % 2 * (head_dim / 2) + within / 2;
}

enum err source_read(const struct source *s, size_t index, float *out, struct why *why)
{
    CHECK(index < s->params.n);
    const struct param *p = &s->params.params[index];
    const struct source_view *v = &s->views[index];
    size_t blocks = p->cols / v->type->block, row_bytes = blocks * v->type->block_bytes;
    for (size_t r = 0; r < p->rows; r++) {
        size_t to = row_of(s, v, r);
        float *row = out + to * p->cols;
        v->type->read(v->data + r * row_bytes, blocks, row);
        size_t bad = quant_first_nonfinite(row, p->cols);
        if (bad < p->cols) {
            return why_set(why, ERR_CORRUPT,
                           "%s: tensor %s: element [%zu, %zu] is %s, expected a finite number",
                           s->path, p->name, to, bad, isnan(row[bad]) ? "NaN" : "infinite");
        }
    }
    return ERR_OK;
}

// ---- tokenizer ----

enum err source_tokenizer(const struct source *s, struct tokenizer **out, struct why *why)
{
    if (s->spec == NULL) {
        return why_set(why, s->spec_err, "%s", s->spec_why.text);
    }
    return tokenizer_create(s->spec, out, why);
}

// Text of the template (free()).
static enum err read_template(const char *name_or_path, char **out, size_t *len, struct why *why)
{
    const char *builtin = chat_builtin(name_or_path);
    if (builtin != NULL) {
        *out = strdup(builtin);
        *len = strlen(builtin);
        return *out != NULL ? ERR_OK : why_set(why, ERR_NOMEM, "out of memory");
    }
    if (!fs_exists(name_or_path)) {
        return why_set(why, ERR_NOT_FOUND, "chat template '%s': neither a file nor one of %s",
                       name_or_path, chat_builtin_names());
    }
    return fs_read_file(name_or_path, SPEC_MAX_TEMPLATE, out, len, why);
}

enum err source_set_template(struct source *s, const char *name_or_path, struct why *why)
{
    char *text = NULL;
    size_t len = 0;
    struct jinja_template *parsed = NULL;
    if (*name_or_path == '\0' || s->spec == NULL) {    // source_tokenizer says why there is none
        return ERR_OK;
    }
    enum err e = read_template(name_or_path, &text, &len, why);
    if (e == ERR_OK) {
        e = jinja_parse(text, len, name_or_path, &parsed, why);
    }
    if (e == ERR_OK) {
        e = tokenizer_spec_template(s->spec, text, len, name_or_path, why);
    }
    s->own_template = s->own_template || e == ERR_OK;
    jinja_destroy(parsed);
    free(text);
    return e;
}

struct hash128 source_tokenizer_hash(const struct source *s)
{
    return s->spec == NULL ? (struct hash128){{0}} : tokenizer_spec_hash(s->spec);
}
