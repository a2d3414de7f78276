// lex.h: from the text of an answer to tokens: LaTeX, plain text and the Unicode signs in between.
//
// What only looks differs (spaces, sizes, fonts, dollars, \left and \right) is gone afterwards, and
// so is the choice of notation: ½, \frac12 and 1/2 differ only by the tokens they need. Numbers are
// values already.
//
// Some notations have two honest readings; the caller asks for one and learns which others there
// were, see enum math_reading.
#ifndef CARAVAN_VERIFIER_MATH_LEX_H
#define CARAVAN_VERIFIER_MATH_LEX_H

#include "verifier/math/tree.h"

#define MATH_TEXT_MAX 20000      // code points of an answer
#define MATH_DIGITS_MAX 10000    // of one number

// Bits: the second reading of a notation instead of its usual one.
enum math_reading {
    MATH_USUAL = 0,
    MATH_SPACED_GROUPS = 1,    // "1, 200": the number 1200, not the list 1 and 200
    MATH_SPLIT_GROUPS = 2,     // "(1,200)": the point, not the number
    MATH_EULER = 4,            // "2e-1": twice Euler's number less one, not 0.2
    MATH_LEFT_SLASH = 8,       // "1/2x": half of x, not the inverse of 2x
    MATH_READINGS = 16,
    MATH_NATURAL_LOG = 16    // the caller's choice, not the text's: \log without a base is \ln
};

enum math_token_kind {
    MATH_TOK_END,
    MATH_TOK_NUMBER,    // node; text: the digits, if it is a plain integer
    MATH_TOK_ATOM,      // node: a symbol or a constant
    MATH_TOK_WORDS,     // text
    MATH_TOK_FUNC,      // op: enum math_func
    MATH_TOK_SQRT,
    MATH_TOK_CBRT,
    MATH_TOK_FRAC,
    MATH_TOK_BINOM,
    MATH_TOK_CHOOSE,
    MATH_TOK_OPEN,    // op: enum math_fence
    MATH_TOK_CLOSE,
    MATH_TOK_BAR,    // | of either side
    MATH_TOK_PLUS,
    MATH_TOK_MINUS,
    MATH_TOK_PM,    // op 1: ∓
    MATH_TOK_TIMES,
    MATH_TOK_DIVIDE,
    MATH_TOK_POWER,
    MATH_TOK_SUBSCRIPT,
    MATH_TOK_FACTORIAL,
    MATH_TOK_PERCENT,
    MATH_TOK_DEGREE,
    MATH_TOK_DOLLAR,    // money
    MATH_TOK_COMMA,     // also ; and the words and, or; op 1: the word or
    MATH_TOK_COLON,
    MATH_TOK_RELATION,    // op: enum math_relation
    MATH_TOK_UNION,
    MATH_TOK_INTERSECTION,
    MATH_TOK_SETMINUS,
    MATH_TOK_BEGIN,     // \begin; op 1: a determinant
    MATH_TOK_FINISH,    // \end
    MATH_TOK_CELL,      // &
    MATH_TOK_ROW,       // double backslash
    MATH_TOK_SUM,       // op 1: a product
    MATH_TOK_NAMED,     // \angle and its like: takes the letters that follow into a name
    MATH_TOK_ELLIPSIS,
    MATH_TOK_DROPPED,     // layout: never leaves the lexer
    MATH_TOK_GROUP,       // \text and its like: their group is read in its place
    MATH_TOK_LETTER,      // a greek letter: never leaves the lexer
    MATH_TOK_CONSTANT,    // op: enum math_kind
    MATH_TOK_OVERLINE,
    MATH_TOK_MOD,
    MATH_TOK_FOREIGN,    // notation that is understood by nobody here
};

enum math_fence {
    MATH_BRACE,
    MATH_ROUND,
    MATH_SQUARE,
    MATH_CURLY,
    MATH_ANGLE,
    MATH_FLOORS,
    MATH_CEILS,
    MATH_BARS,
};

struct math_token {
    enum math_token_kind kind;
    uint32_t op;
    uint32_t node;
    struct pyspan text;
    bool spaced;    // a space stands before it
};

struct math_tokens {
    struct math_token *v;
    size_t n, cap;
    unsigned reading;     // the one that was asked for
    unsigned readings;    // the other readings that this text has
};

// false: the text is no mathematics (f->why is set when it is notation not known here, and not when
// it is plainly malformed).
bool math_lex(struct math_forest *f, struct pyspan text, unsigned reading, struct math_tokens *out);

// The words as they are compared: without spaces and dots at the ends, lower case, single spaces.
struct pyspan math_words(struct scratch *s, struct pyspan text);

#endif
