// tokenizer_json.c: tokenizer.json of the `tokenizers` library, read strictly and written back.
//
// The format can describe many machines; the one built here is byte-level BPE: an optional NFC
// normaliser, a pre-tokeniser of Digits (one by one), Split by regex (isolated) and ByteLevel at
// the end, and a BPE model without unknown token, prefixes or dropout. A field that would make the
// text come out otherwise is refused by name, a field that only concerns offsets or padding is
// passed over. So is the post-processor: nothing is ever added to a text here, the chat template
// writes its own BOS.
//
// Merges come as "a b" (older files) or ["a", "b"]; the alphabet has no blank, so one blank splits.
// Written: the former, which every release reads.

#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "model/bytelevel.h"
#include "model/token_index.h"
#include "model/tokenizer_spec.h"

// What every reader of a part needs.
struct reader {
    struct tokenizer_spec *spec;
    const char *where;
    struct why *why;
};

static enum err unsupported(const struct reader *r, const char *field, const char *expected)
{
    return why_set(r->why, ERR_UNSUPPORTED, "%s: %s is not supported here, expected %s", r->where,
                   field, expected);
}

static const char *type_of(const json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    return type == NULL ? "" : type;
}

// Absent, null, false, 0 and "" all say that a feature is off.
static bool is_off(const json_t *value)
{
    return value == NULL || json_is_null(value) || json_is_false(value) ||
           (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_number(value) && json_number_value(value) == 0);
}

// ---- normaliser and pre-tokeniser ----

static enum err read_normalizer(const struct reader *r, const json_t *value)
{
    if (value == NULL || json_is_null(value)) {
        return ERR_OK;
    }
    if (strcmp(type_of(value), "Sequence") == 0) {
        size_t i;
        const json_t *each;
        json_array_foreach(json_object_get(value, "normalizers"), i, each)
        {
            if (strcmp(type_of(each), "NFC") != 0) {
                return unsupported(r, "this normalizer", "null or NFC");
            }
            r->spec->nfc = true;
        }
        return ERR_OK;
    }
    if (strcmp(type_of(value), "NFC") != 0) {
        return unsupported(r, "this normalizer", "null or NFC");
    }
    r->spec->nfc = true;
    return ERR_OK;
}

static enum err read_split(const struct reader *r, const json_t *step)
{
    const json_t *regex = json_object_get(json_object_get(step, "pattern"), "Regex");
    const char *behavior = json_string_value(json_object_get(step, "behavior"));
    if (!json_is_string(regex) || strlen(json_string_value(regex)) != json_string_length(regex) ||
        behavior == NULL || strcmp(behavior, "Isolated") != 0 ||
        !is_off(json_object_get(step, "invert"))) {
        return unsupported(r, "this Split pre_tokenizer",
                           "a Regex pattern, behavior Isolated, invert false");
    }
    return tokenizer_spec_step(r->spec, SPEC_REGEX, json_string_value(regex), r->where, r->why);
}

// use_regex is true when absent.
static enum err read_bytelevel(const struct reader *r, const json_t *step)
{
    if (!is_off(json_object_get(step, "add_prefix_space"))) {
        return unsupported(r, "pre_tokenizer ByteLevel with add_prefix_space",
                           "add_prefix_space false");
    }
    if (json_is_false(json_object_get(step, "use_regex"))) {
        return ERR_OK;
    }
    return tokenizer_spec_step(r->spec, SPEC_REGEX, SPEC_GPT2_PATTERN, r->where, r->why);
}

static enum err read_step(const struct reader *r, const json_t *step, bool last)
{
    const char *type = type_of(step);
    if (last != (strcmp(type, "ByteLevel") == 0)) {
        return unsupported(r, "this pre_tokenizer",
                           "Digits and Split steps with ByteLevel at the end");
    }
    if (last) {
        return read_bytelevel(r, step);
    }
    if (strcmp(type, "Split") == 0) {
        return read_split(r, step);
    }
    if (strcmp(type, "Digits") == 0 && json_is_true(json_object_get(step, "individual_digits"))) {
        return tokenizer_spec_step(r->spec, SPEC_DIGITS, NULL, r->where, r->why);
    }
    return unsupported(r, "this pre_tokenizer",
                       "Digits (individual_digits true), Split or ByteLevel");
}

