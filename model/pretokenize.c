// pretokenize.c: a short list of steps, each cutting the pieces of the one before.
//
// The order matters and is the tokeniser's own. SmolLM2 first sets every numeric character apart
// (Unicode N*: also "½", "²", "Ⅳ") and only then applies the GPT-2 regex to what lies between, so
// in "a  5" the regex sees "a  " without the digit, and its "white space before the end" takes both
// blanks: "a", "  ", "5". A reader that runs the regex alone says "a", " ", " 5" and gets other
// ids.
//
// Two kinds of steps change the piece, in a buffer of their own per step: what is handed on lives
// until the step is done with it.
//
// PCRE2 has one piece at a time as its subject, so that lookaheads end where the piece ends. What
// the regex leaves between matches is a piece as well.
//
// A regex that scans to the end of the text before it settles for one character would take
// quadratic time, and machine code counts too little to notice. So a match first sees a window of
// NEAR bytes only, in the mode in which PCRE2 says whether it would have liked to see more; for the
// few that would, the window grows, the interpreter counts every step, and all such windows of a
// piece are paid for from a budget that is linear in its length.

#include "model/pretokenize.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "model/charclass.h"
#include "model/splitter.h"

enum {
    NEAR = 256,                // bytes of the first window
    NEAR_LIMIT = 1000,         // steps that machine code counts in it
    FAR_COST = 512,            // a larger one costs so many bytes of the budget, and its own;
    FAR_STEPS = 16,            // for each of them the interpreter may take so many steps
    BUDGET_PER_BYTE = 16,      // of the piece …
    BUDGET_START = 1 << 20,    // … and for any piece
    HEAP_LIMIT_KIB = 65536,
};

// Unicode White_Space, as the inside of a character class.
#define WHITE                                                                                      \
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{"    \
    "205f}\\x{3000}"

struct step {
    enum spec_split kind;
    pcre2_code *code;         // of regexes, as machine code
    pcre2_code *counted;      // the same for the interpreter: no loop that it does not count
    splitter_fn *splitter;    // the same, written out; NULL: not a published pattern
    char mark[SPEC_MAX_SHORT];
    size_t mark_len;
    enum spec_prepend prepend;
    bool split;
};

struct pretokenizer {
    size_t n_steps;
    struct step steps[SPEC_MAX_STEPS];
    pcre2_match_context *near_limits;
    bool use_regex;
};

struct split {
    const struct pretokenizer *p;
    pcre2_match_context *far_limits;            // made when first needed
    pcre2_match_data *match[SPEC_MAX_STEPS];    // made when first needed
    struct buf changed[SPEC_MAX_STEPS];
    pretokenize_word_fn *fn;
    void *arg;
    struct why *why;
};

// A piece of text on its way through the steps.
struct piece {
    const uint8_t *text;
    size_t len;
    bool at_start;    // of the whole text
};

static enum err split_from(struct split *s, size_t step, struct piece piece);

// Hands on piece[from..to).
static enum err hand_on(struct split *s, size_t step, struct piece piece, size_t from, size_t to)
{
    if (from == to) {
        return ERR_OK;
    }
    return split_from(s, step + 1,
                      (struct piece){piece.text + from, to - from, piece.at_start && from == 0});
}

static enum err no_memory(const struct split *s, enum err e)
{
    return why_set(s->why, e, "splitting text into words: %s", err_text(e));
}

// ---- digits ----

static enum err split_digits(struct split *s, size_t step, struct piece piece, bool runs)
{
    size_t start = 0;
    bool in_run = false;    // [start, i) is one of digits
    for (size_t i = 0, n; i < piece.len; i += n) {
        bool digit = charclass_at(piece.text + i, piece.len - i, &n) == CHAR_NUMBER;
        if (digit != in_run || (digit && !runs)) {
            enum err e = hand_on(s, step, piece, start, i);
            if (e != ERR_OK) {
                return e;
            }
            start = i;
            in_run = digit;
        }
    }
    return hand_on(s, step, piece, start, piece.len);
}

