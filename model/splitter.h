// splitter.h: the published split patterns, written out: what the regex would match, an order of
// magnitude sooner.
//
// A pattern is recognised by its text. Each of these matches at every position, so the matches
// tile the text and nothing lies between them. tests/model/splitter_test.c holds them against PCRE2
// on random text.
//
// Linear in the length of the text, whatever it is. Pure functions, any thread.
#ifndef CARAVAN_MODEL_SPLITTER_H
#define CARAVAN_MODEL_SPLITTER_H

#include <stddef.h>
#include <stdint.h>

// The end of the match that starts at p[i]; p is n bytes of well-formed UTF-8 and i < n lies
// between two characters. Always > i.
typedef size_t splitter_fn(const uint8_t *p, size_t n, size_t i);

// NULL: not one of ours; a regex engine has to do it.
splitter_fn *splitter_find(const char *pattern);

#endif
