// tokenizer_json_steps.c: normaliser, pre-tokeniser, decoder and post-processor of tokenizer.json.
//
// Each is one object with a "type", or a Sequence of such. What the tokenizer here can do is a
// subset that covers the published byte-level and SentencePiece models; the rest is refused with
// its name, since a step that is left out gives other ids without a word.
//
//   normalizer      NFC, Prepend, Replace (of a String)
//   pre_tokenizer   Split (Isolated; Removed and inverted), Digits, Metaspace, ByteLevel at the end
//   decoder         ByteLevel, or Replace | Metaspace, ByteFallback, Fuse, Strip in this order
//   post_processor  TemplateProcessing with one text, ByteLevel (which moves offsets only)
//
// A decoder of SPEC_CHARS is a fixed row of switches (spec_decoder), not a list: in the models that
// exist the order never varies, and a text that grows can be decoded as it comes.

#include <string.h>

#include "model/tokenizer_json.h"

typedef enum err step_fn(const struct json_reader *r, const json_t *step, bool last);

// Calls fn for the object, or for the members of a Sequence in order.
static enum err each_step(const struct json_reader *r, const json_t *value, const char *list,
                          const char *field, step_fn *fn)
{
    if (value == NULL || json_is_null(value)) {
        return ERR_OK;
    }
    if (strcmp(tokenizer_json_type(value), "Sequence") != 0) {
        return fn(r, value, true);
    }
    const json_t *steps = json_object_get(value, list);
    if (!json_is_array(steps)) {
        return why_set(r->why, ERR_CORRUPT, "%s: %s: a Sequence without a list \"%s\"", r->where,
                       field, list);
    }
    size_t n = json_array_size(steps);
    for (size_t i = 0; i < n; i++) {
        enum err e = fn(r, json_array_get(steps, i), i + 1 == n);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}

static bool is_type(const json_t *step, const char *type)
{
    return strcmp(tokenizer_json_type(step), type) == 0;
}

// The text of a field that has no NUL inside, or NULL.
static const char *plain_text(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    return text != NULL && strlen(text) == json_string_length(value) ? text : NULL;
}

// ---- normaliser ----

static enum err read_normalizer(const struct json_reader *r, const json_t *step, bool last)
{
    (void)last;
    if (is_type(step, "NFC")) {
        return tokenizer_spec_norm(r->spec, SPEC_NFC, NULL, NULL, r->where, r->why);
    }
    if (is_type(step, "Prepend")) {
        const char *text = plain_text(step, "prepend");
        if (text == NULL || text[0] == '\0') {
            return tokenizer_json_refuse(r, "normalizer Prepend: prepend",
                                         json_object_get(step, "prepend"), "a text");
        }
        return tokenizer_spec_norm(r->spec, SPEC_PREPEND, NULL, text, r->where, r->why);
    }
    if (is_type(step, "Replace")) {
        const json_t *pattern = json_object_get(step, "pattern");
        const char *from = plain_text(pattern, "String"), *to = plain_text(step, "content");
        if (from == NULL || from[0] == '\0' || to == NULL) {
            return tokenizer_json_refuse(r, "normalizer Replace: pattern", pattern,
                                         "{\"String\": …} and content, both texts");
        }
        return tokenizer_spec_norm(r->spec, SPEC_REPLACE, from, to, r->where, r->why);
    }
    return tokenizer_json_refuse(r, "normalizer", step,
                                 "null, NFC, Prepend, Replace, or a Sequence of them");
}

enum err tokenizer_json_normalizer(const struct json_reader *r, const json_t *value)
{
    return each_step(r, value, "normalizers", "normalizer", read_normalizer);
}

// ---- pre-tokeniser ----

// A regex that matches the text and nothing else.
static enum err literal(const struct json_reader *r, const char *text, struct buf *out)
{
    enum err e = text[0] == '\0' ? ERR_INVALID : ERR_OK;
    for (const char *p = text; e == ERR_OK && *p != '\0'; p++) {
        bool sign = strchr("\\^$.[]|()?*+{}-#/&~", *p) != NULL;
        e = buf_printf(out, "%s%c", sign ? "\\" : "", *p);
    }
    return e == ERR_OK ? e
                       : why_set(r->why, e, "%s: pre_tokenizer Split: pattern \"%.60s\": %s",
                                 r->where, text, err_text(e));
}

static enum err read_split(const struct json_reader *r, const json_t *step)
{
    const json_t *pattern = json_object_get(step, "pattern");
    const char *regex = plain_text(pattern, "Regex"), *text = plain_text(pattern, "String");
    const char *behavior = plain_text(step, "behavior");
    bool invert = json_is_true(json_object_get(step, "invert"));
    if (regex == NULL && text == NULL) {
        return tokenizer_json_refuse(r, "pre_tokenizer Split: pattern", pattern,
                                     "{\"Regex\": …} or {\"String\": …}");
    }
    bool isolated = behavior != NULL && strcmp(behavior, "Isolated") == 0;
    bool removed = behavior != NULL && strcmp(behavior, "Removed") == 0;
    if (!isolated && !(removed && invert)) {    // for Isolated, inverted or not is the same
        return tokenizer_json_refuse(r, "pre_tokenizer Split: behavior",
                                     json_object_get(step, "behavior"),
                                     "Isolated, or Removed with invert true");
    }
    enum spec_split kind = isolated ? SPEC_REGEX : SPEC_MATCHES;
    if (regex != NULL) {
        return tokenizer_spec_step(r->spec, kind, regex, r->where, r->why);
    }
    struct buf quoted;
    buf_init(&quoted, SPEC_MAX_PATTERN);
    enum err e = literal(r, text, &quoted);
    if (e == ERR_OK) {
        e = tokenizer_spec_step(r->spec, kind, (const char *)quoted.data, r->where, r->why);
    }
    buf_fini(&quoted);
    return e;
}

// use_regex is true when absent.
static enum err read_bytelevel(const struct json_reader *r, const json_t *step, bool last)
{
    if (!last) {
        return tokenizer_json_refuse(r, "pre_tokenizer", step, "ByteLevel to be the last step");
    }
    enum err e = ERR_OK;
    r->spec->alphabet = SPEC_BYTES;
    if (!tokenizer_json_off(json_object_get(step, "add_prefix_space"))) {
        e = tokenizer_spec_step(r->spec, SPEC_BLANK_FIRST, NULL, r->where, r->why);
    }
    if (e == ERR_OK && !json_is_false(json_object_get(step, "use_regex"))) {
        e = tokenizer_spec_step(r->spec, SPEC_REGEX, SPEC_GPT2_PATTERN, r->where, r->why);
    }
    return e;
}

// The mark and what is said of the beginning, by Metaspace as step and as decoder alike. Older
// files say add_prefix_space, which is true when absent.
static enum err read_marks(const struct json_reader *r, const json_t *step, const char **mark,
                           enum spec_prepend *prepend)
{
    const json_t *scheme = json_object_get(step, "prepend_scheme");
    const char *text = json_string_value(scheme);
    *mark = plain_text(step, "replacement");
    if (*mark == NULL || (*mark)[0] == '\0' || strlen(*mark) >= SPEC_MAX_SHORT) {
        return tokenizer_json_refuse(r, "Metaspace: replacement",
                                     json_object_get(step, "replacement"), "one character");
    }
    if (scheme == NULL || json_is_null(scheme)) {
        *prepend =
            json_is_false(json_object_get(step, "add_prefix_space")) ? SPEC_NEVER : SPEC_ALWAYS;
        return ERR_OK;
    }
    bool first = text != NULL && strcmp(text, "first") == 0;
    bool always = text != NULL && strcmp(text, "always") == 0;
    if (!first && !always && (text == NULL || strcmp(text, "never") != 0)) {
        return tokenizer_json_refuse(r, "Metaspace: prepend_scheme", scheme,
                                     "always, first or never");
    }
    *prepend = first ? SPEC_AT_START : always ? SPEC_ALWAYS : SPEC_NEVER;
    return ERR_OK;
}

static enum err read_metaspace(const struct json_reader *r, const json_t *step)
{
    const char *mark;
    enum spec_prepend prepend;
    bool split = !json_is_false(json_object_get(step, "split"));
    enum err e = read_marks(r, step, &mark, &prepend);
    return e == ERR_OK ? tokenizer_spec_metaspace(r->spec, mark, prepend, split, r->where, r->why)
                       : e;
}

static enum err read_step(const struct json_reader *r, const json_t *step, bool last)
{
    if (is_type(step, "ByteLevel")) {
        return read_bytelevel(r, step, last);
    }
    if (is_type(step, "Split")) {
        return read_split(r, step);
    }
    if (is_type(step, "Metaspace")) {
        return read_metaspace(r, step);
    }
    if (is_type(step, "Digits")) {
        bool alone = json_is_true(json_object_get(step, "individual_digits"));
        return tokenizer_spec_step(r->spec, alone ? SPEC_DIGITS : SPEC_DIGIT_RUNS, NULL, r->where,
                                   r->why);
    }
    return tokenizer_json_refuse(
        r, "pre_tokenizer", step,
        "null, ByteLevel, Split, Digits, Metaspace, or a Sequence of them");
}

enum err tokenizer_json_pretokenizer(const struct json_reader *r, const json_t *value)
{
    r->spec->alphabet = SPEC_CHARS;    // until a ByteLevel step is met
    return each_step(r, value, "pretokenizers", "pre_tokenizer", read_step);
}

// ---- decoder ----

static enum err read_decoder_replace(const struct json_reader *r, const json_t *step)
{
    struct spec_decoder *d = &r->spec->decoder;
    const json_t *pattern = json_object_get(step, "pattern");
    const char *from = plain_text(pattern, "String"), *to = plain_text(step, "content");
    if (from == NULL || to == NULL || from[0] == '\0' || strlen(from) >= sizeof d->from ||
        strlen(to) >= sizeof d->to) {
        return tokenizer_json_refuse(r, "decoder Replace: pattern", pattern,
                                     "{\"String\": …} and content, both short texts");
    }
    memcpy(d->from, from, strlen(from) + 1);
    memcpy(d->to, to, strlen(to) + 1);
    return ERR_OK;
}

static enum err read_decoder_metaspace(const struct json_reader *r, const json_t *step)
{
    struct spec_decoder *d = &r->spec->decoder;
    const char *mark;
    enum spec_prepend prepend;
    enum err e = read_marks(r, step, &mark, &prepend);
    if (e == ERR_OK) {
        memcpy(d->from, mark, strlen(mark) + 1);
        memcpy(d->to, " ", 2);
        d->first_bare = prepend != SPEC_NEVER;
    }
    return e;
}

static enum err read_decoder_strip(const struct json_reader *r, const json_t *step)
{
    const char *content = plain_text(step, "content");
    if (content == NULL || strcmp(content, " ") != 0) {
        return tokenizer_json_refuse(r, "decoder Strip: content", json_object_get(step, "content"),
                                     "a blank");
    }
    int64_t start = 0, stop = 0;
    enum err e = json_get_int(step, "start", 0, SPEC_MAX_STRIP, r->where, &start, r->why);
    if (e == ERR_OK) {
        e = json_get_int(step, "stop", 0, 0, r->where, &stop, r->why);
    }
    r->spec->decoder.strip = (uint32_t)start;
    return e;
}

// Steps in the one order that is known; *at is the place of the last one.
static enum err read_decoder_step(const struct json_reader *r, const json_t *step, size_t *at)
{
    static const char *const order[] = {"Replace", "Metaspace", "ByteFallback", "Fuse", "Strip"};
    enum { REPLACE, METASPACE, BYTE_FALLBACK, FUSE, STRIP };
    size_t place = 0;
    while (place < ARRAY_LEN(order) && !is_type(step, order[place])) {
        place++;
    }
    bool known = place < ARRAY_LEN(order) && place + 1 > *at;
    if (known && place == METASPACE) {
        known = *at == 0;    // it stands in Replace's place
    }
    if (known && place == STRIP) {
        known = *at == FUSE + 1;
    }
    if (!known) {
        return tokenizer_json_refuse(r, "decoder", step,
                                     "ByteLevel with ByteLevel as pre_tokenizer; otherwise Replace "
                                     "or Metaspace, ByteFallback, Fuse, Strip in this order");
    }
    *at = place + 1;
    switch (place) {
    case REPLACE:
        return read_decoder_replace(r, step);
    case METASPACE:
        return read_decoder_metaspace(r, step);
    case BYTE_FALLBACK:
        r->spec->decoder.byte_fallback = true;
        return ERR_OK;
    case STRIP:
        return read_decoder_strip(r, step);
    default:
        return ERR_OK;    // Fuse: tokens are joined anyway
    }
}

enum err tokenizer_json_decoder(const struct json_reader *r, const json_t *value)
{
    bool list = is_type(value, "Sequence");
    const json_t *steps = json_object_get(value, "decoders");
    if (list && !json_is_array(steps)) {
        return why_set(r->why, ERR_CORRUPT, "%s: decoder: a Sequence without a list \"decoders\"",
                       r->where);
    }
    size_t n = list ? json_array_size(steps) : 1, at = 0;
    if (r->spec->alphabet == SPEC_BYTES) {
        bool bytes = n == 1 && is_type(list ? json_array_get(steps, 0) : value, "ByteLevel");
        return bytes ? ERR_OK
                     : tokenizer_json_refuse(r, "decoder", value,
                                             "ByteLevel, as the pre_tokenizer is");
    }
    if (n == 0 || value == NULL || json_is_null(value)) {
        return tokenizer_json_refuse(r, "decoder", value,
                                     "one; without it tokens are joined by "
                                     "blanks");
    }
    for (size_t i = 0; i < n; i++) {
        enum err e = read_decoder_step(r, list ? json_array_get(steps, i) : value, &at);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}

// ---- post-processor ----

// Ids of a special token that the template names.
static enum err read_affix(const struct json_reader *r, const json_t *names, const char *name,
                           bool after)
{
    const json_t *ids = json_object_get(json_object_get(names, name), "ids"), *id;
    size_t i;
    if (!json_is_array(ids)) {
        return why_set(r->why, ERR_CORRUPT,
                       "%s: post_processor TemplateProcessing: no ids for \"%.60s\"", r->where,
                       name);
    }
    json_array_foreach(ids, i, id)
    {
        enum err e = tokenizer_spec_affix(
            r->spec, after, json_is_integer(id) ? json_integer_value(id) : -1, r->where, r->why);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}

static enum err read_template(const struct json_reader *r, const json_t *step)
{
    const json_t *names = json_object_get(step, "special_tokens"), *item;
    size_t i;
    bool text_seen = false;
    json_array_foreach(json_object_get(step, "single"), i, item)
    {
        const json_t *special = json_object_get(item, "SpecialToken");
        const char *name = plain_text(special, "id");
        if (name != NULL) {
            enum err e = read_affix(r, names, name, text_seen);
            if (e != ERR_OK) {
                return e;
            }
        } else if (json_is_object(json_object_get(item, "Sequence")) && !text_seen) {
            text_seen = true;
        } else {
            return tokenizer_json_refuse(r, "post_processor TemplateProcessing: single", item,
                                         "SpecialToken items and one Sequence");
        }
    }
    return text_seen
               ? ERR_OK
               : tokenizer_json_refuse(r, "post_processor TemplateProcessing: single",
                                       json_object_get(step, "single"), "a list with one Sequence");
}

static enum err read_post(const struct json_reader *r, const json_t *step, bool last)
{
    (void)last;
    if (is_type(step, "ByteLevel")) {
        return ERR_OK;
    }
    if (is_type(step, "TemplateProcessing") && r->spec->n_prefix + r->spec->n_suffix == 0) {
        return read_template(r, step);
    }
    return tokenizer_json_refuse(r, "post_processor", step,
                                 "null, ByteLevel, one TemplateProcessing, or a Sequence of them");
}

enum err tokenizer_json_postprocessor(const struct json_reader *r, const json_t *value)
{
    return each_step(r, value, "processors", "post_processor", read_post);
}
