// hf.c: a Hugging Face folder as a model.
//
//   config.json                    sizes (model/config.c)
//   model.safetensors              all tensors
//   model.safetensors.index.json   … or this, naming several files
//   generation_config.json         more EOS ids, if present
//   tokenizer.json                 the tokenizer
//   tokenizer_config.json          names of BOS, EOS …, and the chat template in older folders
//   chat_template.jinja            the chat template in newer ones; it wins
//
// Tensors beyond the parameter table are refused, except two that older exporters write and nobody
// reads: the head of a tied model, and the rotary frequencies.

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "common/json.h"
#include "model/source_impl.h"

enum {
    MAX_CONFIG = 1 << 20,
    MAX_TOKENIZER = 128 << 20,
    MAX_INDEX = 64 << 20,
    MAX_FILES = 1024,
};

static enum err nomem(const struct source *s, struct why *why)
{
    return why_set(why, ERR_NOMEM, "%s: out of memory", s->path);
}

// Reads and parses DIR/name. *out stays NULL when the file does not exist and need not.
static enum err load_json(const struct source *s, const char *name, size_t max, bool required,
                          json_t **out, struct why *why)
{
    char *path = fs_path("%s/%s", s->path, name), *text = NULL;
    size_t len = 0;
    enum err e = path == NULL ? nomem(s, why) : ERR_OK;
    if (e == ERR_OK && (required || fs_exists(path))) {
        e = fs_read_file(path, max, &text, &len, why);
        if (e == ERR_OK) {
            e = json_parse(text, len, path, out, why);
        }
    }
    free(text);
    free(path);
    return e;
}

// ---- configuration ----

static enum err read_config(struct source *s, struct why *why)
{
    char *path = fs_path("%s/config.json", s->path), *text = NULL;
    size_t len = 0;
    enum err e = path == NULL ? nomem(s, why) : fs_read_file(path, MAX_CONFIG, &text, &len, why);
    if (e == ERR_OK) {
        e = model_config_parse(text, len, path, &s->config, why);
    }
    free(text);
    free(path);
    return e;
}

static enum err add_eos(struct source *s, const json_t *id, struct why *why)
{
    struct model_config *c = &s->config;
    json_int_t value = json_integer_value(id);
    if (!json_is_integer(id) || value < 0 || value >= c->vocab) {
        return why_set(why, ERR_INVALID,
                       "%s/generation_config.json: eos_token_id: not an integer in 0..%" PRId32,
                       s->path, c->vocab - 1);
    }
    for (int32_t i = 0; i < c->n_eos; i++) {
        if (c->eos_ids[i] == value) {
            return ERR_OK;
        }
    }
    if (c->n_eos == MODEL_MAX_EOS) {
        return why_set(why, ERR_LIMIT, "%s/generation_config.json: more than %d EOS ids", s->path,
                       MODEL_MAX_EOS);
    }
    c->eos_ids[c->n_eos++] = (int32_t)value;
    return ERR_OK;
}

static enum err read_generation(struct source *s, struct why *why)
{
    json_t *root = NULL;
    enum err e = load_json(s, "generation_config.json", MAX_CONFIG, false, &root, why);
    const json_t *eos = json_object_get(root, "eos_token_id");
    if (e == ERR_OK && json_is_array(eos)) {
        for (size_t i = 0; e == ERR_OK && i < json_array_size(eos); i++) {
            e = add_eos(s, json_array_get(eos, i), why);
        }
    } else if (e == ERR_OK && eos != NULL && !json_is_null(eos)) {
        e = add_eos(s, eos, why);
    }
    json_decref(root);
    return e;
}

// ---- tensor files ----

static enum err open_file(struct source *s, const char *name, struct why *why)
{
    struct safetensors **files = realloc(s->files, (s->n_files + 1) * sizeof(struct safetensors *));
    char *path = fs_path("%s/%s", s->path, name);
    if (files != NULL) {
        s->files = files;
    }
    enum err e = files == NULL || path == NULL ? nomem(s, why)
                                               : safetensors_open(path, &s->files[s->n_files], why);
    s->n_files += e == ERR_OK;
    free(path);
    return e;
}

static const struct safetensors *find_open(const struct source *s, const char *name)
{
    size_t folder = strlen(s->path) + 1;
    for (size_t i = 0; i < s->n_files; i++) {
        if (strcmp(safetensors_where(s->files[i]) + folder, name) == 0) {
            return s->files[i];
        }
    }
    return NULL;
}

