// mathrun.c: tokens, their kinds, and the runs they form.
//
// The lists of names are ours and short on purpose: a word that is missing only ends a run early,
// and an early end leaves the number that came before it.
#include "verifier/mathrun.h"

#include <string.h>

enum kind {
    KIND_PROSE,
    KIND_JOINT,       // "and", "or"
    KIND_OPERATOR,    // nothing but signs
    KIND_GLUE,        // variables, brackets
    KIND_VALUE,       // a digit or a command
};

struct token {
    size_t from, to;
    enum kind kind;
    bool starts_line, ends_list, ends_sentence;
    size_t digits;    // of a whole number, else 0
};

// ---- characters and words ----

static bool is_letter(uint32_t c)
{
    uint32_t lower = c | 0x20;
    return c < 128 ? lower >= 'a' && lower <= 'z' : py_isalpha(c);
}

static bool is_emphasis(uint32_t c)
{
    return py_isspace(c) || c == '*' || c == '`' || c == '"' || c == 0x201C || c == 0x201D;
}

static bool is_stop(uint32_t c)
{
    return c == '.' || c == ',' || c == ';' || c == ':' || c == '!' || c == '?';
}

static bool is_tail(uint32_t c)
{
    return is_stop(c) || is_emphasis(c);
}

static bool is_head(uint32_t c)
{
    return c == ':' || c == ',' || c == ';' || is_emphasis(c);
}

bool mathrun_goes_on(struct pyspan s)
{
    return s.n > 3 && pyspan_ends_with(s, "...") && py_isdecimal(s.cp[s.n - 4]);
}

// "9\!." ends in a LaTeX space: when its sign is trimmed, so is the backslash before it.
struct pyspan mathrun_trim(struct pyspan s)
{
    struct pyspan head = pyspan_rstrip_class(s, is_tail);
    while (head.n < s.n && head.n > 0 && head.cp[head.n - 1] == '\\' &&
           !(head.n > 1 && head.cp[head.n - 2] == '\\')) {
        head = pyspan_rstrip_class(pyspan_slice(head, 0, head.n - 1), is_tail);
    }
    struct pyspan whole = pyspan_rstrip_class(s, is_emphasis);
    return pyspan_lstrip_class(mathrun_goes_on(whole) ? whole : head, is_head);
}

static bool in_list(struct pyspan word, const char *const list[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (word.cp[0] == (unsigned char)list[i][0] && pyspan_is(word, list[i])) {
            return true;
        }
    }
    return false;
}

static bool is_prose_word(struct pyspan word)
{
    static const char *const pairs[] = {"is", "to", "of", "in", "it", "we", "so", "as", "at", "be",
                                        "by", "do", "go", "he", "if", "me", "my", "no", "on", "or",
                                        "up", "us", "an", "am", "It", "We", "So", "As", "At", "By",
                                        "If", "In", "On", "To", "Or", "No", "An", "He"};
    static const char *const names[] = {
        "sin",     "cos",      "tan",    "cot",   "sec",  "csc",   "arcsin",   "arccos",
        "arctan",  "sinh",     "cosh",   "tanh",  "log",  "exp",   "sqrt",     "cbrt",
        "abs",     "max",      "min",    "gcd",   "lcm",  "mod",   "det",      "inf",
        "infty",   "infinity", "theta",  "alpha", "beta", "gamma", "frac",     "binom",
        "percent", "floor",    "lambda", "delta", "phi",  "omega", "Infinity", "cup"};
    if (word.n < 2) {
        return false;
    }
    if (word.n == 2) {
        return in_list(word, pairs, ARRAY_LEN(pairs));
    }
    return !in_list(word, names, ARRAY_LEN(names));
}

static size_t letters_end(struct pyspan s, size_t at)
{
    while (at < s.n && (is_letter(s.cp[at]) || (s.cp[at] == '\'' && at > 0))) {
        at++;
    }
    return at;
}

