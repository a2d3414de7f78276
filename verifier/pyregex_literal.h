// pyregex_literal.h: the expressions that most data rows hold, plain text with or without \b at
// either end, found without an engine.
//
// A part of pyregex.c: same results, linear time, no compilation. Pure; memory from the scratch.
#ifndef CARAVAN_VERIFIER_PYREGEX_LITERAL_H
#define CARAVAN_VERIFIER_PYREGEX_LITERAL_H

#include "verifier/pytext.h"

struct pyregex_literal {
    struct pyspan text;    // not empty; folded to ignore case
    bool ignore_case;
    bool edge_before, edge_after;    // \b
};

// Whether `pattern` is one of these; *out is set if so.
bool pyregex_literal_read(struct scratch *a, struct pyspan pattern, bool ignore_case,
                          struct pyregex_literal *out);
// Non-overlapping matches in the subject, at most `most`.
size_t pyregex_literal_count(struct scratch *a, const struct pyregex_literal *re,
                             struct pyspan subject, size_t most);
// One member of each ignore-case set that simple case folding does not know.
uint32_t pyregex_literal_join(uint32_t c);

#endif
