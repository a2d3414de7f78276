// bytelevel.c: the alphabet as two small computations instead of tables: which bytes are printable
// is one condition, and the rank of a byte among the others is a count that fits in three ranges:
//   00..20 -> U+0100..U+0120    7F..A0 -> U+0121..U+0142    AD -> U+0143
//
// Both directions follow from these two facts, so there is no table to get wrong.

#include "model/bytelevel.h"

#include "model/utf8.h"

static uint32_t letter_of(uint8_t b)
{
    if (b <= 0x20) {
        return 0x100u + b;
    }
    if (b >= 0x7F && b <= 0xA0) {
        return 0x121u + (b - 0x7Fu);
    }
    return b == 0xAD ? 0x143u : b;
}

static bool byte_of(uint32_t cp, uint8_t *b)
{
    if (cp >= 0x100 && cp <= 0x120) {
        *b = (uint8_t)(cp - 0x100);
    } else if (cp >= 0x121 && cp <= 0x142) {
        *b = (uint8_t)(cp - 0x121 + 0x7F);
    } else if (cp == 0x143) {
        *b = 0xAD;
    } else if (cp < 0x100 && letter_of((uint8_t)cp) == cp) {
        *b = (uint8_t)cp;
    } else {
        return false;
    }
    return true;
}

bool bytelevel_decode(const char *text, size_t len, uint8_t *out, size_t *n)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t count = 0;
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        size_t bad, step = utf8_next(p + i, len - i, &cp, &bad);
        if (step == 0 || !byte_of(cp, &out[count])) {
            return false;
        }
        count++;
        i += step;
    }
    *n = count;
    return true;
}

size_t bytelevel_encode(const uint8_t *bytes, size_t n, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t cp = letter_of(bytes[i]);
        if (cp < 0x80) {
            out[len++] = (char)cp;
        } else {
            out[len++] = (char)(0xC0u | cp >> 6);
            out[len++] = (char)(0x80u | (cp & 0x3Fu));
        }
    }
    return len;
}
