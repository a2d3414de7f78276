// utf8.c: the second byte decides everything: overlong forms, surrogates and code points past
// U+10FFFF are all excluded by narrowing its range, so the remaining bytes are plain 80..BF.
// A malformed sequence ends before the first byte that could not continue it, and that
// part, however long, is one replacement character: the practice that Unicode recommends and
// that Rust's and Python's decoders follow.

#include "model/utf8.h"

#include <stdbool.h>
#include <string.h>

struct lead {
    size_t len;        // bytes of the whole sequence
    uint8_t lo, hi;    // range of the second byte
};

static struct lead lead_of(uint8_t b)
{
    if (b >= 0xC2 && b <= 0xDF) {
        return (struct lead){2, 0x80, 0xBF};
    }
    if (b >= 0xE0 && b <= 0xEF) {
        return (struct lead){3, b == 0xE0 ? 0xA0 : 0x80, b == 0xED ? 0x9F : 0xBF};
    }
    if (b >= 0xF0 && b <= 0xF4) {
        return (struct lead){4, b == 0xF0 ? 0x90 : 0x80, b == 0xF4 ? 0x8F : 0xBF};
    }
    return (struct lead){0, 0, 0};
}

size_t utf8_next(const uint8_t *p, size_t n, uint32_t *cp, size_t *bad)
{
    if (p[0] < 0x80) {
        *cp = p[0];
        return 1;
    }
    struct lead lead = lead_of(p[0]);
    *bad = 1;
    if (lead.len == 0) {
        return 0;
    }
    uint32_t value = p[0] & (0x7Fu >> lead.len);
    for (size_t i = 1; i < lead.len; i++) {
        uint8_t lo = i == 1 ? lead.lo : 0x80, hi = i == 1 ? lead.hi : 0xBF;
        if (i >= n || p[i] < lo || p[i] > hi) {
            *bad = i;
            return 0;
        }
        value = value << 6 | (p[i] & 0x3Fu);
    }
    *cp = value;
    return lead.len;
}

bool utf8_is_cut(const uint8_t *p, size_t n)
{
    uint32_t cp;
    size_t bad;
    return lead_of(p[0]).len > n && utf8_next(p, n, &cp, &bad) == 0 && bad == n;
}

size_t utf8_valid_prefix(const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        if (p[i] < 0x80) {
            i++;
            continue;
        }
        uint32_t cp;
        size_t bad, len = utf8_next(p + i, n - i, &cp, &bad);
        if (len == 0) {
            break;
        }
        i += len;
    }
    return i;
}

void utf8_clean(char *out, size_t cap, const char *text, size_t len)
{
    size_t n = 0;
    for (size_t at = 0; at < len;) {
        uint32_t cp = 0;
        size_t bad = 1, good = utf8_next((const uint8_t *)text + at, len - at, &cp, &bad);
        bool control = cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x2028 || cp == 0x2029;
        bool shown = good && !control;
        size_t width = shown ? good : 1;
        if (n + width >= cap) {
            break;
        }
        if (shown) {
            memcpy(out + n, text + at, good);
        } else {
            out[n] = '?';
        }
        n += width;
        at += good ? good : bad;
    }
    out[n] = '\0';
}