// ---- steps that change the piece ----

static bool begins_with(struct piece piece, const char *what, size_t len)
{
    return piece.len >= len && memcmp(piece.text, what, len) == 0;
}

static enum err blank_first(struct split *s, size_t step, struct piece piece)
{
    if (begins_with(piece, " ", 1)) {
        return split_from(s, step + 1, piece);
    }
    struct buf *b = &s->changed[step];
    buf_clear(b);
    enum err e = buf_append(b, " ", 1);
    e = e == ERR_OK ? buf_append(b, piece.text, piece.len) : e;
    return e == ERR_OK ? split_from(s, step + 1, (struct piece){b->data, b->len, piece.at_start})
                       : no_memory(s, e);
}

static enum err put_marks(const struct step *st, struct piece piece, struct buf *out)
{
    bool marked = begins_with(piece, " ", 1) || begins_with(piece, st->mark, st->mark_len);
    bool wanted = st->prepend == SPEC_ALWAYS || (st->prepend == SPEC_AT_START && piece.at_start);
    enum err e = wanted && !marked ? buf_append(out, st->mark, st->mark_len) : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < piece.len;) {
        const uint8_t *blank = memchr(piece.text + i, ' ', piece.len - i);
        size_t end = blank == NULL ? piece.len : (size_t)(blank - piece.text);
        e = buf_append(out, piece.text + i, end - i);
        if (e == ERR_OK && blank != NULL) {
            e = buf_append(out, st->mark, st->mark_len);
        }
        i = end + 1;
    }
    return e;
}

