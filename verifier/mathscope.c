// mathscope.c: one pass over the characters of a candidate.
#include "verifier/mathscope.h"

#include <string.h>

// What has been seen so far.
struct scan {
    struct pyspan s;
    size_t at;
    size_t roots;     // "[" of \sqrt[…] not yet closed
    size_t braces;    // "{" not yet closed: "=" may stand in \sum_{i=1}
};

static bool at_ascii(const struct scan *c, size_t at, const char *text)
{
    return pyspan_starts_with(pyspan_slice(c->s, at, c->s.n), text);
}

static uint32_t char_at(const struct scan *c, size_t at)
{
    return at < c->s.n ? c->s.cp[at] : 0;
}

static bool is_digit(uint32_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(uint32_t c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z' && c < 128;
}

static size_t digits_end(const struct scan *c, size_t at)
{
    while (is_digit(char_at(c, at))) {
        at++;
    }
    return at;
}

// A separator of thousands: "," or "{,}" and spaces of any kind, or spaces alone.
static size_t separator_end(const struct scan *c, size_t at)
{
    static const char *const parts[] = {"{,}", ",", "\\!", "\\,", "\\ ", " "};
    for (size_t i = 0; i < ARRAY_LEN(parts);) {
        if (at_ascii(c, at, parts[i])) {
            at += strlen(parts[i]);
            i = MAX(i, 2);    // one comma at most
        } else {
            i++;
        }
    }
    return at;
}

// "e", "E" and an exponent: an exponent of ten or Euler's number, and nobody can tell.
static bool is_exponent(const struct scan *c, size_t at)
{
    uint32_t sign = char_at(c, at + 1);
    return (char_at(c, at) | 0x20) == 'e' &&
           is_digit(char_at(c, at + 1 + (sign == '+' || sign == '-')));
}

// A number with a digit on both sides of its point, without leading zeros unless it has a point,
// and not in the notation 1e5. After decimals a full stop may end the text.
static bool read_number(struct scan *c)
{
    bool zeros = char_at(c, c->at) == '0' && is_digit(char_at(c, c->at + 1));
    size_t at = digits_end(c, c->at);
    for (;;) {
        size_t group = separator_end(c, at);
        if (group == at || digits_end(c, group) != group + 3) {
            break;
        }
        at = group + 3;
    }
    if (char_at(c, at) == '.') {
        size_t end = digits_end(c, at + 1);
        if (end == at + 1) {
            return false;
        }
        zeros = false;
        at = end + (char_at(c, end) == '.' && end + 1 == c->s.n);
    }
    c->at = at;
    return !zeros && !is_exponent(c, at);
}

static bool is_ordinal(struct pyspan s)
{
    return pyspan_is(s, "th") || pyspan_is(s, "st") || pyspan_is(s, "nd") || pyspan_is(s, "rd");
}

// Letters of a product, as the original takes them: what would be read as a word is none.
static bool read_letters(struct scan *c)
{
    size_t from = c->at;
    while (is_letter(char_at(c, c->at))) {
        c->at++;
    }
    struct pyspan letters = pyspan_slice(c->s, from, c->at);
    bool article = pyspan_is(letters, "an") && py_isspace(char_at(c, c->at));
    return letters.n <= 2 && !article && !(from > 0 && is_ordinal(letters));
}

static bool is_known(struct pyspan name)
{
    static const char *const names[] = {
        "frac",   "dfrac", "tfrac", "sqrt",   "cdot", "times",  "div",    "pm",     "sin",
        "cos",    "tan",   "cot",   "sec",    "csc",  "arcsin", "arccos", "arctan", "sinh",
        "cosh",   "tanh",  "ln",    "log",    "exp",  "binom",  "dbinom", "tbinom", "lfloor",
        "rfloor", "lceil", "rceil", "infty",  "sum",  "prod",   "pi",     "alpha",  "beta",
        "gamma",  "delta", "theta", "lambda", "mu",   "phi",    "omega",  "quad",   "displaystyle"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (pyspan_is(name, names[i])) {
            return true;
        }
    }
    return false;
}

// After the name of a command; *c->at behind what belongs to it.
static bool read_command(struct scan *c)
{
    size_t from = ++c->at;
    while (is_letter(char_at(c, c->at))) {
        c->at++;
    }
    struct pyspan name = pyspan_slice(c->s, from, c->at);
    if (name.n == 0) {    // \, \! and their like
        uint32_t space = char_at(c, c->at++);
        return space == ',' || space == '!' || space == ';' || space == ':' || space == ' ';
    }
    if (pyspan_is(name, "left") || pyspan_is(name, "right")) {
        uint32_t bracket = char_at(c, c->at);
        return bracket == '(' || bracket == ')';
    }
    if (pyspan_is(name, "sqrt") && char_at(c, c->at) == '[') {
        c->roots++;
        c->at++;
    }
    return is_known(name);
}

static bool read_sign(struct scan *c)
{
    uint32_t sign = char_at(c, c->at++);
    if (sign == ']') {
        bool open = c->roots > 0;
        c->roots -= open;
        return open;
    }
    c->braces += sign == '{';
    c->braces -= sign == '}' && c->braces > 0;
    if (sign == '=') {
        return c->braces > 0;
    }
    if (sign == '*' && char_at(c, c->at) == '*') {
        return false;
    }
    return sign != 0 && sign < 128 && strchr("+-*/^_(){}|!: \n", (int)sign) != NULL;
}

// "12\text{ cm}" → "12": a unit begins where \text does, after something else; "12\text{th}" is no
// quantity.
static struct pyspan without_unit(struct pyspan s)
{
    size_t at = pyspan_search_for(s, "\\text{", 0);
    size_t close = at == PYSPAN_NONE ? s.n : pyspan_find(s, '}', at);
    bool unit = at != PYSPAN_NONE && at > 0 && close + 1 == s.n &&
                !is_ordinal(pyspan_slice(s, at + strlen("\\text{"), close));
    return unit ? pyspan_slice(s, 0, at) : s;
}

// "B." or "B)".
static bool is_choice(struct pyspan s)
{
    return s.n == 2 && is_letter(s.cp[0]) && (s.cp[1] == '.' || s.cp[1] == ')');
}

bool mathscope_is_expression(struct pyspan text)
{
    struct scan c = {.s = pyspan_strip(without_unit(pyspan_strip(text)))};
    bool good = c.s.n > 0;
    if (is_choice(c.s)) {
        return true;
    }
    while (good && c.at < c.s.n) {
        uint32_t next = c.s.cp[c.at];
        good = is_digit(next)    ? read_number(&c)
               : is_letter(next) ? read_letters(&c)
               : next == '\\'    ? read_command(&c)
                                 : read_sign(&c);
    }
    return good;
}

bool mathscope_is_words(struct pyspan text)
{
    static const char open[] = "\\text{";
    struct pyspan s = pyspan_strip(text);
    if (!pyspan_starts_with(s, open) || pyspan_find(s, '}', 0) + 1 != s.n) {
        return false;
    }
    bool letter = false;
    for (size_t i = strlen(open); i + 1 < s.n; i++) {
        if (s.cp[i] == '\\' || s.cp[i] == '{' || is_digit(s.cp[i])) {
            return false;
        }
        letter = letter || is_letter(s.cp[i]);
    }
    return letter;
}

static bool is_base(struct pyspan s)
{
    bool braced = s.n > 2 && s.cp[0] == '{' && s.cp[s.n - 1] == '}';
    s = braced ? pyspan_slice(s, 1, s.n - 1) : s;
    return (s.n == 1 && is_digit(s.cp[0])) || (s.n == 2 && is_digit(s.cp[0]) && is_digit(s.cp[1]));
}

bool mathscope_leaves_out_base(struct pyspan truth, struct pyspan answer)
{
    truth = pyspan_strip(truth);
    size_t at = pyspan_find(truth, '_', 0);
    struct pyspan digits = pyspan_slice(truth, 0, at);
    for (size_t i = 0; i < digits.n; i++) {
        if (!is_digit(digits.cp[i]) && !(digits.cp[i] >= 'A' && digits.cp[i] <= 'F')) {
            return false;
        }
    }
    return digits.n > 0 && at < truth.n && is_base(pyspan_slice(truth, at + 1, truth.n)) &&
           pyspan_equal(digits, pyspan_strip(answer));
}
