// export.c: a Hugging Face folder, written so that `transformers` and everything around it load the
// trained model without knowing where it came from; and the door to the GGUF writer.
//
// The weights come first and config.json last, and an older config.json goes before anything else
// does, so that a folder with a config.json is a whole one; every file is complete or absent. From a
// folder the tokenizer's files are copied byte for byte: whatever they say beyond what is understood
// here survives. So does config.json, apart from the value that names the dtype. From GGUF they are
// written from the same description that the tokenizer was built from.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/json.h"
#include "model/export_impl.h"

#define MAX_COPY ((size_t)256 << 20)
#define MAX_CONFIG ((size_t)1 << 20)
#define DEFAULT_SHARD_BYTES 5000000000u

static const char *const carried[] = {
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
};

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

// ---- config.json ----

static const char *torch_dtype(const struct quant *type)
{
    return type->ggml_id == 0 ? "float32" : type->ggml_id == 1 ? "float16" : "bfloat16";
}

// The string, number or word that starts at p: its end.
static const char *value_end(const char *p, const char *end)
{
    if (p < end && *p == '"') {
        for (p++; p < end && *p != '"'; p++) {
            p += *p == '\\';
        }
        return MIN(p + 1, end);
    }
    while (p < end && strchr(",} \t\r\n", *p) == NULL) {
        p++;
    }
    return p;
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && strchr(" \t\r\n", *p) != NULL) {
        p++;
    }
    return p;
}

// Whether the text between quotes is a key that names the dtype: "torch_dtype", since release 4.56
// of transformers also "dtype".
static bool names_dtype(const char *text, size_t len)
{
    return (len == 11 && memcmp(text, "torch_dtype", len) == 0) ||
           (len == 5 && memcmp(text, "dtype", len) == 0);
}

// The value of the next top-level key that names the dtype; NULL: no more. Starts at p, *depth levels
// deep.
static const char *next_dtype(const char *p, const char *end, int *depth)
{
    while (p < end) {
        if (*p == '"') {
            const char *after = value_end(p, end), *colon = skip_blanks(after, end);
            if (*depth == 1 && colon < end && *colon == ':' &&
                names_dtype(p + 1, (size_t)(after - p) - 2)) {
                return skip_blanks(colon + 1, end);
            }
            p = after;
        } else {
            *depth += *p == '{' || *p == '[' ? 1 : *p == '}' || *p == ']' ? -1 : 0;
            p++;
        }
    }
    return NULL;
}

// Copies the text of a config with every top-level dtype set to `dtype`; one is added where there is
// none. Nothing else changes by a byte. The text is valid JSON, an object with members.
static enum err edit_dtype(const char *text, size_t len, const char *dtype, struct buf *out)
{
    const char *end = text + len, *kept = text;
    int depth = 0;
    size_t found = 0;
    enum err e = ERR_OK;
    for (const char *value; !e && (value = next_dtype(kept, end, &depth)) != NULL; found++) {
        e = buf_append(out, kept, (size_t)(value - kept));
        e = e ? e : buf_printf(out, "\"%s\"", dtype);
        kept = value_end(value, end);
    }
    const char *brace = memchr(text, '{', len);
    if (!e && found == 0 && brace != NULL) {
        kept = brace + 1;
        e = buf_append(out, text, (size_t)(kept - text));
        e = e ? e : buf_printf(out, "\n  \"torch_dtype\": \"%s\",", dtype);
    }
    return e ? e : buf_append(out, kept, (size_t)(end - kept));
}

