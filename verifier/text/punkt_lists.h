// punkt_lists.h: English word lists for the sentence splitter, made for this project from general
// knowledge of written English. Sorted, lower-case ASCII; constant data.
#ifndef CARAVAN_VERIFIER_TEXT_PUNKT_LISTS_H
#define CARAVAN_VERIFIER_TEXT_PUNKT_LISTS_H

#include <stdbool.h>
#include <stddef.h>

// Words that end in a dot without ending a sentence, dot left out: titles, months, states, units.
bool punkt_is_abbreviation(const char *word, size_t len);
// Words that often begin a sentence behind an abbreviation.
bool punkt_is_starter(const char *word, size_t len);
// Words of everyday use, which stand in lower case unless they begin a sentence.
bool punkt_is_common(const char *word, size_t len);
#endif
