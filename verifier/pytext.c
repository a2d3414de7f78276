// pytext.c: looking at text and making new text; characters are pychar.c's.
//
// Decoding replaces each maximal ill-formed part by U+FFFD, the rule of Unicode 3.9 ("best
// practice") that CPython follows. Everything here takes linear time, since texts are hostile.
#include "verifier/pytext.h"

#include <string.h>
#include <utf8proc.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

// ---- looking ----

struct pyspan pyspan_slice(struct pyspan s, size_t from, size_t to)
{
    to = MIN(to, s.n);
    from = MIN(from, to);
    return (struct pyspan){s.cp ? s.cp + from : NULL, to - from};
}

struct pyspan pyspan_lstrip_class(struct pyspan s, pyspan_class *in)
{
    size_t from = 0;
    while (from < s.n && in(s.cp[from])) {
        from++;
    }
    return pyspan_slice(s, from, s.n);
}

struct pyspan pyspan_rstrip_class(struct pyspan s, pyspan_class *in)
{
    size_t to = s.n;
    while (to > 0 && in(s.cp[to - 1])) {
        to--;
    }
    return pyspan_slice(s, 0, to);
}

struct pyspan pyspan_strip_class(struct pyspan s, pyspan_class *in)
{
    return pyspan_lstrip_class(pyspan_rstrip_class(s, in), in);
}

struct pyspan pyspan_strip(struct pyspan s)
{
    return pyspan_strip_class(s, py_isspace);
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
    return pyspan_lstrip_class(s, py_isspace).n == 0;
}

bool pyspan_isupper(struct pyspan s)
{
    bool cased = false;
    for (size_t i = 0; i < s.n; i++) {
        if (py_islower(s.cp[i]) || py_istitle(s.cp[i])) {
            return false;
        }
        cased = cased || py_isupper(s.cp[i]);
    }
    return cased;
}

bool pyspan_islower(struct pyspan s)
{
    bool cased = false;
    for (size_t i = 0; i < s.n; i++) {
        if (py_isupper(s.cp[i]) || py_istitle(s.cp[i])) {
            return false;
        }
        cased = cased || py_islower(s.cp[i]);
    }
    return cased;
}

bool pyspan_equal(struct pyspan a, struct pyspan b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.cp, b.cp, a.n * sizeof *a.cp) == 0);
}

