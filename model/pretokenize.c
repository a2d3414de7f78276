// pretokenize.c: a short list of steps, each cutting the pieces of the one before.
//
// The order matters and is the tokeniser's own. SmolLM2 first sets every numeric character apart
// (Unicode N*: also "½", "²", "Ⅳ") and only then applies the GPT-2 regex to what lies between, so
// in "a  5" the regex sees "a  " without the digit, and its "white space before the end" takes both
// blanks: "a", "  ", "5". A reader that runs the regex alone says "a", " ", " 5" and gets other
// ids.
//
// PCRE2 works on one piece at a time as its whole subject, so that lookaheads end where the piece
// ends. What the regex leaves between matches is a piece as well: nothing is lost.

#include "model/pretokenize.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "model/utf8.h"

enum { MATCH_LIMIT = 20000000, HEAP_LIMIT_KIB = 65536 };

// Unicode White_Space, as the inside of a character class.
#define WHITE                                                                                      \
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{"    \
    "205f}\\x{3000}"

struct pretokenizer {
    size_t n_steps;
    pcre2_code *code[SPEC_MAX_STEPS];    // NULL: digits
    pcre2_match_context *limits;
};

struct split {
    const struct pretokenizer *p;
    pcre2_match_data *match[SPEC_MAX_STEPS];
    pretokenize_word_fn *fn;
    void *arg;
    struct why *why;
};

static enum err split_from(struct split *s, size_t step, const uint8_t *text, size_t len);

// ---- digits ----

static bool is_numeric(uint32_t cp)
{
    if (cp < 0x80) {
        return cp >= '0' && cp <= '9';
    }
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_NO;
}

static enum err split_digits(struct split *s, size_t step, const uint8_t *text, size_t len)
{
    size_t start = 0;
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        size_t bad, n = utf8_next(text + i, len - i, &cp, &bad);
        CHECK(n > 0);
        if (is_numeric(cp)) {
            enum err e = split_from(s, step + 1, text + start, i - start);
            if (e == ERR_OK) {
                e = split_from(s, step + 1, text + i, n);
            }
            if (e != ERR_OK) {
                return e;
            }
            start = i + n;
        }
        i += n;
    }
    return split_from(s, step + 1, text + start, len - start);
}

// ---- regex ----

static enum err match_failed(const struct split *s, int rc)
{
    if (rc == PCRE2_ERROR_NOMEMORY) {
        return why_set(s->why, ERR_NOMEM, "out of memory while splitting text into words");
    }
    char text[128] = "";
    (void)pcre2_get_error_message(rc, (PCRE2_UCHAR *)text, sizeof text);
    return why_set(s->why, ERR_LIMIT, "the tokenizer's split pattern gave up on this text: %s",
                   text);
}

// The next match at or after `from`; *start = len when there is none. Empty matches are passed
// over.
static enum err next_match(const struct split *s, size_t step, const uint8_t *text, size_t len,
                           size_t from, size_t *start, size_t *end)
{
    const pcre2_code *code = s->p->code[step];
    uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
    int rc = pcre2_match(code, text, len, from, options, s->match[step], s->p->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {    // deep recursion: the interpreter keeps its frames
                                               // on the heap
        rc = pcre2_match(code, text, len, from, options | PCRE2_NO_JIT, s->match[step],
                         s->p->limits);
    }
    if (rc == PCRE2_ERROR_NOMATCH) {
        *start = *end = len;
        return ERR_OK;
    }
    if (rc < 0) {
        return match_failed(s, rc);
    }
    const PCRE2_SIZE *where = pcre2_get_ovector_pointer(s->match[step]);
    if (where[0] < from || where[1] <= where[0]) {    // \K can make a match start elsewhere
        return why_set(s->why, ERR_UNSUPPORTED,
                       "the tokenizer's split pattern moves its own match");
    }
    *start = where[0];
    *end = where[1];
    return ERR_OK;
}

static enum err split_regex(struct split *s, size_t step, const uint8_t *text, size_t len)
{
    for (size_t from = 0; from < len;) {
        size_t start = len, end = len;
        enum err e = next_match(s, step, text, len, from, &start, &end);
        if (e == ERR_OK) {
            e = split_from(s, step + 1, text + from, start - from);
        }
        if (e == ERR_OK) {
            e = split_from(s, step + 1, text + start, end - start);
        }
        if (e != ERR_OK) {
            return e;
        }
        from = end;
    }
    return ERR_OK;
}

static enum err split_from(struct split *s, size_t step, const uint8_t *text, size_t len)
{
    if (len == 0) {
        return ERR_OK;
    }
    if (step == s->p->n_steps) {
        return s->fn(s->arg, text, len);
    }
    return s->p->code[step] == NULL ? split_digits(s, step, text, len)
                                    : split_regex(s, step, text, len);
}

enum err pretokenizer_split(const struct pretokenizer *p, const uint8_t *text, size_t len,
                            pretokenize_word_fn *fn, void *arg, struct why *why)
{
    struct split s = {.p = p, .fn = fn, .arg = arg, .why = why};
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < p->n_steps; i++) {
        if (p->code[i] != NULL) {
            s.match[i] = pcre2_match_data_create(1, NULL);
            if (s.match[i] == NULL) {
                e = why_set(why, ERR_NOMEM, "out of memory while splitting text into words");
            }
        }
    }
    if (e == ERR_OK) {
        e = split_from(&s, 0, text, len);
    }
    for (size_t i = 0; i < p->n_steps; i++) {
        pcre2_match_data_free(s.match[i]);
    }
    return e;
}

