// pytext.c: Python's view of characters, on top of utf8proc's tables.
//
// What differs from the obvious choices, and why it is spelled out here:
//   - whitespace has 29 members, among them U+001C..1F and U+0085, not U+200B or U+FEFF;
//   - \w is L* and N* and '_' (str.isalnum is exactly that: letters, and all three kinds of numeric
//     type cover N*), so combining marks end a word;
//   - lower() maps one character to one, except U+0130 (two) and U+03A3, which becomes the final
//     sigma behind a cased character when no cased one follows; characters that are case-ignorable
//     are looked through in both directions.
// Python 3.11 carries Unicode 14, utf8proc 2.8 Unicode 15: characters added in between (4,489, none
// of them with a use in ordinary text) count as letters here. Decoding replaces each maximal
// ill-formed part by U+FFFD, the rule of Unicode 3.9 ("best practice") that CPython follows.
#include "verifier/pytext.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static bool in_range(uint8_t b, uint8_t low, uint8_t high)
{
    return b >= low && b <= high;
}

// Decodes one code point at s (len > 0), returns the bytes consumed; a malformed part gives U+FFFD.
static size_t decode_one(const uint8_t *s, size_t len, uint32_t *out)
{
    uint8_t b = s[0];
    *out = 0xFFFD;
    if (b < 0x80) {
        *out = b;
        return 1;
    }
    size_t need;
    uint8_t low = 0x80, high = 0xBF;    // range of the second byte; excludes overlong forms,
                                        // surrogates and > U+10FFFF
    uint32_t c;
    if (in_range(b, 0xC2, 0xDF)) {
        need = 1;
        c = b & 0x1Fu;
    } else if (in_range(b, 0xE0, 0xEF)) {
        need = 2;
        c = b & 0x0Fu;
        low = b == 0xE0 ? 0xA0 : 0x80;
        high = b == 0xED ? 0x9F : 0xBF;
    } else if (in_range(b, 0xF0, 0xF4)) {
        need = 3;
        c = b & 0x07u;
        low = b == 0xF0 ? 0x90 : 0x80;
        high = b == 0xF4 ? 0x8F : 0xBF;
    } else {
        return 1;
    }
    for (size_t i = 1; i <= need; i++) {
        if (i >= len || !in_range(s[i], low, high)) {
            return i;
        }
        c = (c << 6) | (s[i] & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    *out = c;
    return need + 1;
}

enum err pytext_decode(const char *utf8, size_t len, struct pytext *out)
{
    uint32_t *cp = malloc((len + 1) * sizeof *cp);
    if (!cp) {
        return ERR_NOMEM;
    }
    const uint8_t *s = (const uint8_t *)utf8;
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        i += decode_one(s + i, len - i, &cp[n++]);
    }
    *out = (struct pytext){cp, n};
    return ERR_OK;
}

void pytext_fini(struct pytext *t)
{
    free(t->cp);
    *t = (struct pytext){0};
}

struct pyspan pytext_span(const struct pytext *t)
{
    return (struct pyspan){t->cp, t->n};
}

char *pyspan_encode(struct pyspan s, size_t *len)
{
    uint8_t *out = malloc(s.n * 4 + 1);
    if (!out) {
        return NULL;
    }
    size_t at = 0;
    for (size_t i = 0; i < s.n; i++) {
        at += (size_t)utf8proc_encode_char((utf8proc_int32_t)s.cp[i], out + at);
    }
    out[at] = 0;
    *len = at;
    return (char *)out;
}

bool py_isspace(uint32_t c)
{
    if (c < 0x80) {
        return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20);
    }
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool py_isword(uint32_t c)
{
    if (c < 0x80) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
               c == '_';
    }
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return true;
    default:
        return false;
    }
}

bool py_isdigit(uint32_t c)
{
    if (c < 0x80) {
        return c >= '0' && c <= '9';
    }
    return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_ND;
}

struct range {
    uint32_t first, last;
};

static bool in_table(uint32_t c, const struct range *table, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (c >= table[i].first && c <= table[i].last) {
            return true;
        }
    }
    return false;
}

// Derived property Cased: Lu, Ll, Lt and the characters that have Other_Lowercase or
// Other_Uppercase.
static bool is_cased(uint32_t c)
{
    static const struct range other[] = {
        {0xAA, 0xAA},       {0xBA, 0xBA},       {0x2B0, 0x2B8},     {0x2C0, 0x2C1},
        {0x2E0, 0x2E4},     {0x345, 0x345},     {0x37A, 0x37A},     {0x1D2C, 0x1D6A},
        {0x1D78, 0x1D78},   {0x1D9B, 0x1DBF},   {0x2071, 0x2071},   {0x207F, 0x207F},
        {0x2090, 0x209C},   {0x2160, 0x217F},   {0x24B6, 0x24E9},   {0x2C7C, 0x2C7D},
        {0xA69C, 0xA69D},   {0xA770, 0xA770},   {0xA7F8, 0xA7F9},   {0xAB5C, 0xAB5F},
        {0x10780, 0x10780}, {0x10783, 0x10785}, {0x10787, 0x107B0}, {0x107B2, 0x107BA},
        {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189},
    };
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
        return true;
    default:
        return in_table(c, other, ARRAY_LEN(other));
    }
}

