// parse.h: from tokens to an expression.
#ifndef CARAVAN_VERIFIER_MATH_PARSE_H
#define CARAVAN_VERIFIER_MATH_PARSE_H

#include "verifier/math/lex.h"

// The whole row of tokens as one expression, or MATH_NONE: f->why is then set if the notation is
// not understood here, and NULL if the text is malformed.
uint32_t math_parse(struct math_forest *f, struct math_tokens *tokens);

#endif
