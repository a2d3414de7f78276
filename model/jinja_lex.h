// jinja_lex.h: a template's source as tokens, one at a time.
//
// Outside of tags the source is text, cut as trim_blocks, lstrip_blocks and the signs "-" and "+"
// say; comments vanish and raw blocks are text. Inside tags there are names, constants and
// operators. Failures leave through jinja_fail with the line.
#ifndef CARAVAN_MODEL_JINJA_LEX_H
#define CARAVAN_MODEL_JINJA_LEX_H

#include "model/jinja_ast.h"

enum jinja_token_kind {
    JINJA_T_END,
    JINJA_T_DATA,         // value: the text
    JINJA_T_PRINT,        // {{
    JINJA_T_PRINT_END,    // }}
    JINJA_T_BLOCK,        // {%
    JINJA_T_BLOCK_END,    // %}
    JINJA_T_NAME,         // value: the name as a text
    JINJA_T_CONSTANT,     // value: text, int or float
    JINJA_T_OPERATOR,     // op: one character, or two in JINJA_OP2
};

struct jinja_token {
    enum jinja_token_kind kind;
    int line;
    int op;
    struct jinja_value value;
};

enum { JINJA_MAX_OPEN = 256 };    // brackets

struct jinja_lexer {
    struct jinja_work *w;
    const char *p, *end;
    int line;
    enum jinja_token_kind within;    // DATA outside of tags, PRINT or BLOCK
    bool line_start;                 // the text at p begins a line
    struct jinja_token queue[2];     // what follows a text that was cut off
    int n_queue;
    char open[JINJA_MAX_OPEN];
    int n_open;
};

// Newlines become "\n", and one at the end of the source is dropped.
void jinja_lex_init(struct jinja_lexer *x, struct jinja_work *w, const char *source, size_t len);
void jinja_lex(struct jinja_lexer *x, struct jinja_token *out);
const char *jinja_token_name(const struct jinja_token *t, char out[64]);    // for messages

#endif
