// export.c: a Hugging Face folder, written so that `transformers` and everything around it load the
// trained model without knowing where it came from.
//
// The weights come first and config.json last, so that a folder with a config.json is a whole one;
// every file is complete or absent. From a folder the tokenizer's files are copied byte for byte:
// whatever they say beyond what is understood here survives. From GGUF they are written from the
// same description that the tokenizer was built from.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/json.h"
#include "model/source_impl.h"

#define MAX_COPY ((size_t)256 << 20)

static const char *const carried[] = {"tokenizer.json", "tokenizer_config.json",
                                      "special_tokens_map.json", "generation_config.json",
                                      "chat_template.jinja"};

static enum err write_text(const char *dir, const char *name, const char *text, struct why *why)
{
    char *path = fs_path("%s/%s", dir, name);
    enum err e = path == NULL || text == NULL
                     ? why_set(why, ERR_NOMEM, "%s/%s: out of memory", dir, name)
                     : fs_write_file(path, text, strlen(text), why);
    free(path);
    return e;
}

// Writes object (stolen; NULL = out of memory).
static enum err write_json(const char *dir, const char *name, json_t *object, struct why *why)
{
    char *text = object == NULL ? NULL : json_dumps(object, JSON_INDENT(2));
    json_decref(object);
    enum err e = write_text(dir, name, text, why);
    free(text);
    return e;
}

// ---- from a folder ----

// A file that the source does not have must not be left over from an earlier export: an old
// chat_template.jinja would win.
static enum err copy_file(const struct source *s, const char *dir, const char *name,
                          struct why *why)
{
    char *from = fs_path("%s/%s", s->path, name), *to = fs_path("%s/%s", dir, name), *data = NULL;
    size_t len = 0;
    enum err e = ERR_OK;
    if (from == NULL || to == NULL) {
        e = why_set(why, ERR_NOMEM, "%s/%s: out of memory", dir, name);
    } else if (!fs_exists(from)) {
        (void)unlink(to);
    } else {
        e = fs_read_file(from, MAX_COPY, &data, &len, why);
        if (e == ERR_OK) {
            e = fs_write_file(to, data, len, why);
        }
    }
    free(data);
    free(from);
    free(to);
    return e;
}

// ---- from GGUF ----

static json_t *token_text(const struct tokenizer_spec *spec, int32_t id)
{
    if (id < 0 || (size_t)id >= spec->n_tokens || spec->tokens[id].len == 0) {
        return NULL;
    }
    const struct spec_token *t = &spec->tokens[id];
    return json_stringn((const char *)spec->text.data + t->off, t->len);
}

// Sets bos_token … as texts, leaving out those that the model does not have.
static void add_named(json_t *object, const struct tokenizer_spec *spec)
{
    const struct {
        const char *key;
        int32_t id;
    } named[] = {
        {"bos_token", spec->bos_id},
        {"eos_token", spec->eos_id},
        {"pad_token", spec->pad_id},
        {"unk_token", spec->unk_id},
    };
    for (size_t i = 0; i < ARRAY_LEN(named); i++) {
        json_t *text = token_text(spec, named[i].id);
        if (text != NULL) {
            (void)json_object_set_new(object, named[i].key, text);
        }
    }
}

static json_t *added_decoder(const struct tokenizer_spec *spec)
{
    json_t *added = json_object();
    for (size_t id = 0; id < spec->n_tokens; id++) {
        if ((spec->tokens[id].flags & SPEC_ADDED) != 0) {
            char key[24];
            (void)snprintf(key, sizeof key, "%zu", id);
            (void)json_object_set_new(added, key,
                                      json_pack("{s:o, s:b, s:b, s:b, s:b, s:b}", "content",
                                                token_text(spec, (int32_t)id), "single_word", 0,
                                                "lstrip", 0, "rstrip", 0, "normalized", 0,
                                                "special",
                                                (spec->tokens[id].flags & SPEC_SPECIAL) != 0));
        }
    }
    return added;
}

