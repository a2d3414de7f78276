// charclass.c: a table for ASCII, where nearly all text is, and Unicode's own categories, as
// utf8proc has them, for the rest.

#include "model/charclass.h"

#include <utf8proc.h>

#include "common/err.h"
#include "model/utf8.h"

#define L CHAR_LETTER
#define N CHAR_NUMBER
#define W CHAR_WHITE

const uint8_t CHARCLASS_ASCII[128] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, W, W, W, W, W, 0, 0,    // 09..0D
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    //
    W, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    // 20
    N, N, N, N, N, N, N, N, N, N, 0, 0, 0, 0, 0, 0,    // 0..9
    0, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,    // A..O
    L, L, L, L, L, L, L, L, L, L, L, 0, 0, 0, 0, 0,    // P..Z
    0, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,    // a..o
    L, L, L, L, L, L, L, L, L, L, L, 0, 0, 0, 0, 0,    // p..z
};

#undef L
#undef N
#undef W

static bool is_white(uint32_t cp)
{
    return cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

enum charclass charclass_of(uint32_t cp)
{
    if (cp < 0x80) {
        return (enum charclass)CHARCLASS_ASCII[cp];
    }
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return CHAR_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return CHAR_NUMBER;
    default:
        return is_white(cp) ? CHAR_WHITE : CHAR_OTHER;
    }
}

bool charclass_is_word(uint32_t cp)
{
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:    // the joiners, and circled or squared letters, which are alphabetic symbols
        return cp == 0x200C || cp == 0x200D || (cp >= 0x24B6 && cp <= 0x24E9) ||
               (cp >= 0x1F130 && cp <= 0x1F149) || (cp >= 0x1F150 && cp <= 0x1F169) ||
               (cp >= 0x1F170 && cp <= 0x1F189);
    }
}

enum charclass charclass_at_wide(const uint8_t *p, size_t n, size_t *len)
{
    uint32_t cp = 0;
    size_t bad = 0;
    *len = utf8_next(p, n, &cp, &bad);
    CHECK(*len > 0);
    return charclass_of(cp);
}
