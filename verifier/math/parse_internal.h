// parse_internal.h: the state of one parse, shared by parse.c (what comes next) and build.c (what
// becomes of it).
#ifndef CARAVAN_VERIFIER_MATH_PARSE_INTERNAL_H
#define CARAVAN_VERIFIER_MATH_PARSE_INTERNAL_H

#include "verifier/math/parse.h"

bool math_is_digit(uint32_t c);

// Loosest first. A sign takes the products behind it; a function without brackets the product.
enum math_binding {
    MATH_BIND_ANY = 1,
    MATH_BIND_RELATION,
    MATH_BIND_UNION,
    MATH_BIND_RATIO,
    MATH_BIND_CHOOSE,
    MATH_BIND_SUM_OF_TERMS,
    MATH_BIND_SIGN,
    MATH_BIND_SUM,    // \sum … body
    MATH_BIND_FUNCTION,
    MATH_BIND_PRODUCT,
    MATH_BIND_ADJACENT,
    MATH_BIND_MIXED,
    MATH_BIND_POWER,
};

enum math_entry_kind {
    MATH_ENTRY_BINARY,
    MATH_ENTRY_PREFIX,
    MATH_ENTRY_FENCE,
    MATH_ENTRY_COMMAND,    // waits for arguments
    MATH_ENTRY_SINGLE,     // the next thing is the argument of the command below
    MATH_ENTRY_MATRIX,
};

struct math_entry {
    enum math_entry_kind kind;
    uint32_t op;        // a token kind; of a fence: enum math_fence
    uint32_t number;    // what else the token said
    int binding;
    size_t base;    // operands when it began
    size_t token;
    uint32_t columns, row;    // of a matrix: width, and cells in the current row
    bool argument;            // of a fence: it holds arguments of the command below
    bool has_base, has_power;
};

struct math_parser {
    struct math_forest *f;
    struct math_tokens *tokens;
    size_t at;
    uint32_t *operand;
    size_t n_operands, cap_operands;
    struct math_entry *entry;
    size_t n_entries, cap_entries;
    bool wanting;    // an operand comes next
};

struct math_entry *math_push(struct math_parser *p, enum math_entry_kind kind, uint32_t op,
                             int binding);
void math_operand(struct math_parser *p, uint32_t node);
bool math_argument(struct math_parser *p);

// Replaces operands by what the entry makes of them; false if it cannot.
bool math_build(struct math_parser *p, const struct math_entry *e);
bool math_build_command(struct math_parser *p, const struct math_entry *e);
bool math_build_fence(struct math_parser *p, const struct math_entry *e, enum math_fence closer);
bool math_takes_several(const struct math_entry *command);
bool math_end_cell(struct math_parser *p, bool row);
bool math_finish_matrix(struct math_parser *p);

#endif
