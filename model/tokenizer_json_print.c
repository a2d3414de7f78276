// tokenizer_json_print.c: the writer of tokenizer.json, for models that came from another format.
// What it writes, the reader (tokenizer_json.c) reads as the same description.
//
// Merges are written as "a b", which every release of the `tokenizers` library reads, or as pairs
// where a token has a blank inside.

#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "model/tokenizer_spec.h"

// Adds value (stolen, may be NULL) and remembers any failure in *ok.
static void put(json_t *object, const char *key, json_t *value, bool *ok)
{
    *ok = json_object_set_new(object, key, value) == 0 && *ok;
}

static void push(json_t *array, json_t *value, bool *ok)
{
    *ok = json_array_append_new(array, value) == 0 && *ok;
}

static json_t *token_text(const struct tokenizer_spec *s, size_t id)
{
    size_t len;
    const char *text = tokenizer_spec_text(s, id, &len);
    return json_stringn(text, len);
}

static json_t *flag(bool on)
{
    return on ? json_true() : json_false();
}

// ---- parts ----

static json_t *print_added(const struct tokenizer_spec *s, bool *ok)
{
    json_t *list = json_array();
    for (size_t id = 0; id < s->n_tokens; id++) {
        uint32_t flags = s->tokens[id].flags;
        if ((flags & SPEC_ADDED) != 0) {
            json_t *token = json_object();
            put(token, "id", json_integer((json_int_t)id), ok);
            put(token, "content", token_text(s, id), ok);
            put(token, "single_word", flag((flags & SPEC_SINGLE_WORD) != 0), ok);
            put(token, "lstrip", flag((flags & SPEC_LSTRIP) != 0), ok);
            put(token, "rstrip", flag((flags & SPEC_RSTRIP) != 0), ok);
            put(token, "normalized", flag((flags & SPEC_NORMALIZED) != 0), ok);
            put(token, "special", flag((flags & SPEC_SPECIAL) != 0), ok);
            push(list, token, ok);
        }
    }
    return list;
}

// A list of steps: null when it is empty, itself when it has one, else a Sequence.
static json_t *sequence(json_t *steps, const char *list)
{
    json_t *result = json_array_size(steps) == 0   ? json_null()
                     : json_array_size(steps) == 1 ? json_incref(json_array_get(steps, 0))
                                                   : NULL;
    if (result == NULL) {
        return json_pack("{s:s, s:o}", "type", "Sequence", list, steps);
    }
    json_decref(steps);
    return result;
}

static json_t *print_replace(const char *from, const char *to)
{
    return json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "String", from, "content",
                     to);
}

static json_t *print_normalizer(const struct tokenizer_spec *s, bool *ok)
{
    json_t *steps = json_array();
    for (size_t i = 0; i < s->n_norms; i++) {
        const struct spec_norm *n = &s->norms[i];
        json_t *step = n->kind == SPEC_NFC ? json_pack("{s:s}", "type", "NFC")
                       : n->kind == SPEC_PREPEND
                           ? json_pack("{s:s, s:s}", "type", "Prepend", "prepend", n->to)
                           : print_replace(n->from, n->to);
        push(steps, step, ok);
    }
    return sequence(steps, "normalizers");
}

static json_t *print_step(const struct spec_step *step)
{
    static const char *const schemes[] = {"never", "first", "always"};
    switch (step->kind) {
    case SPEC_DIGITS:
    case SPEC_DIGIT_RUNS:
        return json_pack("{s:s, s:b}", "type", "Digits", "individual_digits",
                         step->kind == SPEC_DIGITS);
    case SPEC_REGEX:
        return json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex",
                         step->pattern, "behavior", "Isolated", "invert", 0);
    case SPEC_MATCHES:
        return json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex",
                         step->pattern, "behavior", "Removed", "invert", 1);
    case SPEC_METASPACE:
        return json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", step->pattern,
                         "prepend_scheme", schemes[step->prepend], "split", step->split);
    case SPEC_BLANK_FIRST:
        break;
    }
    return NULL;    // exists only as part of ByteLevel
}

static json_t *print_pretokenizer(const struct tokenizer_spec *s, bool *ok)
{
    json_t *steps = json_array();
    size_t n = s->n_steps;
    bool gpt2 = false, blank = false;
    if (s->alphabet == SPEC_BYTES) {    // the last steps that ByteLevel brings along
        gpt2 = n > 0 && s->steps[n - 1].kind == SPEC_REGEX &&
               strcmp(s->steps[n - 1].pattern, SPEC_GPT2_PATTERN) == 0;
        n -= gpt2;
        blank = n > 0 && s->steps[n - 1].kind == SPEC_BLANK_FIRST;
        n -= blank;
    }
    for (size_t i = 0; i < n; i++) {
        push(steps, print_step(&s->steps[i]), ok);
    }
    if (s->alphabet == SPEC_BYTES) {
        push(steps,
             json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", blank,
                       "trim_offsets", 1, "use_regex", gpt2),
             ok);
    }
    return sequence(steps, "pretokenizers");
}

