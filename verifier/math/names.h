// names.h: the vocabulary: LaTeX commands, words, signs and units.
//
// Tables only, of the project's own making. Looking up what is not there returns NULL.
#ifndef CARAVAN_VERIFIER_MATH_NAMES_H
#define CARAVAN_VERIFIER_MATH_NAMES_H

#include "verifier/math/lex.h"

struct math_name {
    const char *name;
    enum math_token_kind kind;
    uint32_t op;
};

const struct math_name *math_name_command(struct pyspan name);    // without the backslash
const struct math_name *math_name_word(struct pyspan word);    // sqrt, sin, pi, infinity, and …
const struct math_name *math_name_sign(uint32_t c);            // ASCII and Unicode signs
const char *math_name_greek(uint32_t c);                       // a letter's command, or NULL
// The value of ½ and its like.
bool math_name_vulgar(uint32_t c, long *num, long *den);
// The digit of a superscript character (⁻ is 10), or -1.
int math_name_superscript(uint32_t c);

// A unit: what it measures and how many of the base unit it is.
struct math_unit {
    const char *name;
    const char *quantity;
    long num, den;
};
const struct math_unit *math_name_unit(struct pyspan words);    // lower-case words

#endif