static bool is_greek(uint32_t c)
{
    return c >= 0x391 && c <= 0x3C9;
}

// Digits, ½, ², ∞, √, single Greek letters.
static bool is_value(uint32_t c)
{
    return py_isdecimal(c) || c == 0xBC || c == 0xBD || c == 0xBE || c == 0x221E || c == 0x221A ||
           is_greek(c);
}

static bool is_operator(uint32_t c)
{
    return c < 128 ? strchr("+-=*/<>:|,.;~#", (int)c) != NULL && c != 0
                   : c == 0x2212 || c == 0x2013 || c == 0x2014 || c == 0x2192 || c == 0x2248 ||
                         c == 0xD7 || c == 0xB7 || c == 0xF7;
}

// ---- tokens ----

// What words and values stand in s: inside braces words do not count, they are \text or names.
static enum kind kind_of(struct pyspan s)
{
    bool value = false, other = false;
    size_t depth = 0;
    for (size_t i = 0; i < s.n;) {
        uint32_t c = s.cp[i];
        size_t end = i + 1;
        if (c == '\\') {
            end = MAX(letters_end(s, i + 1), MIN(i + 2, s.n));
            value = value || end > i + 2;
        } else if (is_letter(c) && !is_greek(c)) {
            end = letters_end(s, i);
            bool after_number = i > 0 && (py_isdecimal(s.cp[i - 1]) || s.cp[i - 1] == '-') && value;
            if (depth == 0 && !after_number && is_prose_word(pyspan_slice(s, i, end))) {
                return KIND_PROSE;
            }
            other = true;
        } else {
            depth += c == '{';
            depth -= c == '}' && depth > 0;
            value = value || is_value(c);
            other = other || !is_operator(c);
        }
        i = end;
    }
    return value ? KIND_VALUE : other ? KIND_GLUE : KIND_OPERATOR;
}

static enum kind kind_of_token(struct pyspan s)
{
    if (pyspan_is(s, "and") || pyspan_is(s, "or")) {
        return KIND_JOINT;
    }
    if (pyspan_is(s, "a") || pyspan_is(s, "I") || pyspan_is(s, "\\$")) {
        return KIND_PROSE;
    }
    return kind_of(s);
}

// The token at or after `at`; false at the end.
static bool next_token(struct pyspan s, size_t at, struct token *t)
{
    *t = (struct token){.starts_line = at == 0};
    for (; at < s.n && py_isspace(s.cp[at]); at++) {
        t->starts_line = t->starts_line || s.cp[at] == '\n';
    }
    t->from = at;
    size_t depth = 0;
    for (; at < s.n && s.cp[at] != '\n' && !(depth == 0 && py_isspace(s.cp[at])); at++) {
        depth += s.cp[at] == '{';
        depth -= s.cp[at] == '}' && depth > 0;
    }
    t->to = at;
    if (t->from == t->to) {
        return false;
    }
    struct pyspan raw = pyspan_slice(s, t->from, t->to), text = mathrun_trim(raw);
    struct pyspan bare = pyspan_rstrip_class(raw, is_emphasis);
    uint32_t last = bare.n > 0 ? bare.cp[bare.n - 1] : ' ';
    t->ends_list = last == ',';
    t->ends_sentence = text.n > 0 && is_stop(last) && last != ',';
    t->kind = text.n > 0 ? kind_of_token(text) : KIND_OPERATOR;
    while (t->digits < text.n && py_isdecimal(text.cp[t->digits])) {
        t->digits++;
    }
    t->digits = t->digits == text.n ? text.n : 0;
    return true;
}

bool mathrun_has_words(struct pyspan s)
{
    struct token t = {0};
    for (size_t at = 0; next_token(s, at, &t); at = t.to) {
        if (t.kind == KIND_PROSE || t.kind == KIND_JOINT) {
            return true;
        }
    }
    return false;
}

