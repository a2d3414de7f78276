// pyregex.h: re.search with Python's syntax and character rules, on PCRE2's interpreter with
// limits.
//
// Patterns come from data rows and subjects from models: both are hostile, so the interpreter runs
// with a step and a memory limit, and what cannot be decided within them is an error. A pattern is
// translated to the PCRE2 pattern that means the same in Python, or refused. Runs in the worker;
// everything lives in the scratch.
#ifndef CARAVAN_VERIFIER_PYREGEX_H
#define CARAVAN_VERIFIER_PYREGEX_H

#include "verifier/pytext.h"

enum pyregex_flags {
    PYREGEX_IGNORECASE = 1,    // re.IGNORECASE on str
    PYREGEX_MULTILINE = 2,     // re.MULTILINE
};

struct pyregex;

// re.compile. Leaves through scratch_fail: ERR_INVALID, the pattern is malformed, or uses syntax
// outside the supported part (literals, classes, escapes, groups, look-around, alternation, anchors,
// repeats; not back-references, named groups or inline flags); the text says which and where.
const struct pyregex *pyregex_compile(struct scratch *a, struct pyspan pattern, unsigned flags);

// Does it match anywhere (re.search), and how often (len of re.findall), as Python 3.11 says (with
// one exception: \B matches in an empty subject here). ERR_LIMIT: matching took more than the step
// or memory limit; the verdict is then unscored, never a guess.
bool pyregex_found(struct scratch *a, const struct pyregex *re, struct pyspan subject);
size_t pyregex_count(struct scratch *a, const struct pyregex *re, struct pyspan subject);
// re.search(pattern, subject, flags)
bool pyregex_search(struct scratch *a, struct pyspan pattern, unsigned flags,
                    struct pyspan subject);

#endif
