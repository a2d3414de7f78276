// pyjson.c: a validating reader with the accept set of CPython's json module.
//
// One loop over the text, with the open brackets in a bit set instead of on the C stack: a reply is
// model output, and a model that has learnt to write a million '[' must cost a few milliseconds and
// no memory. Depth ends at 990 because CPython's own scanner recurses and raises RecursionError
// near there (the exact level depends on the caller's frames). Strings refuse raw control
// characters below U+0020 and take any \uXXXX; numbers are '-'? (0 | [1-9][0-9]*) with optional
// fraction and exponent; a number ends where this pattern ends, so "01" and "1." fail on what is
// left behind.
#include "verifier/pyjson.h"

struct reader {
    struct pyspan s;
    size_t at;
    size_t depth;
    uint32_t objects[(PYJSON_DEPTH_MAX + 31) / 32];    // bit d: the bracket at depth d is '{'
};

static uint32_t peek(const struct reader *r)
{
    // NUL is valid nowhere outside strings, so it can stand for the end.
    return r->at < r->s.n ? r->s.cp[r->at] : 0;
}

static bool take(struct reader *r, uint32_t c)
{
    if (r->at < r->s.n && r->s.cp[r->at] == c) {
        r->at++;
        return true;
    }
    return false;
}

static bool take_word(struct reader *r, const char *word)
{
    size_t at = r->at;
    for (; *word; word++, at++) {
        if (at >= r->s.n || r->s.cp[at] != (uint8_t)*word) {
            return false;
        }
    }
    r->at = at;
    return true;
}

static void skip_blanks(struct reader *r)
{
    while (peek(r) == ' ' || peek(r) == '\t' || peek(r) == '\n' || peek(r) == '\r') {
        r->at++;
    }
}

static bool is_hex(uint32_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool take_escape(struct reader *r)
{
    switch (peek(r)) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        r->at++;
        return true;
    case 'u':
        r->at++;
        for (int i = 0; i < 4; i++, r->at++) {
            if (!is_hex(peek(r))) {
                return false;
            }
        }
        return true;
    default:
        return false;
    }
}

static bool take_string(struct reader *r)
{
    if (!take(r, '"')) {
        return false;
    }
    while (r->at < r->s.n) {
        uint32_t c = r->s.cp[r->at++];
        if (c == '"') {
            return true;
        }
        if (c < 0x20 || (c == '\\' && !take_escape(r))) {
            return false;
        }
    }
    return false;
}

static size_t take_digits(struct reader *r)
{
    size_t start = r->at;
    while (peek(r) >= '0' && peek(r) <= '9') {
        r->at++;
    }
    return r->at - start;
}

static bool take_number(struct reader *r)
{
    take(r, '-');
    size_t digits = 1;
    if (!take(r, '0')) {
        digits = take_digits(r);
    }
    if (digits == 0) {
        return false;
    }
    bool integer = true;
    size_t back = r->at;
    if (take(r, '.')) {
        if (take_digits(r) == 0) {
            r->at = back;
        } else {
            integer = false;
        }
    }
    back = r->at;
    if (take(r, 'e') || take(r, 'E')) {
        if (!take(r, '+')) {
            take(r, '-');
        }
        if (take_digits(r) == 0) {
            r->at = back;
        } else {
            integer = false;
        }
    }
    return !integer || digits <= PYJSON_INT_DIGITS;
}

static bool take_scalar(struct reader *r)
{
    if (peek(r) == '"') {
        return take_string(r);
    }
    return take_word(r, "null") || take_word(r, "true") || take_word(r, "false") ||
           take_word(r, "NaN") || take_word(r, "Infinity") || take_word(r, "-Infinity") ||
           take_number(r);
}

static bool open_bracket(struct reader *r, bool object)
{
    if (r->depth == PYJSON_DEPTH_MAX) {
        return false;
    }
    uint32_t bit = 1u << (r->depth % 32);
    uint32_t *word = &r->objects[r->depth / 32];
    *word = object ? (*word | bit) : (*word & ~bit);
    r->depth++;
    return true;
}

static bool in_object(const struct reader *r)
{
    size_t d = r->depth - 1;
    return (r->objects[d / 32] >> (d % 32)) & 1;
}

// The key of an object's member and the colon behind it.
static bool take_key(struct reader *r)
{
    skip_blanks(r);
    if (!take_string(r)) {
        return false;
    }
    skip_blanks(r);
    return take(r, ':');
}

// One value, or the opening of one: *complete says whether something was finished (a scalar or an
// empty bracket pair).
static bool take_value(struct reader *r, bool *complete)
{
    skip_blanks(r);
    *complete = true;
    bool object = peek(r) == '{';
    if (!object && peek(r) != '[') {
        return take_scalar(r);
    }
    r->at++;
    if (!open_bracket(r, object)) {
        return false;
    }
    skip_blanks(r);
    if (take(r, object ? '}' : ']')) {
        r->depth--;
        return true;
    }
    *complete = false;
    return !object || take_key(r);
}

bool pyjson_valid(struct pyspan s)
{
    struct reader r = {.s = s};
    for (;;) {
        bool complete;
        if (!take_value(&r, &complete)) {
            return false;
        }
        if (!complete) {
            continue;
        }
        for (;;) {    // close what ends here
            skip_blanks(&r);
            if (r.depth == 0) {
                return r.at == r.s.n;
            }
            if (!take(&r, in_object(&r) ? '}' : ']')) {
                break;
            }
            r.depth--;
        }
        if (!take(&r, ',') || (in_object(&r) && !take_key(&r))) {
            return false;
        }
    }
}
