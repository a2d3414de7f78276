// tree.h: mathematical expressions as nodes of one forest.
//
// Both answers of a comparison, and everything derived from them, live in one forest. A node is
// made once (equal nodes have equal indices) and its children have lower indices than itself, so
// every walk over an expression is a loop over indices: nothing here or above recurses, however
// deep the text was. Making a node never fails: over the limit the forest is marked `broken`, the
// index is that of some valid node, and the comparison ends undecided.
//
// Memory: the scratch; the numbers are FLINT's and are cleared by math_forest_fini, which also
// runs when the scratch is reset. One thread.
#ifndef CARAVAN_VERIFIER_MATH_TREE_H
#define CARAVAN_VERIFIER_MATH_TREE_H

#include <flint/fmpq.h>

#include "verifier/pytext.h"

#define MATH_NODES_MAX 20000    // of a forest
#define MATH_NONE UINT32_MAX

enum math_kind {
    // scalars
    MATH_NUMBER,
    MATH_SYMBOL,
    MATH_PI,
    MATH_E,
    MATH_I,
    MATH_INFINITY,    // the positive one
    MATH_ADD,
    MATH_SUB,
    MATH_MUL,
    MATH_DIV,
    MATH_NEG,
    MATH_POW,
    MATH_ROOT,    // radicand, index
    MATH_FUNC,    // op: enum math_func; arguments
    MATH_CALL,    // op: the letter; an unknown function of its arguments
    MATH_PM,      // a ± b; op 1: ∓; with one child: ±a
    MATH_PERCENT,
    MATH_DEGREE,
    MATH_UNIT,     // child; text; id: its exponent, 0 if not a digit
    MATH_BASED,    // text: digits; id: the base
    MATH_RATIO,    // a : b : c …
    MATH_ABOUT,    // a decimal that goes on (3.14…): the number, and one in its last place
    // structures
    MATH_FIRST_STRUCTURE,
    MATH_TEXT = MATH_FIRST_STRUCTURE,    // words
    MATH_LIST,                           // a, b, c
    MATH_SET,
    MATH_BRACKET,     // (a,b] and the like: op holds MATH_LEFT_CLOSED, MATH_RIGHT_CLOSED
    MATH_ANGLED,      // ⟨a, b⟩
    MATH_MATRIX,      // id: columns; row by row
    MATH_RELATION,    // a op b
    MATH_UNION,
    MATH_INTERSECTION,
    MATH_DIFFERENCE,    // of sets
    MATH_EMPTY,
    MATH_REALS,
    MATH_KINDS
};

enum { MATH_LEFT_CLOSED = 1, MATH_RIGHT_CLOSED = 2 };

enum math_relation { MATH_EQ, MATH_NE, MATH_LT, MATH_LE, MATH_GT, MATH_GE, MATH_IN, MATH_ALL };

enum math_func {
    MATH_SIN,
    MATH_COS,
    MATH_TAN,
    MATH_COT,
    MATH_SEC,
    MATH_CSC,
    MATH_ASIN,
    MATH_ACOS,
    MATH_ATAN,
    MATH_SINH,
    MATH_COSH,
    MATH_TANH,
    MATH_LN,
    MATH_LOG,    // argument, base
    MATH_EXP,
    MATH_ABS,
    MATH_FLOOR,
    MATH_CEIL,
    MATH_FACTORIAL,
    MATH_BINOMIAL,
    MATH_GCD,
    MATH_LCM,
    MATH_MAX,
    MATH_MIN,
    MATH_FUNCS
};

struct math_node {
    enum math_kind kind;
    uint32_t op, id;
    uint32_t n;    // children
    const uint32_t *arg;
    struct pyspan text;
    fmpq number;    // MATH_NUMBER: canonical; an fmpq_t of one
};

struct math_forest {
    struct scratch *scratch;
    struct math_node *node;
    size_t n, cap;
    uint32_t *table;    // open addressing, index + 1
    size_t slots;
    struct pylist symbols;    // names by id
    size_t cap_symbols;
    long steps;         // work left; each costly operation takes its share
    bool broken;        // a limit was met: no verdict
    const char *why;    // the first reason for being unable to decide, or NULL
};

struct math_forest *math_forest_create(struct scratch *s);
void math_forest_fini(struct math_forest *f);    // twice is fine

// Notes why nothing can be decided (the first reason stays), and takes work; false when none is
// left.
void math_note(struct math_forest *f, const char *why);
bool math_spend(struct math_forest *f, long steps);

uint32_t math_make(struct math_forest *f, enum math_kind kind, uint32_t op, uint32_t n,
                   const uint32_t *arg);
uint32_t math_unary(struct math_forest *f, enum math_kind kind, uint32_t a);
uint32_t math_binary(struct math_forest *f, enum math_kind kind, uint32_t a, uint32_t b);
uint32_t math_func(struct math_forest *f, enum math_func fn, uint32_t a);
uint32_t math_func2(struct math_forest *f, enum math_func fn, uint32_t a, uint32_t b);
uint32_t math_integer(struct math_forest *f, long v);
uint32_t math_number(struct math_forest *f, const fmpq_t q);    // copies
uint32_t math_symbol(struct math_forest *f, struct pyspan name);
uint32_t math_matrix(struct math_forest *f, uint32_t columns, uint32_t n, const uint32_t *arg);
// MATH_TEXT, MATH_UNIT (with child a, exponent id) and MATH_BASED (base id).
uint32_t math_texted(struct math_forest *f, enum math_kind kind, struct pyspan text, uint32_t id,
                     uint32_t a);

static inline const struct math_node *math_at(const struct math_forest *f, uint32_t i)
{
    return &f->node[i];
}
static inline bool math_is_scalar(const struct math_forest *f, uint32_t i)
{
    return f->node[i].kind < MATH_FIRST_STRUCTURE;
}

// in[i] for i <= root: is node i part of root's expression?
bool *math_parts(struct math_forest *f, uint32_t root);
bool math_contains(struct math_forest *f, uint32_t root, enum math_kind kind);
// The expression with `what` (a node) replaced by `with`.
uint32_t math_substitute(struct math_forest *f, uint32_t root, uint32_t what, uint32_t with);
// Every ± replaced by its upper (+) or lower sign.
uint32_t math_choose_sign(struct math_forest *f, uint32_t root, bool upper);
// The only symbol of the expression, or MATH_NONE when it has none or several; *n counts them.
uint32_t math_only_symbol(struct math_forest *f, uint32_t root, size_t *n);

#endif