bool mathrun_is_prose(struct pyspan s)
{
    size_t words = 0, tokens = 0;
    struct token t = {0};
    for (size_t at = 0; next_token(s, at, &t); at = t.to) {
        words += t.kind == KIND_PROSE || t.kind == KIND_JOINT;
        tokens++;
    }
    return words >= 3 || (words > 0 && (words == tokens || words == 2) && py_isspace(s.cp[0]));
}

// ---- runs ----

struct run {
    size_t from, to;    // of the tokens that may begin and end it
    bool value, open;
    size_t brackets;    // opened and not yet closed
};

static size_t brackets_after(struct pyspan s, size_t depth)
{
    for (size_t i = 0; i < s.n; i++) {
        depth += s.cp[i] == '(' || s.cp[i] == '[';
        depth -= (s.cp[i] == ')' || s.cp[i] == ']') && depth > 0;
    }
    return depth;
}

// A minus begins a run unless it is the bullet of a list; other signs do not, and none ends one.
static void extend_run(struct run *r, struct pyspan s, const struct token *t)
{
    struct pyspan text = pyspan_slice(s, t->from, t->to);
    bool sign = t->kind == KIND_OPERATOR && text.n == 1 &&
                (text.cp[0] == '-' || text.cp[0] == '+' || text.cp[0] == 0x2212) && !t->starts_line;
    bool plain = t->kind == KIND_OPERATOR || t->kind == KIND_JOINT;
    if (!r->open && (!plain || sign)) {
        *r = (struct run){.from = t->from, .to = t->to, .open = true};
    }
    if (r->open && !plain) {
        r->to = t->to;
    }
    r->value = r->value || t->kind == KIND_VALUE;
    r->brackets = brackets_after(text, r->brackets);
}

// "3 + 4 = 7" → "7"; with a letter on the left it is an equation and stays.
static struct pyspan run_text(struct pyspan s, const struct run *r)
{
    struct pyspan run = mathrun_trim(pyspan_slice(s, r->from, r->to));
    size_t cut = 0;
    bool digit = false;
    for (size_t i = 0; i < run.n && !is_letter(run.cp[i]); i++) {
        digit = digit || py_isdecimal(run.cp[i]);
        cut = digit && run.cp[i] == '=' && i + 1 < run.n ? i + 1 : cut;
    }
    return mathrun_trim(pyspan_slice(run, cut, run.n));
}

bool mathrun_first(struct pyspan sentence, struct pyspan *out)
{
    struct run r = {0};
    struct token t = {0};
    bool words = false;
    for (size_t at = 0; next_token(sentence, at, &t); at = t.to) {
        t.starts_line = false;    // there are no bullets in it
        if (t.kind != KIND_PROSE) {
            extend_run(&r, sentence, &t);
            continue;
        }
        words = true;
        if (r.value) {
            break;
        }
        r = (struct run){0};
    }
    if (!r.value && (words || !r.open)) {
        return false;
    }
    *out = run_text(sentence, &r);
    return true;
}

bool mathrun_last(struct pyspan s, struct pyspan *out)
{
    struct run r = {0}, found = {0};
    struct token t = {0};
    size_t digits = 0;    // of the token before
    for (size_t at = 0; next_token(s, at, &t); at = t.to) {
        bool two_numbers = digits > 0 && t.digits > 0 && t.digits != 3 && r.brackets == 0;
        digits = t.digits;
        if (t.kind == KIND_PROSE || t.kind == KIND_JOINT || t.starts_line || two_numbers) {
            found = r.value ? r : found;
            r = (struct run){0};
        }
        if (t.kind != KIND_PROSE && t.kind != KIND_JOINT) {
            extend_run(&r, s, &t);
        }
        if (t.ends_sentence || (t.ends_list && r.brackets == 0)) {
            found = r.value ? r : found;
            r = (struct run){0};
        }
    }
    found = r.value ? r : found;
    if (found.value) {
        *out = run_text(s, &found);
    }
    return found.value;
}