static json_t *tokenizer_config(const struct source *s)
{
    json_t *config = json_object();
    add_named(config, s->spec);
    (void)json_object_set_new(config, "add_prefix_space", json_false());
    (void)json_object_set_new(config, "model_max_length", json_integer(s->config.max_positions));
    (void)json_object_set_new(config, "clean_up_tokenization_spaces", json_false());
    (void)json_object_set_new(config, "tokenizer_class", json_string("PreTrainedTokenizerFast"));
    (void)json_object_set_new(config, "added_tokens_decoder", added_decoder(s->spec));
    if (s->spec->chat_template != NULL) {
        (void)json_object_set_new(config, "chat_template",
                                  json_stringn(s->spec->chat_template, s->spec->chat_template_len));
    }
    return config;
}

static json_t *generation_config(const struct model_config *c)
{
    json_t *config = json_object();
    if (c->bos_id >= 0) {
        (void)json_object_set_new(config, "bos_token_id", json_integer(c->bos_id));
    }
    if (c->n_eos == 1) {
        (void)json_object_set_new(config, "eos_token_id", json_integer(c->eos_ids[0]));
    } else if (c->n_eos > 1) {
        json_t *ids = json_array();
        for (int32_t i = 0; i < c->n_eos; i++) {
            (void)json_array_append_new(ids, json_integer(c->eos_ids[i]));
        }
        (void)json_object_set_new(config, "eos_token_id", ids);
    }
    if (c->pad_id >= 0) {
        (void)json_object_set_new(config, "pad_token_id", json_integer(c->pad_id));
    }
    return config;
}

static enum err write_tokenizer(const struct source *s, const char *dir, struct why *why)
{
    char *text = tokenizer_json_print(s->spec);
    enum err e = write_text(dir, "tokenizer.json", text, why);
    free(text);
    if (e == ERR_OK) {
        e = write_json(dir, "tokenizer_config.json", tokenizer_config(s), why);
    }
    if (e == ERR_OK) {
        json_t *map = json_object();
        add_named(map, s->spec);
        e = write_json(dir, "special_tokens_map.json", map, why);
    }
    if (e == ERR_OK) {
        e = write_json(dir, "generation_config.json", generation_config(&s->config), why);
    }
    char *jinja = fs_path("%s/chat_template.jinja", dir);
    if (jinja != NULL) {
        (void)unlink(jinja);    // from an earlier export: it would win over tokenizer_config.json
    }
    free(jinja);
    return e;
}

// ---- the folder ----

enum err source_export(const struct source *s, const char *dir, enum dtype t, const void *flat,
                       struct why *why)
{
    if (s->gguf != NULL && s->spec == NULL) {
        return why_set(why, s->spec_err, "export to %s: %s", dir, s->spec_why.text);
    }
    enum err e = fs_make_dirs(dir, why);
    char *weights = fs_path("%s/model.safetensors", dir);
    if (e == ERR_OK) {
        e = weights == NULL ? why_set(why, ERR_NOMEM, "%s: out of memory", dir)
                            : safetensors_write_flat(weights, &s->params, t, flat, NULL, why);
    }
    free(weights);
    if (e == ERR_OK && s->gguf != NULL) {
        e = write_tokenizer(s, dir, why);
    }
    for (size_t i = 0; e == ERR_OK && s->gguf == NULL && i < ARRAY_LEN(carried); i++) {
        e = copy_file(s, dir, carried[i], why);
    }
    if (e == ERR_OK && s->gguf == NULL && s->own_template) {    // wins over tokenizer_config.json
        e = write_text(dir, "chat_template.jinja", s->spec->chat_template, why);
    }
    if (e == ERR_OK) {
        char *config = model_config_print(&s->config, t);
        e = write_text(dir, "config.json", config, why);
        free(config);
    }
    return e;
}
