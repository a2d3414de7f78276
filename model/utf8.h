// utf8.h: well-formedness of UTF-8, one sequence at a time (Unicode 15, table 3-7: no overlong
// forms, no surrogates, at most U+10FFFF).
//
// This is the one decoder of the project's own text handling in model/: the tokenizer splits with
// it, and replacement characters are counted by its rule, one for each maximal malformed part. Pure
// functions over bytes, any thread.
#ifndef CARAVAN_MODEL_UTF8_H
#define CARAVAN_MODEL_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Looks at the first sequence of p (n >= 1 bytes). Well-formed: its length 1..4, and *cp is the
// code point. Malformed: 0, and *bad is the length (1..3) of the maximal part that one U+FFFD
// stands for.
size_t utf8_next(const uint8_t *p, size_t n, uint32_t *cp, size_t *bad);
// Are the n >= 1 bytes the beginning of a sequence that more bytes could complete?
bool utf8_is_cut(const uint8_t *p, size_t n);
// Bytes of the longest well-formed prefix of p.
size_t utf8_valid_prefix(const uint8_t *p, size_t n);
// For showing text from outside: copies at most cap - 1 bytes (cap >= 1) and a NUL, never cutting a
// character; controls, line separators and malformed parts become '?'.
void utf8_clean(char *out, size_t cap, const char *text, size_t len);

#endif