static json_t *print_decoder(const struct tokenizer_spec *s, bool *ok)
{
    const struct spec_decoder *d = &s->decoder;
    if (s->alphabet == SPEC_BYTES) {
        return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 1,
                         "trim_offsets", 1, "use_regex", 1);
    }
    json_t *steps = json_array();
    if (d->first_bare) {
        push(steps,
             json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", d->from,
                       "prepend_scheme", "always", "split", 1),
             ok);
    } else if (d->from[0] != '\0') {
        push(steps, print_replace(d->from, d->to), ok);
    }
    if (d->byte_fallback) {
        push(steps, json_pack("{s:s}", "type", "ByteFallback"), ok);
    }
    push(steps, json_pack("{s:s}", "type", "Fuse"), ok);
    if (d->strip > 0) {
        push(steps,
             json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip", "content", " ", "start",
                       (int)d->strip, "stop", 0),
             ok);
    }
    return sequence(steps, "decoders");
}

// ---- post-processor ----

// Items of a template: the ids of one side, each under its own text.
static void print_affix(const struct tokenizer_spec *s, const uint32_t *ids, size_t n, int type_id,
                        json_t *items, json_t *names, bool *ok)
{
    for (size_t i = 0; i < n; i++) {
        json_t *text = token_text(s, ids[i]);
        const char *name = text == NULL ? "" : json_string_value(text);
        push(items, json_pack("{s:{s:O, s:i}}", "SpecialToken", "id", text, "type_id", type_id),
             ok);
        put(names, name,
            json_pack("{s:O, s:[i], s:[O]}", "id", text, "ids", (int)ids[i], "tokens", text), ok);
        json_decref(text);
    }
}

static void print_text(const struct tokenizer_spec *s, const char *which, int type_id,
                       json_t *items, json_t *names, bool *ok)
{
    print_affix(s, s->prefix, s->n_prefix, type_id, items, names, ok);
    push(items, json_pack("{s:{s:s, s:i}}", "Sequence", "id", which, "type_id", type_id), ok);
    print_affix(s, s->suffix, s->n_suffix, type_id, items, names, ok);
}

static json_t *print_postprocessor(const struct tokenizer_spec *s, bool *ok)
{
    if (s->n_prefix + s->n_suffix == 0) {
        return json_null();
    }
    json_t *one = json_array(), *pair = json_array(), *names = json_object();
    print_text(s, "A", 0, one, names, ok);
    print_text(s, "A", 0, pair, names, ok);
    print_text(s, "B", 1, pair, names, ok);
    return json_pack("{s:s, s:o, s:o, s:o}", "type", "TemplateProcessing", "single", one, "pair",
                     pair, "special_tokens", names);
}

// ---- model ----

static json_t *print_vocab(const struct tokenizer_spec *s, bool *ok)
{
    json_t *vocab = json_object();
    for (size_t id = 0; id < s->n_tokens; id++) {
        if ((s->tokens[id].flags & SPEC_VOCAB) != 0) {
            size_t len;
            const char *text = tokenizer_spec_text(s, id, &len);
            *ok = json_object_setn_new(vocab, text, len, json_integer((json_int_t)id)) == 0 && *ok;
        }
    }
    return vocab;
}

// A text that "a b" cannot hold.
static bool needs_pairs(const struct tokenizer_spec *s, uint32_t id)
{
    size_t len;
    const char *text = tokenizer_spec_text(s, id, &len);
    return memchr(text, ' ', len) != NULL || memchr(text, '\0', len) != NULL;
}

static json_t *print_merges(const struct tokenizer_spec *s, bool *ok)
{
    json_t *merges = json_array();
    bool pairs = false;
    for (size_t i = 0; i < s->n_merges && !pairs; i++) {
        pairs = needs_pairs(s, s->merges[i].result);
    }
    for (size_t i = 0; i < s->n_merges; i++) {
        json_t *left = token_text(s, s->merges[i].left), *right = token_text(s, s->merges[i].right);
        if (pairs) {
            push(merges, json_pack("[o, o]", left, right), ok);
            continue;
        }
        push(merges,
             left == NULL || right == NULL
                 ? NULL
                 : json_sprintf("%s %s", json_string_value(left), json_string_value(right)),
             ok);
        json_decref(left);
        json_decref(right);
    }
    return merges;
}

static json_t *print_model(const struct tokenizer_spec *s, bool *ok)
{
    json_t *model =
        json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b}", "type", "BPE", "dropout", "unk_token",
                  "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", s->fuse_unk,
                  "byte_fallback", s->byte_fallback, "ignore_merges", s->ignore_merges);
    if (s->model_unk >= 0) {
        put(model, "unk_token", token_text(s, (size_t)s->model_unk), ok);
    }
    put(model, "vocab", print_vocab(s, ok), ok);
    put(model, "merges", print_merges(s, ok), ok);
    return model;
}

char *tokenizer_json_print(const struct tokenizer_spec *s)
{
    bool ok = true;
    json_t *root = json_pack("{s:s, s:n, s:n}", "version", "1.0", "truncation", "padding");
    put(root, "added_tokens", print_added(s, &ok), &ok);
    put(root, "normalizer", print_normalizer(s, &ok), &ok);
    put(root, "pre_tokenizer", print_pretokenizer(s, &ok), &ok);
    put(root, "post_processor", print_postprocessor(s, &ok), &ok);
    put(root, "decoder", print_decoder(s, &ok), &ok);
    put(root, "model", print_model(s, &ok), &ok);
    char *text = ok ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    return text;
}
