// lex.c: one pass over the text, a token at a time.
//
// Braces are matched beforehand in one pass, so that \text{…} can be looked into without scanning
// it again at every level; where its content is mathematics, its braces are stepped over. Numbers
// are in number.c.
#include "verifier/math/lex_internal.h"

#include <string.h>

#include "verifier/math/names.h"

struct math_token *math_lex_add(struct math_lexer *l, enum math_token_kind kind, uint32_t op)
{
    struct math_tokens *out = l->out;
    out->v = scratch_grow(l->f->scratch, out->v, out->n, out->n + 1, &out->cap, sizeof *out->v);
    struct math_token *t = &out->v[out->n++];
    *t = (struct math_token){.kind = kind, .op = op, .spaced = l->spaced};
    l->spaced = false;
    return t;
}

uint32_t math_lex_char(const struct math_lexer *l, size_t at)
{
    return at < l->t.n ? l->t.cp[at] : 0;
}

bool math_is_digit(uint32_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(uint32_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static const struct math_token *last(const struct math_lexer *l)
{
    return l->out->n ? &l->out->v[l->out->n - 1] : NULL;
}

static bool last_is(const struct math_lexer *l, enum math_token_kind kind)
{
    return l->out->n && last(l)->kind == kind;
}

// Something a unit can follow.
static bool after_quantity(const struct math_lexer *l)
{
    const struct math_token *t = last(l);
    return t && (t->kind == MATH_TOK_NUMBER || t->kind == MATH_TOK_CLOSE ||
                 t->kind == MATH_TOK_DOLLAR || t->kind == MATH_TOK_WORDS);
}

static bool foreign(struct math_lexer *l)
{
    math_note(l->f, "the answer uses notation that is not understood here");
    return false;
}

static size_t skip_spaces(const struct math_lexer *l, size_t at)
{
    while (at < l->t.n && py_isspace(l->t.cp[at])) {
        at++;
    }
    return at;
}

// Closing braces at the end that nothing opens are left over from what stood around the answer.
static void match_braces(struct math_lexer *l)
{
    uint32_t *open = scratch_array(l->f->scratch, l->t.n + 1, sizeof *open);
    size_t depth = 0, end = 0;
    for (size_t i = 0; i < l->t.n; i++) {
        l->match[i] = MATH_NONE;
        bool loose = l->t.cp[i] == '}' && depth == 0;
        if (l->t.cp[i] == '\\') {
            i++;
            if (i < l->t.n) {
                l->match[i] = MATH_NONE;
            }
        } else if (l->t.cp[i] == '{') {
            open[depth++] = (uint32_t)i;
        } else if (l->t.cp[i] == '}' && !loose) {
            l->match[open[--depth]] = (uint32_t)i;
        }
        end = loose ? end : i + 1;
    }
    for (size_t i = end; i < l->t.n; i++) {
        l->skip[i] = true;
    }
}

// ---- letters and names ----

static struct pyspan joined_name(struct math_lexer *l, struct pyspan head, const char *between,
                                 struct pyspan tail)
{
    struct scratch *s = l->f->scratch;
    struct pyspan name = pytext_concat(s, head, pytext_literal(s, between));
    return pytext_concat(s, name, pytext_without_class(s, tail, py_isspace));
}

// A subscript that belongs to the letter before it, as part of its name; l->at is behind it then.
static struct pyspan with_subscript(struct math_lexer *l, struct pyspan name)
{
    size_t at = l->at;
    if (math_lex_char(l, at) == '_') {
        size_t from = at + 1, to = at + 2;
        if (math_lex_char(l, from) == '{' && l->match[from] != MATH_NONE) {
            to = l->match[from];
            from++;
            l->at = to + 1;
        } else if (from < l->t.n && (is_letter(l->t.cp[from]) || math_is_digit(l->t.cp[from]))) {
            while (math_is_digit(l->t.cp[from]) && math_is_digit(math_lex_char(l, to))) {
                to++;
            }
            l->at = to;
        } else {
            return name;
        }
        name = joined_name(l, name, "_", pyspan_slice(l->t, from, to));
    }
    while (math_lex_char(l, l->at) == '\'') {
        l->at++;
        name = joined_name(l, name, "'", (struct pyspan){NULL, 0});
    }
    return name;
}

static void add_letter(struct math_lexer *l, struct pyspan name)
{
    struct pyspan full = with_subscript(l, name);
    bool plain = full.n == 1;
    uint32_t node = plain && full.cp[0] == 'i'   ? math_make(l->f, MATH_I, 0, 0, NULL)
                    : plain && full.cp[0] == 'e' ? math_make(l->f, MATH_E, 0, 0, NULL)
                                                 : math_symbol(l->f, full);
    struct math_token *t = math_lex_add(l, MATH_TOK_ATOM, 0);
    t->node = node;
    t->text = full;
}

static void add_words(struct math_lexer *l, struct pyspan words)
{
    words = math_words(l->f->scratch, words);
    if (words.n == 0) {
        return;
    }
    if (last_is(l, MATH_TOK_WORDS)) {
        struct math_token *t = &l->out->v[l->out->n - 1];
        t->text =
            pytext_concat(l->f->scratch, t->text,
                          pytext_concat(l->f->scratch, pytext_literal(l->f->scratch, " "), words));
        return;
    }
    math_lex_add(l, MATH_TOK_WORDS, 0)->text = words;
}

static bool add_name(struct math_lexer *l, const struct math_name *name)
{
    struct math_forest *f = l->f;
    switch (name->kind) {
    case MATH_TOK_CONSTANT: {
        uint32_t node = math_make(f, name->op, 0, 0, NULL);
        math_lex_add(l, MATH_TOK_ATOM, 0)->node = node;
        return true;
    }
    case MATH_TOK_LETTER:
        add_letter(l, pytext_literal(f->scratch, name->name));
        return true;
    case MATH_TOK_MOD:
    case MATH_TOK_FOREIGN:
        return foreign(l);
    default:
        math_lex_add(l, name->kind, name->op);
        return true;
    }
}

static bool is_ordinal(struct pyspan w)
{
    return pyspan_is(w, "th") || pyspan_is(w, "st") || pyspan_is(w, "nd") || pyspan_is(w, "rd");
}

// A word that is also a unit is one behind a quantity: 5 in, 5 min, 5 deg.
static const struct math_name *function_word(const struct math_lexer *l, struct pyspan w)
{
    const struct math_name *name = math_name_word(w);
    if (!name) {
        return NULL;
    }
    if (name->kind == MATH_TOK_UNION && !(last_is(l, MATH_TOK_CLOSE) && w.n > 0)) {
        return NULL;
    }
    if (after_quantity(l) && (name->op == MATH_IN || pyspan_is(w, "min") || pyspan_is(w, "sec")) &&
        (name->kind == MATH_TOK_RELATION || name->kind == MATH_TOK_FUNC)) {
        return NULL;
    }
    if (name->kind == MATH_TOK_COLON && !last_is(l, MATH_TOK_NUMBER)) {
        return NULL;
    }
    return name;
}

// sinx, lnx, pir: a name and one letter more.
static bool split_name(struct math_lexer *l, struct pyspan run)
{
    const struct math_name *name = math_name_word(pyspan_slice(run, 0, run.n - 1));
    if (!name ||
        (name->kind != MATH_TOK_FUNC && name->kind != MATH_TOK_SQRT && name->op != MATH_PI)) {
        return false;
    }
    (void)add_name(l, name);
    l->spaced = false;
    add_letter(l, pyspan_slice(run, run.n - 1, run.n));
    return true;
}

static bool half_day(struct math_lexer *l)
{
    uint32_t c = math_lex_char(l, l->at) | 0x20;
    if ((c != 'a' && c != 'p') || !last_is(l, MATH_TOK_NUMBER)) {
        return false;
    }
    size_t at = l->at + 1;
    at += math_lex_char(l, at) == '.';
    if ((math_lex_char(l, at) | 0x20) != 'm' || is_letter(math_lex_char(l, at + 1))) {
        return false;
    }
    l->at = at + 1 + (math_lex_char(l, at + 1) == '.');
    add_words(l, pytext_literal(l->f->scratch, c == 'a' ? "am" : "pm"));
    return true;
}

static bool lex_letters(struct math_lexer *l)
{
    if (math_lex_hexadecimal(l) || half_day(l)) {
        return true;
    }
    size_t end = l->at;
    while (is_letter(math_lex_char(l, end))) {
        end++;
    }
    struct pyspan run = pyspan_slice(l->t, l->at, end);
    const struct math_name *name = function_word(l, run);
    if (name) {
        l->at = end;
        return add_name(l, name);
    }
    if (!l->spaced && is_ordinal(run) && last_is(l, MATH_TOK_NUMBER)) {
        l->at = end;
        return true;
    }
    bool article = run.n <= 2 && l->out->n == 0 && (run.cp[0] | 0x20) == 'a' &&
                   (run.n == 1 || run.cp[1] == 'n') &&
                   math_is_digit(math_lex_char(l, skip_spaces(l, end))) &&
                   py_isspace(math_lex_char(l, end));
    if (article) {
        l->at = end;
        return true;
    }
    bool word =
        run.n >= 4 || (run.n >= 2 && last_is(l, MATH_TOK_WORDS)) ||
        (run.n >= 2 && after_quantity(l) && math_name_unit(pytext_lower(l->f->scratch, run)));
    if (word && math_lex_char(l, end) != '_') {
        if (run.n >= 4 && split_name(l, run)) {
            l->at = end;
            return true;
        }
        l->at = end;
        add_words(l, run);
        return true;
    }
    if (run.n >= 3 && split_name(l, run)) {
        l->at = end;
        return true;
    }
    l->at++;
    add_letter(l, pyspan_slice(run, 0, 1));
    return true;
}

// ---- commands ----

static bool is_wordy(struct pyspan s)
{
    bool letters = false;
    for (size_t i = 0; i < s.n; i++) {
        uint32_t c = s.cp[i];
        if (is_letter(c) || (c > 127 && py_isalpha(c))) {
            letters = true;
        } else if (!py_isspace(c) && c != '.' && c != '-' && c != '\'' && c != ',') {
            return false;
        }
    }
    return letters;
}

// \text{…} and its like: words, a letter, or mathematics in other type.
static bool lex_group(struct math_lexer *l, uint32_t blackboard)
{
    size_t open = skip_spaces(l, l->at);
    if (math_lex_char(l, open) == '*') {
        open = skip_spaces(l, open + 1);
    }
    if (math_lex_char(l, open) != '{' || l->match[open] == MATH_NONE) {
        l->at = open;
        return true;
    }
    size_t close = l->match[open];
    struct pyspan content = pyspan_strip(pyspan_slice(l->t, open + 1, close));
    if (!is_wordy(content)) {
        l->skip[close] = true;
        l->at = open + 1;
        return true;
    }
    l->at = close + 1;
    struct pyspan word = math_words(l->f->scratch, content);
    const struct math_name *name = function_word(l, word);
    if (name) {
        return add_name(l, name);
    }
    bool unit = content.n == 1 && after_quantity(l) && strchr("mgshLlNJWVAKCF", (int)content.cp[0]);
    if (unit) {
        add_words(l, content);
    } else if (content.n == 1 && blackboard && content.cp[0] == 'R') {
        uint32_t node = math_make(l->f, MATH_REALS, 0, 0, NULL);
        math_lex_add(l, MATH_TOK_ATOM, 0)->node = node;
    } else if (content.n == 1) {
        add_letter(l, content);
    } else if (!(is_ordinal(word) && last_is(l, MATH_TOK_NUMBER))) {
        add_words(l, content);
    }
    return true;
}

static bool lex_environment(struct math_lexer *l, bool begin)
{
    size_t open = skip_spaces(l, l->at);
    if (math_lex_char(l, open) != '{' || l->match[open] == MATH_NONE) {
        return foreign(l);
    }
    struct pyspan name = pyspan_slice(l->t, open + 1, l->match[open]);
    bool determinant = pyspan_is(name, "vmatrix") || pyspan_is(name, "Vmatrix");
    if (!determinant && !pyspan_is(name, "matrix") && !pyspan_is(name, "pmatrix") &&
        !pyspan_is(name, "bmatrix") && !pyspan_is(name, "Bmatrix") &&
        !pyspan_is(name, "smallmatrix") && !pyspan_is(name, "array")) {
        return foreign(l);
    }
    l->at = l->match[open] + 1;
    size_t columns = skip_spaces(l, l->at);
    if (begin && pyspan_is(name, "array") && math_lex_char(l, columns) == '{' &&
        l->match[columns] != MATH_NONE) {
        l->at = l->match[columns] + 1;
    }
    math_lex_add(l, begin ? MATH_TOK_BEGIN : MATH_TOK_FINISH, determinant);
    return true;
}

// \angle ABC, \vec{v}: one name.
static bool lex_named(struct math_lexer *l, const char *command)
{
    size_t from = skip_spaces(l, l->at), to;
    if (math_lex_char(l, from) == '{' && l->match[from] != MATH_NONE) {
        to = l->match[from];
        l->at = to + 1;
        from++;
    } else {
        for (to = from; is_letter(math_lex_char(l, to)); to++) {
        }
        l->at = to;
    }
    struct pyspan letters = pyspan_slice(l->t, from, to);
    if (!is_wordy(letters)) {
        return foreign(l);
    }
    struct pyspan name = joined_name(l, pytext_literal(l->f->scratch, command), " ", letters);
    math_lex_add(l, MATH_TOK_ATOM, 0);
    uint32_t node = math_symbol(l->f, name);
    l->out->v[l->out->n - 1].node = node;
    l->out->v[l->out->n - 1].text = name;
    return true;
}

static bool lex_sign_command(struct math_lexer *l)
{
    uint32_t c = math_lex_char(l, l->at + 1);
    l->at += 2;
    switch (c) {
    case '{':
        math_lex_add(l, MATH_TOK_OPEN, MATH_CURLY);
        return true;
    case '}':
        math_lex_add(l, MATH_TOK_CLOSE, MATH_CURLY);
        return true;
    case '%':
        math_lex_add(l, MATH_TOK_PERCENT, 0);
        return true;
    case '$':
        math_lex_add(l, MATH_TOK_DOLLAR, 0);
        return true;
    case '|':
        math_lex_add(l, MATH_TOK_BAR, 0);
        return true;
    case '\\':
        math_lex_add(l, MATH_TOK_ROW, 0);
        return true;
    case ',':
    case ';':
    case ':':
    case '!':
    case '>':
    case ' ':
    case '\n':
    case '/':
        l->spaced = true;
        return true;
    case '(':
    case ')':
    case '[':
    case ']':
        return true;    // the delimiters of a formula
    default:
        return false;
    }
}

static bool lex_command(struct math_lexer *l)
{
    size_t end = l->at + 1;
    while (is_letter(math_lex_char(l, end))) {
        end++;
    }
    if (end == l->at + 1) {
        return lex_sign_command(l);
    }
    const struct math_name *name = math_name_command(pyspan_slice(l->t, l->at + 1, end));
    if (!name) {
        return foreign(l);
    }
    l->at = end;
    switch (name->kind) {
    case MATH_TOK_DROPPED:
        l->at = name->op && math_lex_char(l, end) == '.' ? end + 1 : end;
        l->spaced = true;
        return true;
    case MATH_TOK_GROUP:
        return lex_group(l, name->op);
    case MATH_TOK_BEGIN:
    case MATH_TOK_FINISH:
        return lex_environment(l, name->kind == MATH_TOK_BEGIN);
    case MATH_TOK_NAMED:
        return lex_named(l, name->name);
    case MATH_TOK_OVERLINE:
        return name->op ? foreign(l) : lex_named(l, "");
    default:
        return add_name(l, name);
    }
}

// ---- signs ----

// What ^ raises to when it is no exponent: a degree sign, a prime, the th of an ordinal.
static bool lex_raised(struct math_lexer *l)
{
    size_t at = skip_spaces(l, l->at + 1);
    size_t end = l->t.n;
    bool braced = math_lex_char(l, at) == '{';
    if (braced) {
        if (l->match[at] == MATH_NONE) {
            return false;
        }
        end = l->match[at];
        at++;
    }
    struct pyspan inside = pyspan_strip(pyspan_slice(l->t, at, end));
    static const char *const degree[] = {"\\circ", "\\degree", "\u00b0"};
    for (size_t i = 0; i < COUNT_OF(degree); i++) {
        struct pyspan sign = pytext_literal(l->f->scratch, degree[i]);
        if (braced ? pyspan_equal(inside, sign)
                   : pyspan_starts(inside, sign) && !is_letter(math_lex_char(l, at + sign.n))) {
            l->at = braced ? end + 1 : at + sign.n;
            math_lex_add(l, MATH_TOK_DEGREE, 0);
            return true;
        }
    }
    static const char *const ordinal[] = {"\\text{th}", "\\text{st}",   "\\text{nd}",
                                          "\\text{rd}", "\\mathrm{th}", "th",
                                          "st",         "nd",           "rd"};
    for (size_t i = 0; i < COUNT_OF(ordinal); i++) {
        if (braced && pyspan_is(inside, ordinal[i])) {
            l->at = end + 1;
            return true;
        }
    }
    return false;
}

static bool lex_superscripts(struct math_lexer *l)
{
    long v = 0;
    bool negative = math_name_superscript(l->t.cp[l->at]) == 10;
    size_t at = l->at + negative;
    size_t digits = 0;
    for (; at < l->t.n; at++, digits++) {
        int d = math_name_superscript(l->t.cp[at]);
        if (d < 0 || d > 9 || digits > 9) {
            break;
        }
        v = 10 * v + d;
    }
    if (digits == 0) {
        return false;
    }
    l->at = at;
    math_lex_add(l, MATH_TOK_POWER, 0);
    uint32_t node = math_integer(l->f, negative ? -v : v);
    math_lex_add(l, MATH_TOK_NUMBER, 0)->node = node;
    return true;
}

// Signs of two or three characters: ** <= >= != == +/- ...
static bool lex_long_sign(struct math_lexer *l)
{
    static const struct {
        const char *sign;
        struct math_name name;
    } longer[] = {
        {"**", {"^", MATH_TOK_POWER, 0}},           {"<=", {"<=", MATH_TOK_RELATION, MATH_LE}},
        {">=", {">=", MATH_TOK_RELATION, MATH_GE}}, {"!=", {"!=", MATH_TOK_RELATION, MATH_NE}},
        {"==", {"==", MATH_TOK_RELATION, MATH_EQ}}, {"+/-", {"pm", MATH_TOK_PM, 0}},
        {"...", {"...", MATH_TOK_ELLIPSIS, 0}},
    };
    struct pyspan rest = pyspan_slice(l->t, l->at, l->at + 3);
    for (size_t i = 0; i < COUNT_OF(longer); i++) {
        if (pyspan_starts_with(rest, longer[i].sign)) {
            l->at += strlen(longer[i].sign);
            math_lex_add(l, longer[i].name.kind, longer[i].name.op);
            return true;
        }
    }
    return false;
}

static bool lex_sign(struct math_lexer *l)
{
    uint32_t c = l->t.cp[l->at];
    long num, den;
    if (c == '^' && lex_raised(l)) {
        return true;
    }
    if (lex_long_sign(l)) {
        return true;
    }
    if (math_name_vulgar(c, &num, &den)) {
        l->at++;
        uint32_t a = math_integer(l->f, num), b = math_integer(l->f, den);
        struct math_token *t = math_lex_add(l, MATH_TOK_NUMBER, 1);
        t->node = math_binary(l->f, MATH_DIV, a, b);
        return true;
    }
    if (math_name_superscript(c) >= 0) {
        return lex_superscripts(l);
    }
    const char *greek = math_name_greek(c);
    if (greek) {
        l->at++;
        add_letter(l, pytext_literal(l->f->scratch, greek));
        return true;
    }
    const struct math_name *name = math_name_sign(c);
    if (!name) {
        return false;
    }
    l->at++;
    return name->kind == MATH_TOK_NAMED ? lex_named(l, name->name) : add_name(l, name);
}

// ---- all ----

static bool lex_next(struct math_lexer *l)
{
    uint32_t c = l->t.cp[l->at];
    if (py_isspace(c) || c == '~' || c == '$' || c == '"' || c == '`' || l->skip[l->at]) {
        l->spaced = true;
        l->at++;
        return true;
    }
    if (math_is_digit(c) || (c == '.' && math_is_digit(math_lex_char(l, l->at + 1)))) {
        return math_lex_hexadecimal(l) || math_lex_number(l);
    }
    if (c == '.' && skip_spaces(l, l->at + 1) == l->t.n) {
        l->at = l->t.n;
        return true;
    }
    if (is_letter(c)) {
        return lex_letters(l);
    }
    if (c == '\\') {
        return lex_command(l);
    }
    return lex_sign(l);
}

bool math_lex(struct math_forest *f, struct pyspan text, unsigned reading, struct math_tokens *out)
{
    *out = (struct math_tokens){.reading = reading};
    struct math_lexer l = {.f = f, .t = pyspan_strip(text), .reading = reading, .out = out};
    if (l.t.n > MATH_TEXT_MAX) {
        math_note(f, "the answer is too long");
        return false;
    }
    l.match = scratch_array(f->scratch, l.t.n + 1, sizeof *l.match);
    l.digits = scratch_alloc(f->scratch, l.t.n + 1);
    l.skip = scratch_zeroed(f->scratch, l.t.n + 1);
    match_braces(&l);
    while (l.at < l.t.n) {
        if (!lex_next(&l)) {
            return false;
        }
    }
    math_lex_add(&l, MATH_TOK_END, 0);
    return !f->broken;
}

struct pyspan math_words(struct scratch *s, struct pyspan text)
{
    struct pyspan lower = pytext_lower(s, text);
    uint32_t *cp = scratch_array(s, lower.n + 1, sizeof *cp);
    size_t n = 0;
    for (size_t i = 0; i < lower.n; i++) {
        uint32_t c = lower.cp[i];
        bool space = py_isspace(c);
        if (!space || (n > 0 && cp[n - 1] != ' ')) {
            cp[n++] = space ? ' ' : c;
        }
    }
    while (n > 0 && (cp[n - 1] == ' ' || cp[n - 1] == '.' || cp[n - 1] == ',')) {
        n--;
    }
    return (struct pyspan){cp, n};
}
