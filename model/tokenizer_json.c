// tokenizer_json.c: tokenizer.json of the `tokenizers` library, read strictly: the model, its
// tokens and merges. tokenizer_json_steps.c reads what is done to text around the model.
//
// The format can describe many machines; those built here are BPE, byte-level or over characters
// with byte fallback, without prefixes of subwords and dropout. A field that would make the text
// come out otherwise is refused by name, a field that only concerns offsets or padding is passed
// over.
//
// Merges come as "a b" (older files) or ["a", "b"]; the former are cut at the one blank, so a token
// with a blank inside needs the latter.

#include "model/tokenizer_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/token_index.h"

enum err tokenizer_json_refuse(const struct json_reader *r, const char *field, const json_t *found,
                               const char *expected)
{
    const json_t *type = json_object_get(found, "type");
    const json_t *shown = json_is_string(type) ? type : found;
    char text[80] = "missing";
    if (json_is_string(shown)) {
        (void)snprintf(text, sizeof text, "\"%.60s\"", json_string_value(shown));
    } else if (json_is_number(shown)) {
        (void)snprintf(text, sizeof text, "%.17g", json_number_value(shown));
    } else if (shown != NULL) {
        (void)snprintf(text, sizeof text, "%s",
                       json_is_null(shown)     ? "null"
                       : json_is_true(shown)   ? "true"
                       : json_is_false(shown)  ? "false"
                       : json_is_object(shown) ? "this object"
                                               : "this list");
    }
    return why_set(r->why, ERR_UNSUPPORTED, "%s: %s: %s is not supported here, expected %s",
                   r->where, field, text, expected);
}

const char *tokenizer_json_type(const json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    return type == NULL ? "" : type;
}

bool tokenizer_json_off(const json_t *value)
{
    return value == NULL || json_is_null(value) || json_is_false(value) ||
           (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_number(value) && json_number_value(value) == 0);
}

// ---- tokens ----

static enum err read_vocab(const struct json_reader *r, const json_t *vocab)
{
    if (!json_is_object(vocab) || json_object_size(vocab) == 0) {
        return why_set(r->why, ERR_CORRUPT,
                       "%s: model.vocab: expected an object of tokens with their ids", r->where);
    }
    const char *text;
    size_t len;
    json_t *id;
    json_object_keylen_foreach((json_t *)(uintptr_t)vocab, text, len, id)
    {
        if (!json_is_integer(id)) {
            return why_set(r->why, ERR_CORRUPT,
                           "%s: model.vocab: token \"%.60s\": expected an integer id", r->where,
                           text);
        }
        enum err e = tokenizer_spec_set(r->spec, json_integer_value(id), text, len, SPEC_VOCAB,
                                        r->where, r->why);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}

static uint32_t added_flags(const json_t *token)
{
    static const struct {
        const char *key;
        uint32_t flag;
    } flags[] = {
        {"special", SPEC_SPECIAL}, {"single_word", SPEC_SINGLE_WORD}, {"lstrip", SPEC_LSTRIP},
        {"rstrip", SPEC_RSTRIP},   {"normalized", SPEC_NORMALIZED},
    };
    uint32_t result = SPEC_ADDED;
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        result |= json_is_true(json_object_get(token, flags[i].key)) ? flags[i].flag : 0;
    }
    return result;
}

// One id per text: a second one could never come out.
static enum err check_unique(const struct json_reader *r, struct token_index *seen,
                             const json_t *content, int64_t id)
{
    const char *text = json_string_value(content);
    int32_t had =
        token_index_add(seen, (const uint8_t *)text, json_string_length(content), (uint32_t)id);
    return had < 0 || had == id
               ? ERR_OK
               : why_set(r->why, ERR_CORRUPT,
                         "%s: added_tokens: \"%.60s\" has the ids %" PRId32 " and %" PRId64,
                         r->where, text, had, id);
}

static enum err read_added_token(const struct json_reader *r, struct token_index *seen,
                                 const json_t *token, size_t number)
{
    const json_t *content = json_object_get(token, "content");
    int64_t id = 0;
    enum err e = json_get_int(token, "id", 0, SPEC_MAX_TOKENS - 1, r->where, &id, r->why);
    if (e != ERR_OK) {
        return e;
    }
    if (!json_is_string(content)) {
        return why_set(r->why, ERR_CORRUPT, "%s: added_tokens[%zu]: content is not a string",
                       r->where, number);
    }
    e = check_unique(r, seen, content, id);
    return e == ERR_OK ? tokenizer_spec_set(r->spec, id, json_string_value(content),
                                            json_string_length(content), added_flags(token),
                                            r->where, r->why)
                       : e;
}

static enum err read_added(const struct json_reader *r, const json_t *added, const json_t *vocab)
{
    struct token_index *seen = NULL;
    enum err e = token_index_create(json_array_size(added) + json_object_size(vocab), &seen);
    if (e != ERR_OK) {
        return why_set(r->why, e, "%s: out of memory for the vocabulary", r->where);
    }
    const char *text;
    size_t len;
    json_t *id;
    json_object_keylen_foreach((json_t *)(uintptr_t)vocab, text, len, id)
    {
        (void)token_index_add(seen, (const uint8_t *)text, len, (uint32_t)json_integer_value(id));
    }
    size_t i;
    const json_t *token;
    json_array_foreach(added, i, token)
    {
        e = read_added_token(r, seen, token, i);
        if (e != ERR_OK) {
            break;
        }
    }
    token_index_destroy(seen);
    return e;
}

