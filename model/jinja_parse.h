// jinja_parse.h: inside of the parser, shared by jinja_parse.c (statements) and
// jinja_parse_expr.c (expressions). Recursive descent with two tokens at hand.
#ifndef CARAVAN_MODEL_JINJA_PARSE_H
#define CARAVAN_MODEL_JINJA_PARSE_H

#include "model/jinja_ast.h"
#include "model/jinja_lex.h"

// The macro or call block that is being parsed, and those around it.
struct jinja_enclosing {
    struct jinja_macro_code *macro;
    struct jinja_enclosing *outer;
};

struct jinja_parser {
    struct jinja_work *w;
    struct jinja_lexer lexer;
    struct jinja_token now, next;
    struct jinja_enclosing *enclosing;
    int loops;    // that break and continue could mean
};

void jinja_advance(struct jinja_parser *p);
bool jinja_at_op(const struct jinja_parser *p, int op);
bool jinja_at_name(const struct jinja_parser *p, const char *name);
bool jinja_take_op(struct jinja_parser *p, int op);    // true: was there, and is passed
bool jinja_take_name(struct jinja_parser *p, const char *name);
void jinja_expect_op(struct jinja_parser *p, int op);
void jinja_expect(struct jinja_parser *p, enum jinja_token_kind kind);
const struct jinja_text *jinja_expect_name(struct jinja_parser *p);
_Noreturn void jinja_unexpected(struct jinja_parser *p, const char *expected);

// a if b else c, and what binds tighter; conditional = false: without that.
struct jinja_expr *jinja_parse_expr(struct jinja_parser *p, bool conditional);
// The same, or several with commas between, which are a tuple. stop: a name that ends it, or NULL.
struct jinja_expr *jinja_parse_tuple(struct jinja_parser *p, bool conditional, const char *stop);
// | filter | filter … over `of`. The first "|" has been passed.
struct jinja_expr *jinja_parse_filters(struct jinja_parser *p, struct jinja_expr *of);
struct jinja_expr *jinja_make_expr(struct jinja_parser *p, enum jinja_expr_kind kind,
                                   struct jinja_expr *a, struct jinja_expr *b);
void jinja_push_expr(struct jinja_parser *p, struct jinja_exprs *list, struct jinja_expr *e);

#endif