// Derived property Case_Ignorable: Mn, Me, Cf, Lm, Sk and the word-break classes MidLetter,
// MidNumLet, Single_Quote.
static bool is_case_ignorable(uint32_t c)
{
    static const struct range other[] = {
        {0x27, 0x27},     {0x2E, 0x2E},     {0x3A, 0x3A},     {0xB7, 0xB7},
        {0x387, 0x387},   {0x55F, 0x55F},   {0x5F4, 0x5F4},   {0x2018, 0x2019},
        {0x2024, 0x2024}, {0x2027, 0x2027}, {0xFE13, 0xFE13}, {0xFE52, 0xFE52},
        {0xFE55, 0xFE55}, {0xFF07, 0xFF07}, {0xFF0E, 0xFF0E}, {0xFF1A, 0xFF1A},
    };
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return true;
    default:
        return in_table(c, other, ARRAY_LEN(other));
    }
}

static bool is_final_sigma(struct pyspan s, size_t at)
{
    size_t before = at;
    while (before > 0 && is_case_ignorable(s.cp[before - 1])) {
        before--;
    }
    if (before == 0 || !is_cased(s.cp[before - 1])) {
        return false;
    }
    size_t after = at + 1;
    while (after < s.n && is_case_ignorable(s.cp[after])) {
        after++;
    }
    return after == s.n || !is_cased(s.cp[after]);
}

enum err pytext_lower(struct pyspan s, struct pytext *out)
{
    size_t cap = s.n + 1;
    for (size_t i = 0; i < s.n; i++) {
        cap += s.cp[i] == 0x130;
    }
    uint32_t *cp = malloc(cap * sizeof *cp);
    if (!cp) {
        return ERR_NOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        uint32_t c = s.cp[i];
        if (c < 0x80) {
            cp[n++] = c >= 'A' && c <= 'Z' ? c + 32 : c;
        } else if (c == 0x130) {
            cp[n++] = 'i';
            cp[n++] = 0x307;
        } else if (c == 0x3A3) {
            cp[n++] = is_final_sigma(s, i) ? 0x3C2 : 0x3C3;
        } else {
            cp[n++] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
        }
    }
    *out = (struct pytext){cp, n};
    return ERR_OK;
}

enum err pytext_without(struct pyspan s, uint32_t drop, struct pytext *out)
{
    uint32_t *cp = malloc((s.n + 1) * sizeof *cp);
    if (!cp) {
        return ERR_NOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.cp[i] != drop) {
            cp[n++] = s.cp[i];
        }
    }
    *out = (struct pytext){cp, n};
    return ERR_OK;
}

struct pyspan pyspan_slice(struct pyspan s, size_t from, size_t to)
{
    to = MIN(to, s.n);
    from = MIN(from, to);
    return (struct pyspan){s.cp ? s.cp + from : NULL, to - from};
}

struct pyspan pyspan_strip(struct pyspan s)
{
    size_t from = 0, to = s.n;
    while (from < to && py_isspace(s.cp[from])) {
        from++;
    }
    while (to > from && py_isspace(s.cp[to - 1])) {
        to--;
    }
    return pyspan_slice(s, from, to);
}

struct pyspan pyspan_strip_char(struct pyspan s, uint32_t c)
{
    size_t from = 0, to = s.n;
    while (from < to && s.cp[from] == c) {
        from++;
    }
    while (to > from && s.cp[to - 1] == c) {
        to--;
    }
    return pyspan_slice(s, from, to);
}

bool pyspan_blank(struct pyspan s)
{
    return pyspan_strip(s).n == 0;
}

bool pyspan_equal(struct pyspan a, struct pyspan b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.cp, b.cp, a.n * sizeof *a.cp) == 0);
}

bool pyspan_starts(struct pyspan s, struct pyspan prefix)
{
    return s.n >= prefix.n && pyspan_equal(pyspan_slice(s, 0, prefix.n), prefix);
}

bool pyspan_ends(struct pyspan s, struct pyspan suffix)
{
    return s.n >= suffix.n && pyspan_equal(pyspan_slice(s, s.n - suffix.n, s.n), suffix);
}

size_t pyspan_find(struct pyspan s, uint32_t c, size_t from)
{
    for (size_t i = from; i < s.n; i++) {
        if (s.cp[i] == c) {
            return i;
        }
    }
    return s.n;
}
