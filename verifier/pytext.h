// pytext.h: text as Python sees it: a row of Unicode code points with Python's whitespace, \w, \d
// and lower().
//
// The checks were first written in Python, and their verdicts depend on its character rules, so
// these rules live here once. Bytes become code points as bytes.decode("utf-8", "replace") does:
// malformed input costs U+FFFD, never an error.
#ifndef CARAVAN_VERIFIER_PYTEXT_H
#define CARAVAN_VERIFIER_PYTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

// A borrowed run of code points; cp may be NULL when n is 0.
struct pyspan {
    const uint32_t *cp;
    size_t n;
};

// An owned run of code points. A zeroed struct is empty.
struct pytext {
    uint32_t *cp;
    size_t n;
};

// Decodes len bytes. ERR_NOMEM is the only failure. The caller owns *out (pytext_fini).
MUST_CHECK enum err pytext_decode(const char *utf8, size_t len, struct pytext *out);
// str.lower(): full mapping with length changes (U+0130) and the word-final sigma.
MUST_CHECK enum err pytext_lower(struct pyspan s, struct pytext *out);
// A copy without any `drop`: str.replace(drop, "").
MUST_CHECK enum err pytext_without(struct pyspan s, uint32_t drop, struct pytext *out);
void pytext_fini(struct pytext *t);
struct pyspan pytext_span(const struct pytext *t);

// UTF-8 of a span (free()); *len without the NUL that follows. NULL when out of memory.
char *pyspan_encode(struct pyspan s, size_t *len);

bool py_isspace(uint32_t c);    // str.isspace: the 29 characters that strip() and \s know
bool py_isword(uint32_t c);     // regex \w: letters, numbers of every kind, underscore; not marks
bool py_isdigit(uint32_t c);    // regex \d: decimal digits of any script

// Python's s[from:to], bounds clamped.
struct pyspan pyspan_slice(struct pyspan s, size_t from, size_t to);
struct pyspan pyspan_strip(struct pyspan s);                     // s.strip()
struct pyspan pyspan_strip_char(struct pyspan s, uint32_t c);    // s.strip(c)
bool pyspan_blank(struct pyspan s);                              // not s.strip()
bool pyspan_equal(struct pyspan a, struct pyspan b);
bool pyspan_starts(struct pyspan s, struct pyspan prefix);       // s.startswith(prefix)
bool pyspan_ends(struct pyspan s, struct pyspan suffix);         // s.endswith(suffix)
size_t pyspan_find(struct pyspan s, uint32_t c, size_t from);    // first index >= from, or s.n

#endif