// The model's own text, or one printed from what a GGUF file says.
static enum err write_config(const struct export *x, const char *dir, struct why *why)
{
    char *text = NULL, *from = NULL, *to = fs_path("%s/config.json", dir);
    size_t len = 0;
    enum err e = to == NULL ? why_set(why, ERR_NOMEM, "%s: out of memory", dir) : ERR_OK;
    if (e == ERR_OK && x->s->gguf == NULL) {
        from = fs_path("%s/config.json", x->s->path);
        e = from == NULL ? why_set(why, ERR_NOMEM, "%s: out of memory", dir)
                         : fs_read_file(from, MAX_CONFIG, &text, &len, why);
    } else if (e == ERR_OK) {
        text = model_config_print(&x->s->config, DTYPE_F32);
        len = text == NULL ? 0 : strlen(text);
        e = text == NULL ? why_set(why, ERR_NOMEM, "%s: out of memory", to) : ERR_OK;
    }
    struct buf edited;
    buf_init(&edited, 0);
    if (e == ERR_OK && edit_dtype(text, len, torch_dtype(x->type), &edited) != ERR_OK) {
        e = why_set(why, ERR_NOMEM, "%s: out of memory", to);
    }
    e = e ? e : fs_write_file(to, edited.data, edited.len, why);
    buf_fini(&edited);
    free(text);
    free(from);
    free(to);
    return e;
}

// ---- the folder ----

static enum err write_beside(const struct source *s, const char *dir, struct why *why)
{
    if (s->gguf != NULL) {
        return write_tokenizer(s, dir, why);
    }
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(carried); i++) {
        e = copy_file(s, dir, carried[i], why);
    }
    if (e == ERR_OK && s->own_template) {    // wins over tokenizer_config.json
        e = write_text(dir, "chat_template.jinja", s->spec->chat_template, why);
    }
    char *generation = fs_path("%s/generation_config.json", dir);
    if (e == ERR_OK && generation != NULL && !fs_exists(generation)) {
        e = write_json(dir, "generation_config.json", generation_config(&s->config), why);
    }
    free(generation);
    return e;
}

static enum err export_folder(const struct export *x, const char *dir, uint64_t shard_bytes,
                              struct why *why)
{
    enum err e = fs_make_dirs(dir, why);
    char *config = fs_path("%s/config.json", dir);
    if (e == ERR_OK && config == NULL) {
        e = why_set(why, ERR_NOMEM, "%s: out of memory", dir);
    }
    if (e == ERR_OK) {
        (void)unlink(config);
        e = export_safetensors(x, dir, shard_bytes, why);
    }
    free(config);
    e = e ? e : write_beside(x->s, dir, why);
    return e ? e : write_config(x, dir, why);
}

// ---- either format ----

static enum err check_place(const struct source *s, const char *path, struct why *why)
{
    struct stat from, to;
    if (stat(s->path, &from) == 0 && stat(path, &to) == 0 && from.st_dev == to.st_dev &&
        from.st_ino == to.st_ino) {
        return why_set(why, ERR_INVALID, "%s: is the model itself, expected another place", path);
    }
    return ERR_OK;
}

// Views into a flat blob (free()); NULL when out of memory.
static struct source_view *flat_views(const struct source *s, const struct export_options *o)
{
    struct source_view *views = calloc(s->params.n, sizeof *views);
    for (size_t i = 0; views != NULL && i < s->params.n; i++) {
        views[i].data =
            (const uint8_t *)o->flat + s->params.params[i].offset * dtype_size(o->flat_dtype);
        views[i].type = source_quant(o->flat_dtype);
    }
    return views;
}

enum err source_export(const struct source *s, const char *path, const struct export_options *o,
                       struct why *why)
{
    struct export x = {s, s->views, quant_by_name(o->type != NULL ? o->type : "BF16")};
    CHECK(x.type != NULL && x.type->write != NULL);
    bool needs_tokenizer = s->gguf != NULL || o->format == EXPORT_GGUF;
    if (needs_tokenizer && s->spec == NULL) {
        return why_set(why, s->spec_err, "export to %s: %s", path, s->spec_why.text);
    }
    enum err e = check_place(s, path, why);
    struct source_view *views = NULL;
    if (e == ERR_OK && o->flat != NULL) {
        x.views = views = flat_views(s, o);
        e = views == NULL ? why_set(why, ERR_NOMEM, "export to %s: out of memory", path) : ERR_OK;
    }
    if (e == ERR_OK) {
        e = o->format == EXPORT_GGUF
                ? export_gguf(&x, path, why)
                : export_folder(&x, path, o->shard_bytes ? o->shard_bytes : DEFAULT_SHARD_BYTES,
                                why);
    }
    free(views);
    return e;
}