// One entry of the index: opens the file that it names, unless another entry has, and looks whether
// the tensor is there.
static enum err open_entry(struct source *s, const char *tensor, const json_t *value,
                           struct why *why)
{
    const char *file = json_string_value(value);
    if (file == NULL || strchr(file, '/') != NULL || strlen(file) != json_string_length(value)) {
        return why_set(why, ERR_INVALID,
                       "%s/model.safetensors.index.json: tensor %.100s: expected the name of a "
                       "file in this folder",
                       s->path, tensor);
    }
    enum err e = ERR_OK;
    if (find_open(s, file) == NULL) {
        e = s->n_files == MAX_FILES
                ? why_set(why, ERR_LIMIT, "%s: more than %d tensor files", s->path, MAX_FILES)
                : open_file(s, file, why);
        if (e == ERR_NOT_FOUND) {
            (void)why_prefix(why, e, "%s/model.safetensors.index.json: tensor %.100s", s->path,
                             tensor);
        }
        if (e != ERR_OK) {
            return e;
        }
    }
    return safetensors_find(find_open(s, file), tensor) != NULL
               ? ERR_OK
               : why_set(why, ERR_CORRUPT,
                         "%s/model.safetensors.index.json: tensor %.100s is not in %.200s", s->path,
                         tensor, file);
}

static enum err open_indexed(struct source *s, struct why *why)
{
    json_t *root = NULL;
    enum err e = load_json(s, "model.safetensors.index.json", MAX_INDEX, true, &root, why);
    json_t *map = json_object_get(root, "weight_map");
    if (e == ERR_OK && (!json_is_object(map) || json_object_size(map) == 0)) {
        e = why_set(why, ERR_INVALID,
                    "%s/model.safetensors.index.json: weight_map: expected an object of tensors "
                    "and files",
                    s->path);
    }
    const char *tensor;
    json_t *value;
    json_object_foreach(map, tensor, value)
    {
        e = e ? e : open_entry(s, tensor, value, why);
    }
    json_decref(root);
    return e;
}

static enum err open_files(struct source *s, struct why *why)
{
    char *one = fs_path("%s/model.safetensors", s->path);
    char *index = fs_path("%s/model.safetensors.index.json", s->path);
    enum err e;
    if (one == NULL || index == NULL) {
        e = nomem(s, why);
    } else if (fs_exists(one)) {
        e = open_file(s, "model.safetensors", why);
    } else if (fs_exists(index)) {
        e = open_indexed(s, why);
    } else {
        e = why_set(why, ERR_NOT_FOUND,
                    "%s: neither model.safetensors nor model.safetensors.index.json", s->path);
    }
    free(one);
    free(index);
    return e;
}

// ---- tensors ----

static enum err map_tensor(struct source *s, size_t index, struct why *why)
{
    const struct param *p = &s->params.params[index];
    const struct safetensors *in = NULL;
    const struct safetensors_tensor *t = NULL;
    for (size_t i = 0; i < s->n_files; i++) {
        const struct safetensors_tensor *found = safetensors_find(s->files[i], p->name);
        if (found != NULL && t != NULL) {
            return why_set(why, ERR_CORRUPT, "%s: tensor %s is also in %s",
                           safetensors_where(s->files[i]), p->name, safetensors_where(in));
        }
        if (found != NULL) {
            in = s->files[i];
            t = found;
        }
    }
    if (t == NULL) {
        return why_set(why, ERR_CORRUPT, "%s: tensor %s is missing", s->path, p->name);
    }
    const struct quant *type = quant_by_name(t->dtype);
    if (type == NULL) {
        return why_set(why, ERR_UNSUPPORTED,
                       "%s: tensor %s: dtype %s cannot be read; supported are F32, F16, BF16",
                       safetensors_where(in), p->name, t->dtype);
    }
    enum err e = safetensors_check_shape(in, t, p, why);
    if (e == ERR_OK) {
        s->views[index] = (struct source_view){t->data, type, false};
    }
    return e;
}

static bool may_be_ignored(const struct source *s, const char *name)
{
    static const char rotary[] = ".rotary_emb.inv_freq";
    size_t len = strlen(name), tail = sizeof rotary - 1;
    return (s->config.tied && strcmp(name, "lm_head.weight") == 0) ||
           (len > tail && strcmp(name + len - tail, rotary) == 0);
}

