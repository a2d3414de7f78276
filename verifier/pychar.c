// pychar.c: Python's character classes and case mappings, on top of utf8proc's tables.
//
// What differs from the obvious choices, and why it is spelled out here:
//   - whitespace has 29 members, among them U+001C..1F and U+0085, not U+200B or U+FEFF;
//   - \w is L* and N* and '_' (str.isalnum is exactly that: letters, and all three kinds of numeric
//     type cover N*), so combining marks end a word;
//   - lower() maps one character to one, except U+0130 (two) and U+03A3, which becomes the final
//     sigma behind a cased character when no cased one follows; characters that are case-ignorable
//     are looked through in both directions;
//   - upper() maps 102 characters to two or three.
// Python 3.11 carries Unicode 14, utf8proc 2.8 Unicode 15: characters added in between (4,489, none
// of them with a use in ordinary text) count as letters here.
#include "verifier/pytext.h"

#include <utf8proc.h>

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

bool py_isalnum(uint32_t c)
{
    return c != '_' && py_isword(c);
}

static bool in_categories(uint32_t c, unsigned set)
{
    return (1u << utf8proc_category((utf8proc_int32_t)c) & set) != 0;
}

bool py_isalpha(uint32_t c)
{
    return in_categories(c, 1u << UTF8PROC_CATEGORY_LU | 1u << UTF8PROC_CATEGORY_LL |
                                1u << UTF8PROC_CATEGORY_LT | 1u << UTF8PROC_CATEGORY_LM |
                                1u << UTF8PROC_CATEGORY_LO);
}

bool py_isdecimal(uint32_t c)
{
    if (c < 0x80) {
        return c >= '0' && c <= '9';
    }
    return in_categories(c, 1u << UTF8PROC_CATEGORY_ND);
}

bool py_ispunct(uint32_t c)
{
    return (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x40) || (c >= 0x5B && c <= 0x60) ||
           (c >= 0x7B && c <= 0x7E);
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

static const struct range OTHER_UPPERCASE[] = {
    {0x2160, 0x216F}, {0x24B6, 0x24CF}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189},
};

static const struct range OTHER_LOWERCASE[] = {
    {0xAA, 0xAA},       {0xBA, 0xBA},       {0x2B0, 0x2B8},     {0x2C0, 0x2C1},
    {0x2E0, 0x2E4},     {0x345, 0x345},     {0x37A, 0x37A},     {0x1D2C, 0x1D6A},
    {0x1D78, 0x1D78},   {0x1D9B, 0x1DBF},   {0x2071, 0x2071},   {0x207F, 0x207F},
    {0x2090, 0x209C},   {0x2170, 0x217F},   {0x24D0, 0x24E9},   {0x2C7C, 0x2C7D},
    {0xA69C, 0xA69D},   {0xA770, 0xA770},   {0xA7F8, 0xA7F9},   {0xAB5C, 0xAB5F},
    {0x10780, 0x10780}, {0x10783, 0x10785}, {0x10787, 0x107B0}, {0x107B2, 0x107BA},
};

bool py_isupper(uint32_t c)
{
    if (c < 0x80) {
        return c >= 'A' && c <= 'Z';
    }
    return in_categories(c, 1u << UTF8PROC_CATEGORY_LU) ||
           in_table(c, OTHER_UPPERCASE, ARRAY_LEN(OTHER_UPPERCASE));
}

bool py_islower(uint32_t c)
{
    if (c < 0x80) {
        return c >= 'a' && c <= 'z';
    }
    return in_categories(c, 1u << UTF8PROC_CATEGORY_LL) ||
           in_table(c, OTHER_LOWERCASE, ARRAY_LEN(OTHER_LOWERCASE));
}

bool py_istitle(uint32_t c)
{
    return c >= 0x80 && in_categories(c, 1u << UTF8PROC_CATEGORY_LT);
}

