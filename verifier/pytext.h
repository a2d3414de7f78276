// pytext.h: text as Python sees it: a row of Unicode code points with Python's character classes
// and str methods.
//
// The checks were first written in Python, and their verdicts depend on its character rules, so
// these rules live here once. Bytes become code points as bytes.decode("utf-8", "replace") does:
// malformed input costs U+FFFD, never an error.
//
// Three families of names: py_is* asks about a character, pyspan_* looks at text and never
// allocates, pytext_* makes new text in a scratch (scratch.h: never NULL). Results of pyspan_* and
// the pieces of a pylist point into their argument.
#ifndef CARAVAN_VERIFIER_PYTEXT_H
#define CARAVAN_VERIFIER_PYTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "verifier/scratch.h"

// A run of code points; cp may be NULL when n is 0.
struct pyspan {
    const uint32_t *cp;
    size_t n;
};

struct pylist {
    struct pyspan *v;
    size_t n;
};

#define PYSPAN_NONE SIZE_MAX    // "not found"

// ---- characters ----

bool py_isspace(uint32_t c);      // str.isspace: the 29 characters that strip() and \s know
bool py_isword(uint32_t c);       // regex \w: letters, numbers of every kind, underscore; not marks
bool py_isalnum(uint32_t c);      // str.isalnum: \w without the underscore
bool py_isalpha(uint32_t c);      // str.isalpha: category L*
bool py_isdecimal(uint32_t c);    // regex \d: decimal digits of any script
bool py_isupper(uint32_t c);      // derived property Uppercase
bool py_islower(uint32_t c);      // derived property Lowercase
bool py_istitle(uint32_t c);      // category Lt: Dž and its like
bool py_ispunct(uint32_t c);      // string.punctuation: the 32 ASCII characters
uint32_t py_tolower(uint32_t c);    // the simple, one-to-one mapping

// ---- looking ----

struct pyspan pyspan_slice(struct pyspan s, size_t from, size_t to);    // s[from:to], clamped
typedef bool pyspan_class(uint32_t c);
struct pyspan pyspan_strip(struct pyspan s);                     // s.strip()
struct pyspan pyspan_strip_char(struct pyspan s, uint32_t c);    // s.strip(c)
struct pyspan pyspan_strip_class(struct pyspan s, pyspan_class *in);
struct pyspan pyspan_lstrip_class(struct pyspan s, pyspan_class *in);
struct pyspan pyspan_rstrip_class(struct pyspan s, pyspan_class *in);
bool pyspan_blank(struct pyspan s);      // not s.strip()
bool pyspan_isupper(struct pyspan s);    // s.isupper(): a cased character, and none of other case
bool pyspan_islower(struct pyspan s);
bool pyspan_equal(struct pyspan a, struct pyspan b);
int pyspan_compare(struct pyspan a, struct pyspan b);            // by code point; < 0, 0, > 0
bool pyspan_starts(struct pyspan s, struct pyspan prefix);       // s.startswith(prefix)
bool pyspan_ends(struct pyspan s, struct pyspan suffix);         // s.endswith(suffix)
size_t pyspan_find(struct pyspan s, uint32_t c, size_t from);    // first index >= from, or s.n
// s.find(part, from): PYSPAN_NONE when absent; from > s.n finds nothing. Linear time.
size_t pyspan_search(struct pyspan s, struct pyspan part, size_t from);
size_t pyspan_count(struct pyspan s, struct pyspan part);    // s.count(part); part not empty
uint64_t pyspan_hash(struct pyspan s);
// The same with an ASCII literal.
bool pyspan_is(struct pyspan s, const char *ascii);
bool pyspan_starts_with(struct pyspan s, const char *ascii);
bool pyspan_ends_with(struct pyspan s, const char *ascii);
size_t pyspan_search_for(struct pyspan s, const char *ascii, size_t from);

// ---- making ----

struct pyspan pytext_decode(struct scratch *a, const char *utf8, size_t len);
struct pyspan pytext_literal(struct scratch *a, const char *utf8);    // a C string
// UTF-8, NUL-terminated; *len (may be NULL) without the NUL.
char *pytext_encode(struct scratch *a, struct pyspan s, size_t *len);
// str.lower(): full mapping with length changes (U+0130) and the word-final sigma.
struct pyspan pytext_lower(struct scratch *a, struct pyspan s);
// str.upper(): full mapping with length changes (sharp s, ligatures, …).
struct pyspan pytext_upper(struct scratch *a, struct pyspan s);
struct pyspan pytext_without(struct scratch *a, struct pyspan s, uint32_t drop);
struct pyspan pytext_without_class(struct scratch *a, struct pyspan s, pyspan_class *drop);
struct pyspan pytext_replace(struct scratch *a, struct pyspan s, struct pyspan from,
                             struct pyspan to);    // s.replace(from, to); from not empty
struct pyspan pytext_concat(struct scratch *a, struct pyspan x, struct pyspan y);
struct pyspan pytext_reversed(struct scratch *a, struct pyspan s);    // s[::-1]
// unicodedata.normalize("NFKD", s).encode("ascii", "ignore")
struct pyspan pytext_ascii_folded(struct scratch *a, struct pyspan s);

struct pylist pytext_split(struct scratch *a, struct pyspan s);    // s.split(): runs between blanks
struct pylist pytext_split_at(struct scratch *a, struct pyspan s, struct pyspan separator);
struct pylist pytext_split_by(struct scratch *a, struct pyspan s, const char *ascii);
struct pylist pytext_splitlines(struct scratch *a, struct pyspan s);
struct pylist pytext_words(struct scratch *a, struct pyspan s);    // re.findall(r"\w+", s)
struct pyspan pytext_join(struct scratch *a, struct pylist list, struct pyspan separator);

// A list under construction.
struct pylist_builder {
    struct scratch *scratch;
    struct pylist list;
    size_t cap;
};
void pylist_add(struct pylist_builder *b, struct pyspan s);

#endif
