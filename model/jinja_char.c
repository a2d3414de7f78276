// jinja_char.c: characters of texts that may hold any bytes: decoding, classes, case.
//
// Python's str.isspace() is the class of blanks: it has U+001C..1F and U+0085 and lacks U+200B.

#include <string.h>
#include <utf8proc.h>

#include "model/jinja_text.h"
#include "model/utf8.h"

size_t jinja_char(const char *p, size_t n, uint32_t *cp)
{
    size_t bad, len = utf8_next((const uint8_t *)p, n, cp, &bad);
    if (len == 0) {
        *cp = JINJA_RAW + (uint8_t)*p;
        return 1;
    }
    return len;
}

size_t jinja_char_before(const char *text, size_t len, uint32_t *cp)
{
    for (size_t back = 2; back <= 4 && back <= len; back++) {
        if (((uint8_t)text[len - back + 1] & 0xc0) == 0x80 &&
            jinja_char(text + len - back, back, cp) == back) {
            return back;
        }
    }
    return jinja_char(text + len - 1, 1, cp);
}

size_t jinja_char_count(const char *p, size_t n)
{
    size_t count = 0;
    uint32_t cp;
    for (size_t i = 0; i < n; count++) {
        i += jinja_char(p + i, n - i, &cp);
    }
    return count;
}

bool jinja_is_space(uint32_t c)
{
    if (c < 0x80) {
        return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20);
    }
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

#define IN(category) (1u << UTF8PROC_CATEGORY_##category)

static bool in_categories(uint32_t c, unsigned set)
{
    return c < JINJA_RAW && ((1u << utf8proc_category((utf8proc_int32_t)c)) & set) != 0;
}

bool jinja_is_printable(uint32_t c)
{
    return c == ' ' || (c < JINJA_RAW && !in_categories(c, IN(CC) | IN(CF) | IN(CS) | IN(CO) |
                                                               IN(CN) | IN(ZL) | IN(ZP) | IN(ZS)));
}

bool jinja_is_upper(uint32_t c)
{
    return in_categories(c, IN(LU));
}

bool jinja_is_lower(uint32_t c)
{
    return in_categories(c, IN(LL));
}

bool jinja_is_cased(uint32_t c)
{
    return in_categories(c, IN(LU) | IN(LL) | IN(LT));
}

bool jinja_is_alpha(uint32_t c)
{
    return in_categories(c, IN(LU) | IN(LL) | IN(LT) | IN(LM) | IN(LO));
}

bool jinja_is_digit(uint32_t c)
{
    return in_categories(c, IN(ND));
}

bool jinja_is_numeric(uint32_t c)
{
    return in_categories(c, IN(ND) | IN(NL) | IN(NO));
}

// ---- case ----

#define SHARP_S 0xdfu

static void put_upper(struct jinja_out *out, uint32_t cp, bool first)
{
    if (cp == SHARP_S) {
        jinja_puts(out, first ? "Ss" : "SS");
    } else {
        jinja_put_char(out, (uint32_t)(first ? utf8proc_totitle((utf8proc_int32_t)cp)
                                             : utf8proc_toupper((utf8proc_int32_t)cp)));
    }
}

void jinja_put_case(struct jinja_out *out, struct jinja_text t, enum jinja_case how)
{
    bool inside = false;    // a word, or the text
    jinja_scan(out->w, t.len);
    for (size_t i = 0; i < t.len;) {
        uint32_t cp;
        size_t n = jinja_char(t.bytes + i, t.len - i, &cp);
        bool first = (how == JINJA_TITLE || how == JINJA_CAPITALIZE) && !inside;
        inside = how == JINJA_TITLE ? jinja_is_cased(cp) : true;
        if (cp >= JINJA_RAW) {
            jinja_put(out, t.bytes + i, n);
        } else if (first || how == JINJA_UPPER || (how == JINJA_SWAP && jinja_is_lower(cp))) {
            put_upper(out, cp, first);
        } else {
            jinja_put_char(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp));
        }
        i += n;
    }
}