// ---- compilation ----

// Copies a pattern, writing out \s (anywhere) and \S (outside classes).
static enum err spell_out_white(const char *pattern, struct buf *out, struct why *why)
{
    bool in_class = false;
    enum err e = ERR_OK;
    for (const char *p = pattern; *p != '\0' && e == ERR_OK; p++) {
        if (p[0] == '\\' && p[1] != '\0') {
            if (p[1] == 's') {
                e = buf_printf(out, in_class ? "%s" : "[%s]", WHITE);
            } else if (p[1] == 'S' && !in_class) {
                e = buf_printf(out, "[^%s]", WHITE);
            } else if (p[1] == 'S') {
                return why_set(why, ERR_UNSUPPORTED,
                               "split pattern: \\S inside a class is not supported");
            } else {
                e = buf_append(out, p, 2);
            }
            p++;
            continue;
        }
        if (*p == '[' && in_class) {
            return why_set(why, ERR_UNSUPPORTED, "split pattern: nested classes are not supported");
        }
        in_class = *p == '[' || (in_class && *p != ']');
        e = buf_append(out, p, 1);
    }
    return e;
}

static enum err compile(const char *pattern, pcre2_code **out, struct why *why)
{
    struct buf text;
    buf_init(&text, 0);
    enum err e = spell_out_white(pattern, &text, why);
    int code = 0;
    PCRE2_SIZE offset = 0;
    if (e == ERR_OK) {
        *out = pcre2_compile(text.data, text.len, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
                             &code, &offset, NULL);
        if (*out == NULL) {
            char message[128] = "";
            (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)message, sizeof message);
            e = why_set(why, ERR_UNSUPPORTED, "split pattern \"%.200s\": %s", pattern, message);
        } else {
            // Without it the interpreter runs: slower, equal.
            (void)pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE);
        }
    }
    buf_fini(&text);
    return e;
}

enum err pretokenizer_create(const struct spec_step *steps, size_t n_steps,
                             struct pretokenizer **out, struct why *why)
{
    CHECK(n_steps <= SPEC_MAX_STEPS);
    struct pretokenizer *p = calloc(1, sizeof *p);
    if (p == NULL || (p->limits = pcre2_match_context_create(NULL)) == NULL) {
        free(p);
        return why_set(why, ERR_NOMEM, "out of memory for the tokenizer");
    }
    (void)pcre2_set_match_limit(p->limits, MATCH_LIMIT);
    (void)pcre2_set_heap_limit(p->limits, HEAP_LIMIT_KIB);
    p->n_steps = n_steps;
    for (size_t i = 0; i < n_steps; i++) {
        enum err e =
            steps[i].kind == SPEC_REGEX ? compile(steps[i].pattern, &p->code[i], why) : ERR_OK;
        if (e != ERR_OK) {
            pretokenizer_destroy(p);
            return e;
        }
    }
    *out = p;
    return ERR_OK;
}

void pretokenizer_destroy(struct pretokenizer *p)
{
    if (p == NULL) {
        return;
    }
    for (size_t i = 0; i < p->n_steps; i++) {
        pcre2_code_free(p->code[i]);
    }
    pcre2_match_context_free(p->limits);
    free(p);
}
