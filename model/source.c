// source.c: what the two formats have in common once they are open: a table of parameters and where
// each lies.
//
// Opening does all the checking that needs no tensor data: shapes, types, ranges, names. What is
// left for reading is conversion and the search for infinities and NaNs (source_rows.c). A tokenizer
// that cannot be used does not make the weights unusable, so its error is kept and given to whoever
// asks for the tokenizer.

#include "model/source.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fs.h"
#include "model/chat.h"
#include "model/jinja.h"
#include "model/source_impl.h"

bool param_is_vector(const struct param *p)
{
    return p->vector;
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

enum err source_found(struct source *s, enum err e, struct why *why)
{
    if (e == ERR_OK || e == ERR_NOMEM || s->report == NULL) {
        return e;
    }
    s->report(s->report_arg, why->text);
    s->n_problems++;
    return ERR_OK;
}

enum err source_open_format(struct source *s, struct why *why)
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

void source_open_spec(struct source *s)
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
    enum err e = source_open_format(s, why);
    if (e != ERR_OK) {
        source_close(s);
        return e;
    }
    source_open_spec(s);
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

enum err source_use_weights(struct source *s, const char *path, struct why *why)
{
    struct safetensors **files = realloc(s->files, (s->n_files + 1) * sizeof(struct safetensors *));
    if (files == NULL) {
        return why_set(why, ERR_NOMEM, "%s: out of memory", path);
    }
    s->files = files;
    struct safetensors *w = NULL;
    enum err e = safetensors_open(path, &w, why);
    if (e == ERR_OK) {
        e = safetensors_check_flat(w, &s->params, NULL, why);
    }
    if (e != ERR_OK) {
        safetensors_close(w);
        return e;
    }
    s->files[s->n_files++] = w;    // the model's own stay open: its tokenizer may be in one of them
    for (size_t i = 0; i < s->params.n; i++) {
        const struct safetensors_tensor *t = safetensors_find(w, s->params.params[i].name);
        s->views[i] = (struct source_view){t->data, quant_by_name(t->dtype), false};
    }
    return ERR_OK;
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