static enum err read_pretokenizer(const struct reader *r, const json_t *value)
{
    if (strcmp(type_of(value), "Sequence") != 0) {
        return read_step(r, value, true);
    }
    const json_t *steps = json_object_get(value, "pretokenizers");
    size_t n = json_array_size(steps);
    if (n == 0) {
        return unsupported(r, "an empty pre_tokenizer", "ByteLevel at the end");
    }
    for (size_t i = 0; i < n; i++) {
        enum err e = read_step(r, json_array_get(steps, i), i + 1 == n);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}

// ---- tokens ----

static enum err read_vocab(const struct reader *r, const json_t *vocab)
{
    if (!json_is_object(vocab) || json_object_size(vocab) == 0) {
        return why_set(r->why, ERR_CORRUPT,
                       "%s: model.vocab: expected an object of tokens with their ids", r->where);
    }
    const char *text;
    json_t *id;
    json_object_foreach((json_t *)(uintptr_t)vocab, text, id)
    {
        if (!json_is_integer(id)) {
            return why_set(r->why, ERR_CORRUPT,
                           "%s: model.vocab: token \"%.60s\": expected an integer id", r->where,
                           text);
        }
        enum err e = tokenizer_spec_set_vocab(r->spec, json_integer_value(id), text, strlen(text),
                                              r->where, r->why);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}

static enum err read_added(const struct reader *r, const json_t *added)
{
    size_t i;
    const json_t *token;
    json_array_foreach(added, i, token)
    {
        const json_t *content = json_object_get(token, "content");
        int64_t id = 0;
        enum err e = json_get_int(token, "id", 0, SPEC_MAX_TOKENS - 1, r->where, &id, r->why);
        if (e != ERR_OK) {
            return e;
        }
        if (!json_is_string(content)) {
            return why_set(r->why, ERR_CORRUPT, "%s: added_tokens[%zu]: content is not a string",
                           r->where, i);
        }
        if (!is_off(json_object_get(token, "single_word")) ||
            !is_off(json_object_get(token, "lstrip")) ||
            !is_off(json_object_get(token, "rstrip")) ||
            (r->spec->nfc && !is_off(json_object_get(token, "normalized")))) {
            return unsupported(r,
                               "an added token with single_word, lstrip, rstrip or normalized text",
                               "all of them false");
        }
        uint32_t flags = SPEC_ADDED;
        if (json_is_true(json_object_get(token, "special"))) {
            flags |= SPEC_SPECIAL;
        }
        e = tokenizer_spec_set(r->spec, id, json_string_value(content), json_string_length(content),
                               flags, r->where, r->why);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
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

static enum err read_merges(const struct reader *r, const json_t *merges)
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

static enum err check_model(const struct reader *r, const json_t *model)
{
    static const char *const off[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix",
                                      "byte_fallback", "unk_token"};
    const char *type = type_of(model);
    if (!json_is_object(model) || (type[0] != '\0' && strcmp(type, "BPE") != 0)) {
        return unsupported(r, "this model type", "BPE (byte-level)");
    }
    for (size_t i = 0; i < ARRAY_LEN(off); i++) {
        if (!is_off(json_object_get(model, off[i]))) {
            return unsupported(r, off[i], "it to be off");
        }
    }
    r->spec->ignore_merges = json_is_true(json_object_get(model, "ignore_merges"));
    return ERR_OK;
}

static enum err read_root(const struct reader *r, const json_t *root)
{
    const json_t *model = json_object_get(root, "model");
    enum err e = check_model(r, model);
    if (e == ERR_OK && strcmp(type_of(json_object_get(root, "decoder")), "ByteLevel") != 0) {
        e = unsupported(r, "this decoder", "ByteLevel");
    }
    if (e == ERR_OK) {
        e = read_normalizer(r, json_object_get(root, "normalizer"));
    }
    if (e == ERR_OK) {
        e = read_pretokenizer(r, json_object_get(root, "pre_tokenizer"));
    }
    if (e == ERR_OK) {
        e = read_vocab(r, json_object_get(model, "vocab"));
    }
    if (e == ERR_OK) {
        e = read_added(r, json_object_get(root, "added_tokens"));
    }
    return e == ERR_OK ? read_merges(r, json_object_get(model, "merges")) : e;
}

enum err tokenizer_json_parse(const char *text, size_t len, const char *where,
                              struct tokenizer_spec **out, struct why *why)
{
    json_t *root = NULL;
    struct reader r = {.where = where, .why = why};
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

// ---- writing ----

// Adds value (stolen, may be NULL) and remembers any failure in *ok.
static void put(json_t *object, const char *key, json_t *value, bool *ok)
{
    *ok = json_object_set_new(object, key, value) == 0 && *ok;
}

static void push(json_t *array, json_t *value, bool *ok)
{
    *ok = json_array_append_new(array, value) == 0 && *ok;
}

// The token's text as it stands in the vocabulary; out holds BYTELEVEL_MAX_CHAR * len bytes.
static size_t vocab_text(const struct tokenizer_spec *s, size_t id, char *out)
{
    const struct spec_token *t = &s->tokens[id];
    if ((t->flags & SPEC_LITERAL) != 0) {
        memcpy(out, s->text.data + t->off, t->len);
        return t->len;
    }
    return bytelevel_encode(s->text.data + t->off, t->len, out);
}

static json_t *print_added(const struct tokenizer_spec *s, bool *ok)
{
    json_t *list = json_array();
    for (size_t id = 0; id < s->n_tokens; id++) {
        const struct spec_token *t = &s->tokens[id];
        if ((t->flags & SPEC_ADDED) != 0) {
            json_t *token = json_pack("{s:I, s:s%, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)id,
                                      "content", (const char *)s->text.data + t->off,
                                      (size_t)t->len, "single_word", 0, "lstrip", 0, "rstrip", 0,
                                      "normalized", 0, "special", (t->flags & SPEC_SPECIAL) != 0);
            push(list, token, ok);
        }
    }
    return list;
}

static json_t *print_pretokenizer(const struct tokenizer_spec *s, bool *ok)
{
    json_t *steps = json_array();
    bool gpt2 = false;
    for (size_t i = 0; i < s->n_steps; i++) {
        const struct spec_step *step = &s->steps[i];
        gpt2 = i + 1 == s->n_steps && step->kind == SPEC_REGEX &&
               strcmp(step->pattern, SPEC_GPT2_PATTERN) == 0;
        if (step->kind == SPEC_DIGITS) {
            push(steps, json_pack("{s:s, s:b}", "type", "Digits", "individual_digits", 1), ok);
        } else if (!gpt2) {
            push(steps,
                 json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex",
                           step->pattern, "behavior", "Isolated", "invert", 0),
                 ok);
        }
    }
    push(steps,
         json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                   "trim_offsets", 1, "use_regex", gpt2 ? 1 : 0),
         ok);
    return json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", steps);
}

static json_t *print_vocab(const struct tokenizer_spec *s, bool *ok)
{
    json_t *vocab = json_object();
    char text[BYTELEVEL_MAX_CHAR * SPEC_MAX_TOKEN_BYTES];
    for (size_t id = 0; id < s->n_tokens; id++) {
        if ((s->tokens[id].flags & SPEC_VOCAB) != 0) {
            size_t len = vocab_text(s, id, text);
            *ok = json_object_setn_new(vocab, text, len, json_integer((json_int_t)id)) == 0 && *ok;
        }
    }
    return vocab;
}

static json_t *print_merges(const struct tokenizer_spec *s, bool *ok)
{
    json_t *merges = json_array();
    char text[2 * BYTELEVEL_MAX_CHAR * SPEC_MAX_TOKEN_BYTES + 1];
    for (size_t i = 0; i < s->n_merges; i++) {
        size_t len = vocab_text(s, s->merges[i].left, text);
        text[len++] = ' ';
        len += vocab_text(s, s->merges[i].right, text + len);
        push(merges, json_stringn(text, len), ok);
    }
    return merges;
}

static json_t *print_model(const struct tokenizer_spec *s, bool *ok)
{
    json_t *model = json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b}", "type", "BPE", "dropout",
                              "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                              "fuse_unk", 0, "byte_fallback", 0, "ignore_merges", s->ignore_merges);
    put(model, "vocab", print_vocab(s, ok), ok);
    put(model, "merges", print_merges(s, ok), ok);
    return model;
}

char *tokenizer_json_print(const struct tokenizer_spec *s)
{
    bool ok = true;
    json_t *root = json_pack("{s:s, s:n, s:n}", "version", "1.0", "truncation", "padding");
    put(root, "added_tokens", print_added(s, &ok), &ok);
    put(root, "normalizer", s->nfc ? json_pack("{s:s}", "type", "NFC") : json_null(), &ok);
    put(root, "pre_tokenizer", print_pretokenizer(s, &ok), &ok);
    put(root, "post_processor", json_null(), &ok);
    put(root, "decoder",
        json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 1,
                  "trim_offsets", 1, "use_regex", 1),
        &ok);
    put(root, "model", print_model(s, &ok), &ok);
    char *text = ok ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    return text;
}
