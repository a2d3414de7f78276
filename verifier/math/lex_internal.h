// lex_internal.h: what lex.c and number.c share.
#ifndef CARAVAN_VERIFIER_MATH_LEX_INTERNAL_H
#define CARAVAN_VERIFIER_MATH_LEX_INTERNAL_H

#include "verifier/math/lex.h"

#define COUNT_OF(table) (sizeof(table) / sizeof((table)[0]))

struct math_lexer {
    struct math_forest *f;
    struct pyspan t;
    size_t at;
    unsigned reading;
    struct math_tokens *out;
    uint32_t *match;    // of an opening brace: its closing one, or MATH_NONE
    bool *skip;         // closing braces that belong to a command and are no tokens
    char *digits;       // room for those of one number
    bool spaced;        // a space was seen since the last token
};

struct math_token *math_lex_add(struct math_lexer *l, enum math_token_kind kind, uint32_t op);
uint32_t math_lex_char(const struct math_lexer *l, size_t at);    // 0 behind the end
bool math_is_digit(uint32_t c);

// At a digit, or at a dot before one.
bool math_lex_number(struct math_lexer *l);
// A numeral with letters as digits before a base (A5_{16}): read and true, or untouched and false.
bool math_lex_hexadecimal(struct math_lexer *l);

#endif
