// wordhash.h: a text as the 64-bit hashes of its words: what overlap between texts is counted in.
//
// A word is a run of letters, marks and digits (Unicode L*, M*, N*) in compatibility decomposition
// (NFKD) and case folded: "Don't" is don, t; "x²" is x2; "CAFÉ" and "café" are one word, however the
// accent is written. Han, Hiragana and Katakana are written without blanks: there each character is
// a word. Characters that show nothing (soft hyphen, zero-width joiners) are passed over, all
// others divide. A word of more than WORDHASH_WORD_MAX code points is cut into several.
//
// Malformed UTF-8 divides words. Memory: 8 bytes a word, kept until wordhash_fini. One thread.
#ifndef CARAVAN_CLI_WORDHASH_H
#define CARAVAN_CLI_WORDHASH_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { WORDHASH_WORD_MAX = 256 };

// The words of one or several texts.
struct wordhash {
    uint64_t *v;        // hashes, never 0; a 0 stands at the end of each text
    size_t len, cap;    // of v
    size_t n_words;     // of them are words
};

// Appends the words of one text. ERR_NOMEM leaves what was there.
MUST_CHECK enum err wordhash_add(struct wordhash *w, const char *text, size_t len);
void wordhash_clear(struct wordhash *w);
void wordhash_fini(struct wordhash *w);    // zeroed struct is fine

#endif