int pyspan_compare(struct pyspan a, struct pyspan b)
{
    for (size_t i = 0; i < MIN(a.n, b.n); i++) {
        if (a.cp[i] != b.cp[i]) {
            return a.cp[i] < b.cp[i] ? -1 : 1;
        }
    }
    return (a.n > b.n) - (a.n < b.n);
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

// A needle like "aaa…b" would cost needle times text; so long needles go through the two-way search
// of memmem, whose hits count when they lie on a code point's boundary.
static size_t search_long(struct pyspan s, struct pyspan part, size_t from)
{
    const char *base = (const char *)s.cp;
    size_t at = from * sizeof *s.cp, end = s.n * sizeof *s.cp;
    while (at < end) {
        const char *hit = memmem(base + at, end - at, part.cp, part.n * sizeof *part.cp);
        if (!hit) {
            break;
        }
        size_t offset = (size_t)(hit - base);
        if (offset % sizeof *s.cp == 0) {
            return offset / sizeof *s.cp;
        }
        at = offset + 1;
    }
    return PYSPAN_NONE;
}

size_t pyspan_search(struct pyspan s, struct pyspan part, size_t from)
{
    if (from > s.n || part.n > s.n - from) {
        return PYSPAN_NONE;
    }
    if (part.n == 0) {
        return from;
    }
    if (part.n > 32) {
        return search_long(s, part, from);
    }
    size_t last = s.n - part.n;
    for (size_t i = pyspan_find(s, part.cp[0], from); i <= last;
         i = pyspan_find(s, part.cp[0], i + 1)) {
        if (memcmp(s.cp + i, part.cp, part.n * sizeof *part.cp) == 0) {
            return i;
        }
    }
    return PYSPAN_NONE;
}

size_t pyspan_count(struct pyspan s, struct pyspan part)
{
    size_t n = 0;
    for (size_t at = pyspan_search(s, part, 0); at != PYSPAN_NONE;
         at = pyspan_search(s, part, at + part.n)) {
        n++;
    }
    return n;
}

uint64_t pyspan_hash(struct pyspan s)
{
    return XXH3_64bits(s.cp, s.n * sizeof *s.cp);
}

bool pyspan_starts_with(struct pyspan s, const char *ascii)
{
    size_t n = strlen(ascii);
    if (s.n < n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (s.cp[i] != (uint8_t)ascii[i]) {
            return false;
        }
    }
    return true;
}

bool pyspan_ends_with(struct pyspan s, const char *ascii)
{
    size_t n = strlen(ascii);
    return s.n >= n && pyspan_starts_with(pyspan_slice(s, s.n - n, s.n), ascii);
}

bool pyspan_is(struct pyspan s, const char *ascii)
{
    return s.n == strlen(ascii) && pyspan_starts_with(s, ascii);
}

size_t pyspan_search_for(struct pyspan s, const char *ascii, size_t from)
{
    uint32_t part[64];
    size_t n = strlen(ascii);
    CHECK(n <= ARRAY_LEN(part));
    for (size_t i = 0; i < n; i++) {
        part[i] = (uint8_t)ascii[i];
    }
    return pyspan_search(s, (struct pyspan){part, n}, from);
}

// ---- making ----

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

struct pyspan pytext_decode(struct scratch *a, const char *utf8, size_t len)
{
    uint32_t *cp = scratch_array(a, len + 1, sizeof *cp);
    const uint8_t *s = (const uint8_t *)utf8;
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        if (s[i] < 0x80) {
            cp[n++] = s[i++];
        } else {
            i += decode_one(s + i, len - i, &cp[n++]);
        }
    }
    return (struct pyspan){cp, n};
}

struct pyspan pytext_literal(struct scratch *a, const char *utf8)
{
    return pytext_decode(a, utf8, strlen(utf8));
}

char *pytext_encode(struct scratch *a, struct pyspan s, size_t *len)
{
    uint8_t *out = scratch_array(a, s.n + 1, 4);
    size_t at = 0;
    for (size_t i = 0; i < s.n; i++) {
        at += (size_t)utf8proc_encode_char((utf8proc_int32_t)s.cp[i], out + at);
    }
    out[at] = 0;
    if (len) {
        *len = at;
    }
    return (char *)out;
}

struct pyspan pytext_without(struct scratch *a, struct pyspan s, uint32_t drop)
{
    uint32_t *cp = scratch_array(a, s.n + 1, sizeof *cp);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.cp[i] != drop) {
            cp[n++] = s.cp[i];
        }
    }
    return (struct pyspan){cp, n};
}

struct pyspan pytext_without_class(struct scratch *a, struct pyspan s, pyspan_class *drop)
{
    uint32_t *cp = scratch_array(a, s.n + 1, sizeof *cp);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (!drop(s.cp[i])) {
            cp[n++] = s.cp[i];
        }
    }
    return (struct pyspan){cp, n};
}

struct pyspan pytext_replace(struct scratch *a, struct pyspan s, struct pyspan from,
                             struct pyspan to)
{
    return pytext_join(a, pytext_split_at(a, s, from), to);
}

struct pyspan pytext_concat(struct scratch *a, struct pyspan x, struct pyspan y)
{
    struct pyspan both[] = {x, y};
    return pytext_join(a, (struct pylist){both, 2}, (struct pyspan){0});
}

struct pyspan pytext_reversed(struct scratch *a, struct pyspan s)
{
    uint32_t *cp = scratch_array(a, s.n + 1, sizeof *cp);
    for (size_t i = 0; i < s.n; i++) {
        cp[i] = s.cp[s.n - 1 - i];
    }
    return (struct pyspan){cp, s.n};
}

