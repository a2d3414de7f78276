// pyregex.h: re.search with Python's syntax and character rules, on PCRE2's interpreter with
// limits.
//
// Patterns come from data rows and subjects from models: both are hostile, so the interpreter runs
// with a step and a memory limit, and what cannot be decided within them is an error. A pattern is
// translated to the PCRE2 pattern that means the same in Python, or refused. Runs in the worker;
// keeps nothing between calls.
#ifndef CARAVAN_VERIFIER_PYREGEX_H
#define CARAVAN_VERIFIER_PYREGEX_H

#include "verifier/pytext.h"

enum pyregex_flags {
    PYREGEX_IGNORECASE = 1,    // re.IGNORECASE on str
    PYREGEX_MULTILINE = 2,     // re.MULTILINE
};

// *found = whether `pattern` matches anywhere in `subject`, as re.search of Python 3.11 says (with
// one exception: \B matches in an empty subject here).
// ERR_INVALID: the pattern is malformed, or uses syntax outside the supported part (literals,
// classes, escapes, groups, look-around, alternation, anchors, repeats; not back-references, named
// groups or inline flags). ERR_LIMIT: matching took more than the step or memory limit. `why` says
// which and where; the caller's verdict is then unscored, never a guess.
MUST_CHECK enum err pyregex_search(struct pyspan pattern, unsigned flags, struct pyspan subject,
                                   bool *found, struct why *why);

#endif