// The two parts of a merge; false when it is neither "a b" nor ["a", "b"].
static bool merge_parts(const json_t *merge, const char **left, size_t *left_len,
                        const char **right, size_t *right_len)
{
    if (json_is_string(merge)) {
        const char *text = json_string_value(merge);
        size_t len = json_string_length(merge);
        const char *blank = memchr(text, ' ', len);
        if (blank == NULL || memchr(blank + 1, ' ', len - (size_t)(blank + 1 - text)) != NULL) {
            return false;
        }
        *left = text;
        *left_len = (size_t)(blank - text);
        *right = blank + 1;
        *right_len = len - *left_len - 1;
        return true;
    }
    const json_t *a = json_array_get(merge, 0), *b = json_array_get(merge, 1);
    if (!json_is_string(a) || !json_is_string(b) || json_array_size(merge) != 2) {
        return false;
    }
    *left = json_string_value(a);
    *left_len = json_string_length(a);
    *right = json_string_value(b);
    *right_len = json_string_length(b);
    return true;
}

static enum err read_merges(const struct json_reader *r, const json_t *merges)
{
    if (!json_is_array(merges)) {
        return why_set(r->why, ERR_CORRUPT, "%s: model.merges: expected a list", r->where);
    }
    struct token_index *x = NULL;
    enum err e = tokenizer_spec_reserve_merges(r->spec, json_array_size(merges), r->where, r->why);
    if (e == ERR_OK) {
        e = tokenizer_spec_index(r->spec, &x, r->where, r->why);
    }
    size_t i;
    const json_t *merge;
    json_array_foreach(merges, i, merge)
    {
        const char *left, *right;
        size_t left_len, right_len;
        if (e != ERR_OK) {
            break;
        }
        if (merge_parts(merge, &left, &left_len, &right, &right_len)) {
            e = tokenizer_spec_merge(r->spec, x, left, left_len, right, right_len, r->where,
                                     r->why);
        } else {
            e = why_set(r->why, ERR_CORRUPT,
                        "%s: model.merges[%zu]: expected \"a b\" or [\"a\", \"b\"]", r->where, i);
        }
    }
    token_index_destroy(x);
    return e;
}

// ---- the whole ----

static enum err read_model(const struct json_reader *r, const json_t *model)
{
    static const char *const off[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix"};
    const char *type = tokenizer_json_type(model);
    if (!json_is_object(model) || (type[0] != '\0' && strcmp(type, "BPE") != 0)) {
        return tokenizer_json_refuse(r, "model", model, "BPE");
    }
    for (size_t i = 0; i < ARRAY_LEN(off); i++) {
        const json_t *value = json_object_get(model, off[i]);
        if (!tokenizer_json_off(value)) {
            return tokenizer_json_refuse(r, off[i], value, "it to be off");
        }
    }
    struct tokenizer_spec *s = r->spec;
    s->ignore_merges = json_is_true(json_object_get(model, "ignore_merges"));
    s->byte_fallback = json_is_true(json_object_get(model, "byte_fallback"));
    s->fuse_unk = json_is_true(json_object_get(model, "fuse_unk"));
    if (s->byte_fallback && s->alphabet == SPEC_BYTES) {
        return tokenizer_json_refuse(r, "byte_fallback", json_object_get(model, "byte_fallback"),
                                     "false with ByteLevel");
    }
    return ERR_OK;
}

static enum err read_unk(const struct json_reader *r, const json_t *model)
{
    const json_t *unk = json_object_get(model, "unk_token");
    if (unk == NULL || json_is_null(unk)) {
        return ERR_OK;
    }
    const json_t *id = json_object_get(json_object_get(model, "vocab"), json_string_value(unk));
    if (!json_is_integer(id)) {
        return why_set(r->why, ERR_CORRUPT, "%s: unk_token \"%.60s\" is not in model.vocab",
                       r->where, json_is_string(unk) ? json_string_value(unk) : "");
    }
    r->spec->model_unk = (int32_t)json_integer_value(id);
    return ERR_OK;
}

static enum err read_tokens(const struct json_reader *r, const json_t *root)
{
    const json_t *model = json_object_get(root, "model"), *vocab = json_object_get(model, "vocab");
    enum err e = read_vocab(r, vocab);
    if (e == ERR_OK) {
        e = read_unk(r, model);
    }
    if (e == ERR_OK) {
        e = read_added(r, json_object_get(root, "added_tokens"), vocab);
    }
    return e == ERR_OK ? read_merges(r, json_object_get(model, "merges")) : e;
}

static enum err read_root(const struct json_reader *r, const json_t *root)
{
    enum err e = tokenizer_json_pretokenizer(r, json_object_get(root, "pre_tokenizer"));
    if (e == ERR_OK) {
        e = read_model(r, json_object_get(root, "model"));
    }
    if (e == ERR_OK) {
        e = tokenizer_json_normalizer(r, json_object_get(root, "normalizer"));
    }
    if (e == ERR_OK) {
        e = tokenizer_json_decoder(r, json_object_get(root, "decoder"));
    }
    if (e == ERR_OK) {
        e = read_tokens(r, root);
    }
    return e == ERR_OK ? tokenizer_json_postprocessor(r, json_object_get(root, "post_processor"))
                       : e;
}

enum err tokenizer_json_parse(const char *text, size_t len, const char *where,
                              struct tokenizer_spec **out, struct why *why)
{
    json_t *root = NULL;
    struct json_reader r = {.where = where, .why = why};
    enum err e = json_parse(text, len, where, &root, why);
    if (e != ERR_OK) {
        return e;
    }
    e = tokenizer_spec_create(&r.spec);
    if (e == ERR_OK) {
        e = read_root(&r, root);
    } else {
        e = why_set(why, e, "%s: out of memory", where);
    }
    json_decref(root);
    if (e != ERR_OK) {
        tokenizer_spec_destroy(r.spec);
        return e;
    }
    *out = r.spec;
    return ERR_OK;
}