// Only the ASCII part of a decomposition survives, so the order of marks does not matter.
struct pyspan pytext_ascii_folded(struct scratch *a, struct pyspan s)
{
    uint32_t *cp = NULL;
    size_t n = 0, cap = 0;
    for (size_t i = 0; i < s.n; i++) {
        utf8proc_int32_t parts[32];
        utf8proc_ssize_t k = 1;
        parts[0] = (utf8proc_int32_t)s.cp[i];
        if (s.cp[i] >= 0x80) {
            int boundary = 0;
            k = utf8proc_decompose_char(parts[0], parts, ARRAY_LEN(parts),
                                        UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, &boundary);
        }
        for (utf8proc_ssize_t j = 0; j < MIN(k, (utf8proc_ssize_t)ARRAY_LEN(parts)); j++) {
            if (parts[j] < 0x80) {
                cp = scratch_grow(a, cp, n, n + 1, &cap, sizeof *cp);
                cp[n++] = (uint32_t)parts[j];
            }
        }
    }
    return (struct pyspan){cp, n};
}

void pylist_add(struct pylist_builder *b, struct pyspan s)
{
    b->list.v = scratch_grow(b->scratch, b->list.v, b->list.n, b->list.n + 1, &b->cap, sizeof s);
    b->list.v[b->list.n++] = s;
}

// The maximal runs of characters that are in the class, or (when `in` is false) outside it.
static struct pylist runs(struct scratch *a, struct pyspan s, pyspan_class *class, bool in)
{
    struct pylist_builder b = {.scratch = a};
    for (size_t i = 0; i < s.n;) {
        size_t from = i;
        while (i < s.n && class(s.cp[i]) == in) {
            i++;
        }
        if (i > from) {
            pylist_add(&b, pyspan_slice(s, from, i));
        } else {
            i++;
        }
    }
    return b.list;
}

struct pylist pytext_split(struct scratch *a, struct pyspan s)
{
    return runs(a, s, py_isspace, false);
}

struct pylist pytext_words(struct scratch *a, struct pyspan s)
{
    return runs(a, s, py_isword, true);
}

struct pylist pytext_split_at(struct scratch *a, struct pyspan s, struct pyspan separator)
{
    CHECK(separator.n > 0);
    struct pylist_builder b = {.scratch = a};
    size_t from = 0;
    for (size_t at; (at = pyspan_search(s, separator, from)) != PYSPAN_NONE;
         from = at + separator.n) {
        pylist_add(&b, pyspan_slice(s, from, at));
    }
    pylist_add(&b, pyspan_slice(s, from, s.n));
    return b.list;
}

struct pylist pytext_split_by(struct scratch *a, struct pyspan s, const char *ascii)
{
    return pytext_split_at(a, s, pytext_literal(a, ascii));
}

static bool ends_line(uint32_t c)
{
    return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
}

struct pylist pytext_splitlines(struct scratch *a, struct pyspan s)
{
    struct pylist_builder b = {.scratch = a};
    for (size_t i = 0; i < s.n;) {
        size_t from = i;
        while (i < s.n && !ends_line(s.cp[i])) {
            i++;
        }
        pylist_add(&b, pyspan_slice(s, from, i));
        i += i + 1 < s.n && s.cp[i] == '\r' && s.cp[i + 1] == '\n' ? 2 : 1;
    }
    return b.list;
}

struct pyspan pytext_join(struct scratch *a, struct pylist list, struct pyspan separator)
{
    size_t n = list.n > 0 ? (list.n - 1) * separator.n : 0;
    for (size_t i = 0; i < list.n; i++) {
        n += list.v[i].n;
    }
    uint32_t *cp = scratch_array(a, n + 1, sizeof *cp), *at = cp;
    for (size_t i = 0; i < list.n; i++) {
        const struct pyspan parts[] = {i > 0 ? separator : (struct pyspan){0}, list.v[i]};
        for (size_t k = 0; k < ARRAY_LEN(parts); k++) {
            if (parts[k].n > 0) {
                memcpy(at, parts[k].cp, parts[k].n * sizeof *at);
                at += parts[k].n;
            }
        }
    }
    return (struct pyspan){cp, n};
}
