// charclass.h: the four kinds of characters that the published splits of text know.
//
// Letters are Unicode L*, numbers N*, white space is White_Space: what \p{L}, \p{N} and \s mean to
// the tokenisers that wrote their patterns with them. Everything else, marks included, is other.
// Pure functions, any thread.
#ifndef CARAVAN_MODEL_CHARCLASS_H
#define CARAVAN_MODEL_CHARCLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum charclass { CHAR_OTHER, CHAR_LETTER, CHAR_NUMBER, CHAR_WHITE };

extern const uint8_t CHARCLASS_ASCII[128];

enum charclass charclass_of(uint32_t cp);
// Part of a word (\w): letters, marks, decimal and letter numbers, connecting punctuation, and the
// joiners.
bool charclass_is_word(uint32_t cp);

// The class of the character at p, the start of well-formed UTF-8, and its length.
enum charclass charclass_at_wide(const uint8_t *p, size_t n, size_t *len);
static inline enum charclass charclass_at(const uint8_t *p, size_t n, size_t *len)
{
    if (p[0] < 0x80) {
        *len = 1;
        return (enum charclass)CHARCLASS_ASCII[p[0]];
    }
    return charclass_at_wide(p, n, len);
}

#endif