static enum err map_tensors(struct source *s, struct why *why)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < s->params.n; i++) {
        e = source_found(s, map_tensor(s, i, why), why);
    }
    for (size_t f = 0; e == ERR_OK && f < s->n_files; f++) {
        for (size_t i = 0; e == ERR_OK && i < safetensors_n_tensors(s->files[f]); i++) {
            const char *name = safetensors_tensor_at(s->files[f], i)->name;
            if (!may_be_ignored(s, name) && param_table_find(&s->params, name) < 0) {
                e = source_found(s,
                                 why_set(why, ERR_UNSUPPORTED,
                                         "%s: tensor %.200s is not part of a %s model as computed "
                                         "here",
                                         safetensors_where(s->files[f]), name, s->config.family),
                                 why);
            }
        }
    }
    return e;
}

enum err hf_open(struct source *s, struct why *why)
{
    enum err e = read_config(s, why);
    if (e == ERR_OK) {
        e = read_generation(s, why);
    }
    if (e == ERR_OK) {
        e = open_files(s, why);
    }
    if (e == ERR_OK) {
        e = source_make_table(s, why);
    }
    return e == ERR_OK ? map_tensors(s, why) : e;
}

// ---- tokenizer ----

// The id of a token named in tokenizer_config.json ("x" or {"content": "x"}), or -1.
static int32_t named_token(const struct tokenizer_spec *spec, const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);
    if (json_is_object(value)) {
        value = json_object_get(value, "content");
    }
    size_t len = json_string_length(value);
    for (size_t id = 0; json_is_string(value) && id < spec->n_tokens; id++) {
        const struct spec_token *t = &spec->tokens[id];
        if (t->len == len && len > 0 &&
            memcmp(spec->text.data + t->off, json_string_value(value), len) == 0) {
            return (int32_t)id;
        }
    }
    return -1;
}

// A string, or a list of named templates of which "default" is meant.
static const json_t *find_template(const json_t *config)
{
    const json_t *value = json_object_get(config, "chat_template"), *each;
    if (json_is_string(value)) {
        return value;
    }
    size_t i;
    json_array_foreach(value, i, each)
    {
        const char *name = json_string_value(json_object_get(each, "name"));
        const json_t *text = json_object_get(each, "template");
        if (name != NULL && strcmp(name, "default") == 0 && json_is_string(text)) {
            return text;
        }
    }
    return NULL;
}

static enum err read_tokenizer_config(const struct source *s, struct tokenizer_spec *spec,
                                      struct why *why)
{
    json_t *config = NULL;
    enum err e = load_json(s, "tokenizer_config.json", MAX_TOKENIZER, false, &config, why);
    spec->bos_id = named_token(spec, config, "bos_token");
    spec->eos_id = named_token(spec, config, "eos_token");
    spec->pad_id = named_token(spec, config, "pad_token");
    spec->unk_id = named_token(spec, config, "unk_token");
    const json_t *text = find_template(config);
    if (e == ERR_OK && text != NULL) {
        e = tokenizer_spec_template(spec, json_string_value(text), json_string_length(text),
                                    s->path, why);
    }
    json_decref(config);
    return e;
}

static enum err read_jinja(const struct source *s, struct tokenizer_spec *spec, struct why *why)
{
    char *path = fs_path("%s/chat_template.jinja", s->path), *text = NULL;
    size_t len = 0;
    enum err e = path == NULL ? nomem(s, why) : ERR_OK;
    if (e == ERR_OK && fs_exists(path)) {
        e = fs_read_file(path, SPEC_MAX_TEMPLATE, &text, &len, why);
        if (e == ERR_OK) {
            e = tokenizer_spec_template(spec, text, len, path, why);
        }
    }
    free(text);
    free(path);
    return e;
}

enum err hf_spec(const struct source *s, struct tokenizer_spec **out, struct why *why)
{
    char *path = fs_path("%s/tokenizer.json", s->path), *text = NULL;
    size_t len = 0;
    struct tokenizer_spec *spec = NULL;
    enum err e = path == NULL ? nomem(s, why) : fs_read_file(path, MAX_TOKENIZER, &text, &len, why);
    if (e == ERR_OK) {
        e = tokenizer_json_parse(text, len, path, &spec, why);
    }
    free(text);
    free(path);
    if (e == ERR_OK) {
        e = read_tokenizer_config(s, spec, why);
    }
    if (e == ERR_OK) {
        e = read_jinja(s, spec, why);
    }
    if (e != ERR_OK) {
        tokenizer_spec_destroy(spec);
        return e;
    }
    *out = spec;
    return ERR_OK;
}