static enum err metaspace(struct split *s, size_t step, struct piece piece)
{
    const struct step *st = &s->p->steps[step];
    struct buf *b = &s->changed[step];
    buf_clear(b);
    enum err e = put_marks(st, piece, b);
    if (e != ERR_OK) {
        return no_memory(s, e);
    }
    piece.text = b->data;
    piece.len = b->len;
    size_t start = 0;
    for (size_t i = 1; st->split && i < piece.len; i++) {
        if (piece.text[i] == (uint8_t)st->mark[0] && i + st->mark_len <= piece.len &&
            memcmp(piece.text + i, st->mark, st->mark_len) == 0) {
            e = hand_on(s, step, piece, start, i);
            if (e != ERR_OK) {
                return e;
            }
            start = i;
        }
    }
    return hand_on(s, step, piece, start, piece.len);
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

// Where a search stands, and what it may still spend on windows larger than NEAR.
struct search {
    size_t from;
    size_t window;
    uint64_t budget;
};

static int match_near(const struct split *s, size_t step, struct piece piece, size_t from,
                      uint32_t options)
{
    const pcre2_code *code = s->p->steps[step].code;
    pcre2_match_context *limits = s->p->near_limits;
    int rc = pcre2_match(code, piece.text, piece.len, from, options, s->match[step], limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {    // deep recursion: the interpreter keeps its frames
                                               // on the heap
        rc = pcre2_match(code, piece.text, piece.len, from, options | PCRE2_NO_JIT, s->match[step],
                         limits);
    }
    return rc;
}

static int match_far(struct split *s, size_t step, struct piece piece, struct search *search,
                     uint32_t options)
{
    if (s->far_limits == NULL) {
        s->far_limits = pcre2_match_context_copy(s->p->near_limits);
        if (s->far_limits == NULL) {
            return PCRE2_ERROR_NOMEMORY;
        }
    }
    uint64_t cost = piece.len - search->from + FAR_COST, steps = cost * FAR_STEPS;
    if (cost > search->budget) {
        return PCRE2_ERROR_MATCHLIMIT;
    }
    search->budget -= cost;
    (void)pcre2_set_match_limit(s->far_limits, (uint32_t)MIN(steps, (uint64_t)UINT32_MAX));
    return pcre2_match(s->p->steps[step].counted, piece.text, piece.len, search->from, options,
                       s->match[step], s->far_limits);
}

// One look at the window. PCRE2_ERROR_PARTIAL: go on with another one; *search says where.
static int look(struct split *s, size_t step, struct piece piece, struct search *search)
{
    uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
    size_t end = search->from + MIN(search->window, piece.len - search->from);
    while (end < piece.len && (piece.text[end] & 0xC0) == 0x80) {
        end++;
    }
    bool whole = end == piece.len;
    piece.len = end;
    options |= whole ? 0 : PCRE2_PARTIAL_HARD;
    int rc = search->window == NEAR ? match_near(s, step, piece, search->from, options)
                                    : match_far(s, step, piece, search, options);
    if (rc == PCRE2_ERROR_NOMATCH && !whole) {    // nothing can start before `end`
        search->from = end;
        search->window = NEAR;
        return PCRE2_ERROR_PARTIAL;
    }
    if (rc == PCRE2_ERROR_MATCHLIMIT && search->window == NEAR) {    // the interpreter may do more
        search->window *= 4;
        return PCRE2_ERROR_PARTIAL;
    }
    if (rc == PCRE2_ERROR_PARTIAL) {
        search->from = MAX(search->from, pcre2_get_ovector_pointer(s->match[step])[0]);
        search->window *= 4;
    }
    return rc;
}

// The next match at or after search->from; *start = len when there is none. Empty matches are
// passed over.
static enum err next_match(struct split *s, size_t step, struct piece piece, struct search *search,
                           size_t *start, size_t *end)
{
    size_t from = search->from;
    int rc = PCRE2_ERROR_PARTIAL;
    search->window = NEAR;
    if (s->match[step] == NULL && (s->match[step] = pcre2_match_data_create(1, NULL)) == NULL) {
        rc = PCRE2_ERROR_NOMEMORY;
    }
    while (rc == PCRE2_ERROR_PARTIAL) {
        rc = look(s, step, piece, search);
    }
    if (rc == PCRE2_ERROR_NOMATCH) {
        *start = *end = piece.len;
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

static enum err split_regex(struct split *s, size_t step, struct piece piece)
{
    bool between = s->p->steps[step].kind == SPEC_REGEX;
    struct search search = {
        .budget = BUDGET_START + (uint64_t)piece.len * BUDGET_PER_BYTE,
    };
    for (size_t from = 0; from < piece.len;) {
        size_t start = piece.len, end = piece.len;
        search.from = from;
        enum err e = next_match(s, step, piece, &search, &start, &end);
        if (e == ERR_OK && between) {
            e = hand_on(s, step, piece, from, start);
        }
        if (e == ERR_OK) {
            e = hand_on(s, step, piece, start, end);
        }
        if (e != ERR_OK) {
            return e;
        }
        from = end;
    }
    return ERR_OK;
}

static enum err split_known(struct split *s, size_t step, struct piece piece)
{
    splitter_fn *next = s->p->steps[step].splitter;
    for (size_t from = 0; from < piece.len;) {
        size_t end = next(piece.text, piece.len, from);
        enum err e = hand_on(s, step, piece, from, end);
        if (e != ERR_OK) {
            return e;
        }
        from = end;
    }
    return ERR_OK;
}

static enum err split_from(struct split *s, size_t step, struct piece piece)
{
    if (step == s->p->n_steps) {
        return s->fn(s->arg, piece.text, piece.len);
    }
    const struct step *st = &s->p->steps[step];
    switch (st->kind) {
    case SPEC_DIGITS:
    case SPEC_DIGIT_RUNS:
        return split_digits(s, step, piece, st->kind == SPEC_DIGIT_RUNS);
    case SPEC_REGEX:
    case SPEC_MATCHES:
        return st->splitter != NULL && !s->p->use_regex ? split_known(s, step, piece)
                                                        : split_regex(s, step, piece);
    case SPEC_BLANK_FIRST:
        return blank_first(s, step, piece);
    case SPEC_METASPACE:
        break;
    }
    return metaspace(s, step, piece);
}

enum err pretokenizer_split(const struct pretokenizer *p, const uint8_t *text, size_t len,
                            bool at_start, pretokenize_word_fn *fn, void *arg, struct why *why)
{
    if (len == 0) {
        return ERR_OK;
    }
    struct split s = {.p = p, .fn = fn, .arg = arg, .why = why};
    for (size_t i = 0; i < p->n_steps; i++) {
        buf_init(&s.changed[i], 0);
    }
    enum err e = split_from(&s, 0, (struct piece){text, len, at_start});
    for (size_t i = 0; i < p->n_steps; i++) {
        pcre2_match_data_free(s.match[i]);
        buf_fini(&s.changed[i]);
    }
    pcre2_match_context_free(s.far_limits);
    return e;
}

void pretokenizer_use_regex(struct pretokenizer *p, bool regex)
{
    p->use_regex = regex;
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

static enum err compile(const struct buf *text, uint32_t options, const char *pattern,
                        pcre2_code **out, struct why *why)
{
    int code = 0;
    PCRE2_SIZE offset = 0;
    options |= PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
    *out = pcre2_compile(text->data, text->len, options, &code, &offset, NULL);
    if (*out == NULL) {
        char message[128] = "";
        (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)message, sizeof message);
        return why_set(why, ERR_UNSUPPORTED, "split pattern \"%.200s\": %s", pattern, message);
    }
    return ERR_OK;
}

static enum err compile_step(const char *pattern, struct step *out, struct why *why)
{
    struct buf text;
    buf_init(&text, 0);
    enum err e = spell_out_white(pattern, &text, why);
    if (e == ERR_OK) {
        e = compile(&text, 0, pattern, &out->code, why);
    }
    if (e == ERR_OK) {
        e = compile(&text, PCRE2_NO_AUTO_POSSESS, pattern, &out->counted, why);
    }
    if (e == ERR_OK) {    // without it the interpreter runs: slower, equal
        (void)pcre2_jit_compile(out->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
    }
    buf_fini(&text);
    return e;
}

static enum err create_step(const struct spec_step *spec, struct step *out, struct why *why)
{
    out->kind = spec->kind;
    out->prepend = spec->prepend;
    out->split = spec->split;
    if (spec->kind == SPEC_METASPACE) {
        out->mark_len = strlen(spec->pattern);
        if (out->mark_len == 0 || out->mark_len >= sizeof out->mark) {
            return why_set(why, ERR_UNSUPPORTED, "a mark for blanks of %zu bytes, expected 1..%zu",
                           out->mark_len, sizeof out->mark - 1);
        }
        memcpy(out->mark, spec->pattern, out->mark_len);
    }
    if (spec->kind == SPEC_REGEX || spec->kind == SPEC_MATCHES) {
        out->splitter = splitter_find(spec->pattern);
        return compile_step(spec->pattern, out, why);
    }
    return ERR_OK;
}

enum err pretokenizer_create(const struct spec_step *steps, size_t n_steps,
                             struct pretokenizer **out, struct why *why)
{
    CHECK(n_steps <= SPEC_MAX_STEPS);
    struct pretokenizer *p = calloc(1, sizeof *p);
    if (p == NULL || (p->near_limits = pcre2_match_context_create(NULL)) == NULL) {
        free(p);
        return why_set(why, ERR_NOMEM, "out of memory for the tokenizer");
    }
    (void)pcre2_set_match_limit(p->near_limits, NEAR_LIMIT);
    (void)pcre2_set_heap_limit(p->near_limits, HEAP_LIMIT_KIB);
    p->n_steps = n_steps;
    for (size_t i = 0; i < n_steps; i++) {
        enum err e = create_step(&steps[i], &p->steps[i], why);
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
        pcre2_code_free(p->steps[i].code);
        pcre2_code_free(p->steps[i].counted);
    }
    pcre2_match_context_free(p->near_limits);
    free(p);
}