static bool is_cased(uint32_t c)
{
    return py_isupper(c) || py_islower(c) || py_istitle(c);
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

uint32_t py_tolower(uint32_t c)
{
    if (c < 0x80) {
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    }
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
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

struct pyspan pytext_lower(struct scratch *a, struct pyspan s)
{
    size_t cap = s.n + 1;
    for (size_t i = 0; i < s.n; i++) {
        cap += s.cp[i] == 0x130;
    }
    uint32_t *cp = scratch_array(a, cap, sizeof *cp);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        uint32_t c = s.cp[i];
        if (c == 0x130) {
            cp[n++] = 'i';
            cp[n++] = 0x307;
        } else if (c == 0x3A3) {
            cp[n++] = is_final_sigma(s, i) ? 0x3C2 : 0x3C3;
        } else {
            cp[n++] = py_tolower(c);
        }
    }
    return (struct pyspan){cp, n};
}

// SpecialCasing.txt of Unicode 14: the unconditional mappings of upper() to several characters.
static const struct special_upper {
    uint32_t from, to[3];
} SPECIAL_UPPER[] = {
    {0xDF, {0x53, 0x53}},
    {0x149, {0x2BC, 0x4E}},
    {0x1F0, {0x4A, 0x30C}},
    {0x390, {0x399, 0x308, 0x301}},
    {0x3B0, {0x3A5, 0x308, 0x301}},
    {0x587, {0x535, 0x552}},
    {0x1E96, {0x48, 0x331}},
    {0x1E97, {0x54, 0x308}},
    {0x1E98, {0x57, 0x30A}},
    {0x1E99, {0x59, 0x30A}},
    {0x1E9A, {0x41, 0x2BE}},
    {0x1F50, {0x3A5, 0x313}},
    {0x1F52, {0x3A5, 0x313, 0x300}},
    {0x1F54, {0x3A5, 0x313, 0x301}},
    {0x1F56, {0x3A5, 0x313, 0x342}},
    {0x1F80, {0x1F08, 0x399}},
    {0x1F81, {0x1F09, 0x399}},
    {0x1F82, {0x1F0A, 0x399}},
    {0x1F83, {0x1F0B, 0x399}},
    {0x1F84, {0x1F0C, 0x399}},
    {0x1F85, {0x1F0D, 0x399}},
    {0x1F86, {0x1F0E, 0x399}},
    {0x1F87, {0x1F0F, 0x399}},
    {0x1F88, {0x1F08, 0x399}},
    {0x1F89, {0x1F09, 0x399}},
    {0x1F8A, {0x1F0A, 0x399}},
    {0x1F8B, {0x1F0B, 0x399}},
    {0x1F8C, {0x1F0C, 0x399}},
    {0x1F8D, {0x1F0D, 0x399}},
    {0x1F8E, {0x1F0E, 0x399}},
    {0x1F8F, {0x1F0F, 0x399}},
    {0x1F90, {0x1F28, 0x399}},
    {0x1F91, {0x1F29, 0x399}},
    {0x1F92, {0x1F2A, 0x399}},
    {0x1F93, {0x1F2B, 0x399}},
    {0x1F94, {0x1F2C, 0x399}},
    {0x1F95, {0x1F2D, 0x399}},
    {0x1F96, {0x1F2E, 0x399}},
    {0x1F97, {0x1F2F, 0x399}},
    {0x1F98, {0x1F28, 0x399}},
    {0x1F99, {0x1F29, 0x399}},
    {0x1F9A, {0x1F2A, 0x399}},
    {0x1F9B, {0x1F2B, 0x399}},
    {0x1F9C, {0x1F2C, 0x399}},
    {0x1F9D, {0x1F2D, 0x399}},
    {0x1F9E, {0x1F2E, 0x399}},
    {0x1F9F, {0x1F2F, 0x399}},
    {0x1FA0, {0x1F68, 0x399}},
    {0x1FA1, {0x1F69, 0x399}},
    {0x1FA2, {0x1F6A, 0x399}},
    {0x1FA3, {0x1F6B, 0x399}},
    {0x1FA4, {0x1F6C, 0x399}},
    {0x1FA5, {0x1F6D, 0x399}},
    {0x1FA6, {0x1F6E, 0x399}},
    {0x1FA7, {0x1F6F, 0x399}},
    {0x1FA8, {0x1F68, 0x399}},
    {0x1FA9, {0x1F69, 0x399}},
    {0x1FAA, {0x1F6A, 0x399}},
    {0x1FAB, {0x1F6B, 0x399}},
    {0x1FAC, {0x1F6C, 0x399}},
    {0x1FAD, {0x1F6D, 0x399}},
    {0x1FAE, {0x1F6E, 0x399}},
    {0x1FAF, {0x1F6F, 0x399}},
    {0x1FB2, {0x1FBA, 0x399}},
    {0x1FB3, {0x391, 0x399}},
    {0x1FB4, {0x386, 0x399}},
    {0x1FB6, {0x391, 0x342}},
    {0x1FB7, {0x391, 0x342, 0x399}},
    {0x1FBC, {0x391, 0x399}},
    {0x1FC2, {0x1FCA, 0x399}},
    {0x1FC3, {0x397, 0x399}},
    {0x1FC4, {0x389, 0x399}},
    {0x1FC6, {0x397, 0x342}},
    {0x1FC7, {0x397, 0x342, 0x399}},
    {0x1FCC, {0x397, 0x399}},
    {0x1FD2, {0x399, 0x308, 0x300}},
    {0x1FD3, {0x399, 0x308, 0x301}},
    {0x1FD6, {0x399, 0x342}},
    {0x1FD7, {0x399, 0x308, 0x342}},
    {0x1FE2, {0x3A5, 0x308, 0x300}},
    {0x1FE3, {0x3A5, 0x308, 0x301}},
    {0x1FE4, {0x3A1, 0x313}},
    {0x1FE6, {0x3A5, 0x342}},
    {0x1FE7, {0x3A5, 0x308, 0x342}},
    {0x1FF2, {0x1FFA, 0x399}},
    {0x1FF3, {0x3A9, 0x399}},
    {0x1FF4, {0x38F, 0x399}},
    {0x1FF6, {0x3A9, 0x342}},
    {0x1FF7, {0x3A9, 0x342, 0x399}},
    {0x1FFC, {0x3A9, 0x399}},
    {0xFB00, {0x46, 0x46}},
    {0xFB01, {0x46, 0x49}},
    {0xFB02, {0x46, 0x4C}},
    {0xFB03, {0x46, 0x46, 0x49}},
    {0xFB04, {0x46, 0x46, 0x4C}},
    {0xFB05, {0x53, 0x54}},
    {0xFB06, {0x53, 0x54}},
    {0xFB13, {0x544, 0x546}},
    {0xFB14, {0x544, 0x535}},
    {0xFB15, {0x544, 0x53B}},
    {0xFB16, {0x54E, 0x546}},
    {0xFB17, {0x544, 0x53D}},
};

static const struct special_upper *find_special_upper(uint32_t c)
{
    size_t low = 0, high = ARRAY_LEN(SPECIAL_UPPER);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (SPECIAL_UPPER[middle].from < c) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < ARRAY_LEN(SPECIAL_UPPER) && SPECIAL_UPPER[low].from == c ? &SPECIAL_UPPER[low]
                                                                          : NULL;
}

struct pyspan pytext_upper(struct scratch *a, struct pyspan s)
{
    uint32_t *cp = scratch_array(a, s.n + 1, 3 * sizeof *cp);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        uint32_t c = s.cp[i];
        const struct special_upper *special = c < 0x80 ? NULL : find_special_upper(c);
        for (size_t k = 0; special && k < 3 && special->to[k]; k++) {
            cp[n++] = special->to[k];
        }
        if (!special) {
            cp[n++] = c < 0x80 ? (c >= 'a' && c <= 'z' ? c - 32 : c)
                               : (uint32_t)utf8proc_toupper((utf8proc_int32_t)c);
        }
    }
    return (struct pyspan){cp, n};
}
